"""Rendering without a screen: OpenGL backend, the three looks, and what to install."""

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
    """Rendering quality of MuJoCo; None keeps what gym-aloha's scene states."""

    shadow_map_px: int | None
    samples_per_px: int | None


# gym-aloha's scene.xml asks for a shadow map of 4096 and 4 samples: most of a software render.
LOOKS: Mapping[LookName, Look] = {
    "default": Look(shadow_map_px=None, samples_per_px=None),
    "fast": Look(shadow_map_px=1024, samples_per_px=0),
    "plain": Look(shadow_map_px=0, samples_per_px=0),
}


class GraphicsMissing(HandoverError):
    """A machine on which MuJoCo cannot render; the message names the Debian packages that help."""


def graphics_missing(reason: object) -> GraphicsMissing:
    """Build the error from the complaint of OpenGL, PyOpenGL or dm_control."""
    backend = os.environ.get("MUJOCO_GL") or "chosen by dm_control"
    return GraphicsMissing(
        f"MuJoCo cannot draw on this machine ({reason}; MUJOCO_GL: {backend}); expected an "
        "OpenGL library with EGL. "
        f"On Debian or Ubuntu: apt-get install {' '.join(DEBIAN_PACKAGES)}; "
        "MUJOCO_GL=egl renders without a screen, whatever DISPLAY is, MUJOCO_GL=glfw on one"
    )


def choose_backend() -> None:
    """Make MuJoCo render through EGL where there is no screen and the user has not chosen.

    MuJoCo and dm_control read MUJOCO_GL once, when they are first imported, so call this before.
    Raises GraphicsMissing if the choice is EGL and its library is missing, or GLFW without a
    screen, about which MuJoCo would complain at length.
    """
    has_screen = os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY")
    if sys.platform == "linux" and not has_screen:
        os.environ.setdefault("MUJOCO_GL", "egl")
        if os.environ["MUJOCO_GL"].lower() == "glfw":
            raise graphics_missing("GLFW renders to a screen, and there is none")
    if os.environ.get("MUJOCO_GL", "").lower() == "egl":
        for library in ("libEGL.so.1", "libGL.so.1"):
            _load(library)


def _load(library: str) -> None:
    try:
        ctypes.CDLL(library)
    except OSError as error:
        raise graphics_missing(error) from error


def apply_look(physics: Any, name: LookName) -> None:
    """Set the look of a dm_control Physics; takes effect only before its first render."""
    look = LOOKS[name]
    quality = physics.model.vis.quality
    if look.shadow_map_px is not None:
        quality.shadowsize = look.shadow_map_px
    if look.samples_per_px is not None:
        quality.offsamples = look.samples_per_px
