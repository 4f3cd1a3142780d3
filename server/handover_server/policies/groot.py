"""The one place where the server meets the model: PyTorch is imported here, when it is needed."""

from handover_common import MissingExtra, UsageError
from handover_proto import Policy

from handover_server.serve.command import ServeConfig


def load_groot(config: ServeConfig) -> Policy:
    """Load the checkpoint that the command line names.

    Raises MissingExtra, or what the model finds wrong with the checkpoint or the device.
    """
    if config.checkpoint is None:
        raise UsageError("--policy groot needs --checkpoint DIR_OR_REPO")
    try:
        from handover_model import load_policy
    except ModuleNotFoundError as error:
        raise MissingExtra(error.name or "torch", "serve") from None
    return load_policy(
        config.checkpoint,
        device=config.device,
        dtype=config.dtype,
        tokenizer=config.tokenizer,
        tag=config.embodiment_tag,
        threads=config.threads,
        engine=config.engine,
        compiled=config.compile,
        precision=config.precision,
        fp8_scales=config.fp8_scales,
    )
