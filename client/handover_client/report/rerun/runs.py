"""Recordings of runs that have ended, and of datasets: .rrd files."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from handover_proto import ALOHA_JOINTS

from handover_client.report.rerun.stream import (
    entity_of,
    log_curve,
    log_frames,
    log_video,
    open_recording,
)
from handover_client.rollout.record import EpisodeRecord
from handover_client.rollout.trace import EpisodeTrace
from handover_client.view.video import film_rows, make_film

if TYPE_CHECKING:
    from handover_client.replay.evaluation import Evaluation
    from handover_client.replay.run import Replay
    from handover_client.view.content import View


def write_replay_rrd(path: Path, evaluation: "Evaluation", replay: "Replay") -> None:
    """Write the frames that the policy saw, and its joints beside the demonstrated ones."""
    part, dataset, rate_hz = evaluation.headline, replay.dataset, replay.dataset.fps
    with open_recording(path, "handover replay") as recording:
        for each in evaluation.trajectories:
            root = f"episode_{each.episode}"
            first = replay.client.info.spec.first_step
            times_s = (first + np.arange(len(each.predicted))) / rate_hz
            for column, name in zip(part.columns, part.names, strict=True):
                joint = f"{root}/joints/{entity_of(name)}"
                log_curve(recording, f"{joint}/target", times_s, each.predicted[:, column])
                log_curve(recording, f"{joint}/demonstrated", times_s, each.demonstrated[:, column])
            asked = list(each.inference_steps)
            for camera in dataset.cameras:
                frames = dataset.read_frames(each.episode, camera, asked)
                seen_s = np.asarray(asked) / rate_hz
                log_frames(recording, f"{root}/{entity_of(camera)}", seen_s, frames)


def write_rollout_rrd(
    path: Path, run: Path, records: Sequence[EpisodeRecord], rate_hz: float
) -> None:
    """Write each episode's joints, rewards and, where it was filmed, its video.

    run: the rollout's folder; rate_hz: of its control steps.
    """
    with open_recording(path, "handover rollout") as recording:
        for record in records:
            root = f"episode_{record.episode}"
            trace = EpisodeTrace.load(run / f"traces/episode_{record.episode:06d}.npz")
            times_s = np.arange(record.steps) / rate_hz
            for kind, rows in (("target", trace.targets), ("measured", trace.measured)):
                for name, values in zip(ALOHA_JOINTS, np.array(rows).T, strict=False):
                    log_curve(recording, f"{root}/joints/{name}/{kind}", times_s, values)
            log_curve(recording, f"{root}/reward", times_s + 1 / rate_hz, trace.rewards)
            if record.video:
                log_video(recording, f"{root}/camera", (run / record.video).read_bytes())


def write_view_rrd(path: Path, view: "View") -> None:
    """Write the frames and the values of the episodes that a page shows."""
    recordings, dataset = view.recordings, view.recordings.dataset
    with open_recording(path, "handover view") as recording:
        for shown in view.shown:
            if shown.rows is None:
                continue
            root = f"episode_{shown.entry.index}"
            for group in recordings.groups:
                for side, rows in (("state", shown.rows.state), ("action", shown.rows.action)):
                    times_s = np.arange(len(rows[group.name])) / dataset.fps
                    for value, curve in zip(group.values, rows[group.name].T, strict=True):
                        if getattr(value, side):
                            entity = f"{root}/joints/{entity_of(value.name)}/{side}"
                            log_curve(recording, entity, times_s, curve)
            chosen, fps = film_rows(shown.entry.length, dataset.fps)
            for camera in dataset.cameras:
                film = make_film(
                    camera, dataset.read_frames(shown.entry.index, camera, chosen), fps
                )
                if film.video:
                    log_video(recording, f"{root}/{entity_of(camera)}", film.video)
