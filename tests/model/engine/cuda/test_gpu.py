"""The engine on a GPU: what no CPU can check. Not run yet by its authors; `pytest -m gpu`."""

import contextlib
import gc
import logging
import threading
import time
from pathlib import Path

import numpy as np
import pytest
import torch
from handover_model.checkpoints.checkpoint import load_checkpoint
from handover_model.engine.calibration import calibrate
from handover_model.engine.cuda.cuda_graph import CapturedChunk
from handover_model.engine.cuda.engine import CudaGraphEngine
from handover_model.engine.cuda.kernel_selection import KernelCompiler, clock_on_gpu
from handover_model.engine.reference import compare
from handover_model.policy import GrootPolicy, build_policy, load_policy
from handover_proto.policy import COMPILER_THREAD

from ...observations import request

pytestmark = [pytest.mark.gpu, pytest.mark.timeout(1800)]

SHIPPED = Path(__file__).resolve().parents[4] / "checkpoints/aloha-mini"
GPU = torch.device("cuda")
COMPILE_S = 1500
BFLOAT16_COSINE, FP8_COSINE = 0.9999, 0.999


@pytest.fixture(autouse=True)
def no_compiler_left():
    """Wait for the background thread: Python's end would crash inside a compiler."""
    yield
    gc.collect()
    for thread in threading.enumerate():
        if thread.name == COMPILER_THREAD:
            thread.join(COMPILE_S)


def requests(count=5):
    """Frames of the size that the checkpoint was made for, and instructions of several lengths."""
    return [
        request(seed, task=f"Transfer the cube{', please' * (seed % 3)}.", height=256, width=256)
        for seed in range(count)
    ]


def flat(outputs):
    """All actions of some answers in one row."""
    return np.concatenate([values.ravel() for one in outputs for values in one.action.values()])


def loaded(dtype="bfloat16", engine="fast", **options):
    return load_policy(SHIPPED, device="cuda", dtype=dtype, engine=engine, **options)


@pytest.fixture(scope="module")
def exact():
    """The reference path's actions in float32."""
    torch.backends.cuda.matmul.allow_tf32 = False
    return flat(loaded("float32", "reference").infer(requests()))


def test_graphs_in_float32_equal_the_reference_but_for_gray_levels_of_the_frames(exact):
    """The engine's own check at the start, on frames of one gray, has the bound of rounding."""
    policy = loaded("float32")
    assert isinstance(policy.engine, CudaGraphEngine)
    assert compare(flat(policy.infer(requests())), exact).cosine >= BFLOAT16_COSINE


def test_graphs_in_bfloat16_are_near_the_float32_reference(exact):
    found = compare(flat(loaded().infer(requests())), exact)
    assert found.cosine >= BFLOAT16_COSINE


def test_auto_is_the_engine_and_says_so(caplog):
    with caplog.at_level(logging.INFO):
        policy = loaded(engine="auto")
    assert isinstance(policy.engine, CudaGraphEngine)
    assert "engine fast (CUDA graphs): within" in caplog.text


def test_a_replay_gives_the_same_bits_again_and_after_others():
    policy = loaded()
    first = flat(policy.infer(requests(1)))
    policy.infer(requests(7))
    np.testing.assert_array_equal(flat(policy.infer(requests(1))), first)


def test_an_answer_hardly_depends_on_its_batch():
    policy, batch = loaded(), requests()
    together = policy.infer(batch)
    for place, one in enumerate(batch):
        (alone,) = policy.infer([one])
        assert compare(flat([alone]), flat([together[place]])).cosine >= BFLOAT16_COSINE


def test_memory_does_not_grow_with_requests():
    policy = loaded()
    for count in (1, 3, 7):
        policy.infer(requests(count))
    gc.collect()
    before = torch.cuda.memory_allocated()
    for count in (1, 3, 7) * 10:
        policy.infer(requests(count))
    gc.collect()
    assert torch.cuda.memory_allocated() <= before + 2**20


def test_a_capture_survives_what_another_thread_does_on_the_gpu():
    """A reload captures beside the policy that answers, and a compiler measures kernels."""
    stop, failures = threading.Event(), []

    def work():
        stream = torch.cuda.Stream()
        try:
            with torch.cuda.stream(stream):
                while not stop.is_set():
                    torch.randn(1 << 20, device=GPU).sum().item()
                    with contextlib.suppress(RuntimeError):  # refused while a capture lasts
                        torch.cuda.empty_cache()
        except RuntimeError as error:
            failures.append(error)

    thread = threading.Thread(target=work)
    thread.start()
    try:
        values = torch.arange(8.0, device=GPU)
        for _ in range(20):
            captured = CapturedChunk(lambda given: given * 2 + 1, [values.clone()])
            torch.testing.assert_close(captured([values]), values * 2 + 1)
    finally:
        stop.set()
        thread.join(60)
    assert not failures


def test_a_graph_outlives_those_that_were_captured_before_it():
    """They share a stream, for which PyTorch keeps one workspace of cuBLAS."""
    values = torch.randn(64, 1 << 16, device=GPU, dtype=torch.bfloat16)  # summed in parts
    first, second = (CapturedChunk(lambda x: x @ x.T, [values.clone()]) for _ in range(2))
    want = second([values])
    del first
    gc.collect()
    torch.cuda.empty_cache()  # the first one's memory is gone
    assert torch.equal(second([values]), want)


def test_no_garbage_is_collected_while_a_chunk_is_captured():
    """It may hold another graph, or kernels that the compiler tried."""
    seen = []
    CapturedChunk(lambda x: (seen.append(gc.isenabled()), x * 2)[1], [torch.ones(8, device=GPU)])
    assert seen
    assert not any(seen)
    assert gc.isenabled()


def test_a_capture_that_fails_leaves_the_process_as_it_was():
    values, stream = torch.arange(8.0, device=GPU), torch.cuda.current_stream()
    with pytest.raises(RuntimeError):
        CapturedChunk(lambda given: given * given.sum().item(), [values])
    assert torch.cuda.current_stream() == stream
    torch.cuda.empty_cache()  # raises while a capture lasts
    captured = CapturedChunk(lambda given: given * 2, [values.clone()])
    torch.testing.assert_close(captured([values]), values * 2)


def test_the_clock_of_kernels_counts_none_of_python_s_time():
    values = torch.ones(1 << 20, device=GPU)
    slow_to_start = clock_on_gpu(lambda: (time.sleep(0.05), values + 1)[1])
    assert 0 < slow_to_start < 5  # ms


def improve_until_compiled(policy, count):
    """Ask and improve as the policy's thread does, until so many buckets are compiled."""
    engine, began = policy.engine, time.monotonic()
    while len(engine.compiled) < count:
        assert engine.compiling, "the compiler gave up: see the log"
        assert time.monotonic() < began + COMPILE_S
        policy.infer(requests(1))
        policy.run_idle_work()


@pytest.mark.slow
def test_compiled_graphs_take_over_and_give_the_same_actions(exact, caplog):
    policy = loaded()
    plain = flat(policy.infer(requests(1)))
    with caplog.at_level(logging.WARNING):
        policy.engine.compile(KernelCompiler())
        improve_until_compiled(policy, 3)  # every length of a batch of one
    assert not caplog.records
    compiled = flat(policy.infer(requests(1)))
    assert compare(compiled, plain).cosine >= BFLOAT16_COSINE
    np.testing.assert_array_equal(flat(policy.infer(requests(1))), compiled)
    assert compare(flat(policy.infer(requests())), exact).cosine >= BFLOAT16_COSINE


@pytest.fixture(scope="module")
def fp8():
    """The shipped checkpoint in FP8, calibrated on other made-up observations."""
    if torch.cuda.get_device_capability() < (8, 9):
        pytest.skip("this GPU does not multiply FP8")
    checkpoint = load_checkpoint(SHIPPED, device=GPU, dtype=torch.bfloat16)
    checkpoint.network.requires_grad_(False)
    processor = checkpoint.processor()
    plain = GrootPolicy(checkpoint)
    samples = [plain.prepare(one) for one in requests(32)[5:]]
    scales = calibrate(checkpoint, processor, samples[::2], samples[1::2], "made up")
    return scales, build_policy(checkpoint, engine="fast", scales=scales)


def test_fp8_is_near_the_references(fp8, exact):
    scales, policy = fp8
    assert scales.error.cosine >= FP8_COSINE
    assert compare(flat(policy.infer(requests())), exact).cosine >= FP8_COSINE


def test_fp8_on_a_gpu_is_what_a_cpu_emulates(fp8):
    scales, policy = fp8
    emulated = build_policy(load_checkpoint(SHIPPED), engine="fast", scales=scales)
    found = compare(flat(policy.infer(requests())), flat(emulated.infer(requests())))
    assert found.cosine >= FP8_COSINE


@pytest.mark.slow
def test_fp8_compiles_with_its_rounding_fused(fp8, caplog):
    scales, _ = fp8
    checkpoint = load_checkpoint(SHIPPED, device=GPU, dtype=torch.bfloat16)
    policy = build_policy(checkpoint, engine="fast", scales=scales)
    plain = flat(policy.infer(requests(1)))
    with caplog.at_level(logging.WARNING):
        policy.engine.compile(KernelCompiler())
        improve_until_compiled(policy, 1)
    assert not caplog.records
    assert compare(flat(policy.infer(requests(1))), plain).cosine >= FP8_COSINE
