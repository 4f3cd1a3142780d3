"""A file is replaced whole, and a failure leaves what was there and nothing else."""

import pytest
from handover_common import write_text


def test_a_file_is_replaced(tmp_path):
    for text in ("one", "two"):
        write_text(tmp_path / "file", text)
    assert (tmp_path / "file").read_text() == "two"
    assert len(list(tmp_path.iterdir())) == 1


def test_what_cannot_be_written_leaves_the_former(tmp_path):
    write_text(tmp_path / "file", "one")
    with pytest.raises(UnicodeEncodeError):
        write_text(tmp_path / "file", "half a pair: \ud800")
    assert (tmp_path / "file").read_text() == "one"
    assert len(list(tmp_path.iterdir())) == 1
