"""`handover calibrate` on a real dataset: a file that serves, or one clear line."""

from pathlib import Path

import pytest
from handover_common.errors import UsageError
from handover_conversion.errors import DatasetError
from handover_model.errors import CheckpointError
from handover_model.policy import load_policy
from handover_training.calibrate.command import main
from handover_training.calibrate.config import CalibrateConfig

SHIPPED = Path(__file__).resolve().parents[3] / "checkpoints/aloha-mini"


def test_its_file_is_what_a_policy_in_fp8_is_loaded_with(dataset, tmp_path, capsys):
    output = tmp_path / "scales.json"
    config = CalibrateConfig(str(SHIPPED), dataset, observations=16, output=output, device="cpu")
    assert main(config) == output
    printed = capsys.readouterr().out
    assert "from 8 observations" in printed
    assert "on 8 others, compared with the reference path: cosine 0.999" in printed
    policy = load_policy(SHIPPED, device="cpu", precision="fp8", fp8_scales=output)
    assert policy.spec.dtype == "fp8"
    with pytest.raises(CheckpointError, match=r"fp8_scales\.json is missing"):
        load_policy(SHIPPED, device="cpu", precision="fp8")


def test_what_cannot_be_calibrated_is_one_clear_line(base, dataset, tmp_path):
    with pytest.raises(UsageError, match="--observations is 1, expected 2 or more"):
        main(CalibrateConfig(str(base), dataset, observations=1))
    with pytest.raises(DatasetError, match=r"info\.json"):
        main(CalibrateConfig(str(base), tmp_path, device="cpu"))
    nowhere = tmp_path / "missing" / "scales.json"
    for output in (nowhere, tmp_path):
        with pytest.raises(UsageError, match=r"cannot be written; name another file with --output"):
            main(CalibrateConfig(str(base), dataset, output=output, device="cpu"))
