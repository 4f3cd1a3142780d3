"""Observers get every event, and give their figures."""

import inspect

import pytest
from handover_server.requests.observer import Observer, Observers

CALLS = {
    name: tuple(inspect.signature(call).parameters)[1:]
    for name, call in inspect.getmembers(Observer, inspect.isfunction)
}


class Witness(Observer):
    """Remembers what it was told, whatever that was."""

    def __init__(self, told):
        for name in CALLS:
            setattr(self, name, lambda *given, name=name: told.append((self, name, given)) or {})


@pytest.mark.parametrize("name", CALLS)
def test_each_of_several_is_told_in_order(name):
    told = []
    one, other = Witness(told), Witness(told)
    getattr(Observers(one, other), name)(*CALLS[name])
    assert told == [(one, name, CALLS[name]), (other, name, CALLS[name])]
