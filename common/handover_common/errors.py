"""Errors that every package shares: what a user can act on, in one clear line.

HandoverError                    what was wrong, what was expected, what to do
 ├─ UsageError                   the command line does not make sense; the command exits with 2
 ├─ MissingExtra                 an optional dependency is not installed
 ├─ FileError                    a file or a work folder cannot be written, or is not ours to write
 └─ HubError                     a repository of the model hub cannot be downloaded

Packages add their own below HandoverError (a bad dataset, a bad checkpoint, a failed request).
"""

from handover_common.versions import how_to_install


class HandoverError(Exception):
    """What a user can act on; commands print it as one line and exit with 1."""

    def lines(self) -> list[str]:
        """The lines that a command prints: one, and what that line announces below it."""
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


class FileError(HandoverError, OSError):
    """A file or a work folder cannot be written, or is not ours to write.

    It is the OSError that caused it as well (its errno and strerror), so that a caller who catches
    OSErrors to say which finished work is kept need not know who wrote.
    """

    def __init__(self, message: str, cause: OSError | None = None) -> None:
        super().__init__(message)
        if cause is not None:
            self.errno, self.strerror = cause.errno, cause.strerror

    def __str__(self) -> str:
        return str(self.args[0])


class HubError(HandoverError):
    """A repository of the model hub cannot be downloaded, or its name is none."""
