"""A latency suite of two ways of switching: killed, taken up, and its cells beside rollouts."""

import json
import os
import signal
import subprocess
import sys
import time

import pytest

pytest.importorskip("mujoco", reason="needs the extra 'sim'")

from handover_client.commands.rollout import main
from handover_client.report.page import run_section
from handover_client.results.run_folder import read_run
from handover_common.errors import UsageError

from ..serving import ServerProcess, source_environment
from ..stand_ins import flat_config

pytestmark = [pytest.mark.sim, pytest.mark.timeout(480)]
SHORT = {"episodes": 2, "seed": 1000, "max_steps": 40, "workers": 1, "image_size": 64}


@pytest.fixture(scope="module")
def hold_server(tmp_path_factory):
    log = tmp_path_factory.mktemp("server") / "log"
    with ServerProcess("--policy", "hold", log=log) as server:
        yield server.wait()


def episodes(folder) -> list[dict]:
    """A run's episodes without what the machine decides."""
    found = [json.loads(line) for line in (folder / "episodes.jsonl").read_text().splitlines()]
    for record in found:
        for measured in ("wall_s", "cpu_s", "latency_ms", "stage_ms"):
            del record[measured]
    return found


def test_a_killed_suite_goes_on_and_its_cells_are_rollouts(tmp_path, hold_server):
    output, partial = tmp_path / "suite", tmp_path / ".suite.partial"
    flags = ["--server", hold_server, "--suite", "latency", "--latencies-ms", "100"]
    flags += ["--switchings", "naive", "crossfade", "--output", str(output)]
    for name, value in SHORT.items():
        flags += [f"--{name.replace('_', '-')}", str(value)]
    command = [sys.executable, "-m", "handover_client.cli", "rollout", *flags]
    run = subprocess.Popen(command, env=source_environment(), start_new_session=True)
    until_s = time.monotonic() + 400
    while not (partial / "cells/naive_0ms/metrics.json").exists():
        assert time.monotonic() < until_s
        assert run.poll() is None
        time.sleep(0.05)
    os.killpg(run.pid, signal.SIGKILL)
    run.wait()
    first = partial / "cells/naive_0ms/metrics.json"
    before = first.stat().st_mtime_ns
    chosen = {"suite": "latency", "latencies_ms": (100,), "switchings": ("naive", "crossfade")}
    figures = main(flat_config(output=output, server=hold_server, **SHORT, **chosen))
    assert (output / "cells/naive_0ms/metrics.json").stat().st_mtime_ns == before
    assert [row["name"] for row in figures["rows"]] == [
        *("naive_0ms", "naive_100ms", "crossfade_0ms", "crossfade_100ms")
    ]
    assert figures["rows"][1]["dropped_steps"] > 0
    assert figures["envelopes"][0] == {
        **{"switching": "naive", "latency_ms": 100, "jitter_ms": 10.0, "episodes": 2}
    }
    assert json.loads((output / "metrics.json").read_text()) == figures
    assert run_section(output, read_run(output))["template"] == "_latency.html.j2"
    page = (output / "report.html").read_text()
    assert "Latency: transfer cube" in page
    assert "100 ± 10" in page
    late = {"realtime": True, "clock": "simulated", "latency_ms": 100.0, "jitter_ms": 10.0}
    plain = flat_config(
        output=tmp_path / "plain", server=hold_server, videos="none", **SHORT, **late
    )
    main(plain)
    assert episodes(output / "cells/naive_100ms") == episodes(tmp_path / "plain")


@pytest.mark.parametrize(
    ("flags", "words"),
    [
        ({"latencies_ms": (100,)}, "--latencies-ms needs --suite latency"),
        ({"suite": "robustness", "switchings": ("rtc",)}, "--switchings needs --suite latency"),
        ({"suite": "latency", "axes": ("light",)}, "--axes needs --suite robustness"),
        ({"suite": "latency", "policy": "scripted", "server": ""}, "latency needs a server"),
        ({"suite": "latency", "realtime": True}, "sets --realtime and --clock itself"),
        ({"suite": "latency", "latencies_ms": (-1,)}, "expected 0 to 10000"),
        ({"delay_error_steps": 2}, "--delay-error-steps needs --switching rtc"),
    ],
)
def test_flags_that_make_no_sense_are_refused(tmp_path, flags, words):
    with pytest.raises(UsageError, match=words):
        main(flat_config(output=tmp_path / "run", **{"server": "127.0.0.1:1", **flags}))
