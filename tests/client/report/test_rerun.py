"""`--rerun`: a run as a recording that rerun-sdk itself reads back; told by name where it lacks."""

import importlib.util
import shutil
import signal
import socket
import subprocess
import sys
import time

import numpy as np
import pytest

pytest.importorskip("jinja2", reason="evaluations need the extra replay")

from handover_client.commands import main as cli
from handover_client.drive.live import Moment
from handover_client.drive.recording import Step
from handover_client.drive.robots import CameraFrame
from handover_client.report.rerun.live import LiveRecording
from handover_client.report.rerun.runs import write_replay_rrd, write_rollout_rrd, write_view_rrd
from handover_client.report.rerun.stream import check_rerun
from handover_client.rollout.trace import EpisodeTrace
from handover_client.rollout.video import encode_h264
from handover_client.view.content import gather
from handover_client.view.recordings import Recordings
from handover_common.errors import MissingExtra, UsageError
from handover_proto import ALOHA_JOINTS

from ..rollout.test_folder import record
from ..view.datasets import write_v2
from .made_up import make_evaluation, replay_of

needs_rerun = pytest.mark.skipif(
    importlib.util.find_spec("rerun") is None,
    reason="needs the extra viz, which is 500 MB: pip install rerun-sdk",
)


@pytest.mark.skipif(importlib.util.find_spec("rerun") is not None, reason="rerun-sdk is installed")
@pytest.mark.parametrize("command", ["replay", "rollout"])
def test_without_its_extra_nothing_is_started_and_the_extra_is_named(command, tmp_path, capsys):
    flags = ["--server", "127.0.0.1:1", "--output", str(tmp_path / "run")]
    if command == "replay":
        pytest.importorskip("pyarrow")
        flags += ["--dataset-path", str(tmp_path)]
    else:
        pytest.importorskip("mujoco", reason="needs the extra sim")
    assert cli.run([command, *flags, "--rerun", str(tmp_path / "run.rrd")]) == 1
    assert 'pip install -e ".[viz]"' in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []


def test_a_place_that_cannot_be_written_is_told_before_the_run(tmp_path, monkeypatch):
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: name)  # the extra is there
    (tmp_path / "file").touch()
    check_rerun(tmp_path / "new folder" / "run.rrd")
    with pytest.raises(UsageError, match="file is no folder that can be written to"):
        check_rerun(tmp_path / "file" / "run.rrd")
    with pytest.raises(UsageError, match=r"ends in \.rrd"):
        check_rerun(tmp_path / "run.txt")


def rerun_program() -> str:
    return shutil.which("rerun", path=sys.prefix + "/bin") or "rerun"


def entities(path) -> str:
    """Let rerun's own program check a recording and say what is in it."""
    subprocess.run([rerun_program(), "rrd", "verify", str(path)], timeout=60, check=True)
    return printed(path)


def printed(path) -> str:
    """What is in a recording so far; one that is still written has no end to verify."""
    command = [rerun_program(), "rrd", "print", str(path)]
    return subprocess.run(command, capture_output=True, text=True, timeout=60).stdout


class Frames:
    """A dataset's cameras, black."""

    fps = 20.0
    cameras = ("top",)

    def read_frames(self, index, camera, rows=None):
        for _ in rows:
            yield np.zeros((32, 32, 3), np.uint8)


@needs_rerun
def test_a_replays_recording_has_joints_and_frames(tmp_path):
    write_replay_rrd(tmp_path / "run.rrd", make_evaluation(), replay_of(Frames()))
    found = entities(tmp_path / "run.rrd")
    for entity in ("left_waist/target", "left_waist/demonstrated", "right_gripper/target"):
        assert f"/episode_0/joints/{entity}" in found
    assert "/episode_1/top" in found
    assert [path.name for path in tmp_path.iterdir()] == ["run.rrd"]


@needs_rerun
def test_a_rollouts_recording_has_joints_rewards_and_its_video(tmp_path):
    trace = EpisodeTrace()
    for step in range(20):
        trace.add(np.full(14, step / 20), np.full(14, step / 10, np.float32), step // 5)
    run = tmp_path / "run"
    for folder in ("traces", "videos"):
        (run / folder).mkdir(parents=True)
    trace.save(run / "traces/episode_000000.npz")
    film = encode_h264((np.zeros((32, 32, 3), np.uint8) for _ in range(4)), 10)
    (run / "videos/episode_000000.mp4").write_bytes(film)
    played = record(0, steps=20, video="videos/episode_000000.mp4")
    write_rollout_rrd(tmp_path / "run.rrd", run, [played], 50.0)
    found = entities(tmp_path / "run.rrd")
    for entity in ("reward", "camera", "joints/left_waist/measured", "joints/left_waist/target"):
        assert f"/episode_0/{entity}" in found


@needs_rerun
def test_a_datasets_recording_has_every_camera_and_both_sides_of_a_joint(tmp_path):
    root = write_v2(tmp_path / "arm", {0: 6, 1: 6}, {"observation.images.top": (32, 32)})
    write_view_rrd(tmp_path / "view.rrd", gather(Recordings.open(root), [1]))
    found = entities(tmp_path / "view.rrd")
    for entity in ("top", "joints/waist/state", "joints/waist/action"):
        assert f"/episode_1/{entity}" in found
    assert "/episode_0" not in found


def moment(step, episode=0, waits="", guard=None):
    joints = np.full(14, 0.01 * step)
    row = Step(joints, joints + 0.1, joints + 0.05, False, bool(guard), bool(waits), 30.0, 1.0, 0.2)
    frames = {"top": CameraFrame(np.zeros((32, 48, 3), np.uint8), 0.02 * step)}
    return Moment(episode, 0.02 * step, ALOHA_JOINTS, row, frames, guard or {}, waits)


@needs_rerun
def test_a_drive_is_shown_as_it_goes_cameras_joints_targets_and_guard(tmp_path):
    path = tmp_path / "new folder" / "drive.rrd"
    with LiveRecording(str(path)) as live:
        for step in range(60):
            live.show(moment(step, waits="no chunk yet" if 21 <= step < 23 else ""))
        live.show(moment(60, guard={"velocity": 2}))
        live.show(moment(0, episode=1))
    said = entities(path)
    for entity in (
        "/episode_0/joints/left_waist/measured",
        "/episode_0/joints/right_gripper/command",
        "/episode_0/joints/left_elbow/target",
        "/episode_0/top",
        "/episode_0/guard",
        "/episode_0/hold",
        "/episode_0/latency_ms",
        "/episode_1/joints/left_waist/measured",
    ):
        assert entity in said, said


def is_silent(port) -> bool:
    with socket.socket() as door:
        return door.connect_ex(("127.0.0.1", port)) != 0


@needs_rerun
def test_a_viewer_that_runs_is_shown_every_step(tmp_path):
    path = tmp_path / "seen.rrd"
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    target = f"127.0.0.1:{port}"
    with pytest.raises(UsageError, match=f"no viewer answers there .*`rerun --port {port}`"):
        LiveRecording(target)
    # this one writes what it is shown
    with subprocess.Popen([rerun_program(), "--save", str(path), "--port", str(port)]) as viewer:
        deadline = time.monotonic() + 60
        while is_silent(port):
            assert time.monotonic() < deadline
        with LiveRecording(target) as live:
            for step in range(30):
                live.show(moment(step))
        for entity in ("joints/left_waist/measured", "top"):
            while f"/episode_0/{entity}" not in printed(path):
                assert time.monotonic() < deadline
        viewer.send_signal(signal.SIGINT)


@needs_rerun
@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere a screen is not told by variables")
def test_a_viewer_without_a_screen_is_refused_before_the_robot_moves(monkeypatch):
    for name in ("DISPLAY", "WAYLAND_DISPLAY", "WAYLAND_SOCKET"):
        monkeypatch.delenv(name, raising=False)
    with pytest.raises(UsageError, match=r"there is no screen here .* `rerun --serve-web`"):
        LiveRecording("viewer")


@needs_rerun
@pytest.mark.parametrize("target", ["somewhere", "host:port"])
def test_a_live_view_that_is_nowhere_is_refused(target):
    with pytest.raises(UsageError, match=r"expected viewer, HOST:PORT or FILE\.rrd"):
        LiveRecording(target)


@pytest.mark.skipif(importlib.util.find_spec("rerun") is not None, reason="rerun-sdk is installed")
@pytest.mark.parametrize("target", ["viewer", "127.0.0.1:9876", "drive.rrd"])
def test_without_its_extra_a_live_view_names_it(target):
    with pytest.raises(MissingExtra, match="viz"):
        LiveRecording(target)
