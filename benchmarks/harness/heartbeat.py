"""Whether this process itself was stopped for a while: by SIGSTOP, or a laptop that slept."""

import threading
import time

BEAT_S = 0.5
PAUSE_S = 5.0  # longer than this without a beat is no busy machine


class Heartbeat:
    """Looks at the clock all the time, whatever the other threads wait for."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._last_s = time.monotonic()
        self._stopped_s = 0.0
        threading.Thread(target=self._beat, name="heartbeat", daemon=True).start()

    def stopped_s(self) -> float:
        """Tell for how long in all the process was stopped since the last call."""
        self._look()
        with self._lock:
            stopped_s, self._stopped_s = self._stopped_s, 0.0
        return stopped_s

    def _beat(self) -> None:
        while True:
            time.sleep(BEAT_S)
            self._look()

    def _look(self) -> None:
        with self._lock:
            now = time.monotonic()
            passed_s, self._last_s = now - self._last_s, now
            if passed_s > PAUSE_S:
                self._stopped_s += passed_s
