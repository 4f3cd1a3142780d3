"""A learnt prefix is continued alike by the modules, the CPU engines and the graphs."""

import dataclasses
import json
import shutil

import numpy as np
import pytest
import torch
from handover_model.checkpoints.checkpoint import load_checkpoint
from handover_model.engine import build
from handover_model.engine.cpu.engine import CpuEngine
from handover_model.engine.cuda.engine import CudaGraphEngine
from handover_model.engine.functional.tables import take_weights
from handover_model.engine.reference import ReferenceEngine
from handover_model.network.flow_matching import clean_steps
from handover_model.network.real_time_chunking import CleanPrefix, PrefixGuide
from handover_model.policy import build_policy, load_policy
from handover_proto.types import ActionPrefix, PrefixMethod

from ..observations import request
from ..tiny import network
from .cuda.test_engine import replayed
from .inputs import PAD, layout_of, noise_of, reference_input, samples

LEARNED = 5
NONE, GUIDED, LEARNT = PrefixMethod.NONE, PrefixMethod.GUIDED, PrefixMethod.LEARNED


@pytest.fixture(scope="module")
def learned(mini, tmp_path_factory):
    """A checkpoint that says it has learnt to continue 5 steps, with weights that all matter."""
    folder = shutil.copytree(mini, tmp_path_factory.mktemp("learned") / "mini")
    path = folder / "handover.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), "max_delay_steps": LEARNED}))
    checkpoint = load_checkpoint(folder)
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for weight in checkpoint.network.action_head.parameters():
            weight += 0.05 * torch.randn(weight.shape, generator=generator)
    checkpoint.network.requires_grad_(False)
    return checkpoint


@pytest.fixture(scope="module")
def reference(learned):
    return build_policy(learned)


def requests(reference):
    """One without a prefix, then prefixes with delays of 0, 3, 5 and, beyond the learnt, 7."""
    (chunk,) = reference.infer([request(1)])
    rest = {key: values[6:] for key, values in chunk.action.items()}
    sizes = {"height": 256, "width": 256}
    plain = [request(seed, **sizes) for seed in range(5)]
    delays = (0, 3, LEARNED, LEARNED + 2)
    return [
        plain[0],
        *(
            dataclasses.replace(one, prefix=ActionPrefix(rest, delay))
            for one, delay in zip(plain[1:], delays, strict=True)
        ),
    ]


def test_the_spec_says_what_has_been_learnt(reference, mini):
    assert reference.spec.learned_delay_steps == LEARNED
    assert load_policy(mini, engine="reference").spec.learned_delay_steps == 0


def test_each_answer_says_how_its_prefix_was_continued(reference, mini):
    asked = requests(reference)
    methods = [output.prefix_method for output in reference.infer(asked)]
    assert methods == [NONE, LEARNT, LEARNT, LEARNT, GUIDED]
    guided = [
        dataclasses.replace(one, prefix=dataclasses.replace(one.prefix, guided=True))
        for one in asked[1:]
    ]
    methods = [output.prefix_method for output in reference.infer(guided)]
    assert methods == [GUIDED, GUIDED, GUIDED, GUIDED]
    unlearned = load_policy(mini, engine="reference")
    methods = [output.prefix_method for output in unlearned.infer(asked)]
    assert methods == [NONE, GUIDED, GUIDED, GUIDED, GUIDED]


def test_a_learnt_prefix_begins_the_chunk_and_changes_the_rest(reference):
    asked = requests(reference)
    for one in asked[2:4]:
        (got,), (plain,) = (
            reference.infer([one]),
            reference.infer([dataclasses.replace(one, prefix=None)]),
        )
        delay = one.prefix.delay_steps
        for key in got.action:
            np.testing.assert_array_equal(got.action[key][:delay], one.prefix.action[key][:delay])
        moved = np.abs(got.action["left_arm"][delay:] - plain.action["left_arm"][delay:]).max()
        assert moved > 1e-3


@pytest.mark.parametrize("onnx", [False, True])
def test_the_cpu_engines_equal_the_modules(learned, reference, monkeypatch, onnx):
    if onnx:
        pytest.importorskip("onnxruntime")
    else:
        monkeypatch.setattr(build, "ONNX_WEIGHTS", 0)
    fast = build_policy(learned, engine="fast")
    assert fast.engine_name == ("fast (ONNX Runtime)" if onnx else "fast")
    asked = requests(reference)
    for got, want in zip(fast.infer(asked), reference.infer(asked), strict=True):
        assert got.prefix_method == want.prefix_method
        atol = 1e-4 if want.prefix_method is GUIDED else 2e-5
        for key, values in want.action.items():
            np.testing.assert_allclose(got.action[key], values, atol=atol)
    together = fast.infer(asked)
    for one, want in zip(asked, together, strict=True):  # batches change nothing
        (alone,) = fast.infer([one])
        for key, values in want.action.items():
            np.testing.assert_array_equal(alone.action[key], values)


def test_weights_in_place_of_the_network_s_continue_a_learnt_prefix_too():
    net = network()
    engine = CpuEngine(net, 0, PAD, take_weights(net, 0), continues=True)
    batch, noise = samples((3,), ((2, 3),)), noise_of(net, 1)
    prefix = CleanPrefix(noise.clamp(-1, 1), clean_steps(torch.tensor([2]), noise.shape[1]))
    answer = engine.run(batch, noise.numpy(), prefix)
    assert answer is not None
    want = wanted(net, batch, noise, prefix)
    np.testing.assert_allclose(answer.chunks, want.numpy(), atol=2e-5)
    guide = PrefixGuide(noise, torch.ones_like(noise), noise > 0)
    assert engine.run(batch, noise.numpy(), guide) is None


def wanted(net, batch, noise, prefix):
    inputs = reference_input(batch, layout_of(batch))
    with torch.no_grad():
        features = net.backbone(inputs.images, inputs.input_ids, inputs.attention_mask)
        return net.action_head.generate(features, inputs.state, inputs.embodiment, noise, prefix)


def test_the_graphs_continue_some_rows_of_a_batch_and_leave_the_others():
    net = network()
    (probe,) = samples((1,), ((2, 3),))
    engine = CudaGraphEngine(net, 0, PAD, probe, 4, replayed, continues=True)
    for delays in ((2,), (0, 3, 1), (2, 0, 0, 1)):
        batch = samples(tuple(range(1, len(delays) + 1)), ((2, 3),))
        noise = noise_of(net, len(batch))
        clean = clean_steps(torch.tensor(delays), noise.shape[1])
        prefix = CleanPrefix(noise.flip(1).clamp(-1, 1), clean)
        for given in (prefix, None):
            answer = engine.run(batch, noise.numpy(), given)
            assert answer is not None
            want = wanted(net, batch, noise, given)
            np.testing.assert_allclose(answer.chunks, want.numpy(), atol=2e-5)
    guide = PrefixGuide(noise, torch.ones_like(noise), noise > 0)
    assert engine.run(batch, noise.numpy(), guide) is None  # gradients: the modules'


def test_graphs_of_a_network_that_has_not_learnt_it_leave_a_clean_prefix_to_the_modules():
    net = network()
    (probe,) = samples((1,), ((2, 3),))
    engine = CudaGraphEngine(net, 0, PAD, probe, 1, replayed)
    noise = noise_of(net, 1)
    prefix = CleanPrefix(noise, clean_steps(torch.tensor([1]), noise.shape[1]))
    assert engine.run([probe], noise.numpy(), prefix) is None


def test_an_engine_that_continues_otherwise_is_refused(learned, monkeypatch):
    run = ReferenceEngine.run

    def other(self, samples, noise, prefix=None):
        output = run(self, samples, noise, prefix)
        return dataclasses.replace(output, chunks=output.chunks + 0.1 * (prefix is not None))

    monkeypatch.setattr(build, "ONNX_WEIGHTS", 0)
    monkeypatch.setattr(ReferenceEngine, "run", other)
    with pytest.raises(build.ModalityError, match="the fast engine and the reference path differ"):
        build_policy(learned, engine="fast")
