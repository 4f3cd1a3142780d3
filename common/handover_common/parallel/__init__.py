"""Independent tasks on this machine's processes or on a Ray cluster."""

from typing import TYPE_CHECKING

from handover_common import lazy

if TYPE_CHECKING:
    from handover_common.parallel.executor import Executor, Outcome, WorkerLost
    from handover_common.parallel.open import available_cores, open_executor
    from handover_common.parallel.processes import end_with_parent
    from handover_common.parallel.signals import ctrl_c_held_back

__getattr__, __dir__ = lazy(__name__, __file__)
