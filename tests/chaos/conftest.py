"""What every fault needs: a server process, a ledger, and a place in the table."""

import dataclasses
from collections.abc import Callable, Iterator

import pytest

from .ledger import Finding, Ledger
from .server_process import ServerProcess


@pytest.fixture
def server() -> Iterator[ServerProcess]:
    with ServerProcess() as process:
        yield process


@pytest.fixture
def ledger() -> Ledger:
    return Ledger()


@pytest.fixture
def report(record_property) -> Callable[[Finding], None]:
    """Put a finding into the table of `make chaos`; nothing may be lost or answered twice."""

    def check(finding: Finding) -> None:
        record_property("finding", dataclasses.asdict(finding))
        assert (finding.lost, finding.duplicated) == (0, 0), finding

    return check
