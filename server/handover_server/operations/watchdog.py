"""Watchdog: notices a policy that does not return from a batch, and when it does after all."""

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from handover_server.inference.batch_runner import BatchRunner

logger = logging.getLogger(__name__)

LOOK_S = 0.1  # how often a stuck policy is checked
_OVERSLEPT_S = 1.0  # a watchdog that wakes later was stopped itself, and the policy with it


@dataclass(frozen=True)
class WatchdogSettings:
    """How long one call of the policy may last; 0 turns either off."""

    stuck_s: float = 30.0
    """From the start of a call until the policy counts as stuck."""
    exit_s: float = 0.0
    """From then on until it counts as lost."""


class Watchdog:
    """Watches the policy's calls from the event loop, for as long as `watch` runs.

    on_stuck: awaited with the clients' error text when a call has lasted too long; returns how
        many requests were refused
    on_back: awaited when that call has returned after all

    A policy that holds the GIL also blocks the event loop, and with it this watchdog and all
    health replies: only an external probe with a deadline sees that.
    """

    def __init__(
        self,
        runner: BatchRunner,
        settings: WatchdogSettings,
        on_stuck: Callable[[str], Awaitable[int]],
        on_back: Callable[[], Awaitable[None]],
    ) -> None:
        self._runner, self._settings = runner, settings
        self._on_stuck, self._on_back = on_stuck, on_back

    async def watch(self) -> None:
        """Watch until the policy is lost, or this is cancelled."""
        while self._settings.stuck_s:
            began_s = await self.until_stuck()
            location = self._runner.location()
            refused = await self._on_stuck(
                f"the policy has not answered for {self._settings.stuck_s:g} s: this server "
                "answers nothing until it does or is restarted"
            )
            logger.error(
                "the policy is stuck: no answer within %g s, at %s; health says NOT_SERVING, "
                "%d request(s) in flight were answered UNAVAILABLE",
                self._settings.stuck_s,
                location,
                refused,
            )
            if not await self.until_back(began_s):
                return
            lasted_s = time.monotonic() - began_s
            logger.warning("the policy came back after %.1f s; health says SERVING", lasted_s)
            await self._on_back()
        await asyncio.Event().wait()

    async def until_stuck(self) -> float:
        """Wait until a call has lasted too long; returns its start time."""
        awake_since_s = time.monotonic()
        while True:
            began_s, now_s = self._runner.began_s, time.monotonic()
            since_s = now_s if began_s is None else max(began_s, awake_since_s)
            left_s = since_s + self._settings.stuck_s - now_s
            if began_s is not None and left_s <= 0:
                return began_s
            await asyncio.sleep(left_s)
            if time.monotonic() - (now_s + left_s) > _OVERSLEPT_S:
                awake_since_s = time.monotonic()

    async def until_back(self, began_s: float) -> bool:
        """Wait until the call that began then is over; returns False when the policy is lost."""
        exit_s = self._settings.exit_s
        lost_s = time.monotonic() + exit_s if exit_s else float("inf")
        while self._runner.began_s == began_s:
            if time.monotonic() >= lost_s:
                logger.error("the policy is lost: still no answer after %g s more", exit_s)
                return False
            await asyncio.sleep(LOOK_S)
        return True
