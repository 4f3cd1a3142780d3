"""An hour of `handover drive` on two simulated WidowX AI arms: period, jitter, and the limits.

    ARMS/bin/python -m benchmarks.robots.trossen_hour --output FOLDER       (docs/robot.md: ARMS)
    ARMS/bin/python -m benchmarks.robots.trossen_hour --output FOLDER --minutes 2 --no-result

Every part is a process of its own: a policy server, an arm each, and the command at a terminal,
whose keys are pressed. Episodes of five minutes are kept as they finish; started again after a
kill, it goes on with the next one. FOLDER/progress.json has the figures so far after each.
"""

import json
import os
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
    episodes = round(60 * config.minutes / config.episode_s) or 1
    driven, others = config.output / "driven", OthersAtWork()
    if not driven.exists():
        _drive(config, driven, episodes, others)
    figures = _figures(config, driven, others)
    print(json.dumps(figures, indent=2))
    if config.result:
        print(write_result(RESULT, figures))


def _drive(config: HourConfig, driven: Path, episodes: int, others: OthersAtWork) -> None:
    folder = config.output
    ledgers = folder / f"arms_{os.getpid()}"  # those of a run that was killed stay and count too
    ledgers.mkdir()
    film, mode, settings = folder / "film.mp4", folder / "mode", folder / "arms.yaml"
    two_arms.film(film)
    mode.write_text("swing")
    done = len(list(folder.glob(f".{driven.name}*/episodes/[0-9]*")))
    with (
        two_arms.two_arms(ledgers, _addresses(settings)) as arms,
        two_arms.moving_policy(mode, two_arms.CENTRE) as (_, server),
    ):
        told = two_arms.settings([arm.address for arm in arms], str(film))
        settings.write_text(yaml.safe_dump(told))
        limits = ["--max-seconds", config.episode_s, "--episodes", episodes]
        with two_arms.drive(server, settings, driven, *limits) as terminal:
            place = 0
            for number in range(done, episodes):
                place = two_arms.start_episode(terminal, LONG_S, place)
                place = terminal.wait_for("s success", config.episode_s + LONG_S, place)
                terminal.press("s")
                place = terminal.wait_for(f"episode {number}: success", LONG_S, place)
                progress = {"episodes": number + 1, "busy_others": others.cores(), **_told(folder)}
                write_json(folder / "progress.json", progress)
                print(f"episode {number + 1} of {episodes}: {progress}", flush=True)
            status = terminal.wait(LONG_S)
            if status:
                raise SystemExit(f"handover drive ended with {status}:\n{terminal.screen[-4000:]}")
        for arm in arms:
            arm.end()


def _addresses(settings: Path) -> list[str] | None:
    """Those of the run before: a session goes on with the same settings alone."""
    if not settings.exists():
        return None
    told = yaml.safe_load(settings.read_text())
    return [told[side]["address"] for side in ("left", "right")]


def _told(folder: Path) -> dict[str, int]:
    ledgers = [json.loads(path.read_text()) for path in sorted(folder.glob("arms_*/arm?.json"))]
    counts = ("commands", "outside", "not_finite")
    return {f"{name}_at_the_arms": sum(ledger[name] for ledger in ledgers) for name in counts}


def _figures(config: HourConfig, driven: Path, others: OthersAtWork) -> dict[str, Any]:
    metrics = json.loads((driven / "metrics.json").read_text())
    late = np.array(two_arms.late_ms(driven))
    began = np.arange(len(late)) * metrics["period_ms"] + late
    # rows of steps that were missed repeat the one before: a period is between two that were made
    made = np.flatnonzero(np.append(True, np.diff(late) != 0))
    apart = np.diff(began[made])
    inside = apart[(apart > 0) & (apart < 1e3 * config.episode_s / 2)]
    off = np.abs(inside - metrics["period_ms"])
    return {
        "what": "handover drive --robot trossen on two trossen-arm-sim, a policy that swings every "
        "joint; late_ms: how long after its own time a control step began; jitter_ms: how far the "
        "time between two steps is from the period; commands: as they came to the arms, from the "
        "driver's thread, of which outside the limits or not finite: none may be",
        "seconds": metrics["seconds"],
        "period_ms": metrics["period_ms"],
        "mean_period_ms": float(inside.mean()),
        "jitter_ms": _spread(off),
        "late_ms": _spread(late),
        "missed_steps": int(len(late) - len(made)),
        "guard": metrics["guard"],
        "holds": metrics["holds"],
        "latency_ms": metrics["latency_ms"],
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
