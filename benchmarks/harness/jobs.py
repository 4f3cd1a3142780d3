"""Jobs that leave one JSON file each, run one after another within a budget of wall time.

A job whose file is there is done; one that was cut off is tried again by the next call. So a day's
measurements fit into leases of some minutes, and go on where they were.
"""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from handover_common import write_json

CUT_OFF = "cut_off"
FAILED = "failed"
ATTEMPTS = 2  # with a call's whole budget, before a job that is cut off again is given up
LOG_TAIL = 4000  # characters of a failed job's output that its file keeps
END_S = 10.0  # for a job to end by SIGTERM


@dataclass(frozen=True)
class Job:
    """One measurement: a command that writes a JSON file of its own."""

    stage: str
    name: str
    command: tuple[str, ...]
    result: Path
    """The file that the command writes, at once or piece by piece"""
    needs: Path | None = None
    """What an earlier job makes"""


def run_jobs(jobs: Sequence[Job], budget_s: float) -> int:
    """Run the jobs that are not done, until the budget is spent; gives how many are left."""
    deadline = time.monotonic() + budget_s
    first = True
    for job in jobs:
        left_s = deadline - time.monotonic() - END_S
        if left_s <= 0:
            break
        if not is_done(job):
            _run(job, left_s, whole=first)
            first = False
    return sum(not is_done(job) for job in jobs)


def is_done(job: Job) -> bool:
    """Tell whether a job has its figures, has failed, or was cut off too often."""
    outcome = read_outcome(job)
    return bool(outcome) and outcome.get("attempts", ATTEMPTS) >= ATTEMPTS


def read_outcome(job: Job) -> dict[str, Any]:
    """Read how a job ended: its status, seconds and attempts; empty for one that never ran."""
    path = _path(job)
    return json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}


def forget_failed(jobs: Sequence[Job]) -> None:
    """Let the jobs that failed or were cut off run again."""
    for job in jobs:
        if {FAILED, CUT_OFF} & set(read_outcome(job)):
            _path(job).unlink()


def _path(job: Job) -> Path:
    """Where a job's outcome is kept, beside the figures that it writes itself."""
    return job.result.with_suffix(".outcome.json")


def _run(job: Job, limit_s: float, whole: bool) -> None:
    """Run one job, and write its outcome; whole: it has all of a call's time."""
    attempts = read_outcome(job).get("attempts", 0) + whole
    if job.needs is not None and not job.needs.exists():
        write_json(_path(job), {FAILED: f"needs {job.needs.name}, which an earlier job makes"})
        return
    print(f"{job.stage}: {job.name} (at most {limit_s:.0f} s)", flush=True)
    began = time.monotonic()
    log = job.result.with_suffix(".log")
    log.parent.mkdir(parents=True, exist_ok=True)
    status = _wait(job.command, log, limit_s)
    outcome: dict[str, Any] = {
        "seconds": round(time.monotonic() - began, 1),
        "command": ["python", *(word.replace(f"{Path.cwd()}/", "") for word in job.command[1:])],
    }
    tail = log.read_text(encoding="utf-8", errors="replace")[-LOG_TAIL:]
    if status is None:
        outcome |= {CUT_OFF: f"after {limit_s:.0f} s", "attempts": attempts, "log": tail}
    elif status != 0 or not job.result.exists():
        outcome |= {FAILED: f"exit status {status}", "log": tail}
    write_json(_path(job), outcome)
    log.unlink()
    print(f"  {outcome.get(CUT_OFF) or outcome.get(FAILED) or 'done'}", flush=True)


def _wait(command: Sequence[str], log: Path, limit_s: float) -> int | None:
    """Run a command with all that it starts in a group; None if its time was up."""
    with log.open("w", encoding="utf-8") as output:
        process = subprocess.Popen(
            command, stdout=output, stderr=subprocess.STDOUT, start_new_session=True
        )
        try:
            return process.wait(limit_s)
        except subprocess.TimeoutExpired:
            return None
        finally:
            _end_group(process)


def _end_group(process: subprocess.Popen[bytes]) -> None:
    """End what is left of a command: a benchmark's server outlives it otherwise."""
    for sent in (signal.SIGTERM, signal.SIGKILL):
        try:
            os.killpg(process.pid, sent)
        except ProcessLookupError:
            return
        try:
            process.wait(END_S)
        except subprocess.TimeoutExpired:
            continue


def python(module: str, *arguments: object) -> tuple[str, ...]:
    """Give the command line of a module."""
    return (sys.executable, "-m", module, *map(str, arguments))
