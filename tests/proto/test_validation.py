"""Every way in which a request can miss a policy's spec is told by field, expected and got."""

import dataclasses

import numpy as np
import pytest
from handover_proto.errors import InvalidRequest, UnmetPrecondition
from handover_proto.types import (
    ActionPrefix,
    ActionSpec,
    CameraSpec,
    EncodedImage,
    ImageCodec,
    Limits,
    Observation,
    PolicyRequest,
    PolicySpec,
    StateSpec,
)
from handover_proto.validation import check_request

SPEC = PolicySpec(
    policy="test",
    cameras=(CameraSpec("top"), CameraSpec("wrist", steps=2)),
    state=(StateSpec("arm", 3), StateSpec("hand", 1, steps=2)),
    action=(ActionSpec("arm", 3), ActionSpec("hand", 1)),
    horizon=4,
    supports_prefix=True,
)
LIMITS = Limits(max_image_pixels=100, max_task_chars=20)
FRAME = np.zeros((5, 6, 3), np.uint8)
CAMERAS = {"top": [FRAME], "wrist": [FRAME, EncodedImage(ImageCodec.PNG, b"x")]}
STATE = {"arm": np.zeros((1, 3), np.float32), "hand": np.zeros((2, 1), np.float32)}
ACTION = {"arm": np.zeros((2, 3), np.float32), "hand": np.zeros((2, 1), np.float32)}
GOOD = PolicyRequest(
    Observation(CAMERAS, STATE, "lift"), seed=1, prefix=ActionPrefix(ACTION, delay_steps=2)
)


def changed(cameras=None, state=None, task=None, **fields) -> PolicyRequest:
    observation = Observation(
        CAMERAS if cameras is None else cameras,
        STATE if state is None else state,
        "lift" if task is None else task,
    )
    return dataclasses.replace(GOOD, observation=observation, **fields)


def prefix(delay_steps=0, **groups) -> ActionPrefix:
    return ActionPrefix(ACTION | groups, delay_steps)


def test_a_request_that_fits_passes():
    check_request(GOOD, SPEC, LIMITS)
    check_request(dataclasses.replace(GOOD, prefix=None, seed=None), SPEC, LIMITS)


NAN = np.array([[0, np.nan, 0]], np.float32)
INFINITE = np.array([[0, 0, np.inf]], np.float32)
HUGE = np.zeros((11, 10, 3), np.uint8)
CASES = {
    "empty task": (changed(task=""), "observation.task"),
    "blank task": (changed(task=" \n\t" * 1000), "observation.task"),
    "long task": (changed(task="x" * 21), "observation.task"),
    "half a surrogate pair": (changed(task="\ud800"), "observation.task"),
    "no cameras": (changed(cameras={}), "observation.cameras"),
    "unknown camera": (changed(cameras=CAMERAS | {"x" * 999: [FRAME]}), "observation.cameras"),
    "frames missing": (
        changed(cameras=CAMERAS | {"wrist": [FRAME]}),
        'observation.cameras["wrist"]',
    ),
    "float frame": (
        changed(cameras=CAMERAS | {"top": [FRAME.astype(np.float32)]}),
        'observation.cameras["top"].frames[0]',
    ),
    "grey frame": (
        changed(cameras=CAMERAS | {"top": [FRAME[..., 0]]}),
        'observation.cameras["top"].frames[0]',
    ),
    "frame of four channels": (
        changed(cameras=CAMERAS | {"top": [np.zeros((5, 6, 4), np.uint8)]}),
        'observation.cameras["top"].frames[0]',
    ),
    "frame as list": (
        changed(cameras=CAMERAS | {"top": [[[0, 0, 0]]]}),
        'observation.cameras["top"].frames[0]',
    ),
    "empty frame": (
        changed(cameras=CAMERAS | {"top": [FRAME[:0]]}),
        'observation.cameras["top"].frames[0]',
    ),
    "huge frame": (
        changed(cameras=CAMERAS | {"wrist": [FRAME, HUGE]}),
        'observation.cameras["wrist"].frames[1]',
    ),
    "no state": (changed(state={}), "observation.state"),
    "unknown state": (changed(state=STATE | {"leg": NAN}), "observation.state"),
    "state of float64": (
        changed(state=STATE | {"arm": np.zeros((1, 3))}),
        'observation.state["arm"]',
    ),
    "state as list": (changed(state=STATE | {"arm": [[0, 0, 0]]}), 'observation.state["arm"]'),
    "flat state": (
        changed(state=STATE | {"arm": np.zeros(3, np.float32)}),
        'observation.state["arm"]',
    ),
    "NaN": (changed(state=STATE | {"arm": NAN}), 'observation.state["arm"]'),
    "infinity": (changed(state=STATE | {"arm": INFINITE}), 'observation.state["arm"]'),
    "tag that is no UTF-8": (changed(client_tag="\udcff"), "client_tag"),
    "long tag": (changed(client_tag="é" * 129), "client_tag"),
    "negative sequence": (changed(sequence=-1), "sequence"),
    "large sequence": (changed(sequence=2**64), "sequence"),
    "large seed": (changed(seed=2**64), "seed"),
    "no age": (changed(max_age_ms=0), "max_age_ms"),
    "large age": (changed(max_age_ms=2**32), "max_age_ms"),
    "prefix too long": (
        changed(prefix=ActionPrefix({k: np.repeat(v, 3, 0) for k, v in ACTION.items()}, 0)),
        "prefix.action",
    ),
    "prefix empty": (
        changed(prefix=ActionPrefix({k: v[:0] for k, v in ACTION.items()}, 0)),
        "prefix.action",
    ),
    "prefix uneven": (changed(prefix=prefix(hand=np.zeros((1, 1), np.float32))), "prefix.action"),
    "prefix NaN": (
        changed(prefix=prefix(arm=np.full((2, 3), np.nan, np.float32))),
        'prefix.action["arm"]',
    ),
    "prefix delay": (changed(prefix=prefix(delay_steps=3)), "prefix.delay_steps"),
    "prefix unknown": (changed(prefix=prefix(leg=ACTION["arm"])), "prefix.action"),
}


@pytest.mark.parametrize("case", CASES)
def test_what_does_not_fit_is_named(case):
    request, field = CASES[case]
    with pytest.raises(InvalidRequest) as caught:
        check_request(request, SPEC, LIMITS)
    error = caught.value
    assert error.field == field
    assert error.expected
    assert error.got
    assert len(str(error)) < 300


def test_the_value_and_place_of_what_is_not_finite_are_told():
    with pytest.raises(InvalidRequest, match=r"nan at \(0, 1\)"):
        check_request(CASES["NaN"][0], SPEC, LIMITS)


def test_a_prefix_for_a_policy_without_real_time_chunking_is_an_unmet_precondition():
    with pytest.raises(UnmetPrecondition, match="supports_prefix"):
        check_request(GOOD, dataclasses.replace(SPEC, supports_prefix=False), LIMITS)
