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
    extra: str  # brings the command's packages; empty where the base installation is enough
    summary: str

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


_HERE = "handover_client.commands"

COMMANDS = {
    "record": Command(
        module="handover_envs.record.command",
        config="handover_envs.record.config:RecordConfig",
        extra="sim",
        summary="scripted demonstrations in MuJoCo, as a LeRobot dataset",
    ),
    "convert": Command(
        module="handover_conversion.pipeline.command",
        config="handover_conversion.pipeline.config:ConvertConfig",
        extra="convert",
        summary="LeRobot recordings to a GR00T dataset",
    ),
    "finetune": Command(
        module="handover_training.finetuning.command",
        config="handover_training.finetuning.config:FinetuneConfig",
        extra="train",
        summary="GR00T dataset to a finetuned checkpoint",
    ),
    "calibrate": Command(
        module="handover_training.calibrate.command",
        config="handover_training.calibrate.config:CalibrateConfig",
        extra="train",
        summary="FP8 scales of a checkpoint, from a dataset",
    ),
    "serve": Command(
        module="handover_server.serve.command",
        config="handover_server.serve.config:ServeConfig",
        extra="serve",
        summary="a checkpoint as a gRPC policy server",
    ),
    "info": Command(
        module=f"{_HERE}.info",
        config=f"{_HERE}.info:InfoConfig",
        extra="",
        summary="what a server serves, and the round trip to it",
    ),
    "replay": Command(
        module=f"{_HERE}.replay",
        config="handover_client.replay.config:ReplayConfig",
        extra="replay",
        summary="open-loop evaluation: a server's chunks beside recorded actions",
    ),
    "rollout": Command(
        module=f"{_HERE}.rollout",
        config="handover_client.rollout.config:RolloutConfig",
        extra="sim",
        summary="closed-loop evaluation: a server's chunks played in MuJoCo",
    ),
    "replay-requests": Command(
        module=f"{_HERE}.replay_requests",
        config=f"{_HERE}.replay_requests:ReplayRequestsConfig",
        extra="",
        summary="a server's recorded requests again: are the answers bit-identical",
    ),
    "bench": Command(
        module=f"{_HERE}.bench",
        config="handover_client.diagnostics.load_config:BenchConfig",
        extra="",
        summary="load on a server: latency percentiles, throughput, refusals",
    ),
    "compare": Command(
        module=f"{_HERE}.compare",
        config=f"{_HERE}.compare:CompareConfig",
        extra="replay",
        summary="two evaluation runs side by side",
    ),
    "report": Command(
        module=f"{_HERE}.report",
        config=f"{_HERE}.report:ReportConfig",
        extra="replay",
        summary="one page about several evaluation runs",
    ),
    "completion": Command(
        module=f"{_HERE}.completion",
        config=f"{_HERE}.completion:CompletionConfig",
        extra="",
        summary="completion script of bash or zsh",
    ),
}
