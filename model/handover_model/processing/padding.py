"""Padding of an embodiment's groups to the fixed widths of the network, and back."""

from collections.abc import Mapping, Sequence

import numpy as np

from handover_model.errors import ModalityError


def pad_state(groups: Mapping[str, np.ndarray], width: int) -> np.ndarray:
    """Join state groups and pad with zeros: {key: (T, D)} -> (T, width) float32."""
    joined = np.concatenate(list(groups.values()), axis=-1)
    return _pad(joined, (joined.shape[0], width), "state", "max_state_dim")


def pad_action(
    groups: Mapping[str, np.ndarray], horizon: int, width: int
) -> tuple[np.ndarray, np.ndarray]:
    """Join action groups and pad with zeros: {key: (T, D)} -> action, mask.

    Both are (horizon, width) float32; the mask is 1 on the real (T, sum of D) corner.
    """
    joined = np.concatenate(list(groups.values()), axis=-1)
    action = _pad(joined, (horizon, width), "action", "max_action_horizon x max_action_dim")
    mask = np.zeros((horizon, width), np.float32)
    mask[: joined.shape[-2], : joined.shape[-1]] = 1
    return action, mask


def cut_action(
    action: np.ndarray, keys: Sequence[str], dims: Sequence[int], steps: int
) -> dict[str, np.ndarray]:
    """Undo pad_action: (..., horizon, width) -> {key: (..., steps, D)}, in the order of `keys`."""
    if steps > action.shape[-2] or sum(dims) > action.shape[-1]:
        raise ModalityError(
            f"the network gives chunks of {action.shape[-2]} steps x {action.shape[-1]}, but the "
            f"modality configuration needs {steps} x {sum(dims)}"
        )
    ends = np.cumsum(dims)
    return {
        key: action[..., :steps, end - dim : end]
        for key, dim, end in zip(keys, dims, ends, strict=True)
    }


def _pad(values: np.ndarray, shape: tuple[int, ...], what: str, setting: str) -> np.ndarray:
    if any(have > room for have, room in zip(values.shape, shape, strict=True)):
        raise ModalityError(
            f"{what} has shape {values.shape}, more than the {shape} of the checkpoint ({setting})"
        )
    padded = np.zeros(shape, np.float32)
    padded[tuple(slice(size) for size in values.shape)] = values
    return padded
