"""Action prefix for real-time chunking: the unexecuted rest of a chunk, in the network's units.

The prefix comes as absolute targets; the network represents some of them relative to the state of
the new observation, step by step, and in normalized units.
"""

from collections.abc import Sequence

import numpy as np
import torch
from handover_proto import ActionPrefix, InvalidRequest, PolicyRequest

from handover_model.errors import ModalityError
from handover_model.network.real_time_chunking import PrefixGuide, soft_mask
from handover_model.processing.padding import pad_action
from handover_model.processing.processor import Processor
from handover_model.processing.state_action import Groups


def prepare_prefix(processor: Processor, prefix: ActionPrefix, state: Groups) -> PrefixGuide:
    """Convert a prefix's absolute actions to the guide of one chunk for `state`, (horizon, dim).

    state: the raw state groups of the request's observation, {group: (steps, dim)}. Targets are
    clipped as in training: the robot may be where no demonstration was. Raises ModalityError for a
    prefix that does not fit.
    """
    length = _check(processor, prefix)
    horizon = processor.horizon
    # statistics of relative actions differ from step to step: the prefix is padded to all of them
    padded = {
        key: np.concatenate([values, np.repeat(values[-1:], horizon - length, axis=0)])
        for key, values in prefix.action.items()
    }
    config = processor.config
    normalized = processor.codec.normalize_action(padded, state)
    target, mask = pad_action(normalized, config.max_action_horizon, config.max_action_dim)
    weights = soft_mask(prefix.delay_steps, length, config.max_action_horizon)
    is_frozen = np.arange(config.max_action_horizon) < prefix.delay_steps
    return PrefixGuide(
        torch.from_numpy(target),
        torch.from_numpy((mask * weights[:, None]).astype(np.float32)),
        torch.from_numpy((mask > 0) & is_frozen[:, None]),
    )


def make_guide(processor: Processor, requests: Sequence[PolicyRequest]) -> PrefixGuide | None:
    """Stack the prefixes of a batch in which either all requests have one or none has.

    Raises InvalidRequest for a prefix that the processor cannot use.
    """
    prepared = []
    for request in requests:
        if request.prefix is None:
            continue
        try:
            state = request.observation.state
            prepared.append(prepare_prefix(processor, request.prefix, state))
        except ModalityError as error:
            raise InvalidRequest("prefix", "what GetInfo describes", str(error)) from error
    if not prepared:
        return None
    parts = ((guide.target, guide.weight, guide.frozen) for guide in prepared)
    return PrefixGuide(*map(torch.stack, zip(*parts, strict=True)))


def take_over(action: Groups, prefix: ActionPrefix | None) -> dict[str, np.ndarray]:
    """Put the prefix's frozen steps at a chunk's start: {group: (horizon, dim)} float32.

    Normalizing and restoring would move them: by rounding, and by clipping to the range of the
    demonstrations.
    """
    if prefix is None:
        return dict(action)
    delay = prefix.delay_steps
    return {
        key: np.concatenate([prefix.action[key][:delay], values[delay:]])
        for key, values in action.items()
    }


def batches_by_kind(requests: Sequence[PolicyRequest], size: int) -> list[list[int]]:
    """Split requests' places into batches without and with a prefix."""
    batches = []
    for has_prefix in (False, True):
        places = [
            k for k, request in enumerate(requests) if (request.prefix is not None) is has_prefix
        ]
        batches += [places[start : start + size] for start in range(0, len(places), size)]
    return batches


def _check(processor: Processor, prefix: ActionPrefix) -> int:
    """Check a prefix's shapes, and return the number of its steps."""
    keys = processor.codec.modality.action.keys
    if set(prefix.action) != set(keys):
        raise ModalityError(
            f"the prefix has the groups {', '.join(prefix.action)}, expected {', '.join(keys)}"
        )
    shapes = {key: prefix.action[key].shape for key in keys}
    length = shapes[keys[0]][0] if shapes[keys[0]] else 0
    if not 1 <= length <= processor.horizon:
        raise ModalityError(f"the prefix has {length} steps, expected 1 to {processor.horizon}")
    for key in keys:
        expected = (length, processor.codec.action_dim(key))
        if shapes[key] != expected or not np.isfinite(prefix.action[key]).all():
            raise ModalityError(
                f"the prefix's {key!r} has shape {shapes[key]}, expected {expected}, finite"
            )
    if not 0 <= prefix.delay_steps <= length:
        raise ModalityError(
            f"the prefix has {length} steps and a delay of {prefix.delay_steps}, expected 0 to "
            f"{length}"
        )
    return length
