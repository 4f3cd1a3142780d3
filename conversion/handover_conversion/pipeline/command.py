"""The command `handover convert`: a LeRobot dataset to a GR00T dataset; `--check` validates one."""

from handover_common import MissingExtra, show

from handover_conversion.check import command as check_command
from handover_conversion.check.config import CheckConfig
from handover_conversion.pipeline.config import ConvertConfig, check


def main(config: ConvertConfig) -> None:
    """Convert, or check. Raises HandoverError."""
    check(config)
    try:
        from handover_conversion.pipeline.run import convert
    except ModuleNotFoundError as error:
        raise MissingExtra(error.name or "pyarrow", "convert") from error
    if config.check is not None:
        check_command.main(CheckConfig(config.check))
    else:
        show(convert(config).summary())
