"""Look at a dataset's rows as a person would: copies, stillness, jumps, units, rare tasks.

All of it is notes: a dataset may be so on purpose.
"""

import hashlib
from collections.abc import Iterator, Sequence

import numpy as np

from handover_conversion.check.episodes import EpisodeRows
from handover_conversion.features import parse_names
from handover_conversion.findings import Finding, note
from handover_conversion.groot.dataset import GrootDataset
from handover_conversion.groot.metadata import GroupColumns

IDLE_SHARE_PER_S = 0.01  # of a value's range per second: what moves less is still
_MOST_IDLE = 0.5  # of an episode
_STILL_ENDS_S = 2.0
_JUMP = 0.25  # of a value's range within a step
_JUMP_FACTOR = 10  # and as many times the usual step
_FEW_VALUES = 8  # a switch or a class, not a measured value
_SATURATED = 0.2  # of the moving steps at the same end of the range
_LARGEST_ANGLE_RAD = 4 * np.pi  # two turns: no joint of a robot is there
_METRES = 0.15  # a gripper that never opens further is in metres
_MOST_LAG = 5  # steps
_RARE = 3  # episodes

_GRIPPERS = ("gripper", "hand")


def content_findings(dataset: GrootDataset, episodes: Sequence[EpisodeRows]) -> Iterator[Finding]:
    """Note what is strange in the rows. Episodes without faults alone are looked at."""
    if not episodes:
        return
    states = [dataset.state_columns.join(one.columns) for one in episodes]
    actions = [dataset.action_columns.join(one.columns) for one in episodes]
    yield from _copies(episodes, states, actions)
    yield from _rare_tasks(episodes)
    ranges = np.ptp(np.concatenate(states), axis=0) if states[0].shape[1] else np.zeros(0)
    moving = [moving_steps(state, ranges, dataset.fps) for state in states]
    yield from _idle(episodes, moving, dataset.fps)
    yield from _jumps(dataset, dataset.state_columns, episodes, states)
    yield from _saturated(dataset, "state", dataset.state_columns, episodes, states, moving)
    yield from _saturated(dataset, "action", dataset.action_columns, episodes, actions, moving)
    yield from _units("state", dataset.state_columns, episodes, states)
    yield from _units("action", dataset.action_columns, episodes, actions)
    yield from _lags(dataset, episodes, states, actions)


def moving_steps(state: np.ndarray, ranges: np.ndarray, fps: float) -> np.ndarray:
    """Mark the steps at which some value moves: (L, D) -> (L,) bool.

    ranges: (D,) each value's over the whole dataset; the last step moves as the one before it.
    """
    if len(state) < 2 or not state.shape[1]:
        return np.zeros(len(state), bool)
    far = np.abs(np.diff(state, axis=0)) > IDLE_SHARE_PER_S * ranges / fps
    moves = np.any(far, axis=1)
    return np.concatenate([moves, moves[-1:]])


def _copies(
    episodes: Sequence[EpisodeRows], states: Sequence[np.ndarray], actions: Sequence[np.ndarray]
) -> Iterator[Finding]:
    seen: dict[bytes, int] = {}
    for one, state, action in zip(episodes, states, actions, strict=True):
        digest = hashlib.sha256(np.round(state, 6).tobytes() + np.round(action, 6).tobytes())
        first = seen.setdefault(digest.digest(), one.entry.index)
        if first != one.entry.index:
            what = f"has the same rows as episode {first}"
            yield note("duplicated episode", what, one.entry.index, 0)


def _rare_tasks(episodes: Sequence[EpisodeRows]) -> Iterator[Finding]:
    shown: dict[str, list[EpisodeRows]] = {}
    for one in episodes:
        for task in dict.fromkeys(one.tasks):
            shown.setdefault(task, []).append(one)
    most = max(len(found) for found in shown.values())
    for task, found in shown.items():
        if len(found) < _RARE and most >= 4 * len(found):
            first = found[0]
            what = f"{task[:80]!r} is in {len(found)} of {len(episodes)} episodes"
            yield note("rare task", what, first.entry.index, first.tasks.index(task))


def _idle(
    episodes: Sequence[EpisodeRows], moving: Sequence[np.ndarray], fps: float
) -> Iterator[Finding]:
    for one, moves in zip(episodes, moving, strict=True):
        index, length = one.entry.index, len(moves)
        share = 1 - moves.mean()
        if share > _MOST_IDLE:
            step = int(np.argmin(moves))
            yield note("idle", f"nothing moves in {share:.0%} of the steps", index, step)
            continue
        first, last = int(moves.argmax()), length - int(moves[::-1].argmax())
        if first > _STILL_ENDS_S * fps:
            yield note("idle", f"nothing moves in the first {first / fps:.1f} s", index, 0)
        if length - last > _STILL_ENDS_S * fps:
            still_s = (length - last) / fps
            yield note("idle", f"nothing moves in the last {still_s:.1f} s", index, last)


def _jumps(
    dataset: GrootDataset,
    groups: GroupColumns,
    episodes: Sequence[EpisodeRows],
    states: Sequence[np.ndarray],
) -> Iterator[Finding]:
    whole = np.concatenate(states)
    steps = [np.abs(np.diff(state, axis=0)) for state in states]
    usual = np.concatenate(steps) if steps else np.zeros((0, whole.shape[1]))
    for name, column in _values(dataset, groups):
        if _is_gripper(name) or _is_switch(whole[:, column]) or not len(usual):
            continue
        values = usual[:, column]
        often = float(np.median(values[values > 0])) if (values > 0).any() else 0.0
        bound = max(_JUMP * float(np.ptp(whole[:, column])), _JUMP_FACTOR * often)
        for one, step, state in zip(episodes, steps, states, strict=True):
            far = np.flatnonzero(step[:, column] > bound)
            if bound > 0 and len(far):
                at = int(far[0]) + 1
                before, after = state[at - 1, column], state[at, column]
                turn = abs(abs(after - before) - 2 * np.pi) < 0.3
                more = ", a whole turn: an angle that wraps" if turn else ""
                what = f"state {name} jumps from {before:.3g} to {after:.3g}{more}"
                yield note("jump", what, one.entry.index, at)


def _saturated(
    dataset: GrootDataset,
    kind: str,
    groups: GroupColumns,
    episodes: Sequence[EpisodeRows],
    rows: Sequence[np.ndarray],
    moving: Sequence[np.ndarray],
) -> Iterator[Finding]:
    whole = np.concatenate([values[moves] for values, moves in zip(rows, moving, strict=True)])
    if not len(whole):
        return
    for name, column in _values(dataset, groups):
        values = whole[:, column]
        if _is_gripper(name) or _is_switch(values):
            continue
        for end, bound in (("lowest", values.min()), ("highest", values.max())):
            share = float((values == bound).mean())
            if share > _SATURATED:
                place = next(i for i, one in enumerate(rows) if (one[:, column] == bound).any())
                step = int(np.argmax(rows[place][:, column] == bound))
                what = f"{kind} {name} is at its {end} value, {bound:.4g}, in {share:.0%} of steps"
                yield note("saturated", what, episodes[place].entry.index, step)


def _units(
    kind: str, groups: GroupColumns, episodes: Sequence[EpisodeRows], rows: Sequence[np.ndarray]
) -> Iterator[Finding]:
    whole = np.abs(np.concatenate(rows))
    for group, part in groups.groups.items():
        values = whole[:, part]
        largest = float(values.max())
        if largest > _LARGEST_ANGLE_RAD:
            what = f"{kind} {group} reaches {largest:.4g}: no angles in rad; degrees?"
        elif _is_gripper(group) and 0 < largest < _METRES and values.shape[1] == 1:
            what = f"{kind} {group} never exceeds {largest:.3g}: not 0 closed … 1 open; metres?"
        else:
            continue
        place = next(i for i, one in enumerate(rows) if np.abs(one[:, part]).max() == largest)
        step = int(np.abs(rows[place][:, part]).max(axis=1).argmax())
        yield note("unit", what, episodes[place].entry.index, step)


def _lags(
    dataset: GrootDataset,
    episodes: Sequence[EpisodeRows],
    states: Sequence[np.ndarray],
    actions: Sequence[np.ndarray],
) -> Iterator[Finding]:
    """Look whether actions are the state, or an earlier one, as a wrong recording has them."""
    for group, part in dataset.action_groups.items():
        held = dataset.state_groups.get(group)
        if held is None or held.stop - held.start != part.stop - part.start or _is_gripper(group):
            continue
        for one, state, action in zip(episodes, states, actions, strict=True):
            what = _lag(state[:, held].astype(float), action[:, part].astype(float))
            if what:
                yield note("action", f"action {group} {what}", one.entry.index, 0)
                break  # one episode shows it


def _lag(state: np.ndarray, action: np.ndarray) -> str | None:
    spread = float(state.var(axis=0).sum())
    if len(state) < 4 * _MOST_LAG or spread <= 0:
        return None
    if np.array_equal(state, action):
        return "equals the state of the same step: it commands nothing"
    inner = slice(_MOST_LAG, len(state) - _MOST_LAG)
    errors = {
        lag: float(((action[inner] - np.roll(state, lag, axis=0)[inner]) ** 2).sum(axis=1).mean())
        for lag in range(-_MOST_LAG, _MOST_LAG + 1)
    }
    best = min(errors, key=lambda lag: errors[lag])
    if best > 0 and errors[best] < 0.01 * spread and errors[best] < 0.25 * errors[0]:
        return f"follows the state {best} steps later: it lags"
    return None


def _values(dataset: GrootDataset, groups: GroupColumns) -> list[tuple[str, int]]:
    """Name every value of the groups, as info.json does, else by group: [(name, column)]."""
    found = []
    for group, (column, start, end) in groups.places.items():
        feature = dataset.info["features"].get(column, {})
        named = [name for names in parse_names(feature.get("names")).values() for name in names]
        for place in range(end - start):
            known = named[start + place] if start + place < len(named) else f"[{place}]"
            found.append((f"{group} {known}", groups.groups[group].start + place))
    return found


def _is_switch(values: np.ndarray) -> bool:
    return len(np.unique(values[:10_000])) <= _FEW_VALUES


def _is_gripper(group: str) -> bool:
    return any(word in group for word in _GRIPPERS)
