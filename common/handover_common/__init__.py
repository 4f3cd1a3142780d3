"""Common ground of all packages: errors, atomic files, work folders, process pools, versions."""

from typing import TYPE_CHECKING

from handover_common.faces import lazy

if TYPE_CHECKING:
    from handover_common.command import check_range, exit_status, parse_and_run, run_command
    from handover_common.errors import (
        FileError,
        HandoverError,
        HubError,
        MissingExtra,
        UsageError,
    )
    from handover_common.files import (
        PARTIAL,
        atomic_path,
        file_within,
        final_name,
        json_bytes,
        json_lines_bytes,
        link_or_copy,
        make_folders_above,
        sync,
        write_bytes,
        write_json,
        write_json_lines,
        write_text,
    )
    from handover_common.hub import fetch, is_hub_name, resolve
    from handover_common.network import host_port, is_loopback
    from handover_common.progress import ProgressBar, track
    from handover_common.terminal import is_printable, printable, show
    from handover_common.versions import NOT_INSTALLED, package_version, package_versions
    from handover_common.work_folder import (
        WorkFolder,
        check_new,
        lock_file,
        lock_work,
        partial_folder,
        read_plan,
    )

__getattr__, __dir__ = lazy(__name__, __file__)
