"""Loader of MuJoCo: OpenGL is chosen first, then `handover_envs.simulator.world` is imported."""

from importlib.util import find_spec
from types import ModuleType

from handover_common import MissingExtra, package_versions

from handover_envs.simulator.rendering import choose_backend, graphics_missing


def check_packages() -> None:
    """Raise MissingExtra unless the extra `sim` is installed; imports nothing."""
    for package in ("mujoco", "dm_control", "gym_aloha"):
        if find_spec(package) is None:
            raise MissingExtra(package, "sim")


def load_world() -> ModuleType:
    """Import gym-aloha's worlds, which takes a second or two.

    Raises MissingExtra without the extra `sim`, GraphicsMissing without an OpenGL library.
    """
    check_packages()
    choose_backend()
    try:
        from handover_envs.simulator import world
    except (ImportError, AttributeError, RuntimeError) as error:
        # how dm_control and PyOpenGL report that they found no OpenGL driver
        raise graphics_missing(error) from error
    return world


def simulator_versions() -> dict[str, str]:
    """Versions that decide what a simulated episode looks like, for datasets and reports."""
    return package_versions(("handover", "gym-aloha", "mujoco", "dm-control", "numpy", "av"))
