"""Closed-loop evaluation: a served policy plays episodes in simulation."""

from typing import TYPE_CHECKING

from handover_common import lazy

if TYPE_CHECKING:
    from handover_client.rollout.config import (
        EpisodeSettings,
        RolloutConfig,
        parse_cameras,
        parse_groups,
        told_of,
    )
    from handover_client.rollout.episode import EpisodeTask, server_source
    from handover_client.rollout.record import EpisodeScore
    from handover_client.rollout.simulation import episode_tasks, find_server
    from handover_client.rollout.watched_robot import WatchedRobot

__getattr__, __dir__ = lazy(__name__, __file__)
