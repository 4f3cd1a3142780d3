"""Repositories of the model hub: folders of this machine as they are, hub names downloaded."""

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Literal

from handover_common.errors import HubError, MissingExtra

CONNECT_TIMEOUT_S = 10.0
CHECKPOINT_PATTERNS = ("*.json", "*.safetensors", "merges.txt", "README.md")
_NAME = re.compile(r"(?![.~])[\w.-]+/[\w.-]+")


def is_hub_name(name: str) -> bool:
    """Whether `name` has the form of a hub repository's: ORGANIZATION/NAME."""
    return _NAME.fullmatch(name) is not None


def resolve(name_or_dir: str | Path, revision: str | None = None) -> Path:
    """Return the folder of a checkpoint: a local one as it is, a hub name downloaded.

    Raises HubError when it is neither, or the hub cannot be reached.
    """
    folder = Path(name_or_dir).expanduser()
    if folder.is_dir():
        return folder
    name = str(name_or_dir)
    if not is_hub_name(name):
        raise HubError(
            f"{name} is no folder here; expected a checkpoint folder, or a name on the hub such "
            "as nvidia/GR00T-N1.6-3B"
        )
    return fetch(name, files=CHECKPOINT_PATTERNS, revision=revision)


def fetch(
    name: str,
    *,
    files: Sequence[str],
    revision: str | None = None,
    kind: Literal["model", "dataset"] = "model",
    extra: str = "serve",
) -> Path:
    """Download files of a hub repository, or take them from the local cache.

    The hub is tried within CONNECT_TIMEOUT_S; an interrupted download goes on where it stopped.
    extra: what installs huggingface_hub. Raises HubError, and MissingExtra without that package.
    """
    try:  # it takes its time to import, and only what lies on the hub needs it
        from huggingface_hub import snapshot_download
        from huggingface_hub.errors import HfHubHTTPError, LocalEntryNotFoundError
    except ModuleNotFoundError:
        raise MissingExtra("huggingface_hub", extra) from None
    try:
        path = snapshot_download(
            name,
            repo_type=kind,
            revision=revision,
            allow_patterns=list(files),
            etag_timeout=CONNECT_TIMEOUT_S,
        )
    except LocalEntryNotFoundError as error:
        raise HubError(
            f"{name} is not in the local cache and the hub cannot be reached; download it on a "
            "machine that can, and give the folder instead"
        ) from error
    except HfHubHTTPError as error:
        raise HubError(
            f"the hub did not give {name}: {_first_line(error)}; check the name, and log in with "
            "`hf auth login` if it is not public"
        ) from error
    except (OSError, ValueError) as error:
        raise HubError(f"{name} could not be downloaded: {_first_line(error)}") from error
    return Path(path)


def _first_line(error: Exception) -> str:
    return next(iter(str(error).strip().splitlines()), type(error).__name__)
