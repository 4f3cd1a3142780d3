import dataclasses

import numpy as np
import pytest
import torch
from handover_model.checkpoints.checkpoint import load_checkpoint
from handover_model.errors import CheckpointError, ModalityError
from handover_model.processing.augmentation import Augmentation
from handover_model.processing.modality import Modality
from handover_model.processing.padding import pad_action
from handover_model.processing.processor import make_processor
from handover_model.processing.processor_config import (
    load_processor_config,
    processor_files,
    save_processor_config,
)
from handover_model.processing.samples import TrainingSample
from handover_proto.embodiment import GR1_DIMS

from ..observations import frame, state_groups

HORIZON = 16


@pytest.fixture(scope="module")
def processor(mini):
    return load_checkpoint(mini).processor()


def watching(processor, **video):
    """The same processor with other cameras."""
    modality = dataclasses.replace(processor.codec.modality, video=Modality(**video))
    config = dataclasses.replace(processor.config, modalities={processor.tag: modality})
    return make_processor(config, processor.tokenizer, processor.tag, processor.image_side)


def action_groups(state):
    """Actions near the state, within the ranges of the data."""
    generator = np.random.default_rng(4)
    return {
        name: (state[name] + generator.normal(0, 0.02, (HORIZON, dim))).astype(np.float32)
        for name, dim in GR1_DIMS.items()
    }


def test_one_observation_becomes_ids_image_and_state(processor):
    sample = processor.prepare(
        {"ego_view": [frame(height=256, width=256)]}, state_groups(), "Go!"
    ).scaled()
    assert [tuple(image.shape) for image in sample.images] == [(1, 3, 252, 252)]
    assert (sample.input_ids == processor.tokenizer.image_token).sum() == 81
    assert sample.state.shape == (1, 32)
    assert (sample.state[0, sum(GR1_DIMS.values()) :] == 0).all()
    assert sample.embodiment == processor.config.embodiment_ids["gr1"]


def test_frames_are_ordered_by_time_then_camera(processor):
    two = watching(processor, keys=("top", "wrist"), delta_indices=(-1, 0))
    frames = {"wrist": [frame(3), frame(4)], "top": [frame(1), frame(2)]}
    sample = two.prepare(frames, state_groups(), "go").scaled()
    single = watching(processor, keys=("top",))
    want = [
        single.prepare({"top": [frame(k)]}, state_groups(), "go").scaled().images[0]
        for k in (1, 3, 2, 4)
    ]
    assert len(sample.images) == 4
    for got, image in zip(sample.images, want, strict=True):
        assert torch.equal(got, image)
    text = processor.tokenizer.tokenizer.decode(
        sample.input_ids.tolist(), skip_special_tokens=False
    )
    assert "<image 4><img>" in text


def test_cameras_may_have_different_sizes(processor):
    two = watching(processor, keys=("top", "wrist"))
    frames = {"top": [frame(height=480, width=640)], "wrist": [frame(height=64, width=64)]}
    sample = two.prepare(frames, state_groups(), "go").scaled()
    assert [tuple(image.shape[-2:]) for image in sample.images] == [(252, 336), (252, 252)]
    assert (sample.input_ids == processor.tokenizer.image_token).sum() == 108 + 81


def test_shorter_texts_are_padded_on_the_left(processor):
    tasks = ("insert", "insert the peg into the socket and hold it there")
    samples = [
        processor.prepare({"ego_view": [frame(k)]}, state_groups(k), task).scaled()
        for k, task in enumerate(tasks)
    ]
    batch = processor.collate(samples)
    lengths = [len(sample.input_ids) for sample in samples]
    assert lengths[0] < lengths[1]
    assert batch.attention_mask.sum(1).tolist() == lengths
    assert batch.attention_mask[0, 0] == 0
    assert batch.input_ids[0, 0] == processor.tokenizer.pad_token
    assert len(batch.images) == 2
    assert batch.state.shape == (2, 1, 32)


def test_a_demonstrated_chunk_comes_back(processor):
    state = state_groups()
    action = action_groups(state)
    observation = processor.prepare({"ego_view": [frame()]}, state, "go").scaled()
    padded = pad_action(processor.codec.normalize_action(action, state), HORIZON, 32)
    prepared = TrainingSample(observation, *padded)
    assert prepared.action.shape == prepared.action_mask.shape == (HORIZON, 32)
    assert prepared.action_mask.sum() == HORIZON * 29
    for name, values in processor.decode(prepared.action, state).items():
        moving = slice(None, 2) if name == "waist" else slice(None)  # the last slot is constant
        np.testing.assert_allclose(values[:, moving], action[name][:, moving], atol=1e-5)
        assert values.dtype == np.float32
    batch, target = processor.collate_training([prepared, prepared])
    assert len(batch.input_ids) == len(target.action) == len(target.action_mask) == 2


def test_an_augmented_sample_differs_in_its_image_alone(processor):
    arguments = ({"ego_view": [frame()]}, state_groups(), "go")
    plain = processor.prepare(*arguments).scaled()
    for change in (Augmentation(place=(0.0, 1.0)), Augmentation(brightness=1.1)):
        moved = processor.prepare(*arguments, change).scaled()
        assert not torch.equal(plain.images[0], moved.images[0])
        np.testing.assert_array_equal(plain.input_ids, moved.input_ids)
        np.testing.assert_array_equal(plain.state, moved.state)


def test_nothing_is_remembered_between_calls(processor):
    chunk = np.random.default_rng(0).normal(size=(HORIZON, 32)).astype(np.float32)
    first, second = state_groups(1), state_groups(2)
    alone = processor.decode(chunk, first)
    processor.prepare({"ego_view": [frame()]}, second, "another task")
    processor.decode(chunk, second)
    for name, values in processor.decode(chunk, first).items():
        np.testing.assert_array_equal(values, alone[name])


def broken(**changes):
    values = {"cameras": {"ego_view": [frame()]}, "state": state_groups(), "task": "go"}
    return {**values, **changes}


@pytest.mark.parametrize(
    ("observation", "said"),
    [
        (broken(cameras={"top": [frame()]}), "camera 'ego_view' is missing; there is top"),
        (broken(cameras={"ego_view": [frame(), frame()]}), "has 2 frames, expected 1"),
        (broken(state={}), "state 'left_arm' is missing"),
        (broken(state={**state_groups(), "waist": np.zeros((1, 4), np.float32)}), r"\(1, 3\)"),
        (broken(state={**state_groups(), "waist": np.full((1, 3), np.nan, np.float32)}), "NaN"),
    ],
)
def test_observations_that_do_not_fit_are_refused(processor, observation, said):
    with pytest.raises(ModalityError, match=said):
        processor.prepare(**observation)


def test_a_task_cannot_smuggle_image_placeholders_in(processor):
    literal = dataclasses.replace(
        processor, config=dataclasses.replace(processor.config, formalize_language=False)
    )
    with pytest.raises(ModalityError, match="contains image placeholders"):
        literal.prepare(**broken(task="go <IMG_CONTEXT>"))
    processor.prepare(**broken(task="go <IMG_CONTEXT>"))  # formalizing drops the brackets


def test_an_embodiment_that_the_checkpoint_lacks_is_refused(processor):
    with pytest.raises(ModalityError, match="embodiment 'unitree'; it has gr1"):
        make_processor(processor.config, processor.tokenizer, "unitree", 28)


def test_the_three_files_survive_being_written(processor, tmp_path):
    save_processor_config(processor.config, tmp_path)
    read = load_processor_config(tmp_path)
    written = processor_files(processor.config)
    assert processor_files(read)["processor_config.json"] == written["processor_config.json"]
    assert processor_files(read)["statistics.json"] == written["statistics.json"]
    assert read.embodiment_ids["gr1"] == processor.config.embodiment_ids["gr1"]


@pytest.mark.parametrize("content", ["{}", '{"processor_kwargs": {}}'])
def test_a_processor_without_modalities_is_refused(processor, tmp_path, content):
    save_processor_config(processor.config, tmp_path)
    (tmp_path / "processor_config.json").write_text(content)
    with pytest.raises(CheckpointError, match="modality_configs"):
        load_processor_config(tmp_path)
