"""Errors that every package shares: what a user can act on, in one clear line.

HandoverError                    what was wrong, what was expected, what to do
 ├─ UsageError                   the command line is off; the command exits with 2
 └─ MissingExtra                 an optional dependency is not installed

Packages add their own below HandoverError (a bad dataset, a bad checkpoint, a failed request).
"""

from handover_common.versions import how_to_install


class HandoverError(Exception):
    """What a user can act on; commands print it as one line and exit with 1."""

    def lines(self) -> list[str]:
        """Give what a command prints: one line, and what that line announces below it."""
        return [" ".join(str(self).split())]


class UsageError(HandoverError):
    """The command line does not make sense; commands exit with 2."""


class MissingExtra(HandoverError):
    """A command needs packages that its extra installs."""

    def __init__(self, package: str, extra: str) -> None:
        super().__init__(
            f"the package {package!r} is not installed: this command needs the extra {extra!r}; "
            f"{how_to_install(extra)}"
        )
