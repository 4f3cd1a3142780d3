"""Which device is chosen, and the one line for a GPU that is not to be had."""

import pytest
import torch
from handover_model.device import choose_device
from handover_model.errors import ModalityError

TOO_OLD = (
    "The NVIDIA driver on your system is too old (found version 11040). Please update your GPU "
    "driver by downloading and installing a new version from the URL: http://… Alternatively, …"
)


def without_gpu(monkeypatch, cuda, complaint=None):
    def init():
        if complaint:
            raise RuntimeError(complaint)

    monkeypatch.setattr(torch.version, "cuda", cuda)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(torch.cuda, "init", init)


def complaint_of(name):
    with pytest.raises(ModalityError) as caught:
        choose_device(name)
    line = str(caught.value)
    assert "\n" not in line
    return line


def test_auto_takes_the_gpu_where_there_is_one(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    assert choose_device("auto").type == "cuda"
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert choose_device("auto").type == "cpu"


@pytest.mark.parametrize("name", ["tpu", "meta", "mps", "cuda:x", ""])
def test_a_device_that_is_none_is_told_what_may_be_asked_for(name):
    assert "expected auto, cpu, cuda or cuda:N" in complaint_of(name)


def test_a_torch_for_cpus_is_named_as_the_reason(monkeypatch):
    without_gpu(monkeypatch, cuda=None)
    line = complaint_of("cuda")
    assert "this torch is built for CPUs" in line
    assert "--device cpu" in line


def test_a_driver_that_is_too_old_is_named_with_both_versions(monkeypatch):
    without_gpu(monkeypatch, cuda="12.8", complaint=TOO_OLD)
    line = complaint_of("cuda")
    assert "driver is too old for this torch (it knows CUDA 11.4)" in line
    assert "built for CUDA 12.8: update the driver" in line
    assert "http" not in line


def test_a_machine_without_a_driver_is_told_where_to_look(monkeypatch):
    without_gpu(monkeypatch, "12.8", "Found no NVIDIA driver on your system. Please check …")
    assert "(Found no NVIDIA driver on your system): see nvidia-smi" in complaint_of("cuda")


def test_hidden_gpus_are_told_by_the_variable_that_hides_them(monkeypatch):
    without_gpu(monkeypatch, "12.8")
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    assert "CUDA_VISIBLE_DEVICES is ''" in complaint_of("cuda")


def test_a_gpu_that_is_not_there_is_told_how_many_there_are(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    assert choose_device("cuda:1").index == 1
    assert complaint_of("cuda:2").endswith("there are 2 GPUs: expected cuda:0 to cuda:1")
