"""The load generator keeps its own clock, spreads its load, and counts what was refused."""

import itertools

import numpy as np
import pytest
from handover_client.bench import BenchConfig, main
from handover_client.load_clients import Answered
from handover_client.load_figures import load_figures
from handover_client.load_schedule import arrivals
from handover_proto.contract import ServerInfo
from handover_proto.errors import UsageError


def test_fixed_arrivals_of_several_clients_interleave_evenly():
    phases = [list(itertools.islice(arrivals(5.0, "fixed", 0, k / 4), 3)) for k in range(4)]
    merged = sorted(itertools.chain(*phases))
    np.testing.assert_allclose(merged, np.arange(12) / 20)


def test_poisson_arrivals_have_the_rate_and_repeat_with_the_seed():
    first = list(itertools.islice(arrivals(50.0, "poisson", 1), 5000))
    assert first == list(itertools.islice(arrivals(50.0, "poisson", 1), 5000))
    assert first[:9] != list(itertools.islice(arrivals(50.0, "poisson", 2), 9))
    assert first[-1] == pytest.approx(100.0, rel=0.05)
    gaps = np.diff(first)
    assert np.std(gaps) == pytest.approx(np.mean(gaps), rel=0.1)  # an exponential's


def info() -> ServerInfo:
    from handover_proto.contract import Limits, PolicySpec

    return ServerInfo(PolicySpec("hold", (), (), (), 16), Limits())


def test_figures_count_successes_and_name_refusals():
    answers = [Answered(1.0 + k / 100, float(k), "OK") for k in range(101)]
    answers += [Answered(1.5, 1.0, "RESOURCE_EXHAUSTED")] * 3
    figures = load_figures(BenchConfig("x:1", warm_up=1.0), info(), answers)
    assert figures["latency_ms"] == {"p50": 50.0, "p95": 95.0, "p99": 99.0, "p99.9": 99.9}
    assert figures["refused"] == {"RESOURCE_EXHAUSTED": 3}
    assert figures["throughput_hz"] == pytest.approx(101 / 1.1, rel=1e-3)  # the last ends at 2.1 s


def test_no_answers_are_figures_too():
    figures = load_figures(BenchConfig("x:1"), info(), [])
    assert figures["latency_ms"]["p50"] is None
    assert figures["requests"] == 0


@pytest.mark.parametrize(
    "flags", [{"clients": 0}, {"rate": 0.0}, {"seconds": -1.0}, {"image_size": (0, 3)}]
)
def test_senseless_flags_are_refused(flags):
    with pytest.raises(UsageError):
        main(BenchConfig("127.0.0.1:1", **flags))
