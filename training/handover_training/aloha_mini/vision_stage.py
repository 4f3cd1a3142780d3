"""Vision pre-training: two auxiliary heads, discarded afterwards, regress the objects' positions.

Every feature that the action head will read (image tokens and the text after them) must tell the
objects' places, and the vision tower's patches must say which of them an object is in.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from handover_model.network import Backbone
from torch import Tensor, nn
from torch.nn import functional

from handover_training.aloha_mini.checkpoint import put_backbone
from handover_training.aloha_mini.configs import VisionConfig
from handover_training.aloha_mini.data.snapshots import (
    OBJECTS,
    TASK_TEXTS,
    Snapshots,
    join,
    load_snapshots,
    snapshot_files,
)
from handover_training.aloha_mini.network import SHIPPED, draw_network
from handover_training.aloha_mini.processing import IMAGE_TOKENS, prepare_image
from handover_training.aloha_mini.stage import (
    load_state,
    run_stage,
    save_state,
    save_tensors,
)
from handover_training.aloha_mini.tokenizer import SentencePrompts, random_sentence
from handover_training.network.averages import AveragedWeights

AVERAGE_DECAY = 0.995
BACKBONE = "backbone."
MIDDLE = (0.0, 0.5, 0.1)  # m; places are learned about this point,
SCALE_M = 0.1  # in these units
TOLERANCE = 0.05  # 5 mm: errors below count quadratically
TEXT_AFTER_IMAGE = 3  # tokens

# gym-aloha's top camera (scene.xml, camera "top"): it looks straight down
_CAMERA = (0.0, 0.6, 0.8)  # m
_FOCAL = 0.5 / np.tan(np.radians(78 / 2))  # in image heights
CROP = 0.95


def train_vision(config: VisionConfig, report: Callable[[str], None]) -> None:
    """Train; the same settings continue an interrupted run."""
    stage = VisionStage(config)
    run_stage(stage, config.steps, every=config.save_steps, what="vision stage", report=report)
    stage.save()


@dataclass(frozen=True)
class Localization:
    """The two heads' outputs for B images."""

    places: Tensor
    """(B, tokens, 3 objects, 3), in units of SCALE_M about MIDDLE"""
    patches: Tensor
    """(B, patches, 3 objects) logits"""


class ObjectLocalizer(nn.Module):
    """A backbone with its two heads."""

    def __init__(self, backbone: Backbone, width: int, vision_width: int) -> None:
        super().__init__()
        self.backbone = backbone
        self.norm = nn.LayerNorm(width, elementwise_affine=False)
        self.place_head = nn.Linear(width, OBJECTS * 3)
        self.patch_head = nn.Linear(vision_width, OBJECTS)

    def forward(self, pixels: Tensor, input_ids: Tensor, attention_mask: Tensor) -> Localization:
        """Locate: (B, 3, H, W), (B, S), (B, S)."""
        images = pixels.split(1)
        output = self.backbone(images, input_ids, attention_mask, keeps_patches=True)
        assert output.patches is not None
        patches = torch.stack(output.patches)
        # left-padded rows end alike: image tokens, then the text after them
        count = int(output.image_mask[0].sum())
        read = output.features[:, -(count + TEXT_AFTER_IMAGE) :]
        places = self.place_head(self.norm(read)).unflatten(-1, (OBJECTS, 3))
        return Localization(places, self.patch_head(patches.flatten(1, 2)))


def patch_targets(places: np.ndarray, grid: int) -> np.ndarray:
    """Share each object among the four nearest patches: (N, 3, 3) -> (N, grid * grid, 3) float32.

    The shares' mean position is the object's. Objects of the other task have none.
    """
    depth = _CAMERA[2] - places[..., 2]
    across = 0.5 + _FOCAL * (places[..., 0] - _CAMERA[0]) / depth
    down = 0.5 - _FOCAL * (places[..., 1] - _CAMERA[1]) / depth
    targets = np.zeros((len(places), grid, grid, OBJECTS), np.float32)
    for sample, thing in zip(*np.nonzero(np.isfinite(depth)), strict=True):
        at = [((axis[sample, thing] - 0.5) / CROP + 0.5) * grid - 0.5 for axis in (down, across)]
        y, x = np.clip(at, 0, grid - 1.001)
        top, left = int(y), int(x)
        for dy, share_y in ((0, 1 - (y - top)), (1, y - top)):
            for dx, share_x in ((0, 1 - (x - left)), (1, x - left)):
                targets[sample, top + dy, left + dx, thing] = share_y * share_x
    return targets.reshape(len(places), grid * grid, OBJECTS)


def place_targets(snapshots: Snapshots) -> np.ndarray:
    """Return places in the heads' units: (N, 3, 3) float32, NaN for objects that are not there."""
    return ((snapshots.places - np.array(MIDDLE)) / SCALE_M).astype(np.float32)


def location_loss(located: Localization, places: Tensor, patches: Tensor) -> tuple[Tensor, Tensor]:
    """Compare with (B, 3, 3) places and (B, patches, 3) shares; returns both heads' losses."""
    there = torch.isfinite(places).all(-1)
    wanted = torch.where(there[..., None], places, torch.zeros_like(places))
    errors = functional.smooth_l1_loss(
        located.places, wanted[:, None].expand_as(located.places), reduction="none", beta=TOLERANCE
    )
    weight = there[:, None, :, None].to(errors.dtype).expand_as(errors)
    place_loss = (errors * weight).sum() / weight.sum()
    log_shares = located.patches.log_softmax(dim=1)
    patch_loss = -(patches * log_shares).sum() / there.sum()
    return place_loss, patch_loss


class VisionStage:
    """Trains an ObjectLocalizer; see VisionConfig."""

    def __init__(self, config: VisionConfig) -> None:
        self._config = config
        network = draw_network(SHIPPED, config.seed)
        if config.start is not None:
            put_backbone(network, config.start)
        eagle = network.eagle
        widths = eagle.text_config.hidden_size, eagle.vision_config.hidden_size
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(config.seed)  # of the two heads
            self._locator = ObjectLocalizer(network.backbone, *widths)
        self._prompts = SentencePrompts(IMAGE_TOKENS)
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
        self._average.follow(self._locator)
        drift = 0.98 if self._average.steps > 1 else 0.0
        now = (place_loss.item(), patch_loss.item())
        self._losses = tuple(
            drift * old + (1 - drift) * new for old, new in zip(self._losses, now, strict=True)
        )

    def describe(self) -> str:
        """Measure the averaged weights on held-out episodes."""
        with self._average.used_in(self._locator):
            errors = self._held_out_errors()
        return (
            f"step {self._average.steps}, {len(self._data)} snapshots, "
            f"places {self._losses[0]:.4f}, patches {self._losses[1]:.3f}; "
            f"held out, median mm: {errors}"
        )

    def save(self) -> None:
        """Write the averages for the next stage, and the state to continue from."""
        averages = self._average.weights
        backbone = {key: value for key, value in averages.items() if key.startswith(BACKBONE)}
        save_tensors(self._config.output, backbone, {})
        save_state(self._state, self._locator, self._average, self._optimizer)

    def _read(self) -> None:
        files = snapshot_files(self._config.snapshots)
        self._data = join([load_snapshots(file, prepare_image) for file in files])
        self._places = place_targets(self._data)
        self._patches = patch_targets(self._data.places, SHIPPED.vision.position_grid)
        held = self._data.seeds % self._config.held_out < 2  # two: one of each task
        self._train, self._held = np.flatnonzero(~held), np.flatnonzero(held)

    def _losses_of(self, chosen: np.ndarray, *, jitter: bool) -> tuple[torch.Tensor, torch.Tensor]:
        pixels = torch.from_numpy(self._data.frames[chosen]).permute(0, 3, 1, 2) / 127.5 - 1
        if jitter:  # brightness and contrast
            gains = torch.from_numpy(self._rng.uniform(0.9, 1.1, (len(chosen), 1, 1, 1))).float()
            shifts = torch.from_numpy(self._rng.normal(0, 0.03, (len(chosen), 3, 1, 1))).float()
            pixels = pixels * gains + shifts
        sentences = [TASK_TEXTS[task] for task in self._data.tasks[chosen]]
        if jitter:  # half of the sentences are other tasks'
            sentences = [
                random_sentence(self._rng) if self._rng.random() < 0.5 else one for one in sentences
            ]
        ids, mask = self._prompts.batch(sentences)
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
