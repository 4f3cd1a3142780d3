"""Commands of the recipe: `python -m handover_training.aloha_mini COMMAND …`, each with `--help`.

`snapshots` needs the simulator's environment, the others torch's.
"""

from handover_common import exit_status

from handover_training.aloha_mini.configs import (
    BaseConfig,
    RandomConfig,
    ReleaseConfig,
    SnapshotsConfig,
    VisionConfig,
)

COMMANDS = {
    "snapshots": SnapshotsConfig,
    "vision": VisionConfig,
    "base": BaseConfig,
    "release": ReleaseConfig,
    "random": RandomConfig,
}


def cli() -> None:
    """Parse the command line and run one command. Raises HandoverError."""
    import tyro

    program = "python -m handover_training.aloha_mini"
    match tyro.extras.subcommand_cli_from_dict(COMMANDS, prog=program):
        case SnapshotsConfig() as config:
            from handover_training.aloha_mini.data.draw import draw_snapshots

            draw_snapshots(config)
        case VisionConfig() as config:
            from handover_training.aloha_mini.vision_stage import train_vision

            train_vision(config, _report)
        case BaseConfig() as config:
            from handover_training.aloha_mini.base import write_base

            print(write_base(config))
        case ReleaseConfig() as config:
            from handover_training.aloha_mini.release import release

            print(release(config))
        case RandomConfig(dataset, output, seed):
            from handover_training.aloha_mini.checkpoint import write_random

            print(write_random(dataset, output, seed))


def _report(line: str) -> None:
    print(line, flush=True)


if __name__ == "__main__":
    raise SystemExit(exit_status(cli))
