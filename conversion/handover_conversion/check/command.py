"""The command `handover check`: what is wrong with a dataset, and what is strange in it."""

from handover_common import MissingExtra, show

from handover_conversion.check.config import CheckConfig
from handover_conversion.errors import FaultyDataset


def main(config: CheckConfig) -> None:
    """Print the findings. Raises FaultyDataset when there are faults, after all notes."""
    try:
        from handover_conversion.check.run import check_dataset, summary, write_statistics
    except ModuleNotFoundError as error:
        raise MissingExtra(error.name or "pyarrow", "convert") from error
    if config.write_statistics:
        show(f"written: {write_statistics(config.path)}")
    findings = check_dataset(config.path)
    faults = [one for one in findings if one.severity == "fault"]
    for one in findings:
        if one.severity == "note":
            show(f"  note, {one.kind}: {one}")
    if faults:
        raise FaultyDataset(summary(config.path, findings), faults)
    show(summary(config.path, findings))
