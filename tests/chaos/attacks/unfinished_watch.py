"""Health/Watch without a token, of a service whose name of 31 MiB never ends."""

from .arena import Attack, Target, strike_from_command_line
from .h2 import WATCH
from .unfinished_infer import strike as unfinished

ATTACK = Attack(
    "unfinished Watch", "names of 31 MiB without their last bytes, 30 calls on 6 clients"
)


def strike(target: Target) -> None:
    """Open the calls, and keep them open."""
    unfinished(target, WATCH)


if __name__ == "__main__":
    strike_from_command_line(strike)
