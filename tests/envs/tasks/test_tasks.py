"""When an object counts as held for good, from what touches what."""

import pytest
from handover_common.errors import UsageError
from handover_envs.tasks import LEFT_FINGERS, RIGHT_FINGERS, TASKS, find_task

CUBE, PEG, PIN, SOCKET, TABLE = "red_box", "red_peg", "pin", "socket-3", "table"
LEFT, RIGHT = LEFT_FINGERS[0], RIGHT_FINGERS[1]


def contacts(*pairs: tuple[str, str]) -> frozenset[frozenset[str]]:
    return frozenset(frozenset(pair) for pair in pairs)


@pytest.mark.parametrize(
    ("touching", "held"),
    [
        ([(CUBE, LEFT)], True),
        ([(LEFT, CUBE)], True),  # MuJoCo's order says nothing
        ([(CUBE, LEFT), (CUBE, RIGHT)], False),  # gym-aloha calls this a success
        ([(CUBE, LEFT), (CUBE, TABLE)], False),
        ([(CUBE, RIGHT)], False),
        ([], False),
    ],
)
def test_the_cube_is_held_by_the_left_hand_alone(touching, held):
    assert TASKS["transfer_cube"].is_held(contacts(*touching)) is held


INSERTED = [(PEG, PIN), (PEG, RIGHT), (SOCKET, LEFT)]


@pytest.mark.parametrize(
    ("touching", "held"),
    [
        (INSERTED, True),
        ([*INSERTED, (PEG, TABLE)], False),
        ([*INSERTED, (SOCKET, TABLE)], False),
        (INSERTED[1:], False),
        (INSERTED[:2], False),
        ([INSERTED[0], INSERTED[2]], False),
    ],
)
def test_an_inserted_peg_is_held_when_each_hand_has_its_part_off_the_table(touching, held):
    assert TASKS["insertion"].is_held(contacts(*touching)) is held


@pytest.mark.parametrize("wall", [1, 2, 3, 4])
@pytest.mark.parametrize("finger", [0, 1])
def test_any_wall_of_the_socket_and_any_finger_will_do(wall, finger):
    socket, left, right = f"socket-{wall}", LEFT_FINGERS[finger], RIGHT_FINGERS[finger]
    inserted = [(PEG, PIN), (PEG, right), (socket, left)]
    assert TASKS["insertion"].is_held(contacts(*inserted))
    assert not TASKS["insertion"].is_held(contacts(*inserted, (socket, TABLE)))
    assert TASKS["transfer_cube"].is_held(contacts((CUBE, left)))
    assert not TASKS["transfer_cube"].is_held(contacts((CUBE, left), (CUBE, right)))


def test_an_unknown_task_is_refused_with_the_known_ones():
    with pytest.raises(UsageError, match="transfer_cube, insertion"):
        find_task("juggling")
