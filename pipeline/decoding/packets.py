"""When a file's packets begin and end: ffmpeg's list of them, read line by line as it is written."""

from __future__ import annotations

import math
import os
import re
from typing import NamedTuple

_READ_BYTES = 2 ** 16
_LINE_BYTES = 1000  # longer ones are no packets
_UNIT = re.compile(rb"#tb (\d+): (\d+)/(\d+)")
_KIND = re.compile(rb"#media_type (\d+): (\w+)")


class Span(NamedTuple):
    """Where the packets of one stream lie.

    Args:
        start, end: of the first and last, in seconds.
        num_packets: how many there are.
    """

    start: float
    end: float
    num_packets: int


class PacketSink:
    """Takes the output of ffmpeg's ``framecrc`` muxer from a pipe and keeps only the spans of its streams.

    Args:
        span_seconds: length of the stretch looked at; packets that end before 0, ahead of it, or start behind it do not
            count.

    >>> sink = PacketSink()
    >>> sink.feed(b"#tb 0: 1/25\\n#media_type 0: video\\n0, 0, 0, 1, 99, 0x0\\n0, 1, 1, 1, 99, 0x0\\n")
    >>> sink.spans
    {'video': Span(start=0.0, end=0.08, num_packets=2)}
    """

    def __init__(self, span_seconds: float = math.inf) -> None:
        self._span_seconds = span_seconds
        self._rest = b""
        self._units: dict[bytes, float] = {}
        self._kinds: dict[bytes, str] = {}
        self._spans: dict[bytes, Span] = {}

    def read(self, descriptor: int) -> int:
        """Take what has arrived; 0 at the pipe's end."""
        arrived = os.read(descriptor, _READ_BYTES)
        self.feed(arrived)
        return len(arrived)

    def feed(self, text: bytes) -> None:
        """Take the next part of the list."""
        *lines, rest = (self._rest + text).split(b"\n")
        self._rest = rest[:_LINE_BYTES]
        for line in lines:
            if line.startswith(b"#"):
                self._header(line)
            elif line.count(b",") >= 4:
                self._packet(line)

    @property
    def spans(self) -> dict[str, Span]:
        """Span of each stream that has packets, by ``"video"`` and ``"audio"``."""
        return {self._kinds[index]: Span(max(0.0, span.start), min(span.end, self._span_seconds), span.num_packets)
                for index, span in self._spans.items() if index in self._kinds}

    def _header(self, line: bytes) -> None:
        if unit := _UNIT.match(line):
            self._units[unit[1]] = int(unit[2]) / int(unit[3])
        elif kind := _KIND.match(line):
            self._kinds[kind[1]] = kind[2].decode()

    def _packet(self, line: bytes) -> None:
        index, _, shown, length, _ = line.split(b",", 4)
        unit = self._units[index]
        start, end = int(shown) * unit, (int(shown) + int(length)) * unit
        if end <= 0 < int(length) or start >= self._span_seconds:
            return
        known = self._spans.get(index, Span(math.inf, 0.0, 0))
        self._spans[index] = Span(min(known.start, start), max(known.end, end), known.num_packets + 1)
