"""The finetuning command with FSDP on CPUs: accelerate allows it on GPUs alone, torch on both."""

from accelerate.state import PartialState
from accelerate.utils import DistributedType
from handover_training.finetune import cli

first = PartialState.__init__


def divides_on_cpus(self, *arguments, **keywords):
    first(self, *arguments, **keywords)
    if self.distributed_type == DistributedType.MULTI_CPU:
        self.distributed_type = DistributedType.MULTI_GPU


PartialState.__init__ = divides_on_cpus
cli()
