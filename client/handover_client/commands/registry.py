"""Table of the commands: the module of each, its config, its extra, and a line about it.

Only strings: nothing of a command is imported before it is chosen.
"""

import importlib
import importlib.util
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Command:
    """One command of the command line."""

    module: str  # its `main(config)` does the work
    config: str  # "module:class", the frozen dataclass that it parses
    summary: str
    extra: str = ""  # brings the command's packages; empty where the base installation is enough

    def exists(self) -> bool:
        """Whether this installation has the command's module."""
        try:
            return importlib.util.find_spec(self.module) is not None
        except ModuleNotFoundError:  # its package is not installed at all
            return False

    def load(self) -> Callable[[Any], object]:
        """Import the function that does the work, `main(config)`."""
        return importlib.import_module(self.module).main

    def load_config(self) -> type[Any]:
        """Import the dataclass of the command's flags."""
        module, _, name = self.config.partition(":")
        return getattr(importlib.import_module(module), name)


_OURS = "handover_client.commands"

COMMANDS = {
    "record": Command(
        "handover_envs.record.command",
        "handover_envs.record.config:RecordConfig",
        "scripted demonstrations in MuJoCo, as a LeRobot dataset",
        extra="sim",
    ),
    "convert": Command(
        "handover_conversion.pipeline.command",
        "handover_conversion.pipeline.config:ConvertConfig",
        "LeRobot recordings to a GR00T dataset",
        extra="convert",
    ),
    "check": Command(
        "handover_conversion.check.command",
        "handover_conversion.check.config:CheckConfig",
        "what is wrong with a LeRobot or GR00T dataset, and what is strange in it",
        extra="convert",
    ),
    "view": Command(
        f"{_OURS}.view",
        "handover_client.view.config:ViewConfig",
        "one page to look at a dataset: videos, joints against actions, what is wrong",
        extra="replay",
    ),
    "finetune": Command(
        "handover_training.finetuning.command",
        "handover_training.finetuning.config:FinetuneConfig",
        "GR00T dataset to a finetuned checkpoint",
        extra="train",
    ),
    "calibrate": Command(
        "handover_training.calibrate.command",
        "handover_training.calibrate.config:CalibrateConfig",
        "FP8 scales of a checkpoint, from a dataset",
        extra="train",
    ),
    "card": Command(
        "handover_training.card.command",
        "handover_training.card.config:CardConfig",
        "what was measured of a checkpoint, into its metadata and card",
        extra="train",
    ),
    "serve": Command(
        "handover_server.serve.command",
        "handover_server.serve.config:ServeConfig",
        "a checkpoint as a gRPC policy server",
        extra="serve",
    ),
    "info": Command(
        f"{_OURS}.info",
        f"{_OURS}.info:InfoConfig",
        "what a server serves, and the round trip to it",
    ),
    "replay": Command(
        f"{_OURS}.replay",
        "handover_client.replay.config:ReplayConfig",
        "open-loop evaluation: a server's chunks beside recorded actions",
        extra="replay",
    ),
    "rollout": Command(
        f"{_OURS}.rollout",
        "handover_client.rollout.config:RolloutConfig",
        "closed-loop evaluation: a server's chunks played in MuJoCo",
        extra="sim",
    ),
    "drive": Command(
        f"{_OURS}.drive",
        "handover_client.drive.config:DriveConfig",
        "a robot in real time: guarded, by an operator, recorded",
        extra="sim",
    ),
    "replay-requests": Command(
        f"{_OURS}.replay_requests",
        f"{_OURS}.replay_requests:ReplayRequestsConfig",
        "a server's recorded requests again: are the answers bit-identical",
    ),
    "bench": Command(
        f"{_OURS}.bench",
        "handover_client.diagnostics.load_config:BenchConfig",
        "load on a server: latency percentiles, throughput, refusals",
    ),
    "compare": Command(
        f"{_OURS}.compare",
        f"{_OURS}.compare:CompareConfig",
        "two evaluation runs side by side",
        extra="replay",
    ),
    "report": Command(
        f"{_OURS}.report",
        f"{_OURS}.report:ReportConfig",
        "one page about several evaluation runs",
        extra="replay",
    ),
    "completion": Command(
        f"{_OURS}.completion",
        f"{_OURS}.completion:CompletionConfig",
        "completion script of bash or zsh",
    ),
}
