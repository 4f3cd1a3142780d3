"""Drawing without a screen: the choice of OpenGL backend, the two looks, and what to install."""

import ctypes
import os
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from handover_common import HandoverError

DEBIAN_PACKAGES = ("libegl1", "libgl1", "libgl1-mesa-dri")

LookName = Literal["default", "fast", "plain"]


@dataclass(frozen=True)
class Look:
    """How carefully MuJoCo draws; None keeps what gym-aloha's scene says."""

    shadow_map_px: int | None
    samples_per_px: int | None


# gym-aloha's scene.xml asks for a shadow map of 4096 and 4 samples: most of a software render.
LOOKS: Mapping[LookName, Look] = {
    "default": Look(shadow_map_px=None, samples_per_px=None),
    "fast": Look(shadow_map_px=1024, samples_per_px=0),
    "plain": Look(shadow_map_px=0, samples_per_px=0),
}


class GraphicsMissing(HandoverError):
    """MuJoCo cannot draw here; the message names the Debian packages that help."""


def graphics_missing(reason: object) -> GraphicsMissing:
    """Build the error from whatever OpenGL, PyOpenGL or dm_control complained about."""
    backend = os.environ.get("MUJOCO_GL") or "chosen by dm_control"
    return GraphicsMissing(
        f"MuJoCo cannot draw on this machine ({reason}; MUJOCO_GL: {backend}); expected an OpenGL "
        f"library with EGL. On Debian or Ubuntu: apt-get install {' '.join(DEBIAN_PACKAGES)}; "
        "MUJOCO_GL=egl draws without a screen, whatever DISPLAY says, MUJOCO_GL=glfw on one"
    )


def choose_backend() -> None:
    """Make MuJoCo draw through EGL where there is no screen and the user has not chosen.

    MuJoCo and dm_control read MUJOCO_GL once, when they are first imported, so call this before.
    Raises GraphicsMissing when EGL is the choice and its library is not there, or GLFW without a
    screen, at which MuJoCo would complain at length.
    """
    has_screen = os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY")
    if sys.platform == "linux" and not has_screen:
        os.environ.setdefault("MUJOCO_GL", "egl")
        if os.environ["MUJOCO_GL"].lower() == "glfw":
            raise graphics_missing("GLFW draws on a screen, and there is none")
    if os.environ.get("MUJOCO_GL", "").lower() == "egl":
        for library in ("libEGL.so.1", "libGL.so.1"):
            _load(library)


def _load(library: str) -> None:
    try:
        ctypes.CDLL(library)
    except OSError as error:
        raise graphics_missing(error) from error


def apply_look(physics: Any, name: LookName) -> None:
    """Set how a dm_control Physics is drawn; counts only before its first render."""
    look = LOOKS[name]
    quality = physics.model.vis.quality
    if look.shadow_map_px is not None:
        quality.shadowsize = look.shadow_map_px
    if look.samples_per_px is not None:
        quality.offsamples = look.samples_per_px
