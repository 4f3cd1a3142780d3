"""The command `handover view`: one page to look at a dataset, LeRobot's or GR00T's."""

from handover_client.view.config import ViewConfig, check, named_episodes


def main(config: ViewConfig) -> None:
    """Write the page. Raises UsageError, and DatasetError for what is no dataset."""
    check(config)
    from handover_client.report.rerun.runs import write_view_rrd
    from handover_client.report.rerun.stream import check_rerun
    from handover_client.report.view import write_view
    from handover_client.view.content import find, gather
    from handover_client.view.recordings import Recordings

    if config.rerun is not None:
        check_rerun(config.rerun)
    view = gather(Recordings.open(config.dataset), named_episodes(config.episodes or ()))
    write_view(config.output, view, find(view.recordings) if config.check else None)
    print(f"page: {config.output}")
    if config.rerun is not None:
        write_view_rrd(config.rerun, view)
