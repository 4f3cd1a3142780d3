"""Gathering of sharded network and optimizer states.

FSDP shards them over processes; what is gathered here is the same as one process has, so that a run
continues with another number of processes, sharded or not.
"""

from collections.abc import Iterable, Mapping
from typing import Any, cast

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.distributed.checkpoint.state_dict import (
    StateDictOptions,
    get_model_state_dict,
    get_optimizer_state_dict,
    set_optimizer_state_dict,
)
from torch.distributed.fsdp import (
    FSDPModule,
    MixedPrecisionPolicy,
    register_fsdp_forward_method,
)
from torch.optim import Optimizer

_WHOLE = StateDictOptions(full_state_dict=True, cpu_offload=True)

# autocast rounds what is computed; accelerate's policy would round times, noise, masks' sums, the
# loss and predicted chunks, too, and add gradients in bfloat16
BFLOAT16_WEIGHTS = MixedPrecisionPolicy(
    param_dtype=torch.bfloat16, reduce_dtype=torch.float32, cast_forward_inputs=False
)


def whole_weights(model: nn.Module) -> dict[str, Tensor]:
    """Gather the weights; all processes must call this, and only the first gets any."""
    return cast(dict[str, Tensor], get_model_state_dict(model, options=_WHOLE))


def whole_optimizer(model: nn.Module, optimizer: Optimizer) -> dict[str, Any]:
    """Gather the optimizer's state, by the weights' names; otherwise as whole_weights."""
    return cast(dict[str, Any], get_optimizer_state_dict(model, optimizer, options=_WHOLE))


def put_optimizer(model: nn.Module, optimizer: Optimizer, state: Mapping[str, Any]) -> None:
    """Load into every process its part of what whole_optimizer gathered."""
    options = StateDictOptions(full_state_dict=True, broadcast_from_rank0=dist.is_initialized())
    set_optimizer_state_dict(model, optimizer, dict(state), options=options)


def gather_for(method: str, modules: Iterable[nn.Module]) -> None:
    """Gather a sharded module's weights for another method than forward as well."""
    for module in modules:
        if isinstance(module, FSDPModule):
            register_fsdp_forward_method(module, method)
