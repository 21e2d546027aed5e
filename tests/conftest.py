"""What every test stands on: the real material, no network, and random state that no test passes on."""

from __future__ import annotations

import random
import socket
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

SHARED_DATA = Path(__file__).resolve().parents[2] / "shared" / "data"


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """Real annotations and media that lie beside the checkout."""
    if not SHARED_DATA.is_dir():
        pytest.skip(f"no real material at {SHARED_DATA}")
    return SHARED_DATA


@pytest.fixture(autouse=True)
def no_network(monkeypatch: pytest.MonkeyPatch) -> None:
    """Refuse to reach any machine but this one, as if the cable were out."""
    def guard(function: Any, host_of: Any) -> Any:
        def guarded(*arguments: Any, **options: Any) -> Any:
            host = host_of(*arguments)
            if host not in (None, "", "localhost", "::1") and not str(host).startswith("127."):
                raise ConnectionRefusedError(f"tests reach no network; asked for {host}")
            return function(*arguments, **options)
        return guarded

    def peer(_self: socket.socket, address: Any) -> str | None:
        return address[0] if isinstance(address, tuple) else None  # a local socket's address is a path

    for name in ("connect", "connect_ex"):
        monkeypatch.setattr(socket.socket, name, guard(getattr(socket.socket, name), peer))
    monkeypatch.setattr(socket, "getaddrinfo", guard(socket.getaddrinfo, lambda host, *_: host))


@pytest.fixture(autouse=True)
def random_state() -> Iterator[None]:
    """Give back the random state that a test found; torch and numpy only where they are loaded already."""
    numpy, torch = sys.modules.get("numpy"), sys.modules.get("torch")
    states = random.getstate(), numpy and numpy.random.get_state(), torch and torch.get_rng_state()
    yield
    random.setstate(states[0])
    if numpy is not None:
        numpy.random.set_state(states[1])
    if torch is not None:
        torch.set_rng_state(states[2])
