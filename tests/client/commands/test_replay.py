"""`handover replay` from end to end: real recordings, a real gRPC server, a whole run's folder."""

import json
import re
import sys
from dataclasses import replace
from subprocess import Popen
from threading import Event

import numpy as np
import pytest

pytest.importorskip("jinja2", reason="the report needs the extra replay")
pytest.importorskip("pyarrow")

from handover_client.commands import main as cli
from handover_client.connection.policy_client import PolicyClient
from handover_client.errors import EvaluationError
from handover_client.replay.replayer import ReplayPlan
from handover_client.replay.run import prepare_replay
from handover_conversion.groot.dataset import GrootDataset
from handover_proto.types import CameraSpec, Limits, ServerInfo, TrainingRecord
from handover_proto.wire import encode_info
from handover_server.policies.hold import HoldPolicy
from handover_server.policies.replay import ReplayPolicy

PARTS = ("joints_14", "slots_29", "arms_12", "grippers_2")


def replay_command(server, dataset, output, *more):
    where = {"--server": server.address, "--dataset-path": str(dataset), "--output": str(output)}
    rest = [word for pair in where.items() if pair[0] not in more for word in pair]
    return cli.run(["replay", *rest, *more])


def leftovers(folder):
    return [path.name for path in folder.iterdir() if "partial" in path.name]


def test_a_policy_that_plays_the_recording_back_is_perfect(
    serve_policy, aloha_dataset, tmp_path, capsys
):
    server = serve_policy(ReplayPolicy.open(aloha_dataset))
    output = tmp_path / "runs" / "perfect"
    assert replay_command(server, aloha_dataset, output, "--traj-ids", "1", "0") == 0
    figures = json.loads((output / "metrics.json").read_text())
    for part in PARTS:
        assert figures[part]["mse"] == figures[part]["mae"] == figures[part]["drift"] == 0.0
        assert set(figures[part]["success_at"].values()) == {1.0}
        assert set(figures[part]["accuracy_at"].values()) == {1.0}
        assert figures["baselines"]["hold"][part]["mse"] > 0
        assert figures["baselines"]["mean_trajectory"][part]["mae"] >= 0
    assert figures["episodes"] == [1, 0]
    assert {"p50", "p95", "p99"} <= set(figures["latency_ms"]["client"])
    check_arrays(output, aloha_dataset)
    check_lines(output, figures)
    check_page(output)
    assert leftovers(output.parent) == []
    printed = capsys.readouterr().out
    assert re.search(r"14 joints +0\.0000 0\.00000 +100\.0 100\.0 100\.0", printed)
    assert re.search(r"episode +1 █{40} 100\.0 %", printed)


def check_arrays(output, dataset):
    arrays = np.load(output / "actions.npz", allow_pickle=False)
    for episode in (0, 1):
        demonstrated = GrootDataset.open(dataset).read_episode(episode).action
        assert arrays[f"predicted_{episode}"].dtype == np.float32
        np.testing.assert_array_equal(arrays[f"predicted_{episode}"], demonstrated)
        np.testing.assert_array_equal(arrays[f"demonstrated_{episode}"], demonstrated)


def check_lines(output, figures):
    lines = [json.loads(line) for line in (output / "trajectories.jsonl").read_text().splitlines()]
    assert lines == figures["per_trajectory"]
    assert [line["episode"] for line in lines] == [1, 0]
    assert lines[0]["inference_steps"] == list(range(0, 160, 16))
    assert len(set(lines[0]["seeds"])) == 10


def check_page(output):
    page = (output / "report.html").read_text()
    assert "Open loop: " in page
    assert page.count('role="img"') == 2 * 14 + 2  # joints; error over time and in a chunk
    assert page.count("<video") == 2  # the one camera beside the joints of each episode


@pytest.fixture(scope="module")
def plan():
    return ReplayPlan(steps=40, action_horizon=16, seed=3)


def figures_of(server, dataset, plan):
    with PolicyClient.connect(server.address, timeout_s=60) as client:
        return prepare_replay(GrootDataset.open(dataset), client, plan).run()[1]


def test_a_policy_that_holds_scores_as_the_hold_baseline(serve_policy, aloha_dataset, plan):
    figures = figures_of(serve_policy(HoldPolicy()), aloha_dataset, plan)
    for part in PARTS:
        held = figures["baselines"]["hold"][part]
        assert {key: figures[part][key] for key in held} == held
    assert figures["joints_14"]["mse"] > 0
    assert figures["joints_14"]["steps"] == 80


def test_any_number_of_steps_is_the_whole_episodes(serve_policy, aloha_dataset, plan):
    everything = replace(plan, steps=10**12)
    figures = figures_of(serve_policy(HoldPolicy()), aloha_dataset, everything)
    assert figures["joints_14"]["steps"] == 320


def test_slots_flatter_what_the_joints_show(serve_policy, aloha_dataset, plan):
    figures = figures_of(serve_policy(HoldPolicy()), aloha_dataset, plan)
    joints, slots = figures["joints_14"], figures["slots_29"]
    assert slots["mse"] == pytest.approx(joints["mse"] * 14 / 29)
    assert slots["mae"] == pytest.approx(joints["mae"] * 14 / 29)
    assert slots["success_at"] == joints["success_at"]


def test_a_run_repeats_but_for_times(serve_policy, aloha_dataset, plan):
    server = serve_policy(HoldPolicy())
    runs = [figures_of(server, aloha_dataset, plan) for _ in range(2)]
    for figures in runs:
        del figures["latency_ms"], figures["provenance"]["finished"]
        for each in figures["per_trajectory"]:
            del each["latency_ms"]
    assert runs[0] == runs[1]


def test_the_run_tells_what_the_checkpoint_was_trained_on(serve_policy, aloha_dataset, plan):
    dataset_hash = GrootDataset.open(aloha_dataset).content_hash()
    record = TrainingRecord("cubes", dataset_hash, (0,), (1,))
    policy = HoldPolicy(replace(HoldPolicy().spec, training=(record,)))
    figures = figures_of(serve_policy(policy), aloha_dataset, plan)
    places = [each["in_training"] for each in figures["per_trajectory"]]
    assert places == ["training", "held out"]
    assert "1 in the checkpoint's training set; 1 held out" in figures["training"]


def test_another_robots_groups_are_judged_by_name(start_server, recordings):
    def hold(request, context):
        from handover_proto import policy_pb2 as pb
        from handover_proto.wire.codec import decode_tensor, encode_tensor

        state = request.observation.state
        return pb.InferReply(
            action={
                name: encode_tensor(np.repeat(decode_tensor(state[name], ""), 4, axis=0))
                for name in state
            },
            sequence=request.sequence,
            client_tag=request.client_tag,
        )

    info = encode_info(ServerInfo(recordings.spec, Limits()))
    server = start_server(answer=hold, info=info)
    with PolicyClient.connect(server.address, timeout_s=60) as client:
        _, figures = prepare_replay(recordings, client, ReplayPlan(200, 4, 0)).run()
    assert figures["headline"] == "all"
    assert list(figures["parts"]) == ["all", "arm", "gripper"]
    assert figures["all"] | {"interval_95": None} == figures["baselines"]["hold"]["all"] | {
        "interval_95": None
    }
    assert list(figures["groups"]) == ["easiest", "average", "hardest"]
    errors = [figures["groups"][name]["mse"] for name in figures["groups"]]
    assert errors == sorted(errors)
    json.dumps(figures, allow_nan=False)


def test_numbers_that_are_not_finite_in_an_episode_of_the_mean_end_the_replay(
    start_server, recordings
):
    other = recordings.episodes[1].index
    recordings.rows[other].action[2, 1] = np.nan
    server = start_server(info=encode_info(ServerInfo(recordings.spec, Limits())))
    with PolicyClient.connect(server.address, timeout_s=60) as client:
        replay = prepare_replay(recordings, client, ReplayPlan(200, 4, 0), (0,))
        with pytest.raises(EvaluationError, match=f"episode {other} holds numbers that are not"):
            replay.run()


@pytest.mark.parametrize(
    ("arguments", "status", "message"),
    [
        (["--traj-ids", "0", "7"], 2, "no episode 7; it has 0-1"),
        (["--action-horizon", "17"], 2, "--action-horizon 17: expected 1 to 16"),
        (["--server", "127.0.0.1:1", "--connect-timeout-s", "0.2"], 1, "127.0.0.1:1"),
        (["--server", "somewhere"], 2, "expected HOST:PORT"),
        (["--call-timeout-s", "0"], 2, "--call-timeout-s is 0, expected above 0"),
        (["--connect-timeout-s", "nan"], 2, "--connect-timeout-s is nan, expected above 0"),
        (["--dataset-path", "nowhere"], 1, "nowhere"),
    ],
)
def test_what_cannot_be_replayed_is_one_line(
    serve_policy, aloha_dataset, tmp_path, capsys, arguments, status, message
):
    output = tmp_path / "run"
    server = serve_policy(HoldPolicy())
    assert replay_command(server, aloha_dataset, output, *arguments) == status
    lines = [line for line in capsys.readouterr().err.splitlines() if line.strip()]
    assert len(lines) == 1
    assert message in lines[0]
    assert list(tmp_path.iterdir()) == []


def test_a_policy_with_other_keys_is_one_line(serve_policy, aloha_dataset, tmp_path, capsys):
    spec = replace(HoldPolicy().spec, cameras=(CameraSpec("wrist_view"),))
    assert replay_command(serve_policy(HoldPolicy(spec)), aloha_dataset, tmp_path / "run") == 1
    assert "lacks what the policy hold needs: camera wrist_view" in capsys.readouterr().err


def test_an_existing_output_is_left_alone(serve_policy, aloha_dataset, tmp_path, capsys):
    (tmp_path / "kept").write_text("mine")
    assert replay_command(serve_policy(HoldPolicy()), aloha_dataset, tmp_path) == 1
    assert "exists already" in capsys.readouterr().err
    assert [path.name for path in tmp_path.iterdir()] == ["kept"]


def test_ctrl_c_leaves_nothing_half_written(
    serve_policy, aloha_dataset, tmp_path, monkeypatch, capsys
):
    server = serve_policy(HoldPolicy())
    infer = PolicyClient.infer

    def interrupted(self, observation, **more):
        if more["sequence"] >= 32:
            raise KeyboardInterrupt
        return infer(self, observation, **more)

    monkeypatch.setattr(PolicyClient, "infer", interrupted)
    assert replay_command(server, aloha_dataset, tmp_path / "run") == 130
    assert "Traceback" not in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []


class HeldBack:
    """Lets a server answer about episode 0, and nothing else until it is released."""

    def __init__(self):
        self.reached, self.released, self.asked = Event(), Event(), []

    def __call__(self, request, context):
        self.asked.append(request.client_tag)
        if request.client_tag != "episode=0":
            self.reached.set()
            self.released.wait(60)


def killed_replay(server, held_back, dataset, output):
    command = [
        sys.executable,
        "-m",
        "handover_client.cli",
        "replay",
        "--server",
        server.address,
    ]
    process = Popen([*command, "--dataset-path", dataset, "--output", output])
    assert held_back.reached.wait(60)
    process.kill()
    process.wait(60)
    held_back.released.set()
    held_back.asked.clear()


def without_times(output):
    figures = json.loads((output / "metrics.json").read_text())
    del figures["latency_ms"], figures["provenance"]
    for each in figures["per_trajectory"]:
        del each["latency_ms"]
    with np.load(output / "actions.npz") as arrays:
        return figures, {name: arrays[name].tolist() for name in arrays.files}


def test_a_killed_replay_goes_on_and_ends_in_the_same_figures(
    serve_policy, aloha_dataset, tmp_path
):
    held_back = HeldBack()
    server = serve_policy(HoldPolicy(), before=held_back)
    killed_replay(server, held_back, aloha_dataset, tmp_path / "killed")
    assert [path.name for path in tmp_path.iterdir()] == [".killed.partial"]
    assert replay_command(server, aloha_dataset, tmp_path / "killed") == 0
    assert set(held_back.asked) == {"episode=1"}
    assert replay_command(server, aloha_dataset, tmp_path / "whole") == 0
    assert without_times(tmp_path / "killed") == without_times(tmp_path / "whole")
    assert leftovers(tmp_path) == []
    there = {path.name for path in (tmp_path / "whole").iterdir()}
    assert there == {path.name for path in (tmp_path / "killed").iterdir()}


def test_a_killed_replay_goes_on_only_with_the_same_plan_and_checkpoint(
    serve_policy, aloha_dataset, tmp_path, capsys
):
    held_back = HeldBack()
    server = serve_policy(HoldPolicy(), before=held_back)
    killed_replay(server, held_back, aloha_dataset, tmp_path / "run")
    assert replay_command(server, aloha_dataset, tmp_path / "run", "--seed", "5") == 1
    assert "interrupted replay with another seed (0, now 5)" in capsys.readouterr().err
    other = serve_policy(HoldPolicy(replace(HoldPolicy().spec, checkpoint_hash="0ther")))
    assert replay_command(other, aloha_dataset, tmp_path / "run") == 1
    assert "interrupted replay with another checkpoint_hash" in capsys.readouterr().err
    assert [path.name for path in tmp_path.iterdir()] == [".run.partial"]


def test_a_server_that_dies_during_the_run_is_one_line(
    serve_policy, aloha_dataset, tmp_path, capsys
):
    def stop_later(request, context):
        if request.sequence == 32:
            server.server.stop(0)

    server = serve_policy(HoldPolicy(), before=stop_later)
    assert replay_command(server, aloha_dataset, tmp_path / "run") == 1
    error = capsys.readouterr().err.strip()
    assert f"no policy server answers at {server.address}" in error
    assert list(tmp_path.iterdir()) == []
