"""The client's own errors: replies that break the contract, evaluations that do not fit together.

HandoverError
 ├─ EvaluationError          a dataset, a server and a run that do not fit together
 ├─ ServerLost               a robot had no chunk for longer than it may wait
 ├─ NoPlan                   a rollout's script finds no plan for its episode
 └─ PolicyError
     ├─ InvalidReply         the server's answer breaks the contract
     ├─ UntrustedServer      the server's certificate does not prove its identity
     └─ WrongProtocol        the server speaks another version of the contract
"""

from handover_common import HandoverError
from handover_proto import PROTOCOL_VERSION, PolicyError


class InvalidReply(PolicyError):
    """The server's answer breaks the contract; nothing of it may reach a robot."""

    def __init__(self, field: str, expected: str, got: str) -> None:
        super().__init__(
            f"the server's reply breaks the contract: {field}: expected {expected}, got {got}"
        )
        self.field, self.expected, self.got = field, expected, got


class WrongProtocol(PolicyError):
    """The server speaks another version of the contract."""

    def __init__(self, address: str, version: int) -> None:
        super().__init__(
            f"the server at {address} speaks protocol version {version}, this client "
            f"{PROTOCOL_VERSION}: install the same version of handover on both sides"
        )
        self.version = version


class UntrustedServer(PolicyError):
    """The server's certificate does not prove its identity."""


class EvaluationError(HandoverError):
    """A dataset, a server and a run that do not fit together."""


class ServerLost(HandoverError):
    """The server sent no chunk for longer than the bound: the episode ends."""


class NoPlan(HandoverError):
    """The scripted expert finds no plan for this episode: it counts as failed."""
