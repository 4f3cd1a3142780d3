"""A made-up dataset's statistics, and a small checkpoint made from them."""

import json
from pathlib import Path

import numpy as np
import pytest
from handover_model.policy import GrootPolicy, load_policy
from handover_proto.embodiment import GR1_SLICES, GR1_WIDTH, RELATIVE_GROUPS
from handover_training.aloha_mini.checkpoint import write_random

HORIZON = 16
CONSTANT_SLOT = 28  # a slot that never moves


def summarize(values: np.ndarray) -> dict[str, list]:
    """The six statistics over the first axis."""
    return {
        "min": values.min(0).tolist(),
        "max": values.max(0).tolist(),
        "mean": values.mean(0).tolist(),
        "std": values.std(0).tolist(),
        "q01": np.quantile(values, 0.01, axis=0).tolist(),
        "q99": np.quantile(values, 0.99, axis=0).tolist(),
    }


@pytest.fixture(scope="session")
def dataset(tmp_path_factory) -> Path:
    """The meta folder of a GR00T dataset with 200 random rows at 20 Hz."""
    meta = tmp_path_factory.mktemp("dataset") / "meta"
    meta.mkdir()
    generator = np.random.default_rng(5)
    action = generator.normal(0, 0.5, (200, GR1_WIDTH))
    state = action + generator.normal(0, 0.1, action.shape)
    action[:, CONSTANT_SLOT] = state[:, CONSTANT_SLOT] = 0.25
    windows = np.stack([action[k : k + HORIZON] - state[k] for k in range(200 - HORIZON)])
    spans = {name: {"start": part.start, "end": part.stop} for name, part in GR1_SLICES.items()}
    image = {"dtype": "video", "shape": [256, 256, 3]}
    contents = {
        "stats": {"observation.state": summarize(state), "action": summarize(action)},
        "relative_stats": {
            name: summarize(windows[..., GR1_SLICES[name]]) for name in RELATIVE_GROUPS
        },
        "modality": {
            "state": spans,
            "action": spans,
            "video": {"ego_view": {"original_key": "observation.images.top"}},
        },
        "info": {"fps": 20, "features": {"observation.images.top": image}},
    }
    for name, content in contents.items():
        (meta / f"{name}.json").write_text(json.dumps(content))
    return meta.parent


@pytest.fixture(scope="session")
def mini(dataset, tmp_path_factory) -> Path:
    """A small checkpoint with random weights. Tests that change it copy it first."""
    return write_random(dataset, tmp_path_factory.mktemp("checkpoints") / "mini", seed=3)


@pytest.fixture(scope="session")
def policy(mini) -> GrootPolicy:
    """The small checkpoint as a policy, on the CPU in float32."""
    return load_policy(mini, device="cpu")
