"""Interface of request observers: metrics, log summaries, the request recording."""

from collections.abc import Callable, Sequence
from typing import Any

from handover_proto import ServerInfo

from handover_server.requests.outcome import Outcome
from handover_server.requests.request import PendingRequest


class Observer:
    """Receives events about requests and ignores them; none of these may fail or block.

    Events come from the event loop, except `computed`, which comes from the policy's thread, and
    `decoded`, which may come from one that decompresses images.
    Figures are read by any thread.
    """

    def serving(self, info: ServerInfo) -> None:
        """Note what is served from now on: at start and after each reload."""

    def admitted(self, pending: PendingRequest, data: bytes) -> None:
        """Note that a serialized InferRequest was admitted."""

    def decoded(self, pending: PendingRequest, data: bytes) -> None:
        """Note that an admitted request was decoded from `data`, and is valid."""

    def refused(self, reason: str) -> None:
        """Note that a request was refused before admission; the reason is one of a few words."""

    def computed(self, requests: int) -> None:
        """Note that the policy was given a batch."""

    def settled(self, pending: PendingRequest, outcome: Outcome) -> None:
        """Note the outcome of an admitted request."""

    def encoded(self, duration_ms: float) -> None:
        """Note how long a chunk took to become a message."""

    def close(self) -> None:
        """Finish, when the server has stopped."""

    def levels(self) -> dict[str, float]:
        """Return the observer's gauges: {name: value}."""
        return {}

    def totals(self) -> dict[str, float]:
        """Return the observer's counters: {name: count}."""
        return {}


class Observers(Observer):
    """Passes every event on to several observers, in order, and adds their figures up."""

    def __init__(self, *observers: Observer) -> None:
        names = ("serving", "admitted", "decoded", "refused", "computed", "settled", "encoded")
        for name in (*names, "close"):
            setattr(self, name, _call_each([getattr(one, name) for one in observers]))
        self._observers = observers

    def levels(self) -> dict[str, float]:
        """Return the gauges of all."""
        return {name: value for one in self._observers for name, value in one.levels().items()}

    def totals(self) -> dict[str, float]:
        """Return the counters of all."""
        return {name: count for one in self._observers for name, count in one.totals().items()}


def _call_each(calls: Sequence[Callable[..., None]]) -> Callable[..., None]:
    def call(*event: Any) -> None:
        for each in calls:
            each(*event)

    return call
