"""The same on InferStream, whose messages may come at any time."""

from .arena import Attack, Target, strike_from_command_line
from .h2 import INFER_STREAM
from .unfinished_infer import strike as unfinished

ATTACK = Attack("unfinished InferStream", "as before, on streams")


def strike(target: Target) -> None:
    """Open the streams, and keep them open."""
    unfinished(target, INFER_STREAM)


if __name__ == "__main__":
    strike_from_command_line(strike)
