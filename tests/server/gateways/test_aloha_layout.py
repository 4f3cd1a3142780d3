"""The picture that training saw, and targets at the client's own rate."""

import dataclasses

import numpy as np
from handover_proto.types import StateSpec
from handover_server.gateways.aloha_layout import is_aloha_shaped, training_square
from handover_server.policies.hold import ALOHA_HOLD


def test_the_bars_of_openpis_letterbox_are_cut_off_and_the_square_is_kept():
    boxed = np.zeros((224, 224, 3), np.uint8)
    boxed[28:196] = np.arange(224)[None, :, None]
    square = training_square(boxed)
    assert square.shape == (168, 168, 3)
    np.testing.assert_array_equal(square[0, :, 0], np.arange(28, 196))


def test_a_whole_picture_is_cut_to_its_centre():
    picture = np.zeros((480, 640, 3), np.uint8)
    picture[:, :, 0] = np.arange(640) % 256
    square = training_square(picture)
    assert square.shape == (480, 480, 3)
    np.testing.assert_array_equal(square[7, :, 0], np.arange(80, 560) % 256)


def test_a_square_without_bars_stays_as_it_is():
    lit = np.ones((224, 224, 3), np.uint8)
    dark_above, dark_below = lit.copy(), lit.copy()
    dark_above[:28] = dark_below[196:] = 0
    for picture in (lit, dark_above, dark_below):
        np.testing.assert_array_equal(training_square(picture), picture)


def test_a_policy_is_alohas_by_all_its_groups_alone():
    assert is_aloha_shaped(ALOHA_HOLD)
    narrow = dataclasses.replace(ALOHA_HOLD.action[0], dim=6)
    for changes in (
        {"action": ALOHA_HOLD.action[1:]},
        {"action": (narrow, *ALOHA_HOLD.action[1:])},
        {"state": ALOHA_HOLD.state[1:]},
        {"state": (*ALOHA_HOLD.state, StateSpec("past", 3, steps=2))},
    ):
        assert not is_aloha_shaped(dataclasses.replace(ALOHA_HOLD, **changes))
