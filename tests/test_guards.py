"""The guards of the tests themselves."""

from __future__ import annotations

import random
import socket
from typing import Any

import pytest

STATE = pytest.StashKey[Any]()


def test_other_machines_cannot_be_reached() -> None:
    with pytest.raises(ConnectionRefusedError, match="asked for 192.0.2.1"):
        socket.create_connection(("192.0.2.1", 80), timeout=1)
    with socket.socket() as outward, pytest.raises(ConnectionRefusedError, match="asked for 192.0.2.1"):
        outward.connect(("192.0.2.1", 80))
    with pytest.raises(ConnectionRefusedError, match="asked for example.org"):
        socket.getaddrinfo("example.org", 443)


def test_this_machine_can_be_reached() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        with socket.create_connection(server.getsockname(), timeout=5) as client:
            assert client.getpeername() == server.getsockname()


@pytest.mark.parametrize("turn", range(2))
def test_random_numbers_drawn_in_a_test_do_not_move_the_next(turn: int, request: pytest.FixtureRequest) -> None:
    state = random.getstate()
    first = request.config.stash.setdefault(STATE, state)
    assert first == state
    random.random()
