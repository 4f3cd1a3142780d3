"""The commands of the documentation's pages, run as they stand there.

Hub names lead to folders here, in the layout that the hub has. What takes long is cut short by
flags behind those of the page; `SHORT` has them.
"""

import json
import shutil
import sys
from pathlib import Path

import pytest

pytest.importorskip("mujoco", reason="needs the extra 'sim'")

from ..docs.pages import PAGES, ROOT, blocks
from .conftest import wait_for_line
from .page import Terminal
from .small_robot import record_small_robot

pytestmark = [pytest.mark.sim, pytest.mark.slow, pytest.mark.timeout(900)]

RECORDINGS = ROOT / "tests/data/aloha_sim_transfer_cube"
CHECKPOINT = ROOT / "checkpoints/aloha-mini"
SHORT = {
    "replay": "--steps 32 --traj-ids 0 1",  # the dataset has two episodes
    "rollout": "--episodes 1 --max-steps 25 --workers 1",
    "record": "--episodes 2 --workers 1",
    "finetune": "--max-steps 2 --save-steps 2 --eval-steps 2 --global-batch-size 4 --device cpu "
    "--dataloader-num-workers 0 --cache-dir cache",
}


@pytest.fixture
def terminal(server_bin, server_address, tmp_path):
    """A terminal in a folder with the repository's data and scripts; HOST:PORT is a server."""
    at = Terminal(
        tmp_path, server_bin.parent, Path(sys.executable).parents[1], server_address, SHORT
    )
    for name in ("docs", "server", "tests", "training"):
        at.place(name, ROOT / name)
    return at


@pytest.fixture(scope="module")
def base(server_bin, dataset, tmp_path_factory):
    """A base of random weights in the layout of the published one."""
    at = Terminal(tmp_path_factory.mktemp("base"), server_bin.parent, server_bin.parent)
    at.run_line(
        f"python -m handover_training.aloha_mini random --dataset-path {dataset} --output base"
    )
    return at.folder / "base"


def figures(run):
    assert (run / "report.html").stat().st_size > 10_000
    return json.loads((run / "metrics.json").read_text())


def test_every_page_with_commands_of_this_test_has_one():
    pages = {
        str(page.relative_to(ROOT))
        for page in PAGES
        if any(block.note == "tests/e2e/test_pages.py" for block in blocks(page))
    }
    assert pages == {
        "CONTRIBUTING.md",
        "docs/closed_loop.md",
        "docs/containers.md",
        "docs/conversion.md",
        "docs/evaluation.md",
        "docs/robot.md",
        "docs/robustness.md",
        "docs/serving.md",
        "docs/training.md",
        "training/recipes/README.md",
    }


def test_serving(terminal, dataset):
    terminal.link(CHECKPOINT=CHECKPOINT, DATASET=dataset, live=CHECKPOINT)
    terminal.place("token", Path("tokens"))
    new = terminal.folder / "checkpoints/new"
    shutil.copytree(CHECKPOINT, new)
    change_a_weight(new / "model.safetensors")
    live = terminal.serving("handover serve --checkpoint live --record DIR")
    terminal.names = {"192.168.1.20": "127.0.0.1"}
    with live as address:
        # what is recorded here is asked again of the server that has the former checkpoint
        replay = f"handover replay --server {address} --dataset-path DATASET --output RUN"
        terminal.run_line(replay)
        terminal.names["PID"] = str(live.process.pid)
        said = terminal.run_page("docs/serving.md")
        wait_for_line(live.process, live.log, "reload: served from now on")
    again = said["handover replay-requests --recording DIR --server HOST:PORT"]
    assert "identical   4\n" in again, again
    assert len({where for line, where in said.items() if line.startswith("handover serve")}) == 4
    told = said["handover info --server gpu-host:50051 --tls-ca ca.pem --token-file token"]
    assert "aloha-mini" in told


def change_a_weight(path):
    content = bytearray(path.read_bytes())
    content[-4] ^= 1
    path.write_bytes(content)


def test_evaluation(terminal, dataset):
    original = "benchmarks/results/original_experiment.json"
    terminal.link(DATASET=dataset, **{original: ROOT / original})
    other = "handover replay --server HOST:PORT --dataset-path DATASET --seed 1 --output RUN_B"
    terminal.run_line(other)
    said = terminal.run_page("docs/evaluation.md")
    assert figures(terminal.folder / "RUN")["episodes"] == [0, 1]
    assert "note: seed: 0 and 1" in said["handover compare RUN RUN_B"]
    assert "before  the original experiment" in said[f"handover compare {original} RUN"]
    assert (terminal.folder / "PAGE.html").stat().st_size > 50_000


def test_closed_loop(terminal):
    terminal.place("checkpoints", ROOT / "checkpoints")
    results = shutil.ignore_patterns("results")
    shutil.copytree(ROOT / "benchmarks", terminal.folder / "benchmarks", ignore=results)
    (terminal.folder / "docs").unlink()  # the benchmark writes into the page
    shutil.copytree(ROOT / "docs", terminal.folder / "docs")
    chosen = "--latencies-ms 300 --switchings naive rtc"
    terminal.short = {**SHORT, "python": f"--episodes 1 --tasks transfer_cube {chosen}"}
    said = terminal.run_page("docs/closed_loop.md")
    assert figures(terminal.folder / "RUN")["settings"]["seeds"] == {"0": 1000}
    assert figures(terminal.folder / "EXPERT")["latency_ms"] is None
    smooth = figures(terminal.folder / "SMOOTH")["settings"]
    assert (smooth["switching"], smooth["latency_ms"]) == ("rtc", 200)
    assert "before: no" in said["handover compare RUN EXPERT --output BESIDE.html"]
    for page in ("BESIDE.html", "PAGE.html"):
        assert (terminal.folder / page).stat().st_size > 20_000
    results = terminal.folder / "benchmarks/results"
    result = json.loads((results / "latency_transfer_cube.json").read_text())
    assert figures(terminal.folder / "LATENCY")["kind"] == "latency"
    assert {row["switching"] for row in result["rows"]} == {"naive", "rtc"}


def test_robustness(terminal):
    flags = f"{SHORT['rollout']} --axes instruction"
    terminal.short = {**SHORT, "rollout": flags}
    terminal.run_page("docs/robustness.md")
    suite = figures(terminal.folder / "SUITE")
    assert [axis["axis"] for axis in suite["axes"]] == ["instruction"]
    assert suite["control"]["episodes"] == 1


def test_training(terminal, base):
    terminal.place("lerobot/aloha_sim_transfer_cube_human", RECORDINGS)
    terminal.place("nvidia/GR00T-N1.6-3B", base)
    terminal.place("checkpoints", ROOT / "checkpoints")
    record_small_robot(RECORDINGS, terminal.folder / "my/so100_recordings", joints=6)
    said = terminal.run_page("docs/training.md")
    assert "no faults" in said["handover check data/transfer_cube"]
    for output in ("so100", "finetune", "small", "fifty"):
        assert (terminal.folder / "outputs" / output / "best/model.safetensors").exists()
    open_loop = figures(terminal.folder / "runs/open_loop")
    assert set(open_loop["parts"]) == {"all", "arm", "gripper"}
    assert "1 held out" in open_loop["training"]


def test_recipes(terminal):
    terminal.short = {"finetune": "--cache-dir cache"}
    terminal.run_page("training/recipes/README.md")
    assert (terminal.folder / "outputs/lora/model.safetensors").exists()


def test_conversion(terminal):
    terminal.link(RECORDINGS=RECORDINGS)
    terminal.place("lerobot/aloha_sim_insertion_human", RECORDINGS)
    terminal.names[" --revision v2.1"] = ""  # what stands in for the hub's is a folder
    said = terminal.run_page("docs/conversion.md")
    (found,) = (text for line, text in said.items() if line.startswith("handover check DATASET"))
    assert "no faults" in found
    small = terminal.folder / "my/so100_recordings"
    record_small_robot(RECORDINGS, small, joints=6, names=[*"abcde", "gripper"])
    camera = "--video-key observation.images.front --embodiment so100.json"
    terminal.run_line(f"handover convert --source {small} --output data/so100 {camera}")
    groups = json.loads((terminal.folder / "data/so100/meta/modality.json").read_text())["action"]
    assert {name: (group["start"], group["end"]) for name, group in groups.items()} == {
        "arm": (0, 5),
        "gripper": (5, 6),
    }


@pytest.mark.timeout(1800)  # three sessions, a training and a replay
def test_robot(terminal):
    settings = '{"look": "plain", "camera_rate_hz": 5}'
    (terminal.folder / "sim.json").write_text(settings)
    terminal.short = {
        **SHORT,
        "drive": "--max-seconds 30 --frozen-s 5 --stale-s 2 --robot-config sim.json",
        "replay": "--steps 32",
    }
    # one episode, which on a busy machine need not go well
    terminal.names = {"--episodes 10": "--episodes 1", " --successful": ""}
    terminal.place("checkpoints", ROOT / "checkpoints")
    said = terminal.run_page("docs/robot.md")
    for name in ("driven", "corrected", "again"):
        assert json.loads((terminal.folder / name / "metrics.json").read_text())["episodes"] == 1
    assert (terminal.folder / "PAGE.html").stat().st_size > 50_000
    assert "no faults" in said["handover check data/corrected"]
    driven, corrected, again = (
        json.loads((terminal.folder / name / "meta/drive.json").read_text())
        for name in ("driven", "corrected", "again")
    )
    assert corrected["checkpoint_hash"] == driven["checkpoint_hash"] != again["checkpoint_hash"]
    (episode,) = corrected["episodes"]
    assert 0 < episode["intervention_steps"] < episode["steps"]
    assert figures(terminal.folder / "runs/before")["episodes"] == [0]


def test_containers(terminal):
    """How docker-compose.yml runs the server: tests/server/deployment/test_containers.py."""
    (terminal.folder / "server").unlink()
    shutil.copytree(ROOT / "server", terminal.folder / "server")
    for name in ("ca.pem", "token"):
        terminal.place(name, Path("secrets", name))
    secrets = "--tls-cert secrets/server.pem --tls-key secrets/server.key"
    page = [block for block in blocks(ROOT / "docs/containers.md") if block.marker == "run"]
    made = terminal.run(page[0])
    assert "robots need its ca.pem and token" in made["server/make_secrets.sh"]
    serve = f"handover serve --policy hold {secrets} --token-file secrets/token"
    with terminal.serving(serve) as terminal.address:
        (told,) = terminal.run(page[1]).values()
    assert "hold" in told
    assert len(page) == 2


def test_contributing(terminal, server_bin):
    (terminal.folder / "docs").unlink()
    for name in ("docs", "benchmarks/results"):
        shutil.copytree(ROOT / name, terminal.folder / name)
    shutil.copyfile(ROOT / "README.md", terminal.folder / "README.md")
    # whole folders of tests are run by `make test` and .ci/run: here they are only found
    terminal.names = {
        "tests/server": "--collect-only tests/server",
        "-m slow tests/e2e": "--collect-only -m slow tests/e2e",
        "pytest": f"pytest -c {ROOT / 'pyproject.toml'} -p no:cacheprovider",
    }
    said = terminal.run_page("CONTRIBUTING.md")
    tests = [text for line, text in said.items() if "pytest" in line]
    assert " passed" in tests[0]
    assert all("tests collected" in text for text in tests[1:])
    written = (terminal.folder / "README.md").read_text()
    assert written == (ROOT / "README.md").read_text()
    listed = said[".venv-sim/bin/python -m tests.docs.commands"]
    assert "docs/serving.md:7  [run: tests/e2e/test_pages.py]\n    handover serve" in listed
    assert "no test runs this block" not in listed
