"""Snapshots of scripted episodes: a few images of each, with what a vision encoder can learn from.

python -m handover_training.aloha_mini.data.draw --output FOLDER --episodes 400

A recording has every image of an episode; here are few images of many episodes, so the objects'
poses vary more for the same drawing time. The arms are pushed off their way now and then and grasp
a little beside their aim, and the chunks tell what the expert would do from there. Loose snapshots
show the objects where no episode has them, and have no chunk.
"""

from dataclasses import dataclass
from pathlib import Path

from handover_common import exit_status

CHUNK_STEPS = 16


@dataclass(frozen=True)
class SnapshotsConfig:
    """Draw snapshots of both tasks, one .npz file per episode."""

    output: Path
    """Folder of the files; episodes that are there are not drawn again."""
    episodes: int = 400
    """How many."""
    seed: int = 1000
    """The first episode's. Even seeds are transfers of the cube, odd ones insertions."""
    seed_step: int = 1
    """From an episode's seed to the next one's; 2 draws one task alone."""
    on_the_way: int = 16
    """Snapshots of an episode with the chunk that the expert has for them."""
    loose: int = 14
    """Further snapshots of it with the objects put elsewhere."""
    shadows: float = 0.3
    """Share of the episodes that are drawn with shadows."""


def main(config: SnapshotsConfig) -> None:
    """Draw what is missing. Raises HandoverError."""
    from handover_training.aloha_mini.data.snapshot_episode import SnapshotRenderer

    config.output.mkdir(parents=True, exist_ok=True)
    artist = SnapshotRenderer(config)
    for number in range(config.episodes):
        seed = config.seed + number * config.seed_step
        if not (config.output / f"{seed}.npz").exists():
            artist.draw(seed)


def cli() -> None:
    """Parse the command line and run."""
    import tyro

    main(tyro.cli(SnapshotsConfig))


if __name__ == "__main__":
    raise SystemExit(exit_status(cli))
