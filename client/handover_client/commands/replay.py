"""The command `handover replay`: a served policy judged open loop, beside recorded actions."""

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal, Optional, Union

import tyro

from handover_client.connection.flags import NO_SECURITY, SecurityOptions, read_security
from handover_client.connection.timeout_flags import check_timeouts

_RerunFile = Annotated[Optional[Path], tyro.conf.arg(metavar="FILE.rrd")]  # noqa: UP045
# typing.Union with None first: tyro checks such a default without importing typeguard, which would
# take a third of the time of --help
_EpisodeIds = Annotated[
    Union[None, tuple[int, ...]],  # noqa: UP007, RUF036
    tyro.conf.arg(metavar="ID [ID …]"),
]


@dataclass(frozen=True)
class ReplayConfig:
    """Judge a policy open loop: its chunks laid beside the actions of recorded episodes."""

    server: str
    """Address of the policy server, HOST:PORT; replicas: IP:PORT,IP:PORT,…"""
    dataset_path: Path
    """Folder of the GR00T dataset (handover convert makes one)."""
    output: Path
    """Folder for metrics.json, report.html and the plots; must not exist yet."""
    traj_ids: _EpisodeIds = None
    """Episodes to replay, for example 0 1 2; all of them by default."""
    steps: int = 200
    """Steps of each episode to evaluate; shorter episodes are taken whole."""
    action_horizon: int = 16
    """Steps of each chunk to use before the policy is asked again."""
    seed: int = 0
    """Of the policy's noise: every request's seed is derived from it, the episode and the step."""
    image_codec: Literal["raw", "jpeg", "png"] = "raw"
    """How camera frames are sent; jpeg loses a little, png nothing."""
    rerun: _RerunFile = None
    """Also save a recording for the viewer of rerun.io to this file (extra viz)."""
    connect_timeout_s: float = 60.0
    """How long to wait for the server to be ready."""
    call_timeout_s: float = 60.0
    """How long to wait for each chunk."""
    security: SecurityOptions = NO_SECURITY
    """How the connection is protected."""


def main(config: ReplayConfig) -> dict[str, Any]:
    """Replay, print the tables, write the run's folder; returns the figures of metrics.json."""
    check_timeouts(config, "connect_timeout_s", "call_timeout_s")

    from handover_conversion.groot import GrootDataset
    from handover_proto import ImageCodec

    from handover_client.connection.policy_client import PolicyClient
    from handover_client.replay.folder import ReplayFolder
    from handover_client.replay.run import ReplaySettings, prepare_replay
    from handover_client.report.replay_page import write_replay
    from handover_client.report.rerun import check_rerun, write_replay_rrd
    from handover_client.report.terminal import print_replay
    from handover_client.results.unfinished_run import check_new

    settings = ReplaySettings(
        config.traj_ids or (), config.steps, config.action_horizon, config.seed
    )
    codecs = {"raw": ImageCodec.RAW_RGB8, "jpeg": ImageCodec.JPEG, "png": ImageCodec.PNG}
    security = read_security(config.security, os.environ)
    if config.rerun is not None:
        check_rerun(config.rerun)
    check_new(config.output)
    recordings = GrootDataset.open(config.dataset_path)
    with PolicyClient.connect(
        config.server,
        timeout_s=config.connect_timeout_s,
        call_timeout_s=config.call_timeout_s,
        image_codec=codecs[config.image_codec],
        security=security,
    ) as client:
        replay = prepare_replay(settings, recordings, client)
        with ReplayFolder(config.output, replay.plan()) as folder:
            evaluation, figures = replay.run(folder)
            write_replay(folder.path, evaluation, figures)
            folder.publish()
    print_replay(figures)
    print(f"report: {config.output / 'report.html'}")
    if config.rerun is not None:
        write_replay_rrd(config.rerun, evaluation, recordings)
    return figures


def cli() -> None:
    """Parse the command line and run."""
    main(tyro.cli(ReplayConfig))


if __name__ == "__main__":
    cli()
