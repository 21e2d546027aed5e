"""Reading several pipes of a child process at once, each into its own place, up to a deadline."""

from __future__ import annotations

import os
import selectors
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Protocol

from pipeline.media import FrameBuffer

_PIPE_BYTES = 2 ** 20  # the default of 64 KiB wakes both sides sixteen times as often
_READ_BYTES = 2 ** 16


class Sink(Protocol):
    """Where the bytes of one pipe go."""

    def read(self, descriptor: int) -> int:
        """Take what has arrived; 0 at the pipe's end."""


class FrameSink:
    """Bytes of frames, straight into a buffer; what comes when it is full is dropped."""

    def __init__(self, buffer: FrameBuffer) -> None:
        self.buffer = buffer

    def read(self, descriptor: int) -> int:
        room = self.buffer.room()
        if not len(room):
            return len(os.read(descriptor, _READ_BYTES))
        count = os.readv(descriptor, [room])
        self.buffer.advance(count)
        return count


class ByteSink:
    """The first and, past a limit, the last bytes of a pipe.

    Args:
        most_bytes: kept of the beginning.
        tail_bytes: kept of the end besides.
    """

    def __init__(self, most_bytes: int, *, tail_bytes: int = 0) -> None:
        self._most, self._tail_bytes = most_bytes, tail_bytes
        self._head, self._tail = bytearray(), bytearray()

    @property
    def num_bytes(self) -> int:
        """How many bytes are kept."""
        return len(self._head) + len(self._tail)

    def read(self, descriptor: int) -> int:
        arrived = os.read(descriptor, _READ_BYTES)
        fits = max(0, self._most - len(self._head))
        self._head += arrived[:fits]
        self._tail += arrived[fits:]
        del self._tail[:max(0, len(self._tail) - self._tail_bytes)]
        return len(arrived)

    def finish(self) -> bytes:
        """What was kept."""
        return bytes(self._head + self._tail)


def run_reading(command: Callable[[Sequence[int]], list[str]], sinks: Sequence[Sink], errors: Sink, *,
                timeout_seconds: float, environment: Mapping[str, str]) -> int:
    """Run a child and read all its outputs as they come; it never outlives this call.

    Args:
        command: gives the command line from the descriptors that the child writes to, one for each of ``sinks``.
        sinks: where each output goes.
        errors: where its standard error goes.
        timeout_seconds: the child is killed after this time.
        environment: of the child.

    Returns:
        The child's exit code.

    Raises:
        TimeoutError: the child was killed because its time was over.
        OSError: the child cannot be started, or a pipe cannot be had or read.
    """
    deadline = time.monotonic() + timeout_seconds
    readers: dict[int, Sink] = {}
    writers: list[int] = []
    process: subprocess.Popen[bytes] | None = None
    try:
        for sink in sinks:
            reader, writer = _pipe()
            readers[reader] = sink
            writers.append(writer)
        process = subprocess.Popen(command(writers), stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
                                   stderr=subprocess.PIPE, pass_fds=writers, env=dict(environment))
        while writers:
            os.close(writers.pop())
        assert process.stderr is not None
        _drain({**readers, process.stderr.fileno(): errors}, deadline)
        return process.wait(max(0.1, deadline - time.monotonic()))
    except subprocess.TimeoutExpired as error:
        raise TimeoutError(f"no end within {timeout_seconds:g} s") from error
    finally:
        if process is not None:
            if process.poll() is None:
                process.kill()
                process.wait()
            assert process.stderr is not None
            process.stderr.close()
        for descriptor in (*readers, *writers):
            os.close(descriptor)


def _pipe() -> tuple[int, int]:
    reader, writer = os.pipe()
    try:
        import fcntl
        fcntl.fcntl(reader, fcntl.F_SETPIPE_SZ, _PIPE_BYTES)
    except (ImportError, AttributeError, OSError):
        pass  # Only Linux sets a size, and may refuse it to users with many pipes; the default serves, slower.
    return reader, writer


def _drain(sinks: Mapping[int, Sink], deadline: float) -> None:
    """Read every pipe to its end, in whatever order bytes arrive."""
    with selectors.DefaultSelector() as selector:
        for descriptor, sink in sinks.items():
            selector.register(descriptor, selectors.EVENT_READ, sink)
        while selector.get_map():
            remaining = deadline - time.monotonic()
            if remaining <= 0:
                raise TimeoutError("the child's time is over")
            for key, _ in selector.select(remaining):
                if key.data.read(key.fd) == 0:
                    selector.unregister(key.fd)
