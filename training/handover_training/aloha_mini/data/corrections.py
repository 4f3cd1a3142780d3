"""Lessons from a policy's own mistakes: it acts, and the scripted expert says what it would do.

python -m handover_training.aloha_mini.data.corrections --server HOST:PORT --output FOLDER --episodes 100

Writes the files that `handover_training.aloha_mini.data.draw` writes, one per episode, for the head stage.
"""

from dataclasses import dataclass
from pathlib import Path

from handover_common import exit_status

_CALL_TIMEOUT_S = 10.0
_READY_TIMEOUT_S = 120.0


@dataclass(frozen=True)
class CorrectionsConfig:
    """Let a served policy act in the simulator, and note the expert's chunk where it asks."""

    server: str
    """Address of the policy, HOST:PORT."""
    output: Path
    """Folder of the files; episodes that are there are not played again."""
    episodes: int = 100
    """How many."""
    seed: int = 50000
    """The first episode's. Even seeds are transfers of the cube, odd ones insertions."""
    seed_step: int = 1
    """From an episode's seed to the next one's; 2 plays one task alone."""
    execute_steps: int = 4
    """Steps of each chunk to play before the policy is asked again."""


def main(config: CorrectionsConfig) -> None:
    """Play what is missing. Raises HandoverError."""
    from handover_client.connection import PolicyClient
    from handover_proto import ImageCodec

    from handover_training.aloha_mini.data.lessons import CorrectionCollector

    config.output.mkdir(parents=True, exist_ok=True)
    with PolicyClient(config.server, ImageCodec.RAW_RGB8, _CALL_TIMEOUT_S) as client:
        client.wait_until_ready(_READY_TIMEOUT_S)
        lessons = CorrectionCollector(client, config.execute_steps)
        for number in range(config.episodes):
            seed = config.seed + number * config.seed_step
            target = config.output / f"{seed}.npz"
            if not target.exists():
                lessons.play(seed).write(target, lessons.task_of(seed), seed)


def cli() -> None:
    """Parse the command line and run."""
    import tyro

    main(tyro.cli(CorrectionsConfig))


if __name__ == "__main__":
    raise SystemExit(exit_status(cli))
