"""SIGKILL at any moment, resumed at once: ``python -m tests.kills`` with fewer kills."""

from __future__ import annotations

from tests import kills


def test_an_extraction_that_is_killed_and_resumed_ends_in_the_same_bytes_with_nothing_left() -> None:
    assert sum(kills.run(3, 12, seed=1, features=("text_bert", "audio_logmel")).values()) >= 1
