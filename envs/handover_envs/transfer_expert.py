"""How to pass the cube: the right hand lifts it, the left takes it from the side."""

from collections.abc import Mapping

import numpy as np

from handover_envs.inverse_kinematics import Side
from handover_envs.variation import Variation
from handover_envs.waypoints import Point, Waypoint, moved

CUBE_REST_Z = 0.02  # m; half the cube's edge (bimanual_viperx_transfer_cube.xml)
_ON_EDGE_RAD = np.pi / 2  # the left hand's fingers close from above and below
# Wide enough for the cube, and narrow enough to pass under the right hand's palm.
_LEFT_OPENING = 0.8


def plan_transfer(
    cube: np.ndarray,
    home: dict[Side, Waypoint],
    vary: Variation,
    miss: Mapping[Side, Point],
) -> dict[Side, list[Waypoint]]:
    """Lay out both grippers' ways for a cube at (x, y, z, quaternion).

    miss: how far beside its aim each hand grasps, m; the rest of the way does not know of it
    """
    right = _pick_and_show(cube, home["right"], vary, miss["right"])
    left = _take(home["left"], right[-1], vary, miss["left"])
    holding = right[-1].until(left[-1].time_s + 0.15)  # both hands hold it for a moment
    released = holding.after(vary.seconds(0.3), gripper=1.0)
    away = vary.near(released.position, (0.12, 0.0, 0.06), 0.02)
    aside = vary.near(left[-1].position, (-0.08, 0.0, 0.0), 0.02)
    waiting = left[-1].until(released.time_s + 0.1)
    return {
        "right": [*right, holding, released, released.after(vary.seconds(0.8), away)],
        "left": [*left, waiting, waiting.after(vary.seconds(0.8), aside)],
    }


def _pick_and_show(
    cube: np.ndarray, home: Waypoint, vary: Variation, miss: Point
) -> list[Waypoint]:
    """Lift the cube to the middle, where the left hand will take it."""
    x, y = cube[:2].tolist()
    pitch = vary.degrees(68, 2)
    grasp = vary.point((x + 0.004, y, CUBE_REST_Z), (0.002, 0.001, 0.001))
    above = vary.point((grasp[0] + 0.03, grasp[1], 0.11), (0.005, 0.005, 0.008))
    shown = vary.point((0.0, 0.5, 0.25), (0.004, 0.004, 0.004))
    over = home.after(vary.seconds(1.3), above, pitch_rad=pitch, gripper=1.0, straight=False)
    down = over.after(vary.seconds(0.8), moved(grasp, miss), straight=True)
    closed = down.after(vary.seconds(0.5), gripper=0.0)
    return [home, over, down, closed, closed.after(vary.seconds(1.4), shown)]


def _take(home: Waypoint, shown: Waypoint, vary: Variation, miss: Point) -> list[Waypoint]:
    """Wait at home, come up beside the cube just before it is shown, and close on it."""
    pitch = vary.degrees(0, 2)
    beside = vary.near(shown.position, (-0.12, 0.0, 0.0), 0.005)
    take = moved(vary.near(shown.position, (-0.012, 0.0, -0.004), 0.0025), miss)
    ready_s = shown.time_s - vary.seconds(0.3)
    leaving = home.until(ready_s - vary.seconds(1.6))
    ready = Waypoint(ready_s, beside, pitch, _LEFT_OPENING, _ON_EDGE_RAD, straight=False)
    around = ready.until(shown.time_s + vary.seconds(0.5), position=take, straight=True)
    return [home, leaving, ready, around, around.after(vary.seconds(0.5), gripper=0.0)]
