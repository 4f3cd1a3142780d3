"""GR00T N1.6 policies: the only place where the server imports the model, and with it PyTorch."""

import contextlib
import gc
import sys
from collections.abc import Iterator
from typing import Any

from handover_common import MissingExtra
from handover_proto import Policy


def load_groot(checkpoint: str, **options: Any) -> Policy:
    """Load a checkpoint; the options are those of `handover_model.load_policy`.

    Raises MissingExtra, or the model's errors about the checkpoint or the device.
    """
    try:
        with _without_collections():
            from handover_model import load_policy
    except ModuleNotFoundError as error:
        raise MissingExtra(error.name or "torch", "serve") from None
    return load_policy(checkpoint, **options)


@contextlib.contextmanager
def _without_collections() -> Iterator[None]:
    """Leave Python's garbage alone: PyTorch's import makes none, and is looked through for it.

    What it has made stays until the process ends, so later collections leave it out, too: they
    would stop a robot's request for as long as 0.1 s.
    """
    was_on, first = gc.isenabled(), "torch" not in sys.modules
    gc.disable()
    try:
        yield
    finally:
        if first:
            gc.freeze()
        if was_on:
            gc.enable()
