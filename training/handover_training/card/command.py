"""The command `handover card`: what was measured of a checkpoint, where its users look."""

from pathlib import Path

from handover_common import MissingExtra, show

from handover_training.card.config import CardConfig, check


def main(config: CardConfig) -> Path:
    """Write and print the envelopes; returns the metadata's path. Raises HandoverError."""
    check(config)
    try:
        from handover_training.card.run import write_latency
    except ModuleNotFoundError as error:
        raise MissingExtra(error.name or "torch", "train") from error
    path, envelopes = write_latency(config)
    lines = [
        f"{each.task}, {each.switching}: up to {each.latency_ms:g} ± {each.jitter_ms:g} ms "
        f"({each.episodes} episodes each)"
        for each in envelopes
    ]
    show("\n".join([str(path), *lines]))
    return path
