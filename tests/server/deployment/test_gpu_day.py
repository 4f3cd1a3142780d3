"""A GPU's first day: jobs go on where they were, nothing is left running, and the page says it."""

import json
import sys
import time
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]
WRITE = "import pathlib, sys; pathlib.Path(sys.argv[1]).write_text('{}')"
COUNT = "import pathlib, sys; pathlib.Path(sys.argv[2]).open('a').write('x'); " + WRITE


@pytest.fixture(autouse=True)
def scripts(monkeypatch):
    monkeypatch.syspath_prepend(ROOT)


def job(folder, name, program, *arguments, needs=None):
    from benchmarks.harness.jobs import Job

    result = folder / f"{name}.json"
    command = (sys.executable, "-c", program, str(result), *map(str, arguments))
    return Job("stage", name, command, result, needs=needs)


def test_a_job_that_is_done_does_not_run_again(tmp_path):
    from benchmarks.harness.jobs import run_jobs

    jobs = [job(tmp_path, name, COUNT, tmp_path / "runs") for name in ("one", "two")]
    assert run_jobs(jobs, 60) == 0
    assert run_jobs(jobs, 60) == 0
    assert (tmp_path / "runs").read_text() == "xx"


def test_a_job_that_is_cut_off_is_tried_again_twice_and_leaves_no_process(tmp_path, monkeypatch):
    from benchmarks.harness import jobs as running

    monkeypatch.setattr(running, "END_S", 1.0)
    child = tmp_path / "child"
    sleeping = (
        "import pathlib, subprocess, sys, time; "
        "child = subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(600)']); "
        "pathlib.Path(sys.argv[2]).write_text(str(child.pid)); time.sleep(600)"
    )
    one = job(tmp_path, "one", sleeping, child)
    assert running.run_jobs([one], 4.0) == 1
    assert running.run_jobs([one], 4.0) == 0, "given up after two whole calls"
    assert "cut_off" in running.read_outcome(one)
    deadline = time.monotonic() + 30
    while _runs(int(child.read_text())):
        assert time.monotonic() < deadline, "the job's own process is left"
        time.sleep(0.05)
    running.forget_failed([one])
    assert not running.is_done(one)


def test_a_failed_job_keeps_the_end_of_what_it_said_and_costs_the_others_nothing(tmp_path):
    from benchmarks.harness.jobs import read_outcome, run_jobs

    broken = job(tmp_path, "broken", "import sys; sys.exit('no such kernel')")
    later = job(tmp_path, "later", WRITE, needs=tmp_path / "nowhere")
    good = job(tmp_path, "good", WRITE)
    assert run_jobs([broken, later, good], 60) == 0
    assert read_outcome(broken)["failed"] == "exit status 1"
    assert "no such kernel" in read_outcome(broken)["log"]
    assert read_outcome(later) == {"failed": "needs nowhere, which an earlier job makes"}
    assert read_outcome(good).keys() == {"seconds", "command"}


def test_every_job_of_the_day_is_a_module_of_the_repository_and_has_a_file_of_its_own():
    from benchmarks import gpu_day

    jobs = gpu_day.make_jobs(gpu_day.GpuDay())
    assert len({each.result for each in jobs}) == len(jobs)
    for each in jobs:
        module = each.command[2].replace(".", "/")
        assert (ROOT / f"{module}.py").is_file(), each.name
    assert {each.stage for each in jobs} == set(gpu_day.STAGES)


def test_a_variant_of_the_day_is_measured_at_a_tiny_size(tmp_path, monkeypatch):
    from benchmarks import gpu_day
    from benchmarks.harness import jobs as running

    monkeypatch.chdir(ROOT)
    config = gpu_day.GpuDay(tiny=True, device="cpu")
    (one,) = [each for each in gpu_day.make_jobs(config) if each.name.endswith("16_engine_1_2")]
    try:
        assert running.run_jobs([one], 280) == 0
        outcome = running.read_outcome(one)
        assert "failed" not in outcome, outcome
        measured = json.loads(one.result.read_text())["runs"][0]["variants"]["engine"]
    finally:
        for path in one.result.parent.glob(f"{one.name}.*"):
            path.unlink()
    assert [row["batch"] for row in measured["batches"]] == [1, 2]


def test_the_page_has_the_figures_that_are_there_and_no_others(tmp_path):
    from benchmarks import gpu_table

    assert gpu_table.page_part(tmp_path) == gpu_table.NOTHING
    measured = {
        "wall_ms": {"p50": 6.125, "p95": 7.5},
        "share_of_floor": 0.5,
        "batches": [{"batch": 1, "chunks_per_s": 160.0}],
    }
    run = {"horizon": 16, "device": "a GPU", "dtype": "bfloat16"}
    first = {**run, "variants": {"engine": measured}}
    more = {**measured, "wall_ms": {}, "batches": [{"batch": 8, "chunks_per_s": 400.0}]}
    fp8 = {"engine, FP8": {"not_available": "no kernel"}}
    for name, runs in (
        ("inference_16_engine_1", [first]),
        ("inference_16_engine_8", [{**run, "variants": {"engine": more}}]),
        ("inference_16_fp8_1", [{**run, "variants": fp8}]),
    ):
        (tmp_path / f"{name}.json").write_text(json.dumps({"runs": runs}))
    (tmp_path / "wire_small.outcome.json").write_text(json.dumps({"failed": "exit status 1"}))
    assert gpu_table.page_part(tmp_path).splitlines() == [
        "On a GPU, bfloat16:",
        "",
        "| chunk of | variant | p50 ms | p95 ms | of the floor | chunks/s by batch |",
        "| --- | --- | --- | --- | --- | --- |",
        "| 16 | engine | 6.12 | 7.50 | 50% | 1: 160, 8: 400 |",
        "| 16 | engine, FP8 | – | – | – | not available: no kernel |",
        "",
        "- wire_small: exit status 1",
    ]


def test_the_page_is_that_of_the_committed_files():
    from benchmarks import gpu_table
    from benchmarks.harness.docs_table import DOCS
    from benchmarks.harness.result_file import FOLDER

    assert gpu_table.page_part(FOLDER / "gpu_day") in DOCS.read_text(encoding="utf-8")


def _runs(process: int) -> bool:
    state = Path(f"/proc/{process}/stat")
    return state.exists() and state.read_text().rpartition(")")[2].split()[0] != "Z"


def test_the_published_sizes_on_a_cpu_are_measured_by_one_command(tmp_path, monkeypatch):
    from benchmarks.serving import full_size_cpu

    monkeypatch.chdir(ROOT)
    config = full_size_cpu.FullSizeOnCpu(tmp_path, ("bfloat16",), chunks=1, tiny=True)
    path = full_size_cpu.main(config)
    figures = json.loads(path.read_text())["served"]["bfloat16"]
    row = full_size_cpu.page_part(path).splitlines()[-1]
    path.unlink()
    assert min(figures["serving_s"], figures["resident_gib"], figures["chunk_s"]) > 0
    assert row.startswith(f"| bfloat16 | {figures['serving_s']:.1f} | ")
    assert full_size_cpu.page_part(path) == full_size_cpu.NOTHING
