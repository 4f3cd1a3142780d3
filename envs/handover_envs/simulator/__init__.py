"""ALOHA robot in MuJoCo: world, rendering, tasks, Gymnasium environments."""

from typing import TYPE_CHECKING

from handover_common import lazy

if TYPE_CHECKING:
    from handover_envs.simulator.loading import check_packages, load_world, simulator_versions
    from handover_envs.simulator.rendering import LOOKS, LookName
    from handover_envs.simulator.simulator import AlohaSimulator

__getattr__, __dir__ = lazy(__name__, __file__)
