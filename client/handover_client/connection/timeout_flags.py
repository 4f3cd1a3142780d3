"""Flags that say how long to wait: every wait has an end."""

from handover_common import UsageError

_LONGEST_S = 100_000


def check_timeouts(config: object, *names: str) -> None:
    """Raise UsageError for a field of a command's config that is no time to wait."""
    for name in names:
        value = getattr(config, name)
        if not 0 < value < _LONGEST_S:
            flag = "--" + name.replace("_", "-")
            raise UsageError(f"{flag} is {value:g}, expected above 0 and below {_LONGEST_S} s")
