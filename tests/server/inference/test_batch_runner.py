"""What becomes of a batch that fails: refused, broken, or too large for the memory."""

import dataclasses
import sys
import types
import weakref

import pytest
from handover_proto.errors import InvalidRequest, Overloaded, PolicyFailed
from handover_proto.types import PolicyOutput, PolicyRequest
from handover_server.errors import ServingError
from handover_server.inference.batch_runner import BatchRunner
from handover_server.inference.memory import ran_out_of_memory, release_memory
from handover_server.inference.warm_up import warm_up
from handover_server.policies.hold import ALOHA_HOLD, HoldPolicy


class NarrowPolicy(HoldPolicy):
    """Holds, but runs out of memory on more than `fits` requests, or on one tagged "huge"."""

    def __init__(self, fits: int, error: Exception | None = None) -> None:
        super().__init__(dataclasses.replace(ALOHA_HOLD, max_batch=16))
        self.fits, self.error = fits, error or MemoryError()
        self.sizes: list[int] = []

    def infer(self, requests):
        self.sizes.append(len(requests))
        if len(requests) > self.fits or any(each.client_tag == "huge" for each in requests):
            raise self.error
        return super().infer(requests)


@pytest.fixture
def ask(observation):
    def do(policy, *tags):
        requests = [PolicyRequest(observation, 0, place, tag) for place, tag in enumerate(tags)]
        return BatchRunner().run(policy, requests)

    return do


def test_a_batch_that_does_not_fit_is_computed_in_halves(ask, caplog):
    policy = NarrowPolicy(fits=2)
    outcomes = ask(policy, *[""] * 7)
    assert all(isinstance(outcome, PolicyOutput) for outcome in outcomes)
    assert policy.sizes == [7, 4, 2, 2, 3, 2, 1]
    assert "--max-batch 4" in caplog.text


def test_only_the_request_that_fits_nowhere_fails_and_it_may_try_again(ask):
    outcomes = ask(NarrowPolicy(fits=8), "", "huge", "", "")
    assert isinstance(outcomes[1], Overloaded)
    assert outcomes[1].retry_after_s > 0
    assert [type(outcome) for outcome in outcomes].count(PolicyOutput) == 3


def test_the_memory_of_the_batch_that_failed_is_let_go_before_the_next_try(ask, monkeypatch):
    held: list[BaseException | None] = []
    monkeypatch.setattr(
        "handover_server.inference.batch_runner.release_memory",
        lambda: held.append(sys.exc_info()[1]),
    )
    ask(NarrowPolicy(fits=1), "", "")
    assert held == [None]
    ask(NarrowPolicy(fits=0), "")  # alone, with no next try but the client's
    assert held == [None, None]


def test_pytorchs_own_errors_count_as_memory_and_others_do_not(monkeypatch):
    class OutOfMemoryError(RuntimeError):
        pass

    emptied = []
    cuda = types.SimpleNamespace(
        is_initialized=lambda: True, empty_cache=lambda: emptied.append(True)
    )
    torch = types.SimpleNamespace(OutOfMemoryError=OutOfMemoryError, cuda=cuda)
    monkeypatch.setitem(sys.modules, "torch", torch)
    assert ran_out_of_memory(OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB"))
    assert ran_out_of_memory(RuntimeError("cublas: CUBLAS_STATUS_ALLOC_FAILED when calling"))
    assert not ran_out_of_memory(RuntimeError("the sizes of tensors must match"))
    assert not ran_out_of_memory(ValueError("can't allocate memory"))
    release_memory()
    assert emptied == [True]


def test_without_pytorch_memory_is_told_and_given_back_too(monkeypatch):
    class Batch:
        """Refers to itself, as what a traceback holds may."""

        def __init__(self):
            self.itself = self

    monkeypatch.setitem(sys.modules, "torch", None)
    assert ran_out_of_memory(RuntimeError("can't allocate memory"))
    assert not ran_out_of_memory(RuntimeError("broken"))
    batch = weakref.ref(Batch())
    release_memory()
    assert batch() is None


def test_memory_is_kept_where_a_gpu_cannot_give_it_back_just_now(monkeypatch):
    def refuse():
        raise RuntimeError("captures_underway.empty() INTERNAL ASSERT FAILED")

    cuda = types.SimpleNamespace(is_initialized=lambda: True, empty_cache=refuse)
    monkeypatch.setitem(sys.modules, "torch", types.SimpleNamespace(cuda=cuda))
    release_memory()  # in the policy's thread, which would end by an error here


def test_numpy_and_pytorch_on_a_cpu_run_out_of_memory_as_expected():
    import numpy as np

    torch = pytest.importorskip("torch")
    with pytest.raises(MemoryError) as caught:
        np.empty(1 << 60, np.uint8)
    assert ran_out_of_memory(caught.value)
    with pytest.raises(RuntimeError) as refused:
        torch.empty(1 << 60, dtype=torch.uint8)
    assert ran_out_of_memory(refused.value)


def test_a_library_that_ends_the_thread_ends_one_batch_only(ask, caplog):
    class Quitting(HoldPolicy):
        def infer(self, requests):
            raise SystemExit(1)

    (outcome,) = ask(Quitting(), "")
    assert isinstance(outcome, PolicyFailed)
    assert "SystemExit" in caplog.text


def test_a_refusal_is_told_to_the_refused_alone(ask, moody):
    outcomes = ask(moody, "", "refuse", "raise")
    assert [type(outcome) for outcome in outcomes] == [PolicyOutput, InvalidRequest, PolicyFailed]


def test_a_call_tells_since_when_it_lasts_and_where_it_stands(observation):
    seen = []

    class Watched(HoldPolicy):
        def infer(self, requests):
            seen.append((runner.began_s, runner.location()))
            return super().infer(requests)

        def run_idle_work(self):
            seen.append((runner.began_s, runner.location()))

    runner = BatchRunner()
    for call in (
        lambda: runner.run(Watched(), [PolicyRequest(observation)]),
        lambda: runner.run_idle_work(Watched()),
    ):
        call()
        began_s, where = seen.pop()
        assert began_s is not None
        assert " in " in where
        assert (runner.began_s, runner.location()) == (None, "between calls")


def test_warming_up_finds_the_largest_batch_that_fits_and_gives_memory_back(monkeypatch):
    held: list[BaseException | None] = []
    monkeypatch.setattr(
        "handover_server.inference.warm_up.release_memory", lambda: held.append(sys.exc_info()[1])
    )
    policy = NarrowPolicy(fits=3)
    assert warm_up(policy, 8) == 3
    assert policy.sizes == [1, 2, 3, 4]
    assert held == [None]
    with pytest.raises(ServingError, match="does not fit in memory"):
        warm_up(NarrowPolicy(fits=0), 8)
    with pytest.raises(RuntimeError, match="broken"):
        warm_up(NarrowPolicy(0, RuntimeError("broken")), 8)
