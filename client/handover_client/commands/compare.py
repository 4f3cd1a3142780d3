"""The command `handover compare`: two evaluation runs side by side, before and after."""

import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Optional, Union

import tyro
from handover_common import UsageError

from handover_client.connection.flags import NO_SECURITY, SecurityOptions, read_security
from handover_client.rollout.config import TaskName

if TYPE_CHECKING:
    from handover_client.comparison.comparison import Comparison

# ruff: noqa: UP007, UP045, RUF036, as tyro reads types: see handover_common.command
_Pairs = Annotated[Union[None, tuple[str, ...]], tyro.conf.arg(metavar="NAME=VALUE …")]
_PageFile = Annotated[Optional[Path], tyro.conf.arg(metavar="PAGE.html")]
_RunsFolder = Annotated[Optional[Path], tyro.conf.arg(metavar="DIR")]
_RunA = tyro.conf.Positional[Annotated[str, tyro.conf.arg(metavar="RUN_A")]]
_RunB = tyro.conf.Positional[Annotated[str, tyro.conf.arg(metavar="RUN_B")]]


@dataclass(frozen=True)
class CompareConfig:
    """Show two evaluation runs side by side: before, after, and the difference."""

    run_a: _RunA
    """Folder of the run before, or a file in the form of its metrics.json; with --until-decided the
    address of a policy server, as rollout's --server."""
    run_b: _RunB
    """Folder of the run after, or such a file, or the other server's address."""
    output: _PageFile = None
    """Also write the comparison as an HTML page to this file."""
    anyway: bool = False
    """Compare runs that are not comparable, too; the differences are listed."""
    until_decided: bool = False
    """Play both servers' policies in MuJoCo on the same seeds until one is known to be better; that
    is looked at after every pair of episodes, and wrong in at most one of twenty comparisons."""
    runs: _RunsFolder = None
    """With --until-decided: folder for the two runs, a and b. The same command resumes them."""
    task: TaskName = "transfer_cube"
    """With --until-decided: task for the robot."""
    episodes: int = 200
    """With --until-decided: the most episodes of each; then it stays open."""
    seed: int = 1000
    """With --until-decided: episode i starts from seed + i."""
    spec: Optional[Path] = None
    """With --until-decided: JSON file with what openpi's or Isaac-GR00T's protocol does not tell of
    RUN_A's policy, and of RUN_B's unless --spec-b tells it."""
    spec_b: Optional[Path] = None
    """With --until-decided: such a file for RUN_B."""
    policy_rate_hz: Optional[float] = None
    """With --until-decided: chunk steps per second, as rollout's, for each policy whose server does
    not report its rate."""
    camera: _Pairs = None
    """With --until-decided: NAME=SIMCAMERA …, as rollout's, for each policy that has such a
    camera."""
    group: _Pairs = None
    """With --until-decided: NAME=FIRST:END …, as rollout's, for each policy that has such a
    group."""
    security: SecurityOptions = NO_SECURITY
    """With --until-decided: how the connections are protected."""


_OF_THE_PLAY = (
    *("task", "episodes", "seed", "spec", "spec_b"),
    *("policy_rate_hz", "camera", "group"),
)


def main(config: CompareConfig) -> "Comparison":
    """Print the comparison; returns it.

    Raises EvaluationError for folders that are no runs, or runs that cannot be compared.
    """
    if config.until_decided != (config.runs is not None):
        raise UsageError("--until-decided and --runs DIR belong together: give both or neither")
    _check_play(config)
    if config.output is not None and config.output.is_dir():
        raise UsageError(f"--output {config.output} is a folder: expected the name of a file")
    from handover_client.comparison.run import compare_runs
    from handover_client.report.comparison import write_comparison
    from handover_client.report.terminal import print_comparison

    places = _play(config) if config.until_decided else (Path(config.run_a), Path(config.run_b))
    comparison, runs = compare_runs(*places, config.anyway)
    print_comparison(comparison)
    if config.output is not None:
        write_comparison(config.output, comparison, places, runs)
        print(f"page: {config.output}")
    return comparison


def _check_play(config: CompareConfig) -> None:
    """Raise UsageError for flags of a play where two runs are only read."""
    plain = CompareConfig(config.run_a, config.run_b)
    for name in _OF_THE_PLAY:
        if not config.until_decided and getattr(config, name) != getattr(plain, name):
            flag = f"--{name.replace('_', '-')}"
            raise UsageError(f"{flag} needs --until-decided: two finished runs are only read")


def _play(config: CompareConfig) -> tuple[Path, Path]:
    """Play both servers' policies; gives the folders of the runs."""
    from handover_client.comparison.duel import play_until_decided
    from handover_client.report.page import write_report
    from handover_client.rollout.config import EpisodeSettings, RolloutConfig

    assert config.runs is not None
    played = RolloutConfig(
        config.runs,
        settings=EpisodeSettings(
            task=config.task,
            policy_rate_hz=config.policy_rate_hz,
            camera=config.camera or (),
            group=config.group or (),
        ),
        episodes=config.episodes,
        seed=config.seed,
    )
    security = read_security(config.security, os.environ)
    specs = config.spec, config.spec_b or config.spec
    play_until_decided((config.run_a, config.run_b), played, security, write_report, specs)
    return config.runs / "a", config.runs / "b"
