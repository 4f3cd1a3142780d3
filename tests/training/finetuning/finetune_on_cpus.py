"""The finetuning command as torchrun starts it on CPUs: with FSDP too, and its end watched."""

import atexit
import sys

from accelerate.state import PartialState
from accelerate.utils import DistributedType
from handover_training.finetuning.command import module

first = PartialState.__init__


def divides_on_cpus(self, *arguments, **keywords):
    """accelerate allows FSDP on GPUs alone, torch on both."""
    first(self, *arguments, **keywords)
    if self.distributed_type == DistributedType.MULTI_CPU:
        self.distributed_type = DistributedType.MULTI_GPU


class Remains:
    """Is collected by Python's tear-down, in which PyTorch's threads abort now and then."""

    def __del__(self):
        print("Python was torn down")


if "--fsdp" in sys.argv:
    PartialState.__init__ = divides_on_cpus
remains = Remains()
atexit.register(print, "exit functions ran")
module()
