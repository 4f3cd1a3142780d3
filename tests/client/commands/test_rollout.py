"""`handover rollout` in MuJoCo: the whole command, servers that die, runs that are killed."""

import dataclasses
import json
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

pytest.importorskip("mujoco", reason="needs the extra 'sim'")

import av
from handover_client.commands import main as cli
from handover_client.commands.rollout import main
from handover_client.connection.security import UNPROTECTED
from handover_client.errors import EvaluationError
from handover_client.rollout.config import RolloutConfig
from handover_client.rollout.episode import EpisodeTask, play_task, server_source
from handover_client.rollout.simulation import episode_tasks, find_server, play
from handover_envs.simulator.simulator import AlohaSimulator, SimulationFailed
from handover_proto.errors import PolicyError

from ..serving import ServerProcess, source_environment
from ..stand_ins import flat_config

pytestmark = [pytest.mark.sim, pytest.mark.timeout(480)]


@pytest.fixture(scope="module")
def hold_server(tmp_path_factory):
    log = tmp_path_factory.mktemp("server") / "log"
    with ServerProcess("--policy", "hold", log=log) as server:
        yield server.wait()


def short(output, server="", **changes) -> RolloutConfig:
    """A rollout that draws little: a few chunks, small frames."""
    values = {
        "episodes": 2,
        "max_steps": 30,
        "image_size": 64,
        "videos": "none",
        "workers": 1,
        "policy": "server" if server else "scripted",
    }
    return flat_config(output=output, server=server, **{**values, **changes})


def tasks_of(config: RolloutConfig) -> list[EpisodeTask]:
    return episode_tasks(config, find_server(config, UNPROTECTED))


def read_episodes(folder) -> list[dict]:
    return [json.loads(line) for line in (folder / "episodes.jsonl").read_text().splitlines()]


@pytest.mark.parametrize("task", ["transfer_cube", "insertion"])
def test_the_scripted_expert_succeeds_through_the_loop(task, tmp_path):
    config = short(tmp_path / "run", task=task, max_steps=400, workers=2)
    figures = main(config)
    assert figures["success_rate"] == figures["strict"]["success_rate"] == 1.0
    assert {"episodes", "wilson_95", "funnel", "latency_ms"} <= set(figures)
    assert json.loads((tmp_path / "run/metrics.json").read_text()) == figures
    page = (tmp_path / "run/report.html").read_text()
    assert "the scripted expert" in page
    assert "100.0 %" in page
    episodes = read_episodes(tmp_path / "run")
    assert [each["seed"] for each in episodes] == [1000, 1001]
    assert len(list((tmp_path / "run/traces").iterdir())) == 2


def test_a_served_policy_is_asked_and_its_results_repeat(hold_server, tmp_path):
    runs = []
    for name, workers in (("one", 1), ("two", 2)):
        config = short(tmp_path / name, hold_server, workers=workers, image_codec="jpeg")
        main(config)
        runs.append(read_episodes(tmp_path / name))
    for first, second in zip(*runs, strict=True):
        assert len(first["latency_ms"]) == len(second["latency_ms"]) == 2  # 30 steps, 20 a chunk
        for values in (first, second):
            for measured in ("latency_ms", "stage_ms", "wall_s", "cpu_s"):
                del values[measured]
        assert first == second
    assert first["success"] is False
    assert first["steps"] == 30


def test_videos_show_the_episode_in_its_own_time(hold_server, tmp_path):
    config = short(
        tmp_path / "run", hold_server, episodes=1, max_steps=20, videos="failures", video_rate_hz=10
    )
    main(config)
    (episode,) = read_episodes(tmp_path / "run")
    with av.open(str(tmp_path / "run" / episode["video"])) as film:
        stream = film.streams.video[0]
        frames = list(film.decode(stream))
        assert stream.codec_context.name == "h264"
        assert float(stream.average_rate) == 10
    assert [(frame.height, frame.width) for frame in frames] == [(480, 640)] * 5
    assert "data:video/mp4;base64," in (tmp_path / "run/report.html").read_text()


class Watched:
    """A source of chunks that tells when it was answered, and when it has failed."""

    def __init__(self, source, at_first_failure=lambda: None) -> None:
        self._source, self._at_first_failure = source, at_first_failure
        self.spec = source.spec
        self.asked = 0
        self.answered, self.failed = threading.Event(), threading.Event()

    def ask(self, sight):
        self.asked += 1
        try:
            answer = self._source.ask(sight)
        except PolicyError:
            if not self.failed.is_set():
                self._at_first_failure()
            self.failed.set()
            raise
        self.answered.set()
        return answer


class Saboteur(AlohaSimulator):
    """Kills the server at step 10, once it has answered, and waits at step 60 until that shows."""

    def __init__(self, server: ServerProcess, source: Watched) -> None:
        super().__init__("transfer_cube")
        self._server, self._source = server, source

    def step(self, targets):
        if self.steps == 10:
            assert self._source.answered.wait(100)
            self._server.kill()
        if self.steps == 60:
            assert self._source.failed.wait(100)
        return super().step(targets)


@pytest.mark.parametrize("realtime", [False, True])
def test_an_episode_outlives_a_server_that_is_killed_and_restarted(realtime, tmp_path):
    steps = 250 if realtime else 70
    with ServerProcess("--policy", "hold", log=tmp_path / "log") as server:
        config = short(
            tmp_path / "run", server.wait(), realtime=realtime, max_steps=steps, reconnect_s=120
        )
        (task, _) = tasks_of(config)
        with server_source(task) as chunks:
            source = Watched(chunks, at_first_failure=server.start)
            with Saboteur(server, source) as robot:
                record = play_task(task, robot, source).record
    assert record.steps == steps
    assert record.ended == "max_steps"
    assert len(record.outages) == 1
    assert record.outages[0].failures >= 1
    assert "ServerUnavailable" in record.outages[0].error
    if not realtime:  # the simulation waited: what came of the episode is as without the outage
        assert record.outages[0].recovered
        assert len(record.latency_ms) == 4


def test_no_call_may_take_longer_than_the_bound(hold_server, tmp_path):
    config = short(tmp_path / "run", hold_server, reconnect_s=0.5, call_timeout_s=10.0)
    (task, _) = tasks_of(config)
    assert task.server is not None
    assert task.server.call_timeout_s == 0.5


class UntilAskedAgain(AlohaSimulator):
    """Fails once its source is asked for the second time: then the first chunk is being played."""

    def __init__(self, source: Watched) -> None:
        super().__init__("transfer_cube")
        self._source = source

    def step(self, targets):
        if self._source.asked == 2:
            raise SimulationFailed("enough")
        return super().step(targets)


def test_in_real_time_the_clock_is_the_walls(hold_server, tmp_path):
    config = short(
        tmp_path / "run", hold_server, episodes=1, realtime=True, latency_ms=120.0, max_steps=3000
    )
    (task,) = tasks_of(config)
    with server_source(task) as chunks:
        source = Watched(chunks)
        with UntilAskedAgain(source) as robot:
            record = play_task(task, robot, source).record
    assert record.ended == "simulation_failed"
    assert record.wall_s >= record.steps * 0.02 - 0.001
    assert record.dropped_steps >= 2  # 120 ms are 2.4 steps at 20 Hz
    assert min(record.latency_ms) >= 120


def test_simulated_real_time_repeats_and_needs_no_real_time(hold_server, tmp_path):
    config = short(
        tmp_path / "run",
        hold_server,
        episodes=1,
        realtime=True,
        clock="simulated",
        switching="ensemble",
        latency_ms=300.0,
        jitter_ms=100.0,
        max_steps=90,
    )
    (task,) = tasks_of(config)
    first, again = play(task).record, play(task).record
    assert first.borders == again.borders != []
    assert all(10 <= (border - 20 * k) <= 20 for k, border in enumerate(first.borders, start=1))
    assert first.border_jerk_rms == again.border_jerk_rms is not None


def test_real_time_chunking_with_the_shipped_checkpoint(tmp_path):
    checkpoint = Path(__file__).parents[3] / "checkpoints/aloha-mini"
    with ServerProcess("--checkpoint", checkpoint, "--device", "cpu", log=tmp_path / "log") as here:
        config = short(
            tmp_path / "run",
            here.wait(),
            realtime=True,
            clock="simulated",
            switching="rtc",
            latency_ms=200.0,
            image_size=256,
            max_steps=90,
        )
        (task, _) = tasks_of(config)
        settings = dataclasses.replace(task.settings, switching="naive")
        naive = dataclasses.replace(task, settings=settings)
        smooth, again, rough = (play(each).record for each in (task, task, naive))
    assert smooth.borders == rough.borders == [30, 50, 70]
    assert smooth.border_jerk_rms == again.border_jerk_rms  # in simulated time results repeat
    assert smooth.border_jerk_rms < rough.border_jerk_rms


def test_a_policy_without_real_time_chunking_is_refused_for_it(hold_server, tmp_path):
    config = short(tmp_path / "run", hold_server, realtime=True, switching="rtc")
    with pytest.raises(EvaluationError, match="no real-time chunking"):
        main(config)


def start_command(folder, *flags) -> subprocess.Popen:
    command = [
        sys.executable,
        "-m",
        "handover_client.cli",
        "rollout",
        "--policy",
        "scripted",
    ]
    command += ["--videos", "none", "--workers", "1", *flags]
    command += [] if "--output" in flags else ["--output", str(folder / "run")]
    return subprocess.Popen(
        command,
        env=source_environment(),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    )


def wait_for_episodes(folder, count: int) -> None:
    lines = folder / ".run.partial/episodes.jsonl"
    deadline = time.monotonic() + 100
    while not lines.exists() or len(lines.read_text().splitlines()) < count:
        assert time.monotonic() < deadline
        time.sleep(0.05)


def children_of(process: subprocess.Popen) -> list[int]:
    listed = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text()
    assert listed.split()
    return [int(pid) for pid in listed.split()]


def wait_until_gone(pids: list[int]) -> None:
    deadline = time.monotonic() + 60
    while any(is_running(pid) for pid in pids):
        assert time.monotonic() < deadline, f"processes left behind: {pids}"
        time.sleep(0.1)


def is_running(pid: int) -> bool:
    try:
        status = Path(f"/proc/{pid}/status").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return False
    return "State:\tZ" not in status  # ended, and not yet waited for


def test_an_interrupted_and_a_killed_run_leave_no_process_and_go_on(tmp_path):
    interrupted = start_command(tmp_path, "--episodes", "24")
    wait_for_episodes(tmp_path, 1)
    workers = children_of(interrupted)
    interrupted.send_signal(signal.SIGINT)
    _, errors = interrupted.communicate(timeout=60)
    assert interrupted.returncode == 130
    assert "Traceback" not in errors
    wait_until_gone(workers)

    killed = start_command(tmp_path, "--episodes", "24")
    wait_for_episodes(tmp_path, 3)
    workers = children_of(killed)
    killed.kill()
    killed.communicate(timeout=60)
    wait_until_gone(workers)

    before = read_episodes(tmp_path / ".run.partial")
    assert not (tmp_path / "run").exists()
    finished = start_command(tmp_path, "--episodes", "24")
    _, errors = finished.communicate(timeout=150)
    assert finished.returncode == 0, errors
    after = read_episodes(tmp_path / "run")
    assert [each["episode"] for each in after] == list(range(24))
    for each in before:
        assert each in after  # its time on the wall too: it was not played again

    # episode i has the same seed in a shorter run; what was interrupted, and what came after it
    several = min(24, len(before) + 2)
    whole = start_command(tmp_path, "--episodes", str(several), "--output", str(tmp_path / "whole"))
    _, errors = whole.communicate(timeout=150)
    assert whole.returncode == 0, errors
    uninterrupted = without_times(read_episodes(tmp_path / "whole"))
    assert without_times(after)[:several] == uninterrupted


def without_times(episodes):
    times = {"latency_ms", "stage_ms", "wall_s", "cpu_s"}
    return [{key: value for key, value in each.items() if key not in times} for each in episodes]


def test_what_cannot_work_is_one_line(tmp_path, capsys, hold_server):
    output = str(tmp_path / "run")
    base = ["rollout", "--output", output, "--connect-timeout-s", "0.5"]
    for flags, status, words in (
        (["--server", "localhost:1"], 1, "no server ready"),
        ([], 2, "--server"),
        (["--server", hold_server, "--execute-steps", "17"], 1, "--execute-steps"),
    ):
        assert cli.run([*base, *flags]) == status
        error = capsys.readouterr().err
        assert words in error
        assert len(error.strip().splitlines()) == 1
    assert list(tmp_path.iterdir()) == []
    (tmp_path / "run").mkdir()  # told before a server is waited for
    assert cli.run([*base, "--server", "localhost:1"]) == 1
    assert "exists already" in capsys.readouterr().err


def test_a_server_that_never_comes_back_stops_the_run_within_its_bound(tmp_path):
    with ServerProcess("--policy", "hold", log=tmp_path / "log") as server:
        config = short(tmp_path / "run", server.wait(), reconnect_s=0.5)
        (task, _) = tasks_of(config)
    record = play(task).record
    assert record.ended == "server_lost"
    assert record.steps == 0
    assert dataclasses.asdict(record.outages[0])["recovered"] is False
