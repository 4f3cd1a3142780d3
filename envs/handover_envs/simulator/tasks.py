"""gym-aloha's two bimanual tasks: instructions, objects, rewards, and when an object is held."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Literal

from handover_common import UsageError

TaskName = Literal["transfer_cube", "insertion"]

# What touches what: unordered pairs of MuJoCo geom names.
Contacts = frozenset[frozenset[str]]

SUCCESS_REWARD = 4  # gym-aloha's reward goes 0, 1, 2, 3, 4; only 4 is success
CONTROL_RATE_HZ = 50  # gym_aloha/constants.py: DT is 0.02 s
DEMONSTRATION_STEPS = 400  # 8 s, the length of the public demonstrations

LEFT_FINGERS = tuple(f"vx300s_left/10_{side}_gripper_finger" for side in ("left", "right"))
RIGHT_FINGERS = tuple(f"vx300s_right/10_{side}_gripper_finger" for side in ("left", "right"))


@dataclass(frozen=True)
class Task:
    """One task; poses of `objects` are x, y, z (m) and a w, x, y, z quaternion each."""

    name: TaskName
    text: str
    objects: tuple[str, ...]
    rewards: tuple[str, str, str, str]  # what 1 … 4 stand for: gym_aloha/tasks/sim.py, get_reward
    is_held: Callable[[Contacts], bool]


def touch(contacts: Contacts, some: tuple[str, ...], others: tuple[str, ...]) -> bool:
    """Return whether any geom of one group touches any geom of the other."""
    return any(frozenset((one, other)) in contacts for one in some for other in others)


def _cube_is_in_the_left_hand_alone(contacts: Contacts) -> bool:
    return (
        touch(contacts, ("red_box",), LEFT_FINGERS)
        and not touch(contacts, ("red_box",), RIGHT_FINGERS)
        and not touch(contacts, ("red_box",), ("table",))
    )


def _peg_and_socket_are_held_together(contacts: Contacts) -> bool:
    socket = tuple(f"socket-{wall}" for wall in (1, 2, 3, 4))
    return (
        touch(contacts, ("red_peg",), ("pin",))
        and touch(contacts, ("red_peg",), RIGHT_FINGERS)
        and touch(contacts, socket, LEFT_FINGERS)
        and not touch(contacts, ("red_peg", *socket), ("table",))
    )


TASKS: Mapping[str, Task] = {
    task.name: task
    for task in (
        Task(
            name="transfer_cube",
            text="Pick up the cube with the right arm and transfer it to the left arm.",
            objects=("cube",),
            rewards=(
                "the right hand touches the cube",
                "the right hand lifts it off the table",
                "the left hand touches it",
                "the left hand holds it off the table",
            ),
            is_held=_cube_is_in_the_left_hand_alone,
        ),
        Task(
            name="insertion",
            text="Insert the peg into the socket.",
            objects=("peg", "socket"),
            rewards=(
                "each hand touches its part",
                "both parts are off the table",
                "the peg touches the socket",
                "the peg is in the socket",
            ),
            is_held=_peg_and_socket_are_held_together,
        ),
    )
}


def find_task(name: str) -> Task:
    """Look up a task by name. Raises UsageError listing the known ones."""
    if name not in TASKS:
        raise UsageError(f"unknown task {name!r}; expected one of: {', '.join(TASKS)}")
    return TASKS[name]
