"""Compiled chunks take the place of plain ones while requests are answered, or leave them alone."""

import gc
import logging
import os
import shutil
import stat
import sysconfig
import threading
import time
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest
import torch
import torch._dynamo
from handover_model.engine.cuda import background_compiler
from handover_model.engine.cuda.background_compiler import TURN, compile_whole, keep_compiled
from handover_proto.policy import COMPILER_THREAD

from ...tiny import network
from ..inputs import noise_of, samples
from .test_engine import GRIDS, engine_of, replayed, wanted

WAIT_S = 120
BATCHES = ((3,), (1, 9), (20,))


@pytest.fixture(autouse=True)
def no_compiler_left():
    """Wait for the background thread: Python's end would crash inside a compiler."""
    yield
    gc.collect()
    for thread in compiling_threads():
        thread.join(WAIT_S)


class Gate:
    """Compiles as told: waits until it is opened, and counts what its functions are asked."""

    def __init__(self, make=lambda function: function):
        self.make, self.jobs, self.calls = make, 0, 0
        self.begun, self.opened = threading.Event(), threading.Event()

    def __call__(self, function, inputs):
        self.jobs += 1
        self.begun.set()
        assert self.opened.wait(WAIT_S)
        made = self.make(function)

        def counted(*given):
            self.calls += 1
            return made(*given)

        counted(*inputs)
        return counted


def ask(engine, net):
    """Answer batches of several buckets, and hold each against the network's modules."""
    for texts in BATCHES:
        batch = samples(texts, GRIDS)
        noise = noise_of(net, len(batch)).numpy()
        answer = engine.run(batch, noise)
        assert answer is not None
        np.testing.assert_allclose(answer.chunks, wanted(net, batch, noise).numpy(), atol=2e-5)


def improve_until(engine, done):
    """Do what the policy's thread does between batches."""
    began = time.monotonic()
    while not done():
        assert time.monotonic() < began + WAIT_S
        engine.run_idle_work()
        time.sleep(0.001)


def compiling_threads():
    return [thread for thread in threading.enumerate() if thread.name == COMPILER_THREAD]


def test_plain_chunks_answer_until_the_compiled_ones_take_over(caplog):
    net, gate = network(), Gate()
    engine = engine_of(net, largest_batch=2)
    engine.compile(gate)
    assert gate.begun.wait(WAIT_S)
    ask(engine, net)
    engine.run_idle_work()
    assert not engine.compiled
    gate.opened.set()
    with caplog.at_level(logging.INFO):
        for count in range(1, len(engine.buckets) + 1):
            improve_until(engine, lambda count=count: len(engine.compiled) == count)
            assert engine.compiled == set(engine.buckets[:count])  # the smallest first
            ask(engine, net)
    assert "all 6 graphs are compiled" in caplog.text
    before = gate.calls
    ask(engine, net)
    assert gate.calls == before + len(BATCHES)
    engine.run_idle_work()  # there is nothing left to do


def test_a_compiled_chunk_that_differs_is_not_used(caplog):
    net, gate = network(), Gate(lambda function: lambda *given: function(*given) + 0.01)
    engine = engine_of(net, largest_batch=2)
    gate.opened.set()
    with caplog.at_level(logging.WARNING):
        engine.compile(gate)
        improve_until(engine, lambda: caplog.records)
        ask(engine, net)
        engine.run_idle_work()
    assert not engine.compiled
    (line,) = caplog.messages
    assert "0 of 6 graphs are compiled, no more: two computations of batches of 1 with 16" in line


def test_a_compiler_that_fails_leaves_the_plain_chunks_and_one_line(caplog):
    def broken(_function):
        raise RuntimeError("no C++ compiler\nand 40 lines more")

    net, gate = network(), Gate(broken)
    engine = engine_of(net, largest_batch=2)
    gate.opened.set()
    with caplog.at_level(logging.WARNING):
        engine.compile(gate)
        improve_until(engine, lambda: caplog.records)
        ask(engine, net)
        engine.run_idle_work()
    assert gate.jobs == 1
    assert caplog.messages == ["0 of 6 graphs are compiled, no more: no C++ compiler"]


def test_an_engine_that_is_given_up_ends_its_compiler():
    net, gate = network(), Gate()
    engine = engine_of(net, largest_batch=2)
    engine.compile(gate)
    assert gate.begun.wait(WAIT_S)
    threads = compiling_threads()
    del engine
    gc.collect()
    gate.opened.set()
    for thread in threads:
        thread.join(WAIT_S)
        assert not thread.is_alive()
    assert gate.jobs == 1


def test_what_is_compiled_is_handed_over_when_its_thread_has_left_the_device(monkeypatch):
    """Who takes it captures, and nothing may wait for the device meanwhile."""
    net, gate, early = network(), Gate(), []
    engine = engine_of(net, largest_batch=1)

    @contextmanager
    def apart(_device):
        yield
        early.append(engine.compiler.take())

    monkeypatch.setattr(background_compiler, "separate_stream", apart)
    engine.compile(gate)
    gate.opened.set()
    improve_until(engine, lambda: len(engine.compiled) == len(engine.buckets))
    assert early == [None] * len(engine.buckets)


def test_captures_and_compilations_of_all_policies_take_turns():
    net, gate, turns = network(), Gate(), []

    def capture(*given):
        turns.append(TURN.locked())
        return replayed(*given)

    def compile_one(function, inputs):
        turns.append(TURN.locked())
        return gate(function, inputs)

    engine = engine_of(net, largest_batch=1, capture=capture)
    engine.compile(compile_one)
    gate.opened.set()
    with TURN:
        engine.run_idle_work()  # another policy's turn
        assert not engine.compiled
    improve_until(engine, lambda: len(engine.compiled) == len(engine.buckets))
    assert turns == [True] * 3 * len(engine.buckets)
    assert not TURN.locked()


@torch._dynamo.config.patch(recompile_limit=1)  # of one code, by default 8
def test_what_the_background_compiled_is_not_compiled_again_by_who_captures_it():
    torch._dynamo.reset()
    graphs = []

    def backend(graph, _inputs):
        graphs.append(threading.current_thread().name)
        return graph.forward

    def compile_one(function, inputs):
        made = torch.compile(
            function, backend=backend, fullgraph=True, dynamic=False, isolate_recompiles=True
        )
        with torch.no_grad():
            made(*inputs)
        return made

    net = network(num_inference_timesteps=1)
    engine = engine_of(net, largest_batch=1)
    engine.compile(compile_one)
    improve_until(engine, lambda: len(engine.compiled) == len(engine.buckets))
    ask_one(engine, net)
    assert graphs == [COMPILER_THREAD] * len(engine.buckets)


@pytest.fixture
def home(tmp_path, monkeypatch):
    """An own home, and an own cache that PyTorch is not told of."""
    monkeypatch.setattr(Path, "home", lambda: tmp_path)
    monkeypatch.setenv("TORCHINDUCTOR_CACHE_DIR", "forgotten afterwards")
    monkeypatch.delenv("TORCHINDUCTOR_CACHE_DIR")
    yield tmp_path
    os.environ.pop("TORCHINDUCTOR_CACHE_DIR", None)


def test_compiled_code_is_kept_where_nobody_else_can_write(home, monkeypatch):
    folder = keep_compiled(torch.device("cpu"))
    assert folder == home / ".cache/handover/compiled" / f"torch-{torch.__version__}-cpu"
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    assert os.environ["TORCHINDUCTOR_CACHE_DIR"] == str(folder)
    monkeypatch.setenv("TORCHINDUCTOR_CACHE_DIR", "/elsewhere")
    assert keep_compiled(torch.device("cpu")) == Path("/elsewhere")


needs_compiler = pytest.mark.skipif(
    shutil.which("g++") is None or not Path(sysconfig.get_path("include"), "Python.h").is_file(),
    reason="no g++, or no Python.h, to compile with",
)


@needs_compiler
@pytest.mark.slow
def test_the_second_start_finds_what_the_first_compiled(home):
    from torch._dynamo.utils import counters

    found = []
    for _ in range(2):
        torch._dynamo.reset()
        counters.clear()
        values = torch.linspace(-2, 2, 64).view(4, 16)
        compiled = compile_whole(_twice, [values])
        with torch.no_grad():  # as it was compiled
            torch.testing.assert_close(compiled(values), _twice(values))
        inductor = counters["inductor"]
        found.append((inductor["fxgraph_cache_miss"], inductor["fxgraph_cache_hit"]))
    assert found == [(1, 0), (0, 1)]


def _twice(values):
    return values + values


@needs_compiler
@pytest.mark.slow
@pytest.mark.timeout(1200)
def test_a_whole_chunk_that_inductor_compiled_takes_over(home):
    net = network(num_inference_timesteps=1)
    engine = engine_of(net, largest_batch=1)
    engine.compile(compile_whole)
    began = time.monotonic()
    while len(engine.compiled) < len(engine.buckets):
        assert time.monotonic() < began + 1100
        ask_one(engine, net)
        engine.run_idle_work()
    ask_one(engine, net)


def ask_one(engine, net):
    batch, noise = samples((3,), GRIDS), noise_of(net, 1).numpy()
    answer = engine.run(batch, noise)
    np.testing.assert_allclose(answer.chunks, wanted(net, batch, noise).numpy(), atol=2e-5)
