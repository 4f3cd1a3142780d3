"""The README's figures are those of the raw JSON."""

import importlib
import json
import re

import pytest

from .pages import ROOT, links


@pytest.fixture
def figures(monkeypatch):
    monkeypatch.syspath_prepend(str(ROOT / "docs"))
    return importlib.import_module("figures")


def test_the_readme_says_what_the_results_say(figures):
    written = figures.README.read_text(encoding="utf-8")
    assert figures.with_figures(written) == written, "run: python docs/figures.py"


def test_another_result_would_change_the_readme(figures, monkeypatch):
    written = figures.README.read_text(encoding="utf-8")
    true_result = figures.result

    def one_success_more(name):
        found = true_result(name)
        if "successes" in found:
            found = {**found, "successes": found["successes"] - 1}
        return found

    monkeypatch.setattr(figures, "result", one_success_more)
    assert figures.with_figures(written) != written


def test_every_result_that_a_page_links_to_is_there_and_tells_its_machine():
    for page in (ROOT / "README.md", *(ROOT / "docs").glob("*.md")):
        for place, target in links(page):
            if re.search(r"benchmarks/results/[\w-]+\.json$", target):
                content = json.loads((page.parent / target).read_text(encoding="utf-8"))
                about = {"machine", "run", "provenance"} & set(content)
                assert about, f"{place}: {target} does not tell where it was made"


def test_the_serving_page_says_what_fp8_and_the_graphs_memory_gave(figures):
    page = (ROOT / "docs/serving.md").read_text(encoding="utf-8")
    fp8, memory = figures.result("fp8"), figures.result("engine_memory")
    for judged in fp8["open_loop"]["joints_14"].values():
        row = f"| {judged['mse']:.5f} | {judged['mae']:.4f} | {judged['success_at']['0.10']:.1%} |"
        assert row.replace("%", " %") in page
    assert f"cosine {fp8['actions_beside_the_reference']['cosine']:.5f} to the ref" in page
    shown = (
        memory["network_mib"],
        memory["folded_copies_mib"],
        memory["static_inputs_mib"] + memory["tables_mib"],
        memory["shared_pool_mib"],
        memory["fp8_copies_mib"],
    )
    for mebibytes in shown:
        assert f"| {mebibytes:,.0f} |" in page


def test_the_pages_say_how_fast_a_server_starts_and_samples_come(figures):
    serving = (ROOT / "docs/serving.md").read_text(encoding="utf-8")
    seconds = figures.result("cold_start")["seconds"]
    start = {name: spread["median"] for name, spread in seconds.items()}
    cpu = {name: spread["cpu_median"] for name, spread in seconds.items()}
    checkpoint, torch = "serve --checkpoint", "import torch"
    said = f"{start[checkpoint]:.1f} s (median of 5; {cpu[checkpoint]:.1f} CPU seconds)"
    assert f"with the shipped checkpoint: {said}" in serving
    assert f"takes {start[torch]:.1f} s there ({cpu[torch]:.1f} CPU seconds)" in serving
    converting = start[checkpoint] - start["serve --checkpoint, --engine reference"]
    assert f"{converting:.1f} s more than the reference path" in serving
    assert f"The hold policy serves after {start['serve --policy hold']:.1f} s" in serving
    samples = figures.result("training_data")["samples_per_s"]
    kept, changed = (samples[f"2 workers, colours {how}"] for how in ("kept", "changed"))
    training = (ROOT / "docs/training.md").read_text(encoding="utf-8")
    assert f"two workers {kept:.0f} per second,\n{changed:.0f} with color jitter" in training


def test_the_training_page_says_what_fifty_demonstrations_gave_and_how_fast_it_trains(figures):
    page = (ROOT / "docs/training.md").read_text(encoding="utf-8")
    cells = figures.result("demonstrations")
    assert cells["settings"]["execute_steps"] == 8
    assert f"{cells['settings']['steps']:,} steps" in page
    rows = [line for line in page.splitlines() if "[rollout_fifty_" in line]
    rows += [line for line in page.splitlines() if "[demonstrations](" in line]
    assert len(rows) == 3
    for row in rows:
        if cell := re.search(r"`(\w+_50_seed42)`", row):
            run = cells["cells"][cell.group(1)] | {"settings": cells["settings"]}
        else:
            run = figures.result(re.search(r"\[(rollout_fifty_\w+)\]", row).group(1))
        low, high = (round(100 * value) for value in run["wilson_95"])
        strict = run["strict"]["successes"]
        assert f"| {run['successes']} of {run['episodes']} | {low} … {high} % |" in row
        assert f"| {strict} of {run['episodes']} |" in row
        assert run["settings"]["execute_steps"] == 8
    speed = figures.result("finetuning_speed")["samples_per_cpu_s"]
    cached, computed = (f"{value:.0f}" for value in speed.values())
    assert f"on {cached} samples with them and on {computed} without" in page


def test_the_serving_page_says_what_int8_weights_gave(figures):
    page = " ".join((ROOT / "docs/serving.md").read_text(encoding="utf-8").split())
    result = figures.result("int8_chunks")
    beside = result["beside_bfloat16"]
    torch, onnx, packed = (
        beside[name] for name in ("int8, PyTorch", "int8, ONNX Runtime", "bfloat16, packed")
    )
    plain = [row["bfloat16_cpu_s"] for row in beside.values()]
    assert max(torch["times_as_fast"], onnx["times_as_fast"]) < 2  # or it would have been kept
    assert f"a whole chunk is {torch['times_as_fast']:.1f} times as fast as in bfloat16" in page
    assert f"took {result['float32']['chunk_cpu_s']:.1f} CPU seconds in float32" in page
    assert f"{min(plain):.1f} to {max(plain):.1f} in bfloat16" in page
    times = f"{onnx['chunk_cpu_s']:.1f} ({onnx['times_as_fast']:.1f} times as fast)"
    assert f"oneDNN took {torch['chunk_cpu_s']:.1f}, ONNX Runtime {times}" in page
    times = f"{packed['chunk_cpu_s']:.1f} ({packed['times_as_fast']:.1f} times as fast)"
    assert f"for oneDNN took {times}" in page
    products = figures.result("int8")["times_as_fast_as_float32"]["ONNX Runtime int8"]
    assert f"alone are {products:.1f} times as fast in int8 as in float32" in page


def test_the_containers_page_says_what_is_in_the_gpu_image(figures):
    page = " ".join((ROOT / "docs/containers.md").read_text(encoding="utf-8").split())
    result = figures.result("gpu_image")
    inside = result["inside"]
    packages = inside["packages_mb"]
    image_mb = result["images_mb"]["handover-server:gpu"]
    said = f"{image_mb} MB, of which the base is {result['base_mb']} MB"
    assert f"{said} and Python packages {packages['all']['mb']:.0f} MB" in page
    torch, triton, cublas = (packages[name] for name in ("torch", "triton", "nvidia-cublas"))
    assert f"torch {torch['version']} (for CUDA {inside['torch']['cuda']})" in page
    sizes = f"{torch['mb']:.0f} MB, Triton with {triton['mb']:.0f} and cuBLAS with"
    assert f"{sizes} {cublas['mb']:.0f}" in page
    assert inside["triton_launcher"] == "compiles"
    assert f"all {inside['kernels_for_h100']} variants of Handover's kernels" in page
    assert result["refusal_without_gpu"] in page


def test_the_robot_page_says_how_many_cubes_were_handed_over(figures):
    page = " ".join((ROOT / "docs/robot.md").read_text(encoding="utf-8").split())
    cubes = figures.result("drive_sim")
    assert cubes["busy_others"] < 0.1, "the page says that nothing else ran"
    assert f"handed over {cubes['successes']} of {cubes['judged']} cubes in real time" in page
    said = f"control steps {cubes['late_ms']['p99']:.1f} ms late at p99 and chunks after"
    assert f"{said} {cubes['latency_ms']['p50']:.0f} ms at p50" in page
    replayed = cubes["replay_of_the_recording"]["policy"]
    assert f"MAE {replayed['mae']:.3f}" in page


def test_the_robot_page_says_how_an_hour_on_the_arms_went(figures):
    page = " ".join((ROOT / "docs/robot.md").read_text(encoding="utf-8").split())
    hour = figures.result("drive_trossen")
    jitter, steps = hour["jitter_ms"], round(50 * hour["seconds"])
    assert hour["seconds"] >= 3590
    assert hour["outside_at_the_arms"] == hour["not_finite_at_the_arms"] == 0
    assert hour["sessions"] == 1
    assert "in one session" in page
    assert hour["busy_others"] < 0.1, "the page says that nothing else ran"
    assert f"of the {hour['commands_at_the_arms']:,} commands" in page
    said = f"{jitter['p50']:.2f} ms of jitter at p50, {jitter['p99']:.1f} at p99 and"
    assert f"lay {hour['period_ms']:.0f} ms, with {said} {jitter['longest']:.0f} at" in page
    assert f"{hour['missed_steps']:,} of {steps:,} steps were missed" in page
