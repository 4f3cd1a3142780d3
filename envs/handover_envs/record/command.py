"""The command `handover record`: scripted demonstrations in MuJoCo as a LeRobot v2.1 dataset."""

from handover_common import MissingExtra, show

from handover_envs.record.config import RecordConfig, check


def main(config: RecordConfig) -> None:
    """Record. Raises HandoverError."""
    check(config)
    try:
        from handover_envs.record.run import record
    except ModuleNotFoundError as error:
        raise MissingExtra(error.name or "mujoco", "sim") from error
    show(record(config).summary())
