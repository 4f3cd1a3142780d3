"""Action prefix for real-time chunking: the unexecuted rest of a chunk, in the network's units.

The prefix comes as absolute targets; the network represents some of them relative to the state of
the new observation, step by step, and in normalized units.
"""

from collections.abc import Sequence

import numpy as np
import torch
from handover_proto import ActionPrefix, InvalidRequest, PolicyRequest, PrefixMethod

from handover_model.errors import ModalityError
from handover_model.network.real_time_chunking import (
    CleanPrefix,
    Prefix,
    PrefixGuide,
    soft_mask,
)
from handover_model.processing.padding import pad_action
from handover_model.processing.processor import Processor
from handover_model.processing.state_action import Groups


def prefix_method(request: PolicyRequest, learned_delay: int) -> PrefixMethod:
    """Decide how a request's prefix is continued; learned_delay: of the policy, in steps."""
    if request.prefix is None:
        return PrefixMethod.NONE
    is_learned = bool(learned_delay) and request.prefix.delay_steps <= learned_delay
    if is_learned and not request.prefix.guided:
        return PrefixMethod.LEARNED
    return PrefixMethod.GUIDED


def prepare_guide(processor: Processor, prefix: ActionPrefix, state: Groups) -> PrefixGuide:
    """Convert a prefix's absolute actions to the guide of one chunk for `state`, (horizon, dim).

    See prepare_target for the arguments and errors.
    """
    length, (target, mask) = prepare_target(processor, prefix, state)
    weights = soft_mask(prefix.delay_steps, length, len(target))
    is_frozen = np.arange(len(target)) < prefix.delay_steps
    return PrefixGuide(
        torch.from_numpy(target),
        torch.from_numpy((mask * weights[:, None]).astype(np.float32)),
        torch.from_numpy((mask > 0) & is_frozen[:, None]),
    )


def prepare_clean(processor: Processor, prefix: ActionPrefix | None, state: Groups) -> CleanPrefix:
    """Convert the steps that will have been executed to the given ones of one chunk."""
    config = processor.config
    target = np.zeros((config.max_action_horizon, config.max_action_dim), np.float32)
    if prefix is not None:
        _, (target, _) = prepare_target(processor, prefix, state)
    delay = 0 if prefix is None else prefix.delay_steps
    return CleanPrefix(torch.from_numpy(target), torch.arange(len(target)) < delay)


def prepare_target(
    processor: Processor, prefix: ActionPrefix, state: Groups
) -> tuple[int, tuple[np.ndarray, np.ndarray]]:
    """Return a prefix's length, and its actions in the network's units with the mask of real ones.

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
    return length, pad_action(normalized, config.max_action_horizon, config.max_action_dim)


def make_prefix(
    processor: Processor, requests: Sequence[PolicyRequest], learned_delay: int
) -> Prefix | None:
    """Stack the prefixes of a batch that batches_by_method made; None where it has none.

    Raises InvalidRequest for a prefix that the processor cannot use.
    """
    methods = {prefix_method(request, learned_delay) for request in requests}
    if methods == {PrefixMethod.NONE}:
        return None
    prepared: list[Prefix] = []
    for request in requests:
        state = request.observation.state
        try:
            if PrefixMethod.GUIDED in methods:
                assert request.prefix is not None
                prepared.append(prepare_guide(processor, request.prefix, state))
            else:
                prepared.append(prepare_clean(processor, request.prefix, state))
        except ModalityError as error:
            raise InvalidRequest("prefix", "what GetInfo describes", str(error)) from error
    parts = zip(*(vars(prefix).values() for prefix in prepared), strict=True)
    return type(prepared[0])(*map(torch.stack, parts))


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


def batches_by_method(
    requests: Sequence[PolicyRequest], size: int, learned_delay: int
) -> list[list[int]]:
    """Split requests' places into batches whose prefixes are continued in one way.

    Those without a prefix share batches with learnt ones, which are computed by the same graph.
    """
    kinds: dict[bool, list[int]] = {False: [], True: []}
    for place, request in enumerate(requests):
        kinds[prefix_method(request, learned_delay) is PrefixMethod.GUIDED].append(place)
    return [
        places[start : start + size]
        for places in kinds.values()
        for start in range(0, len(places), size)
    ]


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
