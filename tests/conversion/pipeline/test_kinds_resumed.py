"""Several cameras, and HDF5: killed at any point, on any workers, they end in the same bytes."""

import os
import signal
import subprocess
import sys
import time

import pytest
from handover_conversion.pipeline.command import main
from handover_conversion.pipeline.config import ConvertConfig

from .. import sources

CAMERAS = ("cam_high", "cam_left_wrist", "cam_right_wrist")
CHOICES = {"camera": ("all",), "task": "Lift it.", "image_size": 32, "horizon": 4}
COMMAND = """
import sys
from pathlib import Path
from handover_conversion.pipeline import run
from handover_conversion.pipeline.command import main
from handover_conversion.pipeline.config import ConvertConfig
keep = run.Staging.keep
def keep_and_wait(staging, recorded, episode):
    keep(staging, recorded, episode)
    Path(sys.argv[3]).touch()
    run.time.sleep(600)
run.Staging.keep = keep_and_wait
if __name__ == "__main__":
    choices = dict(camera=("all",), task="Lift it.", image_size=32, horizon=4)
    main(ConvertConfig(source=sys.argv[1], output=Path(sys.argv[2]), workers=2, **choices))
"""


def make_source(kind, folder):
    """Record three episodes of three cameras of different sizes."""
    lengths = (30, 34, 38)
    if kind == "hdf5":
        pytest.importorskip("h5py", reason="needs the extra hdf5")
        for index, length in enumerate(lengths):
            sources.write_hdf5(folder / f"episode_{index}.hdf5", length, CAMERAS, index == 1)
        return folder
    keys = [f"observation.images.{camera}" for camera in CAMERAS]
    sizes = dict(zip(keys, [(48, 64), (64, 48), (36, 36)], strict=True))
    joints = [sources.smooth(length, 14, 50) for length in lengths]
    episodes = {i: {"observation.state": j, "action": j} for i, j in enumerate(joints)}
    return sources.write_v2(folder, episodes, cameras=keys, sizes=sizes)


@pytest.mark.parametrize("kind", ["cameras", "hdf5"])
def test_kill_9_after_an_episode_and_other_workers_give_the_same_bytes(
    tmp_path, contents, kind, capsys
):
    source = make_source(kind, tmp_path / "recorded")
    main(ConvertConfig(str(source), tmp_path / "expected", workers=1, **CHOICES))
    output, kept = tmp_path / "converted", tmp_path / "kept"
    command = [sys.executable, "-c", COMMAND, source, output, kept]
    run = subprocess.Popen(command, start_new_session=True, stderr=subprocess.DEVNULL)
    deadline = time.monotonic() + 120
    while not kept.exists():
        assert run.poll() is None
        assert time.monotonic() < deadline
        time.sleep(0.01)
    os.killpg(run.pid, signal.SIGKILL)
    run.wait(60)
    assert not output.exists()
    capsys.readouterr()
    main(ConvertConfig(str(source), output, workers=2, **CHOICES))
    assert "(1 episodes were finished before)" in capsys.readouterr().out
    assert contents(output) == contents(tmp_path / "expected")
    assert not list(tmp_path.glob(".*"))
