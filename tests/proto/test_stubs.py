"""The committed stubs are what the pinned generator makes of policy.proto."""

import os
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
STUBS = ("policy_pb2.py", "policy_pb2.pyi", "policy_pb2_grpc.py")


def stubs_python() -> Path:
    return Path(os.environ.get("HANDOVER_STUBS_PYTHON", ROOT / ".venv-stubs/bin/python"))


def test_regenerating_the_stubs_changes_nothing(tmp_path):
    python = stubs_python()
    if not python.exists():
        pytest.skip(f"no {python}: `make env` makes it (or name one in HANDOVER_STUBS_PYTHON)")
    command = [
        *(python, "-m", "grpc_tools.protoc", "-I", f"handover_proto={ROOT / 'proto'}"),
        *(f"--{kind}_out={tmp_path}" for kind in ("python", "pyi", "grpc_python")),
        "handover_proto/policy.proto",
    ]
    environment = {key: value for key, value in os.environ.items() if key != "PYTHONPATH"}
    subprocess.run(command, check=True, timeout=180, env=environment)
    for name in STUBS:
        made = (tmp_path / "handover_proto" / name).read_bytes()
        assert made == (ROOT / "proto/handover_proto" / name).read_bytes(), f"{name} is stale"
