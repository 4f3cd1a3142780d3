"""The installed LeRobot, with a robot that is found as third parties' plugins are.

Run in an environment with LeRobot, by benchmarks/evaluation/lerobot.py; left out where there is
none. HANDOVER_SERVER is a server of checkpoints/aloha-mini.
"""

import os
import sys
from pathlib import Path

import pytest

pytest.importorskip("lerobot", reason="benchmarks/evaluation/lerobot.py makes its environment")

PLUGIN = Path(__file__).parent / "plugin"
sys.path.append(str(PLUGIN))
os.environ["PYTHONPATH"] = os.pathsep.join(
    filter(None, [os.environ.get("PYTHONPATH"), str(PLUGIN)])
)


@pytest.fixture(scope="session")
def server():
    address = os.environ.get("HANDOVER_SERVER")
    if not address:
        pytest.skip("HANDOVER_SERVER is no server of checkpoints/aloha-mini")
    return address
