"""GR00T N1.6 in PyTorch: policy, network, processor and checkpoints."""

from typing import TYPE_CHECKING

from handover_common import lazy

if TYPE_CHECKING:
    from handover_model.checkpoints.checkpoint import load_checkpoint, save_checkpoint
    from handover_model.device import choose_device
    from handover_model.errors import CheckpointError, ModalityError
    from handover_model.network.groot import Gr00tNetwork
    from handover_model.policy import GrootPolicy, choose_dtype, load_policy
    from handover_model.processing.processor import Processor

__getattr__, __dir__ = lazy(__name__, __file__)
