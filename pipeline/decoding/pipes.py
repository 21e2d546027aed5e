"""Reading several pipes of a child process at once, each into its own place, up to a deadline."""

from __future__ import annotations

import contextlib
import os
import selectors
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Protocol

import numpy as np

_PIPE_BYTES = 2 ** 20  # the default of 64 KiB wakes both sides sixteen times as often
_READ_BYTES = 2 ** 16


class Sink(Protocol):
    """Where the bytes of one pipe go."""

    def read(self, descriptor: int) -> int:
        """Take what has arrived; 0 at the pipe's end."""


class Buffer(Protocol):
    """Room of a known size that fills from its front."""

    def room(self) -> memoryview:
        """Bytes that can be filled next; none when it is full."""

    def advance(self, num_bytes: int) -> None:
        """Take over bytes that were written to the front of :meth:`room`."""


class BufferSink:
    """Bytes straight into a buffer; what comes when it is full is dropped."""

    def __init__(self, buffer: Buffer) -> None:
        self._buffer = buffer

    def read(self, descriptor: int) -> int:
        room = self._buffer.room()
        if not len(room):
            return len(os.read(descriptor, _READ_BYTES))
        count = os.readv(descriptor, [room])
        self._buffer.advance(count)
        return count


class SampleBuffer:
    """Room for float32 samples.

    Args:
        num_samples: most that will come.
    """

    def __init__(self, num_samples: int) -> None:
        self._samples, self._num_filled = np.empty(num_samples, np.float32), 0

    def room(self) -> memoryview:
        """Bytes that can be filled next; none when it is full."""
        return self._samples.view(np.uint8)[self._num_filled:].data

    def advance(self, num_bytes: int) -> None:
        """Take over bytes that were written to the front of :meth:`room`."""
        self._num_filled += num_bytes

    def finish(self) -> np.ndarray:
        """The whole samples that came, float32 (S,)."""
        return self._samples[:self._num_filled // 4]


class ByteSink:
    """The first and, past a limit, the last bytes of a pipe.

    Args:
        most_bytes: kept of the beginning.
        tail_bytes: kept of the end besides.
    """

    def __init__(self, most_bytes: int, *, tail_bytes: int = 0) -> None:
        self._most, self._tail_bytes = most_bytes, tail_bytes
        self._head, self._tail = bytearray(), bytearray()

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
                timeout_seconds: float, environment: Mapping[str, str], memory_bytes: int) -> int:
    """Run a child and read all its outputs as they come; it never outlives this call.

    Args:
        command: gives the command line from the descriptors that the child writes to, one for each of ``sinks``.
        sinks: where each output goes.
        errors: where its standard error goes.
        timeout_seconds: the child is killed after this time.
        environment: of the child.
        memory_bytes: that the child may ask for; beyond it finds memory full. Only Linux can set it.

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
        _limit_memory(process.pid, memory_bytes)
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


def _limit_memory(process: int, memory_bytes: int) -> None:
    """A header of a few hundred bytes can promise millions of packets, and ffmpeg makes room for them."""
    if sys.platform == "linux":
        import resource
        _, most = resource.getrlimit(resource.RLIMIT_DATA)
        allowed = memory_bytes if most == resource.RLIM_INFINITY else min(memory_bytes, most)
        with contextlib.suppress(ProcessLookupError):  # it may have ended already
            resource.prlimit(process, resource.RLIMIT_DATA, (allowed, allowed))


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
