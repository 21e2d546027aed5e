"""The list of packets, cut anywhere, and lines that are none."""

from __future__ import annotations

import os

import pytest

from pipeline.decoding.packets import PacketSink, Span

LIST = (b"#software: Lavf\n#tb 0: 1/25\n#media_type 0: video\n#tb 1: 1/1000\n#media_type 1: audio\n"
        b"0,         -5,         -5,        1,     99, 0x1\n0,          0,          1,        1,     99, 0x2\n"
        b"1,         40,         40,       20,     10, 0x3\n0,          1,          0,        1,     99, 0x4\n")
SPANS = {"video": Span(0.0, 0.08, 2), "audio": Span(0.04, 0.06, 1)}


@pytest.mark.parametrize("size", [1, 7, 1000])
def test_spans_do_not_depend_on_how_the_list_arrives(size: int) -> None:
    sink = PacketSink()
    for start in range(0, len(LIST), size):
        sink.feed(LIST[start:start + size])
    assert sink.spans == SPANS


def test_what_lies_behind_the_stretch_does_not_count() -> None:
    sink = PacketSink(0.05)
    sink.feed(LIST)
    assert sink.spans == {"video": Span(0.0, 0.05, 2), "audio": Span(0.04, 0.05, 1)}


def test_a_line_without_an_end_is_not_kept() -> None:
    sink = PacketSink()
    for _ in range(100):
        sink.feed(b"x" * 10_000)
    sink.feed(b"\n" + LIST)
    assert sink.spans == SPANS and len(sink._rest) < 2000


def test_a_pipe_is_read_to_its_end() -> None:
    reader, writer = os.pipe()
    os.write(writer, LIST)
    os.close(writer)
    sink = PacketSink()
    assert sink.read(reader) == len(LIST) and sink.read(reader) == 0
    os.close(reader)
    assert sink.spans == SPANS
