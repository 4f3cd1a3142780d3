"""The loop of both stages: so many steps, with a learning rate that rises and falls."""

import math
from collections.abc import Callable
from typing import Protocol

from handover_training.progress import make_bar


class Stage(Protocol):
    """What is trained step by step, and goes on where a killed run was."""

    @property
    def steps(self) -> int:
        """Steps taken so far, those of earlier runs included."""
        ...

    def step(self, rate_share: float) -> None:
        """Take a step at a share of the highest learning rate."""
        ...

    def describe(self) -> str:
        """Measure on held-out episodes."""
        ...

    def save(self) -> None:
        """Write what a later run needs to go on."""
        ...


def run_stage(
    stage: Stage,
    total: int,
    *,
    every: int,
    what: str,
    report: Callable[[str], None],
    at_save: Callable[[int], None] = lambda _steps: None,
) -> None:
    """Train until `total` steps are taken; every so many, and at the end, measure and save."""
    with make_bar(what, "steps") as bar:
        task = bar.add_task("", total=total, completed=stage.steps, note="")
        while stage.steps < total:
            stage.step(schedule(stage.steps / total))
            bar.update(task, completed=stage.steps)
            if stage.steps % every == 0 or stage.steps == total:
                stage.save()
                at_save(stage.steps)
                report(stage.describe())


def schedule(share: float) -> float:
    """Give the learning rate's share of its peak: a short rise, then half a cosine to 2 %."""
    rise = 0.03
    if share < rise:
        return max(share / rise, 0.01)
    return 0.02 + 0.98 * 0.5 * (1 + math.cos(math.pi * min(1.0, (share - rise) / (1 - rise))))
