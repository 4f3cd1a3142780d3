"""A session of driving: robot and policy are checked, episodes driven, a dataset written."""

import shutil
import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
from handover_common import HandoverError, UsageError, write_json
from handover_proto import ImageCodec, PolicyError, PolicySpec

from handover_client.connection.foreign.address import ServerAddress
from handover_client.connection.foreign.open import connect_server
from handover_client.connection.security import ChannelSecurity
from handover_client.drive.config import DriveConfig
from handover_client.drive.episode import EpisodeRun
from handover_client.drive.figures import drive_figures
from handover_client.drive.fit import Fit, Misfit, camera_names, fit, group_places
from handover_client.drive.guard import Guard
from handover_client.drive.live import LiveView
from handover_client.drive.operator import KEYS_HELP, Automatic, Key, Keyboard, Phase
from handover_client.drive.recording import METADATA, DriveFolder, Episode, EpisodeRecorder
from handover_client.drive.robots.interface import (
    Robot,
    RobotDescription,
    Scene,
    TakesCameras,
)
from handover_client.drive.robots.registry import make_robot, read_settings
from handover_client.drive.start_and_stop import Setup, connected, go_to_start, interrupts
from handover_client.results.provenance import rollout_provenance

_POLL_S = 0.02  # between two looks at the keyboard while nothing moves


@dataclass
class Session:
    """A session under way: its robot, guard and folder."""

    setup: Setup
    fit: Callable[[PolicySpec], Fit]  # of the robot and a policy; raises Misfit
    folder: DriveFolder | None
    guard: Guard
    late_ms: list[float] = field(default_factory=list)
    dry: list[Episode] = field(default_factory=list)

    def episodes(self) -> list[Episode]:
        """What came of the finished episodes; a dry run keeps them in memory alone."""
        return self.folder.episodes() if self.folder else self.dry


def drive(
    config: DriveConfig,
    security: ChannelSecurity,
    status: Callable[[str], None],
    write_report: Callable[[Path, dict[str, Any]], None],
    live: LiveView | None = None,
) -> dict[str, Any]:
    """Drive the session, and write its folder; returns the figures. Raises HandoverError.

    status: shows a line to the operator; write_report: writes the report into a folder; live: is
    shown every control step. Ctrl-C, SIGTERM and a closed terminal brake the robot and end the
    session as `q` does; the figures then say so ("interrupted").
    """
    robot = make_robot(config.robot, read_settings(config.robot_config))
    named, sources = camera_names(config.camera or ())
    _add_cameras(robot, config, sources)
    operator = _operator(config, robot)
    compressed = not ServerAddress.parse(config.server).scheme  # other protocols take raw frames
    codec = config.image_codec or ("jpeg" if compressed else "raw")
    with (
        connect_server(
            config.server,
            timeout_s=config.connect_timeout_s,
            call_timeout_s=config.call_timeout_s,
            image_codec=ImageCodec.parse(codec),
            security=security,
            spec=config.spec,
        ) as client,
        connected(robot) as described,
        operator,
        interrupts() as interrupted,
    ):

        def keys(phase: Phase, seconds: float) -> list[Key]:
            return ["stop", "quit"] if interrupted else operator.keys(phase, seconds)

        told = group_places(config.group or ())

        def fit_to(spec: PolicySpec) -> Fit:
            return fit(
                described,
                spec,
                named,
                config.policy_rate_hz,
                told,
                config.image_size,
                robot_units=config.robot_units,
            )

        spec = client.info.spec
        setup = Setup(config, robot, client, spec, fit_to(spec), keys, status, live)
        figures = _drive_session(setup, fit_to, described, write_report)
        return {**figures, "interrupted": bool(interrupted)}


def _drive_session(
    setup: Setup,
    fit_to: Callable[[PolicySpec], Fit],
    described: RobotDescription,
    write_report: Callable[[Path, dict[str, Any]], None],
) -> dict[str, Any]:
    _check(described)
    resting = setup.robot.observe().joints
    for line in _outside(described, resting):
        setup.status(f"{line}: it is moved back in slowly\n")
    guard = Guard(described.limits, setup.period_s, resting)
    plan = _plan(setup, described)
    if setup.config.dry_run:
        session = Session(setup, fit_to, None, guard)
        _drive_all(session, described)
        return _figures(session, plan)
    with DriveFolder(setup.config.output, plan) as folder:
        session = Session(setup, fit_to, folder, guard)
        _drive_all(session, described)
        figures = _figures(session, plan)
        if figures["episodes"]:
            results = _write_dataset(session, folder, described, plan, figures)
            write_report(results, figures)
            folder.move(results)
            shutil.rmtree(folder.path)
        return figures


def _check(described: RobotDescription) -> None:
    """Raise HandoverError for a robot that cannot be driven or recorded as it describes itself."""
    rate_hz = described.control_rate_hz
    if rate_hz != round(rate_hz):
        raise HandoverError(
            f"the robot's control rate is {rate_hz:g} Hz: a LeRobot dataset's is a whole number; "
            "expected one (--robot-config)"
        )
    problems = _outside(described, described.start)
    if problems:
        raise HandoverError(f"the start pose: {'; '.join(problems)}: give another (--robot-config)")


def _outside(described: RobotDescription, joints: np.ndarray) -> list[str]:
    """Name the joints, (D,), that are outside the limits, or no numbers."""
    low, high = described.limits.low, described.limits.high
    return [
        f"{name} is at {value:.4g}, its limits are {least:.4g} to {most:.4g}"
        for name, value, least, most in zip(described.joints, joints, low, high, strict=True)
        if not least <= value <= most
    ]


def _add_cameras(robot: Robot, config: DriveConfig, sources: dict[str, str]) -> None:
    if not sources:
        return
    if not isinstance(robot, TakesCameras):
        raise UsageError(
            f"--camera {', '.join(sources)}: the robot {config.robot} has cameras of its own: "
            "expected POLICYCAMERA=ROBOTCAMERA, without a slash"
        )
    robot.add_cameras(sources)


def _operator(config: DriveConfig, robot: Robot) -> Keyboard | Automatic:
    if config.operator == "keys":
        return Keyboard()
    if not isinstance(robot, Scene):
        raise UsageError(
            f"--operator auto: the robot {config.robot} has nothing that sets up its table and "
            "judges; a person does, with --operator keys"
        )
    return Automatic(robot, config.max_seconds, config.take_over_s)


def _drive_all(session: Session, described: RobotDescription) -> None:
    config, wants_to_quit = session.setup.config, False
    session.setup.status(KEYS_HELP)
    while not wants_to_quit:
        number = len(session.episodes())
        if config.episodes is not None and number >= config.episodes:
            return
        if not (_prepare(session, described, number) and _wait_for_start(session)):
            return
        if not _meet_policy(session):
            return
        wants_to_quit = _drive_one(session, described, number)


def _prepare(session: Session, described: RobotDescription, number: int) -> bool:
    """Bring the robot, and where it is a simulation the table, to an episode's start.

    Returns False for an end of the session.
    """
    setup = session.setup
    if isinstance(setup.robot, Scene):
        setup.robot.set_up(number)
        start = setup.robot.observe().joints
        session.guard = Guard(described.limits, setup.period_s, start)
        return True
    if setup.config.dry_run:
        return True
    while (arrival := go_to_start(setup, session.guard, described.start)) != "there":
        if arrival == "quit":
            return False
        if arrival == "blocked":
            setup.status(
                "the robot did not reach its start pose: something is in its way, or it does not "
                "follow; clear it\n"
            )
        if not _wait_for_start(session, "stopped; enter moves on to the start pose"):
            return False
    return True


def _meet_policy(session: Session) -> bool:
    """Fit the robot to the server's policy again where it has another one than before.

    Returns False for an end of the session.
    """
    while True:
        setup = session.setup
        try:
            spec = setup.client.get_info(timeout_s=setup.config.call_timeout_s).spec
        except PolicyError:  # away for now: the episode holds, and waits for it
            return True
        if spec == setup.spec:
            return True
        try:
            session.setup = replace(setup, spec=spec, fit=session.fit(spec))
        except Misfit as misfit:
            for line in misfit.lines():
                setup.status(f"{line}\n")
            if not _wait_for_start(session, "the server has another policy; enter tries again"):
                return False
            continue
        if spec.checkpoint_hash != setup.spec.checkpoint_hash:
            setup.status(f"the server has another policy now: {spec.checkpoint_name}\n")
        return True


def _wait_for_start(session: Session, what: str = "enter starts an episode") -> bool:
    """Wait for the operator to go on; returns False for an end of the session."""
    session.setup.status(f"{what}, q quits")
    while True:
        for key in session.setup.keys("waiting", 0.0):
            if key == "quit":
                return False
            if key == "start_or_end":
                return True
        time.sleep(_POLL_S)


def _drive_one(session: Session, described: RobotDescription, number: int) -> bool:
    """Drive one episode and keep it; returns whether the session is to end."""
    setup, recorder = session.setup, None
    if session.folder:
        fps = round(described.control_rate_hz)
        # frames of the whole episode, and of what a slow stop adds
        recorder = EpisodeRecorder(
            described.cameras, fps, round(setup.config.max_seconds * fps) + 1
        )
    run = EpisodeRun(setup, number, session.guard, recorder)
    try:
        episode = run.run()
        episode.checkpoint_hash = setup.spec.checkpoint_hash
        quits = run.wants_to_quit or _judge(session, episode)
        session.late_ms += run.late_ms
        if session.folder and recorder and recorder.steps:
            session.folder.keep(recorder, episode)
        elif not session.folder:
            session.dry.append(episode)
    finally:
        if recorder:
            recorder.close()
    words = episode.outcome or "not judged"
    why = f": {' '.join(episode.error.split())}" if episode.error else ""
    setup.status(f"episode {number}: {words}, {episode.seconds:.1f} s, {episode.ended}{why}\n")
    return quits


def _judge(session: Session, episode: Episode) -> bool:
    """Ask for the operator's word where it is not said; returns whether to end the session."""
    if episode.outcome or session.setup.config.operator == "auto":
        return False
    session.setup.status("s success, f failure, enter for neither, q quits")
    while True:
        for key in session.setup.keys("judging", 0.0):
            if key in ("success", "failure"):
                episode.outcome = key
                return False
            if key in ("start_or_end", "quit"):
                return key == "quit"
        time.sleep(_POLL_S)


def _write_dataset(
    session: Session,
    folder: DriveFolder,
    described: RobotDescription,
    plan: dict[str, Any],
    figures: dict[str, Any],
) -> Path:
    """Write the finished episodes as a dataset, with the figures beside it; returns its folder."""
    results = folder.write_dataset(session.setup.config.task, described)
    write_json(results / METADATA, {**plan, "episodes": figures["per_episode"]})
    write_json(results / "metrics.json", figures)
    return results


def _figures(session: Session, plan: dict[str, Any]) -> dict[str, Any]:
    setup = session.setup
    server = rollout_provenance(setup.client.info, setup.config.server)
    figures = drive_figures(session.episodes(), session.late_ms, setup.period_s)
    return {"kind": "drive", **figures, "settings": plan, "provenance": server}


def _plan(setup: Setup, described: RobotDescription) -> dict[str, Any]:
    """What decides a session's data: an interrupted one goes on with the same alone."""
    config = setup.config
    return {
        "task": config.task,
        "robot": config.robot,
        "robot_settings": read_settings(config.robot_config),
        "joints": list(described.joints),
        "cameras": {name: list(size) for name, size in described.cameras.items()},
        "policy_cameras": dict(setup.fit.cameras),
        "policy_groups": {
            name: list(joints)
            for name, joints in {**setup.fit.layout.state, **setup.fit.layout.action}.items()
        },
        "policy_rate_hz": setup.spec.rate_hz or config.policy_rate_hz,
        "control_rate_hz": described.control_rate_hz,
        "limits": {  # null where there is none
            name: [float(value) if np.isfinite(value) else None for value in values]
            for name, values in vars(described.limits).items()
        },
        "speed": config.speed,
        "dry_run": config.dry_run,
        "execute_steps": config.execute_steps,
        "checkpoint_hash": setup.spec.checkpoint_hash,
    }
