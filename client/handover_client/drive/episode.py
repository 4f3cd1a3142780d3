"""One driven episode: observe, ask the policy or the person, guard, command, record; at a rate."""

import time
from collections import Counter
from concurrent.futures import Future, ThreadPoolExecutor

import numpy as np
from handover_proto import PolicyError

from handover_client.control.chunk_sources import ServerChunks
from handover_client.control.controller import RealTimeController
from handover_client.control.observation import frame_of_size
from handover_client.drive.guard import Guard
from handover_client.drive.live import Moment
from handover_client.drive.moments import JointHistory
from handover_client.drive.operator import Key
from handover_client.drive.recording import Episode, EpisodeRecorder, Step
from handover_client.drive.robots.interface import Reading, Scene
from handover_client.drive.start_and_stop import Setup, stop
from handover_client.drive.watch import Watch
from handover_client.errors import EvaluationError, NoPlan, ServerLost

_WAITS_FOR_PERSON = "waiting for the person"
_STATUS_EVERY = 10  # control steps
_LEAST_SPACING = 0.8  # of a period, between two commands: after a late one the next comes later


class EpisodeRun:
    """An episode under way; `run` drives it until somebody or something ends it."""

    def __init__(
        self, setup: Setup, number: int, guard: Guard, recorder: EpisodeRecorder | None
    ) -> None:
        self._setup, self._guard, self._recorder = setup, guard, recorder
        self._counts = Counter(guard.counts)  # before the episode
        self.episode = Episode(number)
        self.wants_to_quit = False
        self._holds: Counter[str] = Counter()
        self._measured = JointHistory()
        has_noise = setup.robot.describe().pictures_have_noise
        self._watch = Watch(setup.config.stale_s, setup.config.frozen_s, has_noise)
        self._planner = ThreadPoolExecutor(1, thread_name_prefix="person")
        self._planning: Future[np.ndarray] | None = None
        self._plan: np.ndarray | None = None  # what the person does, a row for each step
        self._plan_step = 0
        self._controller: RealTimeController | None = None
        self._first_step = 0  # of the controller
        self._answers = 0  # that it has had
        self._status_due = 0  # step; those that are missed show nothing
        self._dry_since_s = self._started_s = time.monotonic()
        self._commanded_s = 0.0  # when the last command was sent
        self.late_ms: list[float] = []

    def run(self) -> Episode:
        """Drive; whatever ends it, the robot is braked and holds. Raises HandoverError."""
        step = 0
        try:
            while not self.episode.ended:
                step = self._advance(step)
        finally:
            self._end_controller()
            self._planner.shutdown(wait=False, cancel_futures=True)
            self.episode.guard = dict(self._guard.counts - self._counts)
            stop(self._setup, self._guard)
        self.episode.steps = step
        self.episode.seconds = step * self._setup.period_s
        self.episode.holds = dict(self._holds)
        return self.episode

    def _advance(self, step: int) -> int:
        """Make one control step; returns the next, after those that were missed."""
        setup, due_s = self._setup, self._started_s + step * self._setup.period_s
        time.sleep(max(0.0, due_s - time.monotonic()))
        late_s = time.monotonic() - due_s
        self.late_ms.append(1e3 * late_s)
        reading = setup.robot.observe()
        now_s = time.monotonic()
        self._measured.add(reading.time_s, reading.joints)
        for key in setup.keys("running", step * setup.period_s):
            self._press(key)
        if step * setup.period_s >= setup.config.max_seconds:
            self.episode.ended = self.episode.ended or "max_seconds"
        if self.episode.ended:
            return step
        row, waits = self._move(step, reading, now_s, late_s)
        if setup.live:
            seconds, counts = step * setup.period_s, self._guard.counts - self._counts
            number, joints = self.episode.episode, setup.robot.describe().joints
            setup.live.show(Moment(number, seconds, joints, row, reading.frames, counts, waits))
        following = max(step + 1, int((time.monotonic() - self._started_s) / setup.period_s))
        for _ in range(following - step):  # a step that was missed kept the command
            self._record(row, reading)
        if following > step + 1:
            self._guard.rest()
        if step >= self._status_due:
            self._status_due = step + _STATUS_EVERY
            setup.status(self._describe(step, row.command, waits))
        return following

    def _move(self, step: int, reading: Reading, now_s: float, late_s: float) -> tuple[Step, str]:
        """Command the robot; returns the step as it is recorded, and why the robot holds."""
        target, hold = self._target(step, reading, now_s)
        guarded = self._guard.step(target, reading.joints, hold)
        if not self._setup.config.dry_run:
            due_s = self._commanded_s + _LEAST_SPACING * self._setup.period_s
            time.sleep(max(0.0, due_s - time.monotonic()))
            self._commanded_s = time.monotonic()
            self._setup.robot.command(guarded.command)
        self.episode.guarded_steps += bool(guarded.interventions)
        controller = self._controller
        waits = hold or (controller.hold_reason if controller else "")
        if waits:
            self._holds[waits.partition(":")[0]] += 1
        row = Step(
            measured=reading.joints,
            target=np.asarray(target, np.float64),
            command=guarded.command,
            intervention=self._plan is not None,
            guarded=bool(guarded.interventions),
            held=bool(waits),
            latency_ms=(controller.latency_ms if controller else None) or 0.0,
            age_ms=1e3 * (now_s - reading.time_s),
            late_ms=1e3 * late_s,
        )
        return row, waits

    def _target(self, step: int, reading: Reading, now_s: float) -> tuple[np.ndarray, str]:
        """What the policy or the person asks for, and why the robot has to hold instead."""
        problem = self._watch.problem(reading, now_s)
        if problem or self._planning is not None or self._plan is not None:
            self._dry_since_s = now_s  # nobody asks the server meanwhile
        if problem:
            return reading.joints, problem
        if self._planning is not None:
            if not self._planning.done():
                return reading.joints, _WAITS_FOR_PERSON
            planning, self._planning, self._plan_step = self._planning, None, 0
            try:
                self._plan = planning.result()
            except NoPlan as error:
                self._setup.status(f"t: {error}; the policy goes on\n")
        if self._plan is not None:
            row = self._plan[min(self._plan_step, len(self._plan) - 1)]
            self._plan_step += 1
            return row, ""
        return self._ask(step, reading, now_s)

    def _ask(self, step: int, reading: Reading, now_s: float) -> tuple[np.ndarray, str]:
        if self._controller is None:
            self._controller, self._first_step = self._begin_controller(), step
            self._answers = 0
            self._dry_since_s = now_s
        try:
            target = self._controller.act(
                step - self._first_step, lambda: self._observe(reading, now_s)
            )
        except ServerLost as error:
            self.episode.ended, self.episode.error = "server_lost", str(error)
            return reading.joints, f"no answer: {error}"
        except (PolicyError, EvaluationError) as error:  # it would come again
            self.episode.ended, self.episode.error = "policy_error", str(error)
            return reading.joints, f"no usable answer: {error}"
        answers = len(self._controller.log.latency_ms)
        if answers != self._answers or not self._controller.hold_reason:
            # an answer whose steps have all passed is a late one, and the server is not lost
            self._answers, self._dry_since_s = answers, now_s
        elif now_s - self._dry_since_s > self._setup.config.give_up_s:
            self.episode.ended = "server_lost"
        if not self._controller.has_chunk:  # it would hold the joints as they were measured
            return self._guard.command, ""
        return target, ""

    def _observe(
        self, reading: Reading, now_s: float
    ) -> tuple[np.ndarray, dict[str, np.ndarray], float]:
        """Return joints of the oldest frame's time, the frames, and how old that is, in s.

        A frame of a tenth of a second ago shows the hands where they are no more: with joints of
        now, a policy would see them in two places.
        """
        sizes = self._setup.fit.sizes
        seen = {name: reading.frames[camera] for name, camera in self._setup.fit.cameras.items()}
        frames = {name: frame_of_size(frame.image, sizes[name]) for name, frame in seen.items()}
        oldest_s = min((frame.time_s for frame in seen.values()), default=reading.time_s)
        joints, time_s = self._measured.at(oldest_s)
        # in the policy's time, which passes more slowly with --speed
        return joints, frames, max(0.0, now_s - time_s) * self._setup.config.speed

    def _begin_controller(self) -> RealTimeController:
        config = self._setup.config
        return RealTimeController(
            ServerChunks(
                self._setup.client,
                self._setup.spec,
                layout=self._setup.fit.layout,
                client_tag=f"episode={self.episode.episode}",
                same_weights=True,
            ),
            config.task,
            # slower by making the policy's steps last more of the robot's
            1 / self._setup.period_s / config.speed,
            execute_steps=config.execute_steps,
            policy_rate_hz=config.policy_rate_hz,
            reconnect_s=config.give_up_s,
        )

    def _end_controller(self) -> None:
        controller, self._controller = self._controller, None
        if controller:
            controller.close()
            self.episode.latency_ms += controller.log.latency_ms
            self.episode.dropped_steps += controller.dropped_steps
            self.episode.outages += len(controller.log.outages)

    def _press(self, key: Key) -> None:
        episode = self.episode
        if key in ("success", "failure"):
            episode.outcome, episode.ended = key, "operator"
        elif key == "start_or_end":
            episode.ended = "operator"
        elif key == "stop":
            episode.ended = "stopped"
        elif key == "quit":
            episode.ended, self.wants_to_quit = episode.ended or "stopped", True
        elif key == "take_over":
            self._hand_over()

    def _hand_over(self) -> None:
        """From the policy to the person, or back."""
        robot = self._setup.robot
        if self._plan is not None or self._planning is not None:
            self._plan = self._planning = None  # the policy goes on with a chunk of now
        elif isinstance(robot, Scene):
            self._end_controller()
            self._planning = self._planner.submit(robot.take_over, self._guard.command)
        else:
            self._setup.status("t: this robot has nothing that a person drives it with")

    def _record(self, row: Step, reading: Reading) -> None:
        self.episode.intervention_steps += row.intervention
        if self._recorder:
            self._recorder.add(row, reading)

    def _describe(self, step: int, command: np.ndarray, waits: str) -> str:
        setup = self._setup
        who = "person" if self._plan is not None else "policy"
        latency = self._controller.latency_ms if self._controller else None
        beyond = self._controller.latency_warning if self._controller else ""
        guarded = self.episode.guarded_steps
        seconds = time.monotonic() - self._started_s
        told = " ".join(f"{value:.2f}" for value in command)
        parts = [
            f"episode {self.episode.episode}",
            f"{step * setup.period_s:.1f} s",
            f"{who} drives" if not waits else f"holds: {waits}",
            f"latency {latency:.0f} ms" if latency else "",
            f"{(len(self.late_ms) - 1) / seconds:.1f} Hz" if step else "",
            f"late {self.late_ms[-1]:.1f} ms",
            "latency beyond what was measured" if beyond else "",
            f"guard {guarded}" if guarded else "",
            f"DRY RUN, would be told {told}" if setup.config.dry_run else f"told {told}",
        ]
        return ", ".join(filter(None, parts))
