"""The load generator keeps its own clock, spreads its load, and counts what was refused."""

import itertools
import json
import os
import signal
import subprocess
import sys
import threading
from pathlib import Path

import numpy as np
import pytest
from handover_client.commands.bench import main
from handover_client.connection.flags import SecurityFlags
from handover_client.diagnostics import load_run
from handover_client.diagnostics.load_clients import Answered
from handover_client.diagnostics.load_config import BenchConfig
from handover_client.diagnostics.load_figures import load_figures, load_table
from handover_client.diagnostics.load_run import Load
from handover_client.diagnostics.load_schedule import LoadSchedule, arrivals
from handover_common.errors import HandoverError, UsageError
from handover_proto.errors import NotAuthorised
from handover_proto.types import ServerInfo

from ..conftest import hold
from ..serving import ServerProcess, source_environment

ROOT = Path(__file__).resolve().parents[3]


def moments(plan: LoadSchedule, count: int) -> list[list[float]]:
    """The first moments at which each of a process's clients asks."""
    return [list(itertools.islice(each, count)) for each in plan.schedules() if each is not None]


def test_fixed_arrivals_of_several_processes_clients_interleave_evenly():
    plans = [LoadSchedule(clients, 4, 20.0, "fixed", 0) for clients in ((0, 2), (1, 3))]
    merged = sorted(itertools.chain(*moments(plans[0], 3), *moments(plans[1], 3)))
    np.testing.assert_allclose(merged, np.arange(12) / 20)


def test_every_client_of_every_seed_draws_moments_of_its_own():
    plans = [LoadSchedule((0, 1), 2, 8.0, "poisson", seed) for seed in (0, 1, 2)]
    drawn = [client for plan in plans for client in moments(plan, 2000)]
    assert len({tuple(client) for client in drawn}) == 6
    assert [client[-1] for client in drawn] == pytest.approx([500.0] * 6, rel=0.1)  # 4 a second
    assert moments(plans[0], 2000) == drawn[:2]
    assert LoadSchedule((0, 1), 2, None, "poisson", 0).schedules() == [None, None]


def test_poisson_arrivals_have_the_rate_and_repeat_with_the_seed():
    first = list(itertools.islice(arrivals(50.0, "poisson", 1), 5000))
    assert first == list(itertools.islice(arrivals(50.0, "poisson", 1), 5000))
    assert first[:9] != list(itertools.islice(arrivals(50.0, "poisson", 2), 9))
    assert first[-1] == pytest.approx(100.0, rel=0.05)
    gaps = np.diff(first)
    assert np.std(gaps) == pytest.approx(np.mean(gaps), rel=0.1)  # an exponential's


def info() -> ServerInfo:
    from handover_proto.types import Limits, PolicySpec

    return ServerInfo(PolicySpec("hold", (), (), (), 16), Limits())


def test_figures_count_successes_and_name_refusals():
    answers = [Answered(1.0 + k / 100, float(k), "OK") for k in range(101)]
    answers += [Answered(1.5, 1.0, "RESOURCE_EXHAUSTED")] * 3
    figures = load_figures(BenchConfig("x:1", warm_up=1.0), Load(answers, info(), False))
    assert figures["latency_ms"] == {"p50": 50.0, "p95": 95.0, "p99": 99.0, "p99.9": 99.9}
    assert figures["refused"] == {"RESOURCE_EXHAUSTED": 3}
    assert figures["throughput_hz"] == pytest.approx(101 / 1.1, rel=1e-3)  # the last ends at 2.1 s


def test_columns_stay_apart_when_requests_are_refused():
    answers = [Answered(1.0, 2.0, "OK"), *[Answered(1.5, 1.0, "RESOURCE_EXHAUSTED")] * 3]
    table = load_table(load_figures(BenchConfig("x:1"), Load(answers, info(), False)))
    _, head, cells = table.splitlines()
    assert head.split()[-1] == "refused"
    assert cells.split()[-3:] == ["2.00", "RESOURCE_EXHAUSTED", "3"]
    assert len(head) == len(cells)


def test_no_answers_are_figures_too():
    figures = load_figures(BenchConfig("x:1"), Load([], info(), False))
    assert figures["latency_ms"]["p50"] is None
    assert figures["requests"] == 0


@pytest.mark.parametrize(
    "flags",
    [
        *({"clients": 0}, {"rate": 0.0}, {"seconds": -1.0}, {"image_width": 0}),
        *({"seconds": 1e7}, {"warm_up": float("nan")}, {"warm_up": float("inf")}, {"seed": -1}),
        {"output": ROOT},
    ],
)
def test_senseless_flags_are_refused_before_anything_is_measured(flags):
    (flag,) = flags
    with pytest.raises(UsageError, match=rf"^--{flag.replace('_', '-')} .*expected"):
        main(BenchConfig("127.0.0.1:1", **flags))


def test_a_place_that_no_file_can_have_is_told_before_anything_is_measured(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(HandoverError, match=r"^cannot write .*is no folder"):
        main(BenchConfig("127.0.0.1:1", output=tmp_path / "file/load.json"))


@pytest.fixture(scope="module")
def address(tmp_path_factory):
    log = tmp_path_factory.mktemp("hold") / "server.log"
    with ServerProcess("--policy", "hold", log=log) as server:
        yield server.wait()


def test_every_request_of_a_schedule_is_answered_by_a_real_server(address, tmp_path):
    output = tmp_path / "new folder" / "load.json"
    config = BenchConfig(
        address, clients=2, rate=40.0, arrivals="fixed", seconds=0.5, warm_up=0.0, output=output
    )
    figures = main(config)
    assert json.loads(output.read_text()) == figures
    assert figures["requests"] == 20
    assert figures["refused"] == {}
    assert figures["latency_ms"]["p50"] > 0


def test_a_load_that_was_refused_as_a_whole_is_no_success(address, capsys):
    image = {"image_height": 8, "image_width": 600_000}  # more pixels than a server takes
    config = BenchConfig(address, warm_up=0.0, seconds=2.0, timeout_s=60.0, **image)
    with pytest.raises(HandoverError, match="no request was answered with a chunk"):
        main(config)
    assert "INVALID_ARGUMENT" in capsys.readouterr().out


def test_a_load_that_could_not_be_made_has_no_figures(address, monkeypatch, tmp_path):
    monkeypatch.setattr(load_run, "LATE_S", 0.0)
    output = tmp_path / "load.json"
    config = BenchConfig(address, rate=1e5, seconds=0.5, warm_up=0.0, timeout_s=1.0, output=output)
    with pytest.raises(HandoverError, match="1 of 1 processes of the load generator could not"):
        main(config)
    assert not output.exists()


def test_load_goes_over_tls_with_a_token(authority, tmp_path):
    token = tmp_path / "token"
    token.write_text("a-token-0123456789abcdef\n")
    token.chmod(0o600)
    certificate, key = authority.sign("bench")
    flags = ("--policy", "hold", "--tls-cert", certificate, "--tls-key", key, "--token-file", token)
    with ServerProcess(*flags, log=tmp_path / "server.log") as server:
        address = server.wait()
        known = SecurityFlags(tls_ca=authority.certificate, token_file=token)
        load = {"clients": 2, "rate": 40.0, "arrivals": "fixed", "seconds": 0.5, "warm_up": 0.0}
        figures = main(BenchConfig(address, security=known, **load))
        assert (figures["requests"], figures["refused"]) == (20, {})
        with pytest.raises(NotAuthorised):
            main(BenchConfig(address, security=SecurityFlags(tls_ca=authority.certificate)))


@pytest.fixture
def busy_server(start_server):
    """A server, and an event for when it has answered for over a second."""
    second_over, count = threading.Event(), itertools.count(1)

    def answer(request, context):
        if next(count) >= 30:
            second_over.set()
        return hold(request, context)

    return start_server(answer=answer), second_over


def long_bench(address, *flags):
    command = [sys.executable, "-m", "handover_client.cli", "bench", "--server", address]
    command += ["--warm-up", "0", "--seconds", "600", "--rate", "20", "--arrivals", "fixed"]
    return subprocess.Popen(
        [*command, "--image-height", "8", *flags],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,  # a group of its own, which gets the signal as from a terminal
        env=source_environment(),
    )


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL])
def test_a_bench_that_is_killed_leaves_no_process(busy_server, number):
    server, second_over = busy_server
    with long_bench(server.address) as bench:
        assert second_over.wait(60)
        bench.send_signal(number)
        bench.communicate(timeout=60)  # also of its processes: they hold the pipes


def test_ctrl_c_prints_what_was_measured_and_leaves_no_process(busy_server, tmp_path):
    (server, second_over), output = busy_server, tmp_path / "load.json"
    with long_bench(server.address, "--output", str(output)) as bench:
        assert second_over.wait(60)
        os.killpg(bench.pid, signal.SIGINT)
        printed, said = bench.communicate(timeout=60)  # also of its processes: they hold the pipes
    assert bench.returncode == 130
    assert said.split("\n") == [
        *("", "stopped: these are the answers until then", "", "handover: interrupted", "")
    ]
    assert "per second" in printed
    figures = json.loads(output.read_text())
    assert figures["interrupted"]
    assert figures["requests"] > 0
