"""Heartbeat of the event loop, for threads that have to know whether it still runs."""

import asyncio
import time

BEAT_S = 0.5
LONGEST_SILENCE_S = 5.0


class Heartbeat:
    """Time at which the event loop last ran, as long as `beat` runs in it."""

    def __init__(self) -> None:
        self._last_s = time.monotonic()

    async def beat(self) -> None:
        """Beat until this is cancelled."""
        while True:
            self._last_s = time.monotonic()
            await asyncio.sleep(BEAT_S)

    def fault(self) -> str:
        """Return what is wrong with the event loop, in words; "" where it runs."""
        silent_s = time.monotonic() - self._last_s
        if silent_s < LONGEST_SILENCE_S:
            return ""
        return f"blocked: the event loop has not run for {silent_s:.0f} s"
