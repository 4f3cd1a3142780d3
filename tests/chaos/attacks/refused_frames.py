"""Refused requests no larger than the policy may need: frames of 12 MiB."""

from .arena import Attack, Target, strike_from_command_line
from .refused_requests import strike as refused

ATTACK = Attack("refused frames", "12 MiB each from 6 clients, an unknown camera, one by one")
SIDE = 2048


def strike(target: Target) -> None:
    """Send them and read the refusals."""
    refused(target, side=SIDE)


if __name__ == "__main__":
    strike_from_command_line(strike)
