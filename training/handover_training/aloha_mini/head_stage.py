"""The head stage: the action head learns from features of the frozen backbone."""

import copy
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from handover_model.network import BackboneOutput, Gr00tNetwork, draw_flow, read_json
from handover_model.processing import (
    EmbodimentStatistics,
    Processor,
    pad_action,
    pad_state,
    parse_statistics,
    statistics_json,
)
from torch import Tensor

from handover_training.aloha_mini.checkpoint import open_start, write_mini
from handover_training.aloha_mini.configs import HeadConfig
from handover_training.aloha_mini.head_features import EncodedSamples, encode_samples
from handover_training.aloha_mini.processing import (
    IMAGE_TOKENS,
    chunk_statistics,
    groups_of,
    mini_processor,
    open_processor,
    widened,
)
from handover_training.aloha_mini.stage import (
    load_state,
    run_stage,
    save_state,
)
from handover_training.aloha_mini.state_noise import make_noise
from handover_training.aloha_mini.tokenizer import TaskPrompts
from handover_training.checkpoints.folders import write_json
from handover_training.network.averages import AveragedWeights

AVERAGE_DECAY = 0.995
HELD_OUT_SAMPLES = 256
STATISTICS = "statistics.json"
_LEAST_RANGE = 1e-6  # an action slot that varies less is constant


def train_head(config: HeadConfig, report: Callable[[str], None]) -> None:
    """Train, and write checkpoints; the same settings continue an interrupted run."""
    stage = HeadStage(config)

    def write(name: str) -> None:
        write_mini(config.output / name, stage.averaged(), stage.processor)

    run_stage(
        stage,
        config.steps,
        every=config.save_steps,
        what="head stage",
        report=report,
        at_save=lambda steps: write(f"step-{steps}"),
    )
    write("final")


@dataclass(frozen=True)
class HeadSamples:
    """N states and chunks as the action head takes them."""

    states: np.ndarray
    """(N, 1, width) float32, normalized"""
    actions: np.ndarray
    """(N, 16, width) float32, normalized"""


class HeadStage:
    """Trains the action head of a network whose backbone is done; see HeadConfig."""

    def __init__(self, config: HeadConfig) -> None:
        self._config = config
        start = open_start(config)
        self._network = start.network
        self._seen = encode_samples(config, self._network.backbone)
        statistics = keep_statistics(config.output / STATISTICS, self._seen, start.statistics)
        self.processor = mini_processor(statistics)
        self._samples = normalize_samples(open_processor(self.processor), self._seen)
        self._prompts = TaskPrompts(IMAGE_TOKENS)
        held = self._seen.seeds % config.held_out < 2  # two: one of each task
        self._train, self._held = np.flatnonzero(~held), np.flatnonzero(held)
        self._shares = equal_tasks(self._seen.tasks[self._train])
        width = self.processor.max_state_dim
        self._noise = make_noise(statistics, width, config.state_noise_rad)
        self._head = self._network.action_head
        self._slots = self._leave_out_constants()
        self._average = AveragedWeights(self._head, AVERAGE_DECAY)
        self._optimizer = torch.optim.AdamW(
            self._head.parameters(), lr=config.learning_rate, weight_decay=1e-4
        )
        self._state = config.output / "state.safetensors"
        load_state(self._state, self._head, self._average, self._optimizer)
        self._rng = np.random.default_rng()  # drawn anew for each step
        self._loss = 0.0

    @property
    def steps(self) -> int:
        """Steps taken so far."""
        return self._average.steps

    def step(self, rate_share: float) -> None:
        """Take one step; its draws depend on its number, not on where the run began."""
        self._rng = np.random.default_rng([self._config.seed, 1, self._average.steps])
        for group in self._optimizer.param_groups:
            group["lr"] = self._config.learning_rate * rate_share
        chosen = self._rng.choice(self._train, self._config.batch_size, p=self._shares)
        loss = self._loss_of(chosen)
        self._optimizer.zero_grad(set_to_none=True)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(self._head.parameters(), 1.0)
        self._optimizer.step()
        self._average.follow(self._head)
        drift = 0.99 if self._loss else 0.0
        self._loss = drift * self._loss + (1 - drift) * loss.item()

    def save(self) -> None:
        """Write the state to continue from."""
        save_state(self._state, self._head, self._average, self._optimizer)

    def averaged(self) -> Gr00tNetwork:
        """Return a copy of the network with the head's averaged weights."""
        with self._average.used_in(self._head):
            return copy.deepcopy(self._network).eval()

    @torch.no_grad()
    def describe(self) -> str:
        """Measure the averaged weights on held-out episodes: chunk errors in normalized units."""
        chosen = self._held[:: max(1, len(self._held) // HELD_OUT_SAMPLES)]
        inputs = self._inputs(chosen)
        wanted = torch.from_numpy(self._samples.actions[chosen])
        draw = np.random.default_rng(0).standard_normal(wanted.shape, dtype=np.float32)
        with self._average.used_in(self._head):
            chunks = self._head.generate(*inputs, torch.from_numpy(draw))
        errors = (chunks - wanted).square()[..., self._slots > 0].mean(dim=(1, 2))
        tasks = torch.from_numpy(self._seen.tasks[chosen])
        rms = [errors[tasks == task].mean().sqrt().item() for task in (0, 1)]
        return (
            f"step {self._average.steps}, {len(self._train)} samples, loss {self._loss:.4f}; "
            f"held out, rms: transfer {rms[0]:.4f}, insertion {rms[1]:.4f}"
        )

    def _leave_out_constants(self) -> Tensor:
        """Close the inputs of constant action slots; returns which slots count: (width,) float32.

        They are left out of the loss, so nothing would keep their noise from disturbing the rest.
        """
        actions = self._samples.actions
        spread = actions.max((0, 1)) - actions.min((0, 1))
        slots = torch.from_numpy((spread > _LEAST_RANGE).astype(np.float32))
        weight = self._head.action_encoder.W1.W
        with torch.no_grad():
            weight.mul_(slots[:, None])
        weight.register_hook(lambda gradient: gradient * slots[:, None])
        return slots

    def _loss_of(self, chosen: np.ndarray) -> Tensor:
        backbone, state, slot = self._inputs(chosen)
        state_error, action_error = self._noise.draw(len(chosen), self._rng)
        action = torch.from_numpy(self._samples.actions[chosen] + action_error)
        draw = draw_flow(self._network.config, len(chosen), self._rng)
        noisy = state + torch.from_numpy(state_error)
        mask = self._slots.expand_as(action)
        return self._head.loss(backbone, noisy, slot, action, mask, draw).loss

    def _inputs(self, chosen: np.ndarray) -> tuple[BackboneOutput, Tensor, Tensor]:
        ids, mask = self._prompts.batch(self._seen.tasks[chosen])
        features = torch.from_numpy(self._seen.features[chosen])
        image = ids == self._network.backbone.image_token
        state = torch.from_numpy(self._samples.states[chosen])
        slot = torch.zeros(len(chosen), dtype=torch.int64)
        return BackboneOutput(features, mask == 1, image), state, slot


def keep_statistics(
    path: Path, seen: EncodedSamples, known: EmbodimentStatistics | None
) -> EmbodimentStatistics:
    """Measure the samples, once: a run that continues with more data keeps its normalization.

    known: those of the checkpoint that the run started from; they are kept too, but their ranges
    are widened as the samples need, since what is beyond them would be cut off
    """
    if path.exists():
        return parse_statistics(read_json(path), str(path))
    statistics = chunk_statistics(seen.states, seen.chunks)
    if known is not None:
        statistics = widened(known, statistics)
    write_json(path, statistics_json(statistics))
    return statistics


def normalize_samples(processor: Processor, seen: EncodedSamples) -> HeadSamples:
    """Normalize and pad states and chunks."""
    config, states, actions = processor.config, [], []
    for state, chunk in zip(seen.states, seen.chunks, strict=True):
        raw = groups_of(state[None])
        states.append(pad_state(processor.codec.normalize_state(raw), config.max_state_dim))
        normalised = processor.codec.normalize_action(groups_of(chunk), raw)
        action, _ = pad_action(normalised, config.max_action_horizon, config.max_action_dim)
        actions.append(action)
    return HeadSamples(np.stack(states), np.stack(actions))


def equal_tasks(tasks: np.ndarray) -> np.ndarray:
    """Return each sample's probability: tasks count alike, however many samples they have."""
    weights = 1 / np.bincount(tasks)[tasks]
    return weights / weights.sum()
