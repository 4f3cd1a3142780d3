"""The vision stage at work: batches of snapshots, steps, measurement, and its state on disk."""

import numpy as np
import torch
from handover_model.processing import ImageOptions

from handover_training.aloha_mini.averaged_weights import AveragedWeights
from handover_training.aloha_mini.data.snapshots import join, load_snapshots, snapshot_files
from handover_training.aloha_mini.locate_objects import LocateConfig
from handover_training.aloha_mini.locating import (
    SCALE_M,
    ObjectLocalizer,
    location_loss,
    patch_targets,
    place_targets,
)
from handover_training.aloha_mini.network import IMAGE_EDGE, draw_network
from handover_training.aloha_mini.prompts import TaskPrompts
from handover_training.aloha_mini.stage_state import averaged, load_state, save_state, save_tensors

AVERAGE_DECAY = 0.995
BACKBONE = "backbone."


class VisionStage:
    """Trains a Locator; see LocateConfig."""

    def __init__(self, config: LocateConfig) -> None:
        self._config = config
        network = draw_network(config.seed)
        eagle = network.eagle
        self._grid = IMAGE_EDGE // eagle.vision_config.patch_size
        self._locator = ObjectLocalizer(
            network.backbone, eagle.text_config.hidden_size, eagle.vision_config.hidden_size
        )
        self._prompts = TaskPrompts()
        self._pixels_per_token = eagle.pixels_per_token
        self._average = AveragedWeights(self._locator, AVERAGE_DECAY)
        self._optimizer = torch.optim.AdamW(
            self._locator.parameters(), lr=config.learning_rate, weight_decay=0.01
        )
        self._state = config.output.with_suffix(".state.safetensors")
        load_state(self._state, self._locator, self._average, self._optimizer)
        self._losses = (0.0, 0.0)
        self._rng = np.random.default_rng()  # drawn anew for each step
        self._read()

    @property
    def steps(self) -> int:
        """Steps taken so far."""
        return self._average.steps

    def step(self, rate_share: float) -> None:
        """Take one step; its draws depend on its number, not on where the run began."""
        self._rng = np.random.default_rng([self._config.seed, self._average.steps])
        chosen = self._rng.choice(self._train, self._config.batch_size)
        for group in self._optimizer.param_groups:
            group["lr"] = self._config.learning_rate * rate_share
        place_loss, patch_loss = self._losses_of(chosen, jitter=True)
        self._optimizer.zero_grad(set_to_none=True)
        (place_loss + 0.1 * patch_loss).backward()
        torch.nn.utils.clip_grad_norm_(self._locator.parameters(), 1.0)
        self._optimizer.step()
        self._average.follow(self._locator.named_parameters())
        drift = 0.98 if self._average.steps > 1 else 0.0
        now = (place_loss.item(), patch_loss.item())
        self._losses = tuple(
            drift * old + (1 - drift) * new for old, new in zip(self._losses, now, strict=True)
        )

    def describe(self) -> str:
        """Measure the averaged weights on held-out episodes."""
        with averaged(self._locator, self._average):
            errors = self._held_out_errors()
        return (
            f"step {self._average.steps}, {len(self._data)} snapshots, "
            f"places {self._losses[0]:.4f}, patches {self._losses[1]:.3f}; "
            f"held out, median mm: {errors}"
        )

    def save(self) -> None:
        """Write the averages for the next stage, and the state to go on from."""
        averages = self._average.weights
        backbone = {key: value for key, value in averages.items() if key.startswith(BACKBONE)}
        save_tensors(self._config.output, backbone, {})
        save_state(self._state, self._locator, self._average, self._optimizer)

    def _read(self) -> None:
        options = ImageOptions(shortest_image_edge=IMAGE_EDGE)
        files = snapshot_files(self._config.snapshots)
        self._data = join([load_snapshots(file, options, self._pixels_per_token) for file in files])
        self._places = place_targets(self._data)
        self._patches = patch_targets(self._data.places, self._grid)
        held = self._data.seeds % self._config.held_out < 2  # two: one of each task
        self._train, self._held = np.flatnonzero(~held), np.flatnonzero(held)

    def _losses_of(self, chosen: np.ndarray, *, jitter: bool) -> tuple[torch.Tensor, torch.Tensor]:
        pixels = torch.from_numpy(self._data.frames[chosen]).permute(0, 3, 1, 2) / 127.5 - 1
        if jitter:  # brightness and contrast
            gains = torch.from_numpy(self._rng.uniform(0.9, 1.1, (len(chosen), 1, 1, 1))).float()
            shifts = torch.from_numpy(self._rng.normal(0, 0.03, (len(chosen), 3, 1, 1))).float()
            pixels = pixels * gains + shifts
        ids, mask = self._prompts.batch(self._data.tasks[chosen])
        self._located = self._locator(pixels.contiguous(), ids, mask)
        places = torch.from_numpy(self._places[chosen])
        return location_loss(self._located, places, torch.from_numpy(self._patches[chosen]))

    @torch.no_grad()
    def _held_out_errors(self) -> str:
        errors = []
        for start in range(0, min(len(self._held), 192), 64):
            chosen = self._held[start : start + 64]
            self._losses_of(chosen, jitter=False)
            last = self._located.places[:, -1].numpy()
            errors.append(np.abs(last - self._places[chosen]) * SCALE_M * 1e3)
        if not errors:
            return "none"
        joined = np.nanmedian(np.concatenate(errors), axis=0)
        names = ("cube", "peg", "socket")
        return ", ".join(f"{n} {np.round(row, 1)}" for n, row in zip(names, joined, strict=True))
