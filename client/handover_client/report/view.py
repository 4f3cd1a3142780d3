"""Page of `handover view`: a dataset's episodes, lengths, tasks, idle time, and findings."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from handover_common import ProgressBar, write_text
from markupsafe import Markup

from handover_client.report.charts.svg import Bars, Chart, inline_svg, scale
from handover_client.report.episodes import Camera, Charts, Curve, data_uri, group_charts
from handover_client.report.page import render
from handover_client.results.formatting import percent
from handover_client.view.content import Finding, Shown, View
from handover_client.view.recordings import EpisodeRows, Recordings
from handover_client.view.video import film_rows, make_film

MOST_VIDEO_BYTES = 24_000_000  # of mp4 in a page; a third more as text
_MOST_TASKS, _MOST_FINDINGS = 40, 300
_NARROWEST = 0.02  # of whatever unit: noise at rest is not shown as motion


def write_view(path: Path, view: View, findings: Sequence[Finding] | None) -> None:
    """Write the page; findings: the check's, None where there was none."""
    write_text(path, render("view.html.j2", _content(view, findings)))


def _content(view: View, findings: Sequence[Finding] | None) -> dict[str, Any]:
    recordings, dataset = view.recordings, view.recordings.dataset
    lengths_s = [each.length / recordings.dataset.fps for each in dataset.episodes]
    return {
        "name": dataset.path.resolve().name,
        "recordings": recordings,
        "dataset": dataset,
        "robot": str(dataset.info.get("robot_type") or ""),
        "view": view,
        "percent": percent,
        "total": _duration(sum(lengths_s)),
        "median_s": float(np.median(lengths_s)),
        "range_s": (min(lengths_s), max(lengths_s)),
        "median_idle": float(np.median(view.idle)) if view.idle else None,
        "tasks": view.tasks[:_MOST_TASKS],
        "findings": findings if findings is None else list(findings)[:_MOST_FINDINGS],
        "counts": {
            kind: sum(each.severity == kind for each in findings or ())
            for kind in ("fault", "note")
        },
        "histograms": [
            (chart.title, Markup(inline_svg(chart)))
            for chart in _histograms(lengths_s, 100 * np.array(view.idle))
        ],
        "film_hz": float(film_rows(1, recordings.dataset.fps)[1]),
        "episodes": list(_episodes(view)),
        "most_megabytes": MOST_VIDEO_BYTES // 1_000_000,
    }


def _episodes(view: View) -> Iterator[dict[str, Any]]:
    """Describe each episode to show; videos are made as long as the page has room for them."""
    recordings, room = view.recordings, MOST_VIDEO_BYTES
    films = len(view.shown) * len(recordings.dataset.cameras)
    with ProgressBar("videos", films, transient=True) as bar:
        for shown in view.shown:
            cameras = []
            for camera in recordings.dataset.cameras:
                cameras.append(_camera(recordings, shown, camera, room))
                room -= len(cameras[-1].source) * 3 // 4
                bar.advance()
            yield {
                "index": shown.entry.index,
                "problem": shown.problem,
                "task": shown.rows.task if shown.rows else "",
                "seconds": shown.entry.length / recordings.dataset.fps,
                "steps": shown.entry.length,
                "cameras": cameras,
                "groups": _groups(recordings, shown.rows) if shown.rows else [],
            }


def _camera(recordings: Recordings, shown: Shown, camera: str, room: int) -> Camera:
    if room <= 0:
        return Camera(camera, "", "left out: the page has no room for more videos")
    rows, fps = film_rows(shown.entry.length, recordings.dataset.fps)
    film = make_film(camera, recordings.dataset.read_frames(shown.entry.index, camera, rows), fps)
    if len(film.video) > room:
        return Camera(camera, "", "left out: the page has no room for more videos")
    return Camera(camera, data_uri(film.video), film.problem)


def _groups(recordings: Recordings, rows: EpisodeRows) -> list[Charts]:
    drawn = []
    for group in recordings.groups:
        state, action = rows.state[group.name], rows.action[group.name]
        curves = {}
        for place, value in enumerate(group.values):
            lines = []
            if value.state:
                lines.append(Curve(state[:, place], "demonstrated", "thick"))
            if value.action:
                lines.append(Curve(action[:, place], "predicted"))
            unit = recordings.units.get(group.name, "")
            curves[value.name.replace("_", " ") + (f", {unit}" if unit else "")] = lines
        drawn.append(group_charts(group.name, curves, recordings.dataset.fps, _NARROWEST))
    return drawn


def _histograms(lengths_s: Sequence[float], idle_percent: np.ndarray) -> list[Chart]:
    charts = [_histogram("Length of an episode", "length, s", np.asarray(lengths_s), None)]
    if len(idle_percent):
        charts.append(
            _histogram("Idle share of an episode", "idle steps, %", idle_percent, (0.0, 100.0))
        )
    return charts


def _histogram(
    title: str, x_title: str, values: np.ndarray, ends: tuple[float, float] | None
) -> Chart:
    low, high = ends or (float(values.min()), float(values.max()))
    if not high > low:
        low, high = low - 0.5, high + 0.5
    counts, edges = np.histogram(values, bins=20, range=(low, high))
    gap = 0.06 * (edges[1] - edges[0])
    return Chart(
        title,
        scale(x_title, low, high, 6),
        scale("episodes, counted", 0.0, 1.08 * float(counts.max()), min(3, int(counts.max()))),
        (Bars(edges[:-1] + gap, edges[1:] - gap, counts, "predicted"),),
        height_px=130,
    )


def _duration(seconds: float) -> str:
    hours, rest = divmod(round(seconds), 3600)
    minutes, whole = divmod(rest, 60)
    parts = ((hours, "h"), (minutes, "min"), (whole, "s"))
    return " ".join(f"{count} {unit}" for count, unit in parts if count) or f"{seconds:.1f} s"
