"""The real-time controller as a robot's own loop calls it, with a source or a server behind it."""

import dataclasses
import threading
import time
import warnings
from math import ceil

import numpy as np
import pytest
from handover_client import ImageCodec, Observation, PolicyClient, RealTimeController
from handover_client.errors import ServerLost
from handover_proto.embodiment import aloha_state_groups, narrow, widen
from handover_proto.errors import InvalidRequest, ServerUnavailable, UnmetPrecondition
from handover_proto.types import CameraSpec, LatencyEnvelope
from handover_server.policies.hold import ALOHA_HOLD, HoldPolicy

from ..stand_ins import SEEING, RampSource

JOINTS = np.linspace(0, 1, 14, dtype=np.float32)
FRAME = np.full((256, 256, 3), 90, np.uint8)
TASK = "hand over the cube"
GONE = ServerUnavailable("gone")
# A chunk of it lasts 40,000 control steps: no machine is so slow that one passes before it comes.
SLOW = dataclasses.replace(SEEING, rate_hz=0.02)
STEP = 2500  # control steps in one of the policy's


def observe():
    return JOINTS, FRAME


def act_until(controller, met, step=0, observe=observe):
    """Call `act` at one step after another until `met()`; returns the last step."""
    until_s = time.monotonic() + 60
    controller.act(step, observe)
    while not met():
        assert time.monotonic() < until_s
        time.sleep(0.002)
        step += 1
        controller.act(step, observe)
    return step


class Gate:
    """Lets a source answer when the test says so."""

    def __init__(self):
        self.opened = threading.Event()

    def __call__(self, call):
        assert self.opened.wait(60)


def test_the_robot_holds_still_until_the_first_chunk_and_then_drops_what_has_passed():
    gate, looks = Gate(), []

    def look():
        looks.append(len(looks))
        return observe()

    source = RampSource(spec=SLOW, trouble=gate)
    with RealTimeController(source, TASK, switching="naive") as controller:
        for step in (*range(20), 3 * STEP):
            np.testing.assert_array_equal(controller.act(step, look), JOINTS)
            assert controller.hold_reason == "no chunk yet"
        assert looks == [0]  # nothing is looked at while a request is under way
        assert (controller.sequence, controller.latency_ms) == (None, None)
        gate.opened.set()
        step = act_until(controller, lambda: controller.sequence is not None, 3 * STEP + 1, look)
        assert controller.sequence == 0
        assert controller.latency_ms == 5.0
        assert controller.dropped_steps == step // STEP >= 3
        assert not controller.hold_reason


def test_a_chunk_that_is_over_is_held_and_said_why():
    gone = threading.Event()

    def trouble(call):
        if gone.is_set():
            raise GONE

    source = RampSource(spec=SLOW, trouble=trouble)
    with RealTimeController(source, TASK, switching="naive") as controller:
        act_until(controller, lambda: controller.sequence is not None)
        gone.set()
        step = act_until(controller, lambda: "gone" in controller.hold_reason, 20 * STEP)
        assert controller.hold_reason == "the last chunk is over: ServerUnavailable: gone"
        held = controller.act(step + 1, observe)
        assert held[0] == np.float32(0.05 * 15)  # its last target
        assert controller.log.dry_steps > 0
        gone.clear()
        act_until(controller, lambda: not controller.hold_reason, step + 2)
        (outage,) = controller.log.outages
        assert outage.recovered
        assert outage.failures >= 1


def test_a_server_that_stays_away_is_lost_after_the_time_to_reconnect():
    def trouble(call):
        raise GONE

    source = RampSource(trouble=trouble)
    with (
        RealTimeController(source, TASK, reconnect_s=0.0) as controller,
        pytest.raises(ServerLost, match="no chunk for 0 s: gone"),
    ):
        act_until(controller, lambda: False)


@pytest.mark.parametrize("error", [InvalidRequest("state", "7", "6"), ZeroDivisionError("a bug")])
def test_what_goes_wrong_in_the_background_reaches_the_caller(error):
    def trouble(call):
        raise error

    with (
        RealTimeController(RampSource(trouble=trouble), TASK) as controller,
        pytest.raises(type(error), match=str(error)),
    ):
        act_until(controller, lambda: False)


def test_a_camera_that_fails_reaches_the_caller_and_is_looked_at_again():
    def unplugged():
        raise OSError("no frame")

    source = RampSource()
    with RealTimeController(source, TASK) as controller:
        with pytest.raises(OSError, match="no frame"):
            controller.act(0, unplugged)
        controller.act(0, observe)
        act_until(controller, lambda: len(source.requests) == 1, 1)


def test_skipped_steps_are_time_that_has_passed():
    with RealTimeController(RampSource(), TASK, switching="naive", clock="simulated") as controller:
        controller.act(0, observe)
        np.testing.assert_allclose(controller.act(15, observe), 0.05 * 6, rtol=1e-6)
        assert controller.act(100, observe)[0] == np.float32(0.05 * 40)  # asked anew at step 100
        assert controller.sequence == 40


class LineSource(RampSource):
    """Wants every joint on a line of time, wherever the observation is on it."""

    def ask(self, request):
        reply = super().ask(request)
        steps = float(request.observed_at) * 0.4 + np.arange(16)
        return dataclasses.replace(reply, targets=np.repeat(0.05 * steps[:, None], 14, axis=1))


@pytest.mark.parametrize("latency_s", [0.0, 0.06])
@pytest.mark.parametrize("age_s", [0.0, 0.1, 0.13])
def test_a_chunk_is_played_as_one_of_the_moment_that_was_observed(age_s, latency_s):
    source = LineSource()
    with RealTimeController(
        source, TASK, clock="simulated", added_latency_s=lambda: latency_s, switching="rtc"
    ) as controller:
        played = [controller.act(step, lambda: (*observe(), age_s))[0] for step in range(120)]
    from_the_first = round(latency_s * 50)
    line = 0.02 * np.arange(120, dtype=np.float32)
    np.testing.assert_allclose(played[from_the_first:], line[from_the_first:], atol=1e-5)
    for request in source.requests[1:]:  # what was played since then comes first
        assert request.step - request.observed_at == pytest.approx(age_s * 50)
        line = 0.05 * (float(request.observed_at) * 0.4 + np.arange(len(request.rest)))
        np.testing.assert_allclose(request.rest[:, 0], line, atol=1e-5)
    delays = {request.delay_steps for request in source.requests[2:]}
    assert delays == {ceil(round((age_s + latency_s) * 20, 6))}


def test_no_observation_is_older_than_the_one_before_it():
    source, ages = RampSource(), [0.0, 0.9]
    with RealTimeController(source, TASK, clock="simulated") as controller:
        for step in range(21):
            controller.act(step, lambda: (*observe(), ages.pop(0)))
    assert [request.observed_at for request in source.requests] == [0, 0]


def test_steps_only_go_up():
    with RealTimeController(RampSource(), TASK) as controller:
        controller.act(5, observe)
        for step in (5, 4):
            with pytest.raises(ValueError, match=f"control step {step} after 5"):
                controller.act(step, observe)


def test_closing_waits_for_nothing_and_ends_the_thread(serve_policy):
    before, gate = set(threading.enumerate()), Gate()
    server = serve_policy(HoldPolicy(), before=lambda request, context: gate(request))
    try:
        with PolicyClient.connect(server.address, call_timeout_s=600) as policy:
            with RealTimeController(policy, TASK) as controller:
                act_until(controller, lambda: len(server.servicer.calls) == 1)
                started = set(threading.enumerate()) - before
                (asking,) = (thread for thread in started if thread.name.startswith("ask"))
            assert asking.is_alive()  # in its call, which the client's end cuts off
            with pytest.raises(ServerUnavailable, match="the controller was closed"):
                controller.act(10**6, observe)
        asking.join(60)
        assert not asking.is_alive()
    finally:
        gate.opened.set()


class PrefixPolicy(HoldPolicy):
    """Holds still; says that it takes prefixes."""

    def __init__(self):
        super().__init__(dataclasses.replace(ALOHA_HOLD, supports_prefix=True))


@pytest.mark.parametrize("policy", [HoldPolicy, PrefixPolicy])
def test_a_served_policy_drives_the_robot_and_continues_its_chunks_where_it_can(
    serve_policy, policy
):
    server = serve_policy(policy())
    with (
        PolicyClient.connect(server.address, image_codec="jpeg", call_timeout_s=60) as client,
        RealTimeController(client, TASK, clock="simulated") as controller,
    ):
        for step in range(41):
            target = controller.act(step, observe)
            np.testing.assert_allclose(target, narrow(widen(JOINTS)), atol=1e-6)
    calls = server.servicer.calls
    assert [call.sequence for call in calls] == [0, 8, 16]
    assert {call.observation.task for call in calls} == {TASK}
    assert {codec(call) for call in calls} == {ImageCodec.JPEG}
    continues = policy is PrefixPolicy
    assert [call.HasField("prefix") for call in calls] == [False, continues, continues]


def codec(call):
    (frame,) = call.observation.cameras["ego_view"].frames
    return frame.codec


def test_on_the_wall_clock_a_served_policy_is_never_waited_for(serve_policy):
    gate = Gate()
    server = serve_policy(HoldPolicy(), before=lambda request, context: gate(request))
    with (
        PolicyClient.connect(server.address, call_timeout_s=600) as client,
        RealTimeController(client, TASK) as controller,
    ):
        for step in range(100):
            np.testing.assert_array_equal(controller.act(step, observe), JOINTS)
        gate.opened.set()
        act_until(controller, lambda: controller.sequence is not None, 100)
        assert controller.latency_ms > 0


def test_a_policy_for_another_robot_is_refused_with_what_to_do(start_server):
    with (
        PolicyClient.connect(start_server().address) as client,
        pytest.raises(UnmetPrecondition, match=r"not one for ALOHA.*PolicyClient\.infer"),
    ):
        RealTimeController(client, TASK)


@pytest.mark.parametrize(
    ("change", "named", "error", "words"),
    [
        ({}, {"task": " "}, InvalidRequest, "task: expected the instruction in words"),
        ({}, {"switching": "smooth"}, ValueError, "'smooth': expected naive"),
        ({}, {"interpolation": "cubic"}, ValueError, "'cubic': expected linear"),
        ({}, {"clock": "sun"}, ValueError, "'sun': expected wall"),
        ({}, {"execute_steps": 17}, ValueError, "execute_steps is 17, expected 1 to 16"),
        ({}, {"execute_steps": 0}, ValueError, "execute_steps is 0, expected 1 to 16"),
        ({}, {"control_rate_hz": 0}, ValueError, "expected above 0"),
        ({"rate_hz": 0.0}, {}, UnmetPrecondition, r"expected --policy-rate-hz HZ \(policy_rate_hz"),
        ({}, {"policy_rate_hz": 50.0}, UnmetPrecondition, r"at 20 Hz, .* says 50: leave it out"),
        ({"supports_prefix": False}, {"switching": "rtc"}, UnmetPrecondition, "use naive"),
    ],
)
def test_what_cannot_work_is_refused_before_the_robot_moves(change, named, error, words):
    source = RampSource(spec=dataclasses.replace(SEEING, **change))
    with pytest.raises(error, match=words):
        RealTimeController(source, **{"task": TASK, **named})


def test_a_rate_may_be_given_where_the_server_reports_none():
    source = RampSource(spec=dataclasses.replace(SEEING, rate_hz=0.0))
    with RealTimeController(source, TASK, policy_rate_hz=10.0, clock="simulated") as controller:
        controller.act(0, observe)
        np.testing.assert_allclose(controller.act(5, observe), 0.05, rtol=1e-6)  # a step later


def test_an_observation_goes_out_as_it_is():
    source = RampSource()
    seen = Observation({"top": [FRAME]}, aloha_state_groups(JOINTS), "another task")
    with RealTimeController(source, TASK, clock="simulated") as controller:
        controller.act(0, lambda: seen)
    assert source.requests[0].observation is seen


def test_several_cameras_go_by_name():
    spec = dataclasses.replace(SEEING, cameras=(CameraSpec("top"), CameraSpec("wrist")))
    source = RampSource(spec=spec)
    with RealTimeController(source, TASK, clock="simulated") as controller:
        with pytest.raises(InvalidRequest, match="frames by name: top, wrist"):
            controller.act(0, observe)
        controller.act(0, lambda: (JOINTS, {"top": FRAME, "wrist": FRAME}))
    assert source.requests[0].observation.cameras == {"top": [FRAME], "wrist": [FRAME]}


@pytest.mark.parametrize(
    ("seen", "words"),
    [
        (JOINTS, r"expected \(joints, image\), .* or an Observation, got ndarray"),
        ((JOINTS, FRAME, -0.1), r"age_s: expected seconds.*0 or more, got -0.1"),
        ((JOINTS, FRAME, np.nan), r"age_s: .*got nan"),
        ((JOINTS[:13], FRAME), r"joints: expected 14 finite numbers.*got float32 \(13,\)"),
        ((np.full(14, np.nan), FRAME), "NaN or infinity"),
        ((["0"] * 14, FRAME), r"got <U1 \(14,\)"),
        (Observation({}, {"arm": np.zeros((1, 7), np.float32)}, TASK), "ALOHA's groups"),
        (Observation({}, aloha_state_groups(np.full(14, np.inf)), TASK), "NaN or infinity"),
    ],
)
def test_what_is_no_observation_is_refused_before_anything_is_sent(seen, words):
    source = RampSource()
    with (
        RealTimeController(source, TASK) as controller,
        pytest.raises(InvalidRequest, match=words),
    ):
        controller.act(0, lambda: seen)
    assert source.requests == []


def test_a_latency_beyond_the_checkpoints_is_warned_of_once_on_the_screen():
    spec = dataclasses.replace(SLOW, latency_envelopes=(LatencyEnvelope(TASK, "naive", 0, 0, 9),))
    with (
        warnings.catch_warnings(record=True) as seen,
        RealTimeController(RampSource(spec=spec), TASK, switching="naive") as controller,
    ):
        warnings.simplefilter("always")
        for answers, start in enumerate((0, 12 * STEP, 24 * STEP), start=1):
            controller.act(start, observe)
            step = start + 100  # the answer is looked for 2 s after its request
            act_until(controller, lambda n=answers: len(controller.log.latency_ms) == n, step)
    assert [str(each.message) for each in seen] == [controller.latency_warning]
    assert "chunks come more than" in controller.latency_warning
    assert "was measured to succeed as without latency up to 0" in controller.latency_warning
