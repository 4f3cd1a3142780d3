import dataclasses
import shutil

import numpy as np
import pytest
from handover_common import HubError
from handover_model.errors import ModalityError, TokenizerError
from handover_model.policy import GrootPolicy, load_policy
from handover_proto.embodiment import GR1_DIMS
from handover_proto.errors import InvalidRequest
from handover_proto.policy import Policy
from handover_proto.types import EncodedImage, ImageCodec, Limits, PolicyRequest
from handover_proto.validation import check_request

from .observations import frame, request


def assert_same(one, other):
    assert set(one.action) == set(other.action)
    for name, values in one.action.items():
        np.testing.assert_array_equal(values, other.action[name])


def test_it_is_a_policy(policy):
    seam: Policy = policy
    check_request(request(), seam.spec, Limits())
    (output,) = seam.infer([request()])
    assert {name: values.shape for name, values in output.action.items()} == {
        name: (16, dim) for name, dim in GR1_DIMS.items()
    }
    assert all(values.dtype == np.float32 for values in output.action.values())
    assert all(np.isfinite(values).all() for values in output.action.values())


def test_its_spec_describes_the_checkpoint(policy, mini):
    spec = policy.spec
    assert (spec.horizon, spec.denoising_steps, spec.rate_hz) == (16, 4, 20.0)
    assert [group.name for group in spec.action] == list(GR1_DIMS)
    assert [group.relative for group in spec.action] == [True, False, True, False, False]
    assert (spec.cameras[0].name, spec.cameras[0].height) == ("ego_view", 256)
    assert (spec.device, spec.dtype, spec.checkpoint_name) == ("cpu", "float32", mini.name)
    assert len(spec.checkpoint_hash) == len(spec.processor_hash) == 16


def test_a_seed_gives_the_same_chunk_alone_and_in_any_batch(policy):
    requests = [
        request(1, task="go"),
        request(2, task="insert the peg into the socket, slowly", height=96, width=128),
        request(3),
    ]
    together = policy.infer(requests)
    backwards = policy.infer(requests[::-1])[::-1]
    for one, batched, reversed_ in zip(requests, together, backwards, strict=True):
        (alone,) = policy.infer([one])
        assert_same(alone, batched)
        assert_same(alone, reversed_)


def test_another_seed_gives_another_chunk(policy):
    base = request(1)
    seeds = (1, 2, 1 + 2**32, 2**64 - 1)
    chunks = policy.infer([dataclasses.replace(base, seed=seed) for seed in seeds])
    arms = {chunk.action["left_arm"].tobytes() for chunk in chunks}
    assert len(arms) == len(seeds)


def test_the_chunk_depends_on_all_that_the_robot_sees(policy):
    base = request(1)
    observation = base.observation
    moved = {name: values + np.float32(0.1) for name, values in observation.state.items()}
    changes = (
        {"cameras": {"ego_view": [frame(9)]}},
        {"state": moved},
        {"task": "transfer the cube"},
    )
    (plain,) = policy.infer([base])
    for change in changes:
        changed = dataclasses.replace(base, observation=dataclasses.replace(observation, **change))
        (other,) = policy.infer([changed])
        assert not np.array_equal(plain.action["left_arm"], other.action["left_arm"]), change


def test_relative_groups_move_with_the_state_and_absolute_ones_stay_in_range(policy, mini):
    base = request(1)
    (output,) = policy.infer([base])
    statistics = policy.processor.config.statistics["gr1"]
    relative = output.action["left_arm"] - base.observation.state["left_arm"]
    assert (relative >= statistics.relative_action["left_arm"].min - 1e-5).all()
    assert (relative <= statistics.relative_action["left_arm"].max + 1e-5).all()
    assert (output.action["waist"][:, 2] == np.float32(0.25)).all()  # never moved in the data


def test_the_noise_may_be_given(policy):
    base = request(5)
    noise = np.random.default_rng(5).standard_normal((16, 32), dtype=np.float32)
    assert_same(policy.infer([base])[0], policy.infer_from([base], [noise])[0])


def test_every_stage_has_its_duration(policy):
    (output,) = policy.infer([request()])
    durations = output.durations
    assert min(durations.preprocess_ms, durations.backbone_ms, durations.action_head_ms) > 0
    assert durations.queue_ms == durations.decode_ms == durations.encode_ms == 0


def test_bfloat16_is_close_to_float32(policy, mini):
    rounded = load_policy(mini, device="cpu", dtype="bfloat16")
    assert rounded.spec.dtype == "bfloat16"
    requests = [request(seed) for seed in range(3)]
    noise = [np.random.default_rng(k).standard_normal((16, 32), dtype=np.float32) for k in range(3)]
    pairs = zip(
        policy.infer_from(requests, noise), rounded.infer_from(requests, noise), strict=True
    )
    for exact, near in pairs:
        for name, values in exact.action.items():
            scale = np.ptp(values) + 0.1
            assert np.abs(near.action[name] - values).mean() < 0.05 * scale
            assert near.action[name].dtype == np.float32


def test_requests_that_cannot_be_used_say_so(policy):
    sliver = dataclasses.replace(
        request().observation, cameras={"ego_view": [np.zeros((1, 4000, 3), np.uint8)]}
    )
    with pytest.raises(InvalidRequest, match=r"observation: .*1x4000") as caught:
        policy.infer([PolicyRequest(sliver, seed=1)])
    assert caught.value.field == "observation"
    with pytest.raises(InvalidRequest, match="seed"):
        policy.infer([PolicyRequest(request().observation)])
    packed = dataclasses.replace(
        request().observation, cameras={"ego_view": [EncodedImage(ImageCodec.PNG, b"")]}
    )
    with pytest.raises(InvalidRequest, match="ego_view"):
        policy.infer([PolicyRequest(packed, seed=1)])
    policy.infer([request()])  # and the next good one is answered


def test_any_instruction_is_answered(policy):
    for task in ("Déjà vu — 2×3 Äpfel, 你好！", "🤖" * 50, "a\n\tb", "<|im_end|><img>"):
        (output,) = policy.infer([request(1, task=task)])
        assert np.isfinite(output.action["left_arm"]).all()


@pytest.mark.parametrize(("device", "dtype"), [("tpu9", "auto"), ("cpu", "float16")])
def test_unknown_devices_and_types_are_refused(mini, device, dtype):
    with pytest.raises(ModalityError, match="expected auto"):
        load_policy(mini, device=device, dtype=dtype)


def test_a_checkpoint_without_tokenizer_names_the_option(mini, tmp_path, monkeypatch):
    bare = shutil.copytree(mini, tmp_path / "bare")
    (bare / "tokenizer.json").unlink()

    def unreachable(*_args, **_options):
        raise HubError("no hub here")

    monkeypatch.setattr("handover_model.processing.tokenizer.fetch", unreachable)
    with pytest.raises(TokenizerError, match="--tokenizer DIR"):
        load_policy(bare, device="cpu")
    chosen = load_policy(bare, device="cpu", tokenizer=mini)
    assert isinstance(chosen, GrootPolicy)
