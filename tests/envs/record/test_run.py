"""`handover record`: what it keeps, what it refuses, and that it can be stopped at any point."""

import errno
import json
import os
import signal
import subprocess
import sys
import time
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

pytestmark = pytest.mark.sim
pytest.importorskip("mujoco", reason="needs the extra 'sim'")
pq = pytest.importorskip("pyarrow.parquet", reason="needs the extra 'sim'")

from handover_common.errors import FileError, UsageError  # noqa: E402
from handover_common.parallel import Outcome  # noqa: E402
from handover_conversion import ConvertConfig, convert  # noqa: E402
from handover_conversion.errors import DatasetError  # noqa: E402
from handover_conversion.lerobot.frame_statistics import VideoRecorder  # noqa: E402
from handover_envs.experts.disturbances import disturbed_targets  # noqa: E402
from handover_envs.experts.expert import Expert, Trajectory  # noqa: E402
from handover_envs.record import run as recording  # noqa: E402
from handover_envs.record.command import main  # noqa: E402
from handover_envs.record.config import RecordConfig  # noqa: E402
from handover_envs.record.demonstration import Demonstration, DemonstrationTask, demonstrate  # noqa: E402
from handover_envs.record.filming import Film, FilmedEpisode, RenderDifference  # noqa: E402
from handover_envs.record.seeds import ExpertFailed  # noqa: E402
from handover_envs.simulator.simulator import AlohaSimulator  # noqa: E402
from handover_proto import widen  # noqa: E402


def rows(dataset: Path, index: int):
    return pq.read_table(dataset / f"data/chunk-000/episode_{index:06d}.parquet")


def recorded(dataset: Path) -> dict:
    return json.loads((dataset / "meta/recording.json").read_text())


def filmed_as(look: str) -> Film:
    return Film({TOP: "top"}, 50, None, look, "h264")


TOP = "observation.images.top"


class HereAndNow:
    """An executor that runs its tasks in this process."""

    workers = 1

    def map_unordered(self, function, tasks):
        for task in tasks:
            yield Outcome(task, function(task), None)


def made_up(order: DemonstrationTask) -> Demonstration | None:
    """A tiny episode; every third seed's does not succeed."""
    if order.seed % 3 == 2:
        return None
    with VideoRecorder(order.film.codec, 50, 480, 640, 4) as recorder:
        for _ in range(4):
            recorder.add(np.full((480, 640, 3), order.seed, np.uint8))
    filmed = FilmedEpisode(
        state=np.full((4, 14), order.seed, np.float32),
        action=np.full((4, 14), order.seed + 0.5, np.float32),
        videos=dict.fromkeys(order.film.cameras, recorder.video),
        image_statistics=dict.fromkeys(order.film.cameras, recorder.statistics),
        look_difference=None,
    )
    return Demonstration(order.seed, filmed, np.array([0, 2, 4, 4]), np.zeros((1, 7)))


@pytest.fixture
def asked(monkeypatch) -> list[int]:
    """Replace the simulation by made-up episodes; lists the seeds that were asked for."""
    seeds = []

    def perform(order: DemonstrationTask) -> Demonstration | None:
        seeds.append(order.seed)
        return made_up(order)

    @contextmanager
    def open_executor(workers, cluster):
        yield HereAndNow()

    monkeypatch.setattr(recording, "demonstrate", perform)
    monkeypatch.setattr(recording, "open_executor", open_executor)
    return seeds


def test_failed_seeds_are_left_out_and_the_next_ones_take_their_place(asked, tmp_path):
    main(RecordConfig("transfer_cube", tmp_path / "set", episodes=5))
    told = recorded(tmp_path / "set")
    assert [episode["seed"] for episode in told["episodes"]] == [0, 1, 3, 4, 6]
    assert told["failed_seeds"] == [2, 5]
    assert told["episodes"][0]["first_success_step"] == 2
    for index, seed in enumerate((0, 1, 3, 4, 6)):
        np.testing.assert_array_equal(
            rows(tmp_path / "set", index)["action"][0].as_py(), seed + 0.5
        )
    assert sorted(asked) == [0, 1, 2, 3, 4, 5, 6]
    assert not list(tmp_path.glob(".*")), "something is left beside the dataset"


def test_an_interrupted_recording_goes_on_with_what_is_missing(asked, tmp_path, monkeypatch):
    config = RecordConfig("transfer_cube", tmp_path / "set", episodes=5)
    keep, kept = recording.RecordingFolder.keep, []

    def keep_three(folder, episode):
        if len(kept) == 3:
            raise KeyboardInterrupt
        kept.append(episode.seed)
        keep(folder, episode)

    monkeypatch.setattr(recording.RecordingFolder, "keep", keep_three)
    with pytest.raises(KeyboardInterrupt):
        main(config)
    assert not config.output.exists()
    monkeypatch.setattr(recording.RecordingFolder, "keep", keep)
    asked.clear()
    main(config)
    assert sorted(asked) == [4, 5, 6]
    assert [episode["seed"] for episode in recorded(config.output)["episodes"]] == [0, 1, 3, 4, 6]


def test_another_plan_is_refused_and_what_an_earlier_one_left_is_kept(asked, tmp_path, monkeypatch):
    config = RecordConfig("transfer_cube", tmp_path / "set", episodes=2)
    with monkeypatch.context() as patch:
        patch.setattr(recording.RecordingFolder, "publish", lambda folder: None)
        main(config)
    asked.clear()
    with pytest.raises(FileError, match="2 episodes of an interrupted recording with another enc"):
        main(replace(config, codec="av1"))
    main(config)
    assert not asked


def test_an_existing_output_is_refused_and_left_alone(asked, tmp_path):
    (tmp_path / "set").mkdir()
    (tmp_path / "set" / "precious").write_text("mine")
    with pytest.raises(FileError, match="exists"):
        main(RecordConfig("transfer_cube", tmp_path / "set", episodes=1))
    assert (tmp_path / "set" / "precious").read_text() == "mine"
    (tmp_path / "link").symlink_to(tmp_path / "nowhere")
    with pytest.raises(FileError, match="exists"):
        main(RecordConfig("transfer_cube", tmp_path / "link", episodes=1))
    assert asked == []


def test_an_output_that_comes_while_it_records_is_left_alone(asked, tmp_path, monkeypatch):
    config = RecordConfig("transfer_cube", tmp_path / "set", episodes=1)
    fresh = recording.RecordingFolder.fresh_folder

    def fresh_and_taken(folder, name):
        config.output.mkdir()
        (config.output / "precious").write_text("mine")
        return fresh(folder, name)

    monkeypatch.setattr(recording.RecordingFolder, "fresh_folder", fresh_and_taken)
    with pytest.raises(FileError, match="cannot move"):
        main(config)
    assert (config.output / "precious").read_text() == "mine"


def test_a_full_disk_is_told_before_the_work(asked, tmp_path, monkeypatch):
    class Full:
        free = 5_000_000

    monkeypatch.setattr(recording.shutil, "disk_usage", lambda folder: Full)
    with pytest.raises(DatasetError, match="free"):
        main(RecordConfig("transfer_cube", tmp_path / "set", episodes=50))
    assert asked == []
    assert list(tmp_path.iterdir()) == []


def test_a_disk_that_fills_up_is_one_line_and_keeps_what_is_finished(asked, tmp_path, monkeypatch):
    config = RecordConfig("transfer_cube", tmp_path / "set", episodes=2)
    keep = recording.RecordingFolder.keep

    def keep_one(folder, episode):
        if episode.seed == 1:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        keep(folder, episode)

    monkeypatch.setattr(recording.RecordingFolder, "keep", keep_one)
    with pytest.raises(FileError, match="No space left on device; 1 episodes are finished"):
        main(config)
    monkeypatch.setattr(recording.RecordingFolder, "keep", keep)
    asked.clear()
    main(config)
    assert asked == [1]


def test_wrong_workers_leave_nothing_behind(tmp_path):
    with pytest.raises(UsageError, match="--workers"):
        main(RecordConfig("transfer_cube", tmp_path / "set", workers=0))
    assert list(tmp_path.iterdir()) == []


def test_an_expert_that_keeps_failing_ends_the_recording(asked, tmp_path, monkeypatch):
    monkeypatch.setattr(recording, "demonstrate", lambda order: None)
    with pytest.raises(ExpertFailed, match="only 0 of 10"):
        main(RecordConfig("transfer_cube", tmp_path / "set", episodes=20))


def test_two_recordings_to_one_place_do_not_mix(asked, tmp_path):
    config = RecordConfig("transfer_cube", tmp_path / "set", episodes=1)
    plan = recording.make_plan(config)
    with (
        recording.RecordingFolder(config.output, plan),
        pytest.raises(FileError, match="another process"),
    ):
        main(config)


@pytest.mark.parametrize(
    "wrong",
    [{"episodes": 0}, {"seed": -1}, {"fps": 51}, {"image_size": 8}, {"image_size": 255}],
)
def test_numbers_that_make_no_sense_are_usage_errors(wrong, tmp_path):
    with pytest.raises(UsageError):
        main(RecordConfig("transfer_cube", tmp_path / "set", **wrong))


def test_an_episode_that_does_not_end_in_success_is_not_filmed(monkeypatch):
    still = Trajectory(
        "insertion", 0, np.tile(np.float32([0, -0.96, 1.16, 0, -0.3, 0, 0] * 2), (20, 1))
    )
    monkeypatch.setattr(Expert, "plan", lambda expert, seed: still)
    monkeypatch.setattr(AlohaSimulator, "render", lambda *_: pytest.fail("was filmed"))
    assert demonstrate(DemonstrationTask("insertion", 0, filmed_as("default"))) is None


def test_a_demonstration_is_the_plan_and_the_states_before_its_actions(monkeypatch):
    black = np.zeros((480, 640, 3), np.uint8)
    monkeypatch.setattr(AlohaSimulator, "render", lambda *_: black)
    episode = demonstrate(DemonstrationTask("insertion", 3, filmed_as("fast")))
    assert episode is not None
    filmed = episode.filmed
    np.testing.assert_array_equal(filmed.action, Expert("insertion").plan(3).targets)
    with AlohaSimulator("insertion") as simulator:
        states = [simulator.reset(3)]
        rewards = []
        for targets in filmed.action:
            rewards.append(simulator.step(targets))
            states.append(simulator.state)
    np.testing.assert_array_equal(filmed.state, np.float32(states[:-1]))
    np.testing.assert_array_equal(episode.rewards, rewards)
    assert filmed.look_difference == RenderDifference(3, 0.0, 0.0)


def test_a_disturbed_demonstration_is_the_plan_where_the_robot_was_led_astray(monkeypatch):
    black = np.zeros((480, 640, 3), np.uint8)
    monkeypatch.setattr(AlohaSimulator, "render", lambda *_: black)
    expert, seed = Expert("insertion"), 3
    episode = demonstrate(DemonstrationTask("insertion", seed, filmed_as("default"), True))
    assert episode is not None
    assert episode.rewards[-1] == 4
    np.testing.assert_array_equal(episode.filmed.action, expert.plan(seed).targets)
    played = disturbed_targets(expert, seed, np.random.default_rng([seed, 1]))
    with AlohaSimulator("insertion") as simulator:
        states = [simulator.reset(seed)]
        for targets in played:
            simulator.step(targets)
            states.append(simulator.state)
    np.testing.assert_array_equal(episode.filmed.state, np.float32(states[:-1]))
    exact = demonstrate(DemonstrationTask("insertion", seed, filmed_as("default")))
    assert exact is not None
    assert 0.01 < np.abs(exact.filmed.state - episode.filmed.state).max() < 0.5


def test_a_world_that_varies_is_in_the_recordings_record(tmp_path):
    flags = {"episodes": 2, "seed": 300, "fps": 20, "image_size": 64, "render": "plain"}
    varied = RecordConfig("transfer_cube", tmp_path / "set", vary=("light:3", "camera"), **flags)
    main(varied)
    record = recorded(tmp_path / "set")
    assert record["vary"] == {"light": 3, "camera": 2}
    drawn = [episode["vary"] for episode in record["episodes"]]
    assert any(drawn)
    assert record["look"]["difference_from_default"] is None  # the world itself differs
    main(replace(varied, output=tmp_path / "plain", vary=()))
    assert "vary" not in recorded(tmp_path / "plain")
    for index in range(2):  # what is seen differs, what is done does not
        assert rows(tmp_path / "set", index).equals(rows(tmp_path / "plain", index))


def test_a_disturbed_recording_says_so(asked, tmp_path):
    main(RecordConfig("transfer_cube", tmp_path / "set", episodes=1, disturb=True))
    assert "expert meant" in recorded(tmp_path / "set")["disturbed"]
    main(RecordConfig("transfer_cube", tmp_path / "exact", episodes=1))
    assert "disturbed" not in recorded(tmp_path / "exact")


def test_what_is_recorded_at_the_policys_rate_is_what_conversion_makes_of_50_hz(
    monkeypatch, tmp_path
):
    """And conversion changes nothing of it any more, in time or in the frames it chooses."""

    def gray(simulator, size=None, camera="top"):  # 0, 2, 4 … 254, 0: the control step
        shape = (480, 640, 3) if size is None else (size, size, 3)
        return np.full(shape, 2 * simulator.steps % 256, np.uint8)

    @contextmanager
    def open_executor(workers, cluster):
        yield HereAndNow()

    monkeypatch.setattr(AlohaSimulator, "render", gray)
    monkeypatch.setattr(recording, "open_executor", open_executor)
    whole, sparse = tmp_path / "whole", tmp_path / "sparse"
    main(RecordConfig("transfer_cube", whole, episodes=1))
    main(RecordConfig("transfer_cube", sparse, episodes=1, fps=20, image_size=64))
    converted = [tmp_path / "a", tmp_path / "b"]
    for source, output in zip((whole, sparse), converted, strict=True):
        convert(ConvertConfig(source=str(source), output=output, image_size=64, workers=1))
    direct, by_conversion, again = (rows(each, 0) for each in (sparse, *converted))
    assert len(direct) == len(by_conversion) == len(again) == 160
    for name in ("observation.state", "action"):
        wide = np.array(by_conversion[name].to_pylist())
        np.testing.assert_allclose(np.array(again[name].to_pylist()), wide, atol=1e-6)
        expected = widen(np.float32(direct[name].to_pylist()))
        np.testing.assert_array_equal(again[name].to_pylist(), expected)
    steps = [int(np.ceil(2.5 * row - 0.5)) for row in range(160)]
    for each in converted:
        shown = gray_levels(next(each.rglob("*.mp4")))
        np.testing.assert_allclose(shown, [2 * step % 256 for step in steps], atol=3)


def gray_levels(video: Path) -> list[float]:
    import av

    with av.open(str(video)) as container:
        return [
            float(frame.to_ndarray(format="rgb24").mean()) for frame in container.decode(video=0)
        ]


def command(output: Path, episodes: int) -> list[str]:
    program = [sys.executable, "-m", "handover_client.cli", "record"]
    arguments = ["--task", "transfer_cube", "--output", str(output), "--episodes", str(episodes)]
    return [*program, *arguments, "--render", "fast", "--workers", "1"]


def test_one_real_episode_replays_to_the_same_states_and_success(tmp_path):
    subprocess.run(command(tmp_path / "set", 1), check=True, timeout=280)
    table = rows(tmp_path / "set", 0)
    actions = np.array(table["action"].to_pylist(), np.float32)
    assert actions.shape == (400, 14)
    with AlohaSimulator("transfer_cube") as simulator:
        states = [simulator.reset(recorded(tmp_path / "set")["episodes"][0]["seed"])]
        for action in actions:
            reward = simulator.step(action)
            states.append(simulator.state)
    assert reward == 4
    np.testing.assert_array_equal(table["observation.state"].to_pylist(), np.float32(states[:-1]))
    difference = recorded(tmp_path / "set")["look"]["difference_from_default"]
    assert 0.01 < difference["mean_levels"] < 2
    _check_film(tmp_path / "set", actions)


def _check_film(dataset: Path, actions: np.ndarray) -> None:
    import av

    film = dataset / "videos/chunk-000/observation.images.top/episode_000000.mp4"
    with av.open(str(film)) as container:
        frames = [frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)]
    assert len(frames) == 400
    with AlohaSimulator("transfer_cube") as simulator:
        simulator.reset(0)
        for action in actions[:200]:
            simulator.step(action)
        drawn = simulator.render().astype(int)
    # the frame of row 200 is the one drawn before action 200: its neighbours are further off
    errors = [np.abs(frames[row] - drawn).mean() for row in (195, 200, 205)]
    assert np.argmin(errors) == 1
    assert errors[1] < 2


@pytest.mark.slow
def test_a_killed_recording_keeps_its_finished_episodes(tmp_path):
    output = tmp_path / "set"
    running = subprocess.Popen(command(output, 2), start_new_session=True)
    first = tmp_path / ".set.partial" / "0000000000.npz"
    deadline = time.monotonic() + 280
    while not first.exists():
        assert running.poll() is None
        assert time.monotonic() < deadline
        time.sleep(0.2)
    os.killpg(running.pid, signal.SIGKILL)
    running.wait(timeout=120)
    assert not output.exists()
    kept = first.with_suffix(f".{TOP}.mp4").stat()
    subprocess.run(command(output, 2), check=True, timeout=280)
    film = output / "videos/chunk-000/observation.images.top/episode_000000.mp4"
    assert film.stat().st_ino == kept.st_ino  # linked from what the first run had finished
    assert film.stat().st_mtime_ns == kept.st_mtime_ns
    assert [episode["seed"] for episode in recorded(output)["episodes"]] == [0, 1]
