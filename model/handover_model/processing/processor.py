"""Processor: from observations to the network's inputs, and from its outputs to actions.

It holds a checkpoint's settings and no state between calls: two robots may share it.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch

from handover_model.errors import ModalityError
from handover_model.network.groot import ModelInput, TrainingTarget
from handover_model.processing.augmentation import Augmentation, augment
from handover_model.processing.image import check_frame, prepare_frame, prepared_size
from handover_model.processing.padding import cut_action, pad_state
from handover_model.processing.processor_config import ProcessorConfig
from handover_model.processing.samples import ByteSample, NetworkSample, RawSample, TrainingSample
from handover_model.processing.state_action import Groups, StateActionCodec
from handover_model.processing.tokenizer import (
    PromptTokenizer,
    formalize,
    pad_left,
    render_prompt,
)

NO_AUGMENTATION = Augmentation()


@dataclass(frozen=True)
class Processor:
    """Prepares one embodiment's data for the network and decodes its chunks."""

    config: ProcessorConfig
    tag: str
    tokenizer: PromptTokenizer
    codec: StateActionCodec
    image_side: int
    """Side in pixels of an image token; image sides become multiples of it"""

    @property
    def horizon(self) -> int:
        """Steps of a decoded chunk."""
        return self.codec.modality.action.steps

    def prepare(
        self,
        cameras: Mapping[str, Sequence[np.ndarray]],
        state: Groups,
        task: str,
        augmentation: Augmentation = NO_AUGMENTATION,
    ) -> ByteSample:
        """Prepare one observation; its frames stay bytes.

        cameras: {name: frames, oldest first}, each (h, w, 3) uint8 RGB; state: {group: (steps,
        dim)}, raw; task: the instruction. Raises ModalityError naming what is missing or misshapen.
        """
        frames = tuple(
            prepare_frame(
                augment(frame, augmentation), self.config.image, self.image_side, augmentation.place
            )
            for frame in self._ordered_frames(cameras)
        )
        return self._sample(frames, [frame.shape[:2] for frame in frames], state, task)

    def prepare_raw(
        self, cameras: Mapping[str, Sequence[np.ndarray]], state: Groups, task: str
    ) -> RawSample:
        """Prepare one observation except for its frames, which stay as they came."""
        frames, options = tuple(self._ordered_frames(cameras)), self.config.image
        for frame in frames:
            check_frame(frame)
        sizes = [
            prepared_size(frame.shape[0], frame.shape[1], options, self.image_side)
            for frame in frames
        ]
        sample = self._sample(frames, sizes, state, task)
        return RawSample(
            frames, sample.input_ids, sample.state, sample.embodiment, options, self.image_side
        )

    def _sample(
        self,
        frames: tuple[np.ndarray, ...],
        sizes: Sequence[tuple[int, ...]],
        state: Groups,
        task: str,
    ) -> ByteSample:
        """Make a sample of frames, a prompt for images of these sizes, and a state."""
        tokens = [height * width // self.image_side**2 for height, width in sizes]
        instruction = formalize(task) if self.config.formalize_language else task
        input_ids = self.tokenizer.encode(render_prompt(instruction, tokens))
        placeholders = int((input_ids == self.tokenizer.image_token).sum())
        if placeholders != sum(tokens):
            raise ModalityError("the task contains image placeholders; leave them out")
        self._check_state(state)
        padded = pad_state(self.codec.normalize_state(state), self.config.max_state_dim)
        embodiment = self.config.embodiment_ids[self.tag]
        return ByteSample(frames, input_ids, padded, embodiment)

    def collate(self, samples: Sequence[NetworkSample]) -> ModelInput:
        """Collate samples to one batch; shorter texts are padded on the left."""
        ids, mask = pad_left([sample.input_ids for sample in samples], self.tokenizer.pad_token)
        return ModelInput(
            [image for sample in samples for image in sample.images],
            torch.from_numpy(ids),
            torch.from_numpy(mask),
            torch.from_numpy(np.stack([sample.state for sample in samples])),
            torch.tensor([sample.embodiment for sample in samples]),
        )

    def collate_training(
        self, samples: Sequence[TrainingSample]
    ) -> tuple[ModelInput, TrainingTarget]:
        """Collate training samples to one batch."""
        target = TrainingTarget(
            torch.from_numpy(np.stack([sample.action for sample in samples])),
            torch.from_numpy(np.stack([sample.action_mask for sample in samples])),
        )
        return self.collate([sample.sample for sample in samples]), target

    def decode(self, chunk: np.ndarray, state: Groups) -> dict[str, np.ndarray]:
        """Decode the network's chunk to actions.

        chunk: (..., horizon, max_action_dim); state: the raw state groups of the same observation.
        Returns {group: (..., steps, dim)} float32, absolute, in physical units.
        """
        keys = self.codec.modality.action.keys
        dims = [self.codec.action_dim(key) for key in keys]
        cut = cut_action(chunk, keys, dims, self.horizon)
        restored = self.codec.restore_action(cut, state)
        return {key: values.astype(np.float32) for key, values in restored.items()}

    def _ordered_frames(self, cameras: Mapping[str, Sequence[np.ndarray]]) -> list[np.ndarray]:
        """Order frames by time, then by camera, as the modality lists them."""
        video = self.codec.modality.video
        for name in video.keys:
            if name not in cameras:
                have = ", ".join(cameras) or "none"
                raise ModalityError(f"camera {name!r} is missing; there is {have}")
            if len(cameras[name]) != video.steps:
                raise ModalityError(
                    f"camera {name!r} has {len(cameras[name])} frames, expected {video.steps}"
                )
        return [cameras[name][step] for step in range(video.steps) for name in video.keys]

    def _check_state(self, state: Groups) -> None:
        modality = self.codec.modality.state
        for key in modality.keys:
            if key in state and state[key].shape != (modality.steps, self.codec.state_dim(key)):
                raise ModalityError(
                    f"state {key!r} has shape {state[key].shape}, expected "
                    f"({modality.steps}, {self.codec.state_dim(key)})"
                )
            if key in state and not np.isfinite(state[key]).all():
                raise ModalityError(f"state {key!r} holds NaN or infinite values")


def make_processor(
    config: ProcessorConfig, tokenizer: PromptTokenizer, tag: str, image_side: int
) -> Processor:
    """Make the processor of one embodiment; ModalityError if the checkpoint lacks its parts."""
    for what, entries in (
        ("modality configuration", config.modalities),
        ("statistics", config.statistics),
        ("slot number", config.embodiment_ids),
    ):
        if tag not in entries:
            raise ModalityError(
                f"the checkpoint has no {what} for the embodiment {tag!r}; it has "
                f"{', '.join(sorted(entries))}"
            )
    codec = StateActionCodec(config.modalities[tag], config.statistics[tag], config.normalize)
    return Processor(config, tag, tokenizer, codec, image_side)
