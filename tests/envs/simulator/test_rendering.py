"""The choice of OpenGL backend, and what is said where there is none."""

import pickle
import subprocess
import sys

import pytest
from handover_common.errors import HandoverError
from handover_envs.simulator import rendering as graphics
from handover_envs.simulator.rendering import GraphicsMissing, choose_backend, graphics_missing

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="EGL is Linux's")


@pytest.fixture
def no_screen(monkeypatch):
    for name in ("DISPLAY", "WAYLAND_DISPLAY", "MUJOCO_GL"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(graphics.ctypes, "CDLL", lambda library: library)
    return monkeypatch


def chosen(monkeypatch) -> str | None:
    choose_backend()
    choice = graphics.os.environ.get("MUJOCO_GL")
    if choice is not None:
        monkeypatch.setenv("MUJOCO_GL", choice)  # so that it is undone after the test
    return choice


def test_egl_is_chosen_where_there_is_no_screen(no_screen):
    assert chosen(no_screen) == "egl"


def test_a_screen_keeps_mujocos_own_choice(no_screen):
    no_screen.setenv("DISPLAY", ":0")
    assert chosen(no_screen) is None


def test_the_users_choice_stands(no_screen):
    no_screen.setenv("MUJOCO_GL", "osmesa")
    assert chosen(no_screen) == "osmesa"


def test_glfw_without_a_screen_is_refused(no_screen):
    no_screen.setenv("MUJOCO_GL", "glfw")
    with pytest.raises(GraphicsMissing, match="there is none; MUJOCO_GL: glfw"):
        choose_backend()
    no_screen.setenv("DISPLAY", ":0")
    assert chosen(no_screen) == "glfw"


@pytest.mark.parametrize("missing", ["libEGL.so.1", "libGL.so.1"])
def test_a_missing_library_names_debians_packages(no_screen, missing):
    def load(library: str) -> str:
        if library == missing:
            raise OSError(f"{library}: cannot open shared object file")
        return library

    no_screen.setattr(graphics.ctypes, "CDLL", load)
    with pytest.raises(GraphicsMissing) as caught:
        chosen(no_screen)
    for word in (missing, "libegl1", "libgl1", "libgl1-mesa-dri", "apt-get install"):
        assert word in str(caught.value)
    assert isinstance(caught.value, HandoverError)


def test_a_screen_that_is_not_there_names_the_way_without_one(no_screen):
    no_screen.setenv("DISPLAY", ":77")
    assert "MUJOCO_GL=egl renders without a screen" in str(graphics_missing("no display"))


def test_the_error_crosses_process_borders_as_it_is():
    error = graphics_missing("no driver")
    assert str(pickle.loads(pickle.dumps(error))) == str(error)


@pytest.mark.sim
@pytest.mark.parametrize(
    "module",
    [
        "handover_envs.record.run",
        "handover_envs.record.demonstration",
        "handover_training.aloha_mini.data.draw",
    ],
)
def test_opengl_is_chosen_before_anything_imports_mujoco(module, no_screen):
    pytest.importorskip("dm_control", reason="needs the extra 'sim'")
    code = (
        f"import sys, handover_envs.experts.expert, {module}\n"
        "assert 'mujoco' not in sys.modules\n"
        "handover_envs.experts.expert.Expert('insertion')\n"
        "assert 'glfw' not in sys.modules  # MuJoCo's choice where nobody has chosen"
    )
    subprocess.run([sys.executable, "-c", code], check=True, timeout=120)
