"""The headline of each evaluation run, a line each: python docs/headlines.py RUN …"""

import json
import sys
from pathlib import Path
from typing import Any


def headline(figures: dict[str, Any]) -> str:
    """Write a run's most telling figures: joints for a replay, episodes for a rollout."""
    if figures["kind"] == "replay":
        score = figures[figures["headline"]]
        return (
            f"open loop, {len(figures['episodes'])} episode(s): MSE {score['mse']:.5f}, "
            f"MAE {score['mae']:.4f}, success @0.10 {100 * score['success_at']['0.10']:.0f} %"
        )
    low, high = figures["wilson_95"]
    return (
        f"closed loop, {figures['settings']['task']}: {figures['successes']} of "
        f"{figures['episodes']} episodes succeeded "
        f"(95 % interval {100 * low:.0f} … {100 * high:.0f} %)"
    )


if __name__ == "__main__":
    for folder in sys.argv[1:]:
        print(headline(json.loads((Path(folder) / "metrics.json").read_text(encoding="utf-8"))))
