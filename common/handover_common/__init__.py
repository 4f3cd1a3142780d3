"""Common ground of all packages: errors, atomic files, work folders, process pools, versions."""

from typing import TYPE_CHECKING

from handover_common.faces import lazy

if TYPE_CHECKING:
    from handover_common.command import exit_status
    from handover_common.errors import HandoverError, MissingExtra, UsageError
    from handover_common.folder_lock import lock_folder
    from handover_common.hub import fetch, resolve
    from handover_common.interrupted import PLAN, read_plan, refuse_other_plan
    from handover_common.network import host_port, is_loopback
    from handover_common.progress import ConversionProgress
    from handover_common.text_file import write_text
    from handover_common.versions import NOT_INSTALLED, package_version, package_versions

__getattr__, __dir__ = lazy(__name__, __file__)
