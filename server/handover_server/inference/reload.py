"""Hot reload: a new checkpoint loaded in the background, refused unless it fits clients."""

import dataclasses
import threading
from collections.abc import Callable
from concurrent.futures import Future

from handover_proto import Policy, PolicySpec

from handover_server.errors import ReloadRefused
from handover_server.inference.warm_up import warm_up

# What clients need not know, or get with every chunk. Any other change would break clients that
# are already connected.
_MAY_CHANGE = frozenset(
    {
        *("checkpoint_name", "checkpoint_hash", "processor_hash", "training"),
        *("denoising_steps", "device", "dtype", "max_batch", "learned_delay_steps"),
        "latency_envelopes",
    }
)


def prepare(load: Callable[[], Policy], served: PolicySpec) -> "Future[Policy]":
    """Load and warm up a policy in its own thread, to replace the one being served.

    served: the spec that clients have, with the batch size in use
    The future raises what loading raises, and ReloadRefused for a policy that does not fit them.
    """
    done: Future[Policy] = Future()

    def run() -> None:
        try:
            policy = load()
            check_fits(served, policy.spec)
            fitting = warm_up(policy, served.max_batch)
            if fitting < served.max_batch:
                raise ReloadRefused(
                    f"beside the former one there is memory for batches of {fitting}, and batches "
                    f"of {served.max_batch} are in use"
                )
        except Exception as error:  # for the caller, who waits on the future
            done.set_exception(error)
        except BaseException as error:  # SystemExit of a library: it would end the event loop
            done.set_exception(RuntimeError(f"loading ended with {error!r}"))
        else:
            done.set_result(policy)

    threading.Thread(target=run, name="reload", daemon=True).start()
    return done


def check_fits(served: PolicySpec, new: PolicySpec) -> None:
    """Raise ReloadRefused where a client of the spec `served` would not fit the spec `new`."""
    for field in dataclasses.fields(PolicySpec):
        before, after = getattr(served, field.name), getattr(new, field.name)
        if field.name not in _MAY_CHANGE and before != after:
            raise ReloadRefused(
                f"its {field.name} differs from what connected clients know: {_cut(before)} "
                f"is now {_cut(after)}; start another server for it"
            )
    if new.max_batch < served.max_batch:
        raise ReloadRefused(
            f"it takes batches of {new.max_batch}, and batches of {served.max_batch} are in use"
        )


def _cut(value: object) -> str:
    text = str(value)
    return text if len(text) <= 200 else f"{text[:199]}…"
