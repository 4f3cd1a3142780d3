"""The versions that decide what a simulated episode looks like, for datasets and reports."""

from importlib import metadata

_PACKAGES = ("handover", "gym-aloha", "mujoco", "dm-control", "numpy", "av")


def simulator_versions() -> dict[str, str]:
    """Give the installed version of each package that plays a part."""
    return {package: _version(package) for package in _PACKAGES}


def _version(package: str) -> str:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return "not installed"
