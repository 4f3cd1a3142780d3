"""The command `handover convert`: a LeRobot dataset to a GR00T dataset; `--check` validates one."""

from handover_common import MissingExtra

from handover_conversion.pipeline.config import ConvertConfig, check


def main(config: ConvertConfig) -> None:
    """Convert, or check. Raises HandoverError."""
    check(config)
    try:
        from handover_conversion.groot.check import check_or_raise
        from handover_conversion.pipeline.run import convert
    except ModuleNotFoundError as error:
        raise MissingExtra(error.name or "pyarrow", "convert") from error
    if config.check is not None:
        print(check_or_raise(config.check))
    else:
        print(convert(config).summary())
