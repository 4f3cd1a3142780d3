"""Entry point without the handover command: `torchrun … -m handover_training.finetune …`."""

from handover_training.finetuning.command import module

if __name__ == "__main__":
    module()
