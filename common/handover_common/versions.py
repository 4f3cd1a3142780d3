"""Versions of installed packages, and the one name under which Handover is distributed."""

from collections.abc import Iterable

DISTRIBUTION = "handover-robotics"  # `handover` on PyPI is somebody else's project
NOT_INSTALLED = "not installed"


def package_version(package: str) -> str | None:
    """The installed version of a package, or None. "handover" is this project itself."""
    from importlib import metadata  # takes 30 ms, which --help need not wait for

    try:
        return metadata.version(DISTRIBUTION if package == "handover" else package)
    except metadata.PackageNotFoundError:
        return None


def package_versions(packages: Iterable[str]) -> dict[str, str]:
    """The installed version of each package: {package: version or "not installed"}."""
    return {package: package_version(package) or NOT_INSTALLED for package in packages}


def how_to_install(extra: str) -> str:
    """The remedy for a missing extra, in a clone and for an installed wheel.

    It names files, no project of a package index: what is published there may not be ours.
    """
    wheel = f"{DISTRIBUTION.replace('-', '_')}-VERSION-py3-none-any.whl"
    return (
        f'run pip install -e ".[{extra}]" in a clone of Handover, or with the wheel '
        f'pip install "{wheel}[{extra}]"'
    )
