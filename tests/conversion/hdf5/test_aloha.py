"""The original ALOHA's HDF5 episodes become a dataset like any other recordings."""

import json

import numpy as np
import pytest

h5py = pytest.importorskip("h5py", reason="needs the extra hdf5")

from handover_conversion.check.run import check_dataset  # noqa: E402
from handover_conversion.errors import DatasetError  # noqa: E402
from handover_conversion.groot.dataset import GrootDataset  # noqa: E402
from handover_proto import widen  # noqa: E402

from .. import sources  # noqa: E402

CAMERAS = ("cam_high", "cam_left_wrist", "cam_low", "cam_right_wrist")
SMALL = {"image_size": 32, "horizon": 4, "task": "Lift the cup."}


@pytest.fixture(params=["raw", "jpeg"])
def episodes(tmp_path, request):
    compressed = request.param == "jpeg"
    for index, length in ((0, 60), (3, 50)):
        path = tmp_path / f"recorded/episode_{index}.hdf5"
        sources.write_hdf5(path, length, CAMERAS, compressed)
    return tmp_path / "recorded"


def test_every_camera_and_joint_is_converted(episodes, convert, capsys):
    output = convert(episodes, camera=("all",), **SMALL)
    dataset = GrootDataset.open(output)
    assert [one for one in check_dataset(output) if one.severity == "fault"] == []
    assert dataset.cameras == CAMERAS
    for offset, camera in enumerate(CAMERAS):
        numbers = sources.numbers_of(dataset.read_frames(1, camera))
        assert numbers == [offset + k * 5 // 2 for k in range(20)]
    state = sources.smooth(60, 14, 50)
    rows = dataset.read_episode(0)
    np.testing.assert_array_equal(rows.state[::2], widen(state[::5]))  # on a step every 0.1 s
    np.testing.assert_allclose(rows.action[::2], widen(state[::5] + np.float32(0.5)), atol=1e-6)
    made = json.loads((output / "meta/conversion.json").read_text())
    assert [entry["source_episode_index"] for entry in made["episodes"]] == [0, 3]
    told = capsys.readouterr().out
    assert "taken as ALOHA's 50 Hz (--source-fps)" in told
    assert "left out columns: observations/qvel" in told
    assert "images are taken as RGB" in told


def test_mobile_aloha_takes_its_base_from_a_column_of_its_own(tmp_path, convert):
    base = np.linspace(0, 1, 120).reshape(60, 2).astype(np.float32)
    path = tmp_path / "recorded/episode_0.hdf5"
    sources.write_hdf5(path, 60, CAMERAS[:1], base_action=base)
    dataset = GrootDataset.open(convert(path.parent, robot="aloha_mobile", fps=50, **SMALL))
    rows = dataset.read_episode(0)
    np.testing.assert_array_equal(rows.action[:, dataset.action_groups["base"]], base)


def test_an_instruction_is_asked_for(episodes, convert):
    with pytest.raises(DatasetError, match=r"2 faults(?s:.*)the instruction is empty"):
        convert(episodes, camera=("all",), **(SMALL | {"task": None}))


def test_one_bad_file_does_not_hide_the_others(episodes, convert):
    (episodes / "episode_1.hdf5").write_bytes(b"no HDF5")
    sources.write_hdf5(episodes / "episode_2.hdf5", 50, CAMERAS[:2])
    with h5py.File(episodes / "episode_4.hdf5", "w") as file:
        file["action"] = np.zeros((50, 14), np.float32)
    with pytest.raises(DatasetError) as raised:
        convert(episodes, camera=("all",), **SMALL)
    told = str(raised.value)
    assert "episode 1: episode_1.hdf5: cannot be read" in told
    assert "episode 2: episode_2.hdf5: has no 'observations/images/cam_low'" in told
    assert "episode 4: episode_4.hdf5: has no 'observations/qpos'" in told
    output = convert(episodes, camera=("all",), skip_bad=True, **SMALL)
    assert len(GrootDataset.open(output).episodes) == 2


def test_a_file_leads_to_no_other(episodes, tmp_path, convert):
    with h5py.File(tmp_path / "secret.h5", "w") as file:
        file["action"] = np.zeros((60, 14), np.float32)
    with h5py.File(episodes / "episode_0.hdf5", "a") as file:
        del file["action"]
        file["action"] = h5py.ExternalLink(str(tmp_path / "secret.h5"), "action")
    with pytest.raises(
        DatasetError, match=r"episode 0: .*action is a link, expected values in the"
    ):
        convert(episodes, camera=("all",), **SMALL)


def test_a_folder_of_broken_files_alone_is_told(tmp_path, convert):
    (tmp_path / "recorded").mkdir()
    (tmp_path / "recorded/episode_0.hdf5").write_bytes(b"")
    with pytest.raises(DatasetError, match=r"no HDF5 file can be read: episode_0.hdf5"):
        convert(tmp_path / "recorded", **SMALL)
