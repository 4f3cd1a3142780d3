"""Safetensors files, made by the library or by hand, as our reader reads them."""

import hashlib
import json

import pytest
import torch
from handover_model.checkpoints.weight_file import MAX_HEADER_BYTES, WeightFile
from handover_model.errors import CheckpointError
from safetensors.torch import save_file

TENSORS = {
    "scalar": torch.tensor(3.5),
    "none": torch.zeros(0, 4),
    "half": torch.arange(6, dtype=torch.bfloat16).reshape(2, 3),
    "bytes": torch.arange(5, dtype=torch.uint8),
    "long": torch.tensor([[2**40, -1]]),
    "truth": torch.tensor([True, False]),
}


@pytest.fixture
def path(tmp_path):
    save_file(TENSORS, tmp_path / "file.safetensors", {"steps": "7"})
    return tmp_path / "file.safetensors"


def write(path, header, data=b""):
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    path.write_bytes(len(text).to_bytes(8, "little") + text + data)


def test_every_tensor_is_read_as_the_library_wrote_it(path):
    with WeightFile(path) as file:
        assert file.metadata == {"steps": "7"}
        assert set(file.tensors) == set(TENSORS)
        for key, want in TENSORS.items():
            got = file.get_tensor(key)
            assert got.dtype == want.dtype
            assert got.shape == want.shape
            assert torch.equal(got, want)


def test_the_digest_is_that_of_the_whole_file_whatever_is_kept_of_it(path):
    want = hashlib.sha256(path.read_bytes()).hexdigest()
    for keys in (set(), {"half"}, set(TENSORS)):
        digest = hashlib.sha256()
        with WeightFile(path) as file:
            assert {key for key, _ in file.read(keys, digest)} == keys
        assert digest.hexdigest() == want


def test_a_header_of_millions_of_names_is_not_read(path):
    with path.open("wb") as file:  # sparse: it says 1 GiB
        file.write((2**30).to_bytes(8, "little"))
        file.truncate(2**30 + 8)
    with pytest.raises(CheckpointError, match=f"expected at most {MAX_HEADER_BYTES}"):
        WeightFile(path)


ENTRY = {"dtype": "F32", "shape": [2], "data_offsets": [0, 8]}


@pytest.mark.parametrize(
    ("header", "message"),
    [
        (b"\x00" * 20, "header cannot be read"),
        (b"[" * 100_000, "header cannot be read"),
        ([1], "header cannot be read"),
        ({"a": {**ENTRY, "dtype": "F33"}}, "F33"),
        ({"a": {**ENTRY, "shape": [-2]}}, "sizes are"),
        ({"a": {**ENTRY, "shape": [2**62]}}, "'a' lies at"),
        ({"a": {**ENTRY, "shape": "2"}}, "header cannot be read"),
        ({"a": {**ENTRY, "data_offsets": [4, 12]}}, "'a' lies at"),
        ({"a": ENTRY, "b": ENTRY}, "'b' lies at"),
        ({}, "its header describes"),
    ],
)
def test_a_header_that_does_not_describe_its_file_is_refused(tmp_path, header, message):
    path = tmp_path / "bad.safetensors"
    write(path, header, b"\x00" * 8)
    with pytest.raises(CheckpointError, match=message):
        WeightFile(path)


def test_a_file_cut_short_while_it_is_read_is_an_error_and_no_signal(path):
    save_file({"large": torch.zeros(2**18)}, path)
    with WeightFile(path) as file:
        with path.open("r+b") as cut:
            cut.truncate(2**19)
        with pytest.raises(CheckpointError, match="ends within a tensor"):
            file.get_tensor("large")


@pytest.mark.parametrize("content", [b"", b"1234567", b"\xff" * 8])
def test_a_file_too_short_for_its_header_is_refused(tmp_path, content):
    path = tmp_path / "short.safetensors"
    path.write_bytes(content)
    with pytest.raises(CheckpointError, match=r"short\.safetensors is not a readable"):
        WeightFile(path)
