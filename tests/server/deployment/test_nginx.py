"""server/nginx.conf before three real servers: calls, streams, one of them dead, all of them."""

import shutil
import socket
from pathlib import Path

import numpy as np
import pytest
from handover_client.connection.policy_client import PolicyClient
from handover_client.connection.security import ChannelSecurity
from handover_proto.embodiment import GR1_DIMS
from handover_proto.errors import NotAuthorised, ServerUnavailable
from handover_proto.types import Observation

ROOT = Path(__file__).resolve().parents[3]
TIMEOUT_S = 60.0
NGINX = shutil.which("nginx", path="/usr/sbin:/usr/local/sbin:/usr/bin:/bin")

pytestmark = pytest.mark.skipif(NGINX is None, reason="nginx is not installed")


@pytest.fixture
def fleet(monkeypatch, tmp_path):
    """Three servers of the hold policy and nginx before them: (replicas, address, secrets)."""
    monkeypatch.syspath_prepend(ROOT)
    from benchmarks.serving.replica_fleet import Nginx, Replica, make_secrets

    secrets = make_secrets(tmp_path)
    replicas = [Replica(("--policy", "hold"), secrets, tmp_path / f"{n}.log") for n in range(3)]
    try:
        for replica in replicas:
            replica.start()
        servers = [replica.wait() for replica in replicas]
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            port = probe.getsockname()[1]
        with Nginx(NGINX, port, servers, secrets, tmp_path) as proxy:
            yield replicas, proxy.address, secrets
    finally:
        for replica in replicas:
            replica.kill()


def observation() -> Observation:
    state = {name: np.zeros((1, dim), np.float32) for name, dim in GR1_DIMS.items()}
    return Observation({"ego_view": [np.zeros((480, 640, 3), np.uint8)]}, state, "hand it over")


def test_robots_reach_the_servers_that_live(fleet):
    replicas, address, secrets = fleet
    ca, token = (secrets / "ca.pem").read_bytes(), (secrets / "token").read_text().strip()
    security, seen = ChannelSecurity(tls=True, ca=ca, token=token), observation()
    with PolicyClient.connect(address, timeout_s=TIMEOUT_S, security=security) as client:
        with client.stream() as stream:  # 37 MB, more than any one message may have
            for sequence in range(40):
                stream.send(seen, sequence=sequence)
                assert stream.receive(timeout_s=TIMEOUT_S).result().sequence == sequence
        replicas[0].kill()
        for sequence in range(12):
            assert client.infer(seen, sequence=sequence).sequence == sequence
        for replica in replicas[1:]:
            replica.kill()
        with pytest.raises(ServerUnavailable):
            client.infer(seen, timeout_s=TIMEOUT_S)
    replicas[0].start()
    replicas[0].wait()
    stranger = ChannelSecurity(tls=True, ca=ca, token="not-the-right-token-at-all")
    with pytest.raises(NotAuthorised):
        PolicyClient.connect(address, timeout_s=TIMEOUT_S, security=stranger)
