"""The seam for whoever wants to know what becomes of requests: metrics, logs, the black box."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from handover_proto import ServerInfo

if TYPE_CHECKING:
    from handover_server.requests.request import Outcome, PendingRequest


class Observer:
    """Is told what happens, and by itself does nothing with it; none of it may fail or block.

    All calls come from the event loop, but for `computed`, which comes from the policy's thread.
    """

    def serving(self, info: ServerInfo) -> None:
        """Say what is served from now on, at first and after a reload."""

    def entered(self, ticket: "PendingRequest", data: bytes) -> None:
        """Say that a serialised InferRequest was admitted."""

    def refused(self, reason: str) -> None:
        """Say that a request was turned away at the door; the reason is one of a few words."""

    def computed(self, requests: int) -> None:
        """Say that the policy was given a batch."""

    def settled(self, ticket: "PendingRequest", outcome: "Outcome") -> None:
        """Say what became of a request that was admitted."""

    def encoded(self, duration_ms: float) -> None:
        """Say how long a chunk took to become a message."""


class Observers(Observer):
    """Passes everything on to several, in order."""

    def __init__(self, observers: Sequence[Observer]) -> None:
        self._observers = tuple(observers)

    def serving(self, info: ServerInfo) -> None:
        """Pass it on."""
        for observer in self._observers:
            observer.serving(info)

    def entered(self, ticket: "PendingRequest", data: bytes) -> None:
        """Pass it on."""
        for observer in self._observers:
            observer.entered(ticket, data)

    def refused(self, reason: str) -> None:
        """Pass it on."""
        for observer in self._observers:
            observer.refused(reason)

    def computed(self, requests: int) -> None:
        """Pass it on."""
        for observer in self._observers:
            observer.computed(requests)

    def settled(self, ticket: "PendingRequest", outcome: "Outcome") -> None:
        """Pass it on."""
        for observer in self._observers:
            observer.settled(ticket, outcome)

    def encoded(self, duration_ms: float) -> None:
        """Pass it on."""
        for observer in self._observers:
            observer.encoded(duration_ms)
