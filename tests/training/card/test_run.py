"""`handover card` on a copy of the shipped checkpoint: told by GetInfo, and no hash moves."""

import json
import shutil

import pytest
from handover_common.errors import UsageError
from handover_model.checkpoints import load_checkpoint
from handover_model.policy import load_policy
from handover_proto.types import Limits, ServerInfo
from handover_proto.wire import decode_info, encode_info
from handover_training.card.command import main
from handover_training.card.config import CardConfig

from ..conftest import ROOT

SHIPPED = ROOT / "checkpoints/aloha-mini"


@pytest.fixture
def checkpoint(tmp_path):
    return shutil.copytree(SHIPPED, tmp_path / "mini")


def digest_of(checkpoint) -> str:
    loaded = load_checkpoint(checkpoint)
    return loaded.hash(loaded.processor())


def suite(folder, task: str, checkpoint_hash: str, latency_ms: int = 300):
    figures = {
        "kind": "latency",
        "instruction": task,
        "provenance": {"server": {"checkpoint_hash": checkpoint_hash}},
        "envelopes": [
            {
                **{"switching": way, "latency_ms": latency_ms, "jitter_ms": latency_ms / 10},
                "episodes": 100,
            }
            for way in ("naive", "rtc")
        ],
    }
    folder.mkdir()
    (folder / "metrics.json").write_text(json.dumps(figures))
    return folder


def test_what_was_measured_is_told_and_changes_no_hash(checkpoint, tmp_path, capsys):
    before, digest = json.loads((checkpoint / "handover.json").read_text()), digest_of(checkpoint)
    card = (checkpoint / "README.md").read_text()
    runs = [suite(tmp_path / task, task, digest) for task in ("hand over", "insert")]
    main(CardConfig(checkpoint, tuple(runs)))
    assert "insert, rtc: up to 300 ± 30 ms (100 episodes each)" in capsys.readouterr().out
    main(CardConfig(checkpoint, (suite(tmp_path / "again", "insert", digest, 100),)))
    after = json.loads((checkpoint / "handover.json").read_text())
    before["latency_envelopes"] = after["latency_envelopes"]
    assert {key: after[key] for key in before} == before
    policy = load_policy(checkpoint, device="cpu")
    assert policy.spec.checkpoint_hash == digest
    told = decode_info(encode_info(ServerInfo(policy.spec, Limits()))).spec.latency_envelopes
    assert [(each.task, each.switching, each.latency_ms) for each in told] == [
        ("hand over", "naive", 300.0),
        ("hand over", "rtc", 300.0),
        ("insert", "naive", 100.0),
        ("insert", "rtc", 100.0),
    ]
    written = (checkpoint / "README.md").read_text()
    assert written.startswith(card.rstrip())
    assert written.count("## Latency") == 1
    assert "| insert | `rtc` | 100 ± 10 | 100 |" in written


def test_only_a_suite_of_this_very_checkpoint_is_taken(checkpoint, tmp_path):
    files = {path.name: path.read_bytes() for path in checkpoint.iterdir()}
    other = suite(tmp_path / "other", "insert", "0" * 16)
    with pytest.raises(UsageError, match="was played by checkpoint 000000000000, expected"):
        main(CardConfig(checkpoint, (other,)))
    (tmp_path / "rollout").mkdir()
    (tmp_path / "rollout/metrics.json").write_text('{"kind": "rollout"}')
    with pytest.raises(UsageError, match="is a rollout, expected rollout --suite latency"):
        main(CardConfig(checkpoint, (tmp_path / "rollout",)))
    with pytest.raises(UsageError, match="is no finished latency suite"):
        main(CardConfig(checkpoint, (tmp_path / "missing",)))
    with pytest.raises(UsageError, match="expected a checkpoint's"):
        main(CardConfig(tmp_path / "nowhere", (other,)))
    assert {path.name: path.read_bytes() for path in checkpoint.iterdir()} == files
