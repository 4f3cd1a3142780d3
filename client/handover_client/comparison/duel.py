"""Two served policies on the same seeds, in turn, until it is decided which one is better."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from handover_common import ProgressBar, UsageError, check_new, write_json
from handover_common.parallel import available_cores

from handover_client.connection.security import ChannelSecurity
from handover_client.results.sequential import MeanSequence
from handover_client.rollout.config import RolloutConfig, check, told_of
from handover_client.rollout.folder import RolloutFolder
from handover_client.rollout.run import PlayAll, Rollout
from handover_client.rollout.simulation import find_server, open_simulators, prepare_rollout

WriteReport = Callable[[Path, Mapping[str, Any]], None]
"""Writes a run's report into its folder, from its figures"""


@dataclass
class _Side:
    """One policy's episodes: all of them planned, as many played as were needed."""

    rollout: Rollout
    folder: RolloutFolder

    def play(self, episodes: range, play_all: PlayAll) -> None:
        """Play episodes that are not finished; those that lose their server are played again."""
        wanted = [self.rollout.tasks[each] for each in episodes]
        self.rollout.play(self.folder, wanted, play_all)

    def finish(self, episodes: int, play_all: PlayAll, write_report: WriteReport) -> None:
        """Write the run of the first episodes, as a rollout of so many would have."""
        self.folder.keep_first(episodes)
        first = Rollout(self.rollout.tasks[:episodes], self.rollout.objects)
        figures = first.run(self.folder, play_all)
        write_json(self.folder.path / "metrics.json", figures)
        write_report(self.folder.path, figures)
        self.folder.publish()


def play_until_decided(
    servers: tuple[str, str],
    config: RolloutConfig,
    security: ChannelSecurity,
    write_report: WriteReport,
    specs: tuple[Path | None, Path | None] = (None, None),
) -> None:
    """Play both servers' policies into config.output/a and config.output/b.

    After each round (an episode of both, on every core) the interval of the difference in success
    is looked at; the play ends once it leaves 0 out, or after config.episodes. An interrupted play
    goes on, also one that lost a server for good: nothing is decided by an outage. Raises what a
    rollout raises. specs: each one's file of --spec; of --camera and --group a policy gets those
    that it has, and --policy-rate-hz where its server tells no rate
    """
    for name in "ab":
        check_new(config.output / name)
    sides = [
        replace(
            config,
            server=server,
            spec=spec if "://" in server else None,
            output=config.output / name,
        )
        for server, spec, name in zip(servers, specs, "ab", strict=True)
    ]
    for side in sides:
        check(side)
    sides = _of_its_policy(sides, security)
    first, second = (prepare_rollout(side, security) for side in sides)
    with (
        open_simulators(config) as play_all,
        RolloutFolder(sides[0].output, first.plan()) as folder_a,
        RolloutFolder(sides[1].output, second.plan()) as folder_b,
    ):
        pair = (_Side(first, folder_a), _Side(second, folder_b))
        played = _play_rounds(pair, config, play_all)
        for side in pair:
            side.finish(played, play_all, write_report)


def _of_its_policy(sides: list[RolloutConfig], security: ChannelSecurity) -> list[RolloutConfig]:
    """Leave each policy what was told of it, and a rate where its server has none.

    Raises UsageError for a name that neither has, and a rate that both servers tell.
    """
    told = sides[0].settings
    if not (told.camera or told.group or told.policy_rate_hz):
        return sides
    specs = [find_server(side, security).info.spec for side in sides]
    cameras = [{each.name for each in spec.cameras} for spec in specs]
    groups = [{each.name for each in (*spec.state, *spec.action)} for spec in specs]
    for flag, pairs, names in (("--camera", told.camera, cameras), ("--group", told.group, groups)):
        if unknown := [pair for pair in pairs if not told_of([pair], names[0] | names[1])]:
            raise UsageError(
                f"{flag} {' '.join(unknown)}: the policies have "
                f"{', '.join(sorted(names[0])) or 'none'} (RUN_A) and "
                f"{', '.join(sorted(names[1])) or 'none'} (RUN_B)"
            )
    if told.policy_rate_hz and all(spec.rate_hz for spec in specs):
        raise UsageError(
            f"--policy-rate-hz {told.policy_rate_hz:g}: both servers tell their policy's rate "
            f"({specs[0].rate_hz:g} and {specs[1].rate_hz:g} Hz)"
        )
    return [
        replace(
            side,
            settings=replace(
                told,
                camera=told_of(told.camera, seen),
                group=told_of(told.group, moved),
                policy_rate_hz=None if spec.rate_hz else told.policy_rate_hz,
            ),
        )
        for side, spec, seen, moved in zip(sides, specs, cameras, groups, strict=True)
    ]


def _play_rounds(pair: tuple[_Side, _Side], config: RolloutConfig, play_all: PlayAll) -> int:
    """Play rounds until the difference is decided; gives the episodes of each side."""
    sequence = MeanSequence(-1.0, 1.0)
    size = config.workers or available_cores()
    with ProgressBar("until decided", config.episodes, transient=True) as bar:
        for begin in range(0, config.episodes, size):
            episodes = range(begin, min(begin + size, config.episodes))
            for side in pair:
                side.play(episodes, play_all)
            for episode in episodes:
                before, after = (side.folder.finished[episode].success for side in pair)
                known = sequence.add(float(after) - float(before))
                bar.show(done=known.outcomes)
                if known.excludes(0.0):
                    return known.outcomes
    return config.episodes
