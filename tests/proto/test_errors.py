"""The error tree and gRPC's status codes belong together one to one."""

import grpc
import pytest
from handover_common import HandoverError, MissingExtra, UsageError
from handover_proto import errors

NAMES = {
    "InvalidRequest": "INVALID_ARGUMENT",
    "UnmetPrecondition": "FAILED_PRECONDITION",
    "Overloaded": "RESOURCE_EXHAUSTED",
    "DeadlinePassed": "DEADLINE_EXCEEDED",
    "Superseded": "ABORTED",
    "NotAuthorised": "UNAUTHENTICATED",
    "ServerUnavailable": "UNAVAILABLE",
    "PolicyFailed": "INTERNAL",
}


def test_the_table_holds_every_policy_error():
    assert {kind.__name__ for kind in errors.BY_STATUS.values()} == set(NAMES)
    ours = {kind for kind in vars(errors).values() if isinstance(kind, type)}
    policy_errors = {kind for kind in ours if issubclass(kind, errors.PolicyError)}
    assert set(errors.BY_STATUS.values()) == policy_errors - {errors.PolicyError}


@pytest.mark.parametrize("name", NAMES)
def test_an_error_has_the_status_that_its_tree_promises(name):
    kind = getattr(errors, name)
    assert kind.status == grpc.StatusCode[NAMES[name]].value[0]
    assert f"{name:<22}" in errors.__doc__
    assert NAMES[name] in errors.__doc__


def test_every_error_can_be_caught_as_one():
    assert issubclass(errors.PolicyError, HandoverError)
    assert issubclass(UsageError, HandoverError)


def test_a_missing_extra_says_what_to_install():
    assert 'pip install -e ".[serve]"' in str(MissingExtra("torch", "serve"))
