"""An hour of `handover drive` on two simulated WidowX AI arms: period, jitter, and the limits.

    ARMS/bin/python -m benchmarks.robots.trossen_hour --output FOLDER       (docs/robot.md: ARMS)
    ARMS/bin/python -m benchmarks.robots.trossen_hour --output FOLDER --minutes 2 --no-result

Every part is a process of its own: a policy server, an arm each, and the command at a terminal,
whose keys are pressed. Started again after a kill, it drives the minutes that are left in a session
of its own. FOLDER/progress.json has the counts so far after each episode of five minutes.
"""

import json
import math
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import tyro
import yaml
from handover_common import package_versions, write_json

from benchmarks.harness.machine import OthersAtWork
from benchmarks.harness.result_file import write_result
from benchmarks.robots import two_arms

LONG_S = 300.0
RESULT = "drive_trossen"


@dataclass(frozen=True)
class HourConfig:
    """Drive two simulated arms for long."""

    output: Path
    """Folder for the session, the ledgers of the arms and the progress."""
    minutes: float = 60.0
    """How long in all."""
    episode_s: float = 300.0
    """How long an episode is, in seconds."""
    result: bool = True
    """Write benchmarks/results/drive_trossen.json."""


def main(config: HourConfig) -> None:
    """Drive, and write the figures."""
    if two_arms.missing():
        raise SystemExit(f"no {two_arms.missing()}: {two_arms.HOW_TO_INSTALL}")
    config.output.mkdir(parents=True, exist_ok=True)
    others = OthersAtWork()
    left_s = 60 * config.minutes - _driven_s(config.output)
    if left_s > 1:
        _drive(config, math.ceil(left_s / config.episode_s), others)
    figures = _figures(config, others)
    print(json.dumps(figures, indent=2))
    if config.result:
        print(write_result(RESULT, figures))


def _drive(config: HourConfig, episodes: int, others: OthersAtWork) -> None:
    """Drive one session; after a kill of this program, its command ends and keeps what it has."""
    session = config.output / f"session_{len(list(config.output.glob('session_*'))):03d}"
    session.mkdir()
    film, mode, settings = session / "film.mp4", session / "mode", session / "arms.yaml"
    two_arms.film(film)
    mode.write_text("swing")
    with (
        two_arms.two_arms(session) as arms,
        two_arms.moving_policy(mode, two_arms.CENTRE) as (_, server),
    ):
        told = two_arms.settings([arm.address for arm in arms], str(film))
        settings.write_text(yaml.safe_dump(told))
        limits = ["--max-seconds", config.episode_s, "--episodes", episodes]
        with two_arms.drive(server, settings, session / "driven", *limits) as terminal:
            place = 0
            for number in range(episodes):
                place = two_arms.start_episode(terminal, LONG_S, place)
                place = terminal.wait_for("s success", config.episode_s + LONG_S, place)
                terminal.press("s")
                place = terminal.wait_for(f"episode {number}: success", LONG_S, place)
                progress = {"episodes": number + 1, **_told(config.output)}
                write_json(config.output / "progress.json", progress)
                print(f"episode {number + 1} of {episodes}: {progress}", flush=True)
            status = terminal.wait(LONG_S)
            if status:
                raise SystemExit(f"handover drive ended with {status}:\n{terminal.screen[-4000:]}")
        for arm in arms:
            arm.end()


def _sessions(folder: Path) -> list[Path]:
    """The datasets of the sessions that have one."""
    return sorted(path.parent for path in folder.glob("session_*/driven/metrics.json"))


def _driven_s(folder: Path) -> float:
    return sum(
        json.loads((driven / "metrics.json").read_text())["seconds"] for driven in _sessions(folder)
    )


def _told(folder: Path) -> dict[str, int]:
    ledgers = [json.loads(path.read_text()) for path in sorted(folder.glob("session_*/arm?.json"))]
    counts = ("commands", "outside", "not_finite")
    return {f"{name}_at_the_arms": sum(ledger[name] for ledger in ledgers) for name in counts}


def _figures(config: HourConfig, others: OthersAtWork) -> dict[str, Any]:
    sessions = _sessions(config.output)
    found = [json.loads((driven / "metrics.json").read_text()) for driven in sessions]
    period_ms = found[-1]["period_ms"]
    episodes = [np.array(late) for driven in sessions for late in two_arms.late_ms(driven)]
    late, apart, missed = np.concatenate(episodes), [], 0
    for episode in episodes:
        # rows of steps that were missed repeat the one before: a period is between two made ones
        made = np.flatnonzero(np.append(True, np.diff(episode) != 0))
        apart.append(np.diff((np.arange(len(episode)) * period_ms + episode)[made]))
        missed += len(episode) - len(made)
    periods = np.concatenate(apart)
    return {
        "what": "handover drive --robot trossen on two trossen-arm-sim, a policy that swings every "
        "joint; late_ms: how long after its own time a control step began; jitter_ms: how far the "
        "time between two steps is from the period; commands: as they came to the arms, from the "
        "driver's thread, of which outside the limits or not finite: none may be",
        "seconds": _driven_s(config.output),
        "sessions": len(sessions),
        "period_ms": period_ms,
        "mean_period_ms": float(periods.mean()),
        "jitter_ms": _spread(np.abs(periods - period_ms)),
        "late_ms": _spread(late),
        "missed_steps": missed,
        "guard": [session["guard"] for session in found],
        "holds": [session["holds"] for session in found],
        "latency_ms": [session["latency_ms"] for session in found],
        **_told(config.output),
        "busy_others": others.cores(),
        "packages": package_versions(
            ("trossen_arm", "trossen_arm_sim", "mujoco", "opencv-python-headless")
        ),
    }


def _spread(values: np.ndarray) -> dict[str, float]:
    p50, p99 = np.percentile(values, [50, 99])
    return {"p50": float(p50), "p99": float(p99), "longest": float(values.max())}


if __name__ == "__main__":
    sys.exit(main(tyro.cli(HourConfig)))
