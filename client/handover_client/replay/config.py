"""Flags of `handover replay`, and their check."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal, Optional, Union

import tyro
from handover_common import check_range

from handover_client.connection.flags import NO_SECURITY, SecurityOptions, check_timeouts

# ruff: noqa: UP007, UP045, RUF036, for tyro's sake: see handover_common.command
_RerunFile = Annotated[Optional[Path], tyro.conf.arg(metavar="FILE.rrd")]
_EpisodeIds = Annotated[Union[None, tuple[int, ...]], tyro.conf.arg(metavar="ID [ID …]")]


@dataclass(frozen=True)
class ReplayConfig:
    """Evaluate a policy open loop: compare its chunks with the actions of recorded episodes."""

    server: str
    """Address of the policy server: HOST:PORT, openpi://HOST:PORT or groot://HOST:PORT; replicas:
    IP:PORT,IP:PORT,…"""
    dataset_path: Path
    """Folder of the GR00T dataset (made by handover convert)."""
    output: Path
    """Folder for metrics.json, report.html and the trajectories; must not exist yet. The same
    command resumes an interrupted run."""
    traj_ids: _EpisodeIds = None
    """Episodes to replay, for example 0 1 2; all by default."""
    steps: int = 200
    """Maximum steps per episode to evaluate; shorter episodes are evaluated whole."""
    action_horizon: Optional[int] = None
    """Steps of each chunk to use before the next is requested; by default the whole chunk."""
    seed: int = 0
    """Seed of the policy's noise; each request's is derived from it, the episode and the step."""
    spec: Optional[Path] = None
    """JSON file with what openpi's or Isaac-GR00T's protocol does not tell of a policy."""
    image_codec: Literal["raw", "jpeg", "png"] = "raw"
    """Encoding of the camera frames; jpeg is lossy, png lossless."""
    rerun: _RerunFile = None
    """Also save a recording for the rerun.io viewer to this file (extra viz)."""
    connect_timeout_s: float = 60.0
    """Maximum wait for the server to be ready."""
    call_timeout_s: float = 60.0
    """Maximum wait for each chunk."""
    security: SecurityOptions = NO_SECURITY
    """How the connection is protected."""


def check(config: ReplayConfig) -> None:
    """Raise UsageError for flags that make no sense whatever the server and the dataset are."""
    check_range(config, "steps", "action_horizon", least=1)
    check_range(config, "seed", least=0)
    check_timeouts(config, "connect_timeout_s", "call_timeout_s")
