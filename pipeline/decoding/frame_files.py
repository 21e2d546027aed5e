"""Frames of one clip that are too many for memory: an unnamed file, read a few at a time."""

from __future__ import annotations

import copy
import errno
import math
import os
import tempfile

import numpy as np

from pipeline.errors import ClipError

_PART_BYTES = 2 ** 20  # of frames that go to a file, in memory at a time


class _Descriptor:
    """An open file that is closed with the last object that holds it."""

    def __init__(self, number: int) -> None:
        self.number = number

    def __del__(self) -> None:
        os.close(self.number)


class FrameFile:
    """Frames in an unnamed file, read a few at a time, so that they never fill memory; a map's pages would.

    The file's name is gone as soon as it is made: nothing of it outlives the process, however that ends.

    Args:
        shape: (T, H, W, 3).

    Raises:
        OSError: the disk has no room for all frames.
    """

    def __init__(self, shape: tuple[int, ...]) -> None:
        self.shape = shape
        with tempfile.TemporaryFile(prefix="frames-") as file:
            self._file = _Descriptor(os.dup(file.fileno()))
        if hasattr(os, "posix_fallocate"):  # a full disk shows now and not after an hour of decoding
            os.posix_fallocate(self._file.number, 0, math.prod(shape))

    def __len__(self) -> int:
        return self.shape[0]

    def write(self, data: memoryview, offset: int) -> None:
        """Put bytes at a place.

        Raises:
            OSError: the disk is full.
        """
        while data:
            written = os.pwrite(self._file.number, data, offset)
            data, offset = data[written:], offset + written

    def first(self, count: int) -> FrameFile:
        """The same file, seen as its first frames."""
        part = copy.copy(self)
        part.shape = (count, *self.shape[1:])
        return part

    def read(self, rows: np.ndarray | slice) -> np.ndarray:
        """Some frames, uint8 (N, H, W, 3).

        Raises:
            ClipError: passing, the disk does not give them back.
        """
        places = np.arange(len(self))[rows]
        frames = np.empty((len(places), *self.shape[1:]), np.uint8)
        frame_bytes = math.prod(self.shape[1:])
        edges = np.flatnonzero(np.diff(places, prepend=-2, append=-2) != 1)  # of runs of neighbours
        try:
            for begin, end in zip(edges[:-1], edges[1:], strict=True):
                self._fill(frames[begin:end].reshape(-1).data, int(places[begin]) * frame_bytes)
        except OSError as error:
            raise ClipError(f"{error.strerror} while reading decoded frames from {tempfile.gettempdir()}; check that"
                            " disk, or name another folder by TMPDIR", stage="decode", kind="passing") from error
        return frames

    def _fill(self, room: memoryview, offset: int) -> None:
        while room:
            count = os.preadv(self._file.number, [room], offset)
            if not count:
                raise OSError(errno.EIO, "the file is shorter than it was")
            room, offset = room[count:], offset + count


class FrameBuffer:
    """Room for a known number of frames, filled as they arrive.

    Args:
        num_frames: most frames that will come.
        height, width: of each.
        memory_bytes: larger buffers go to a :class:`FrameFile`.

    Raises:
        OSError: the disk has no room for the file.
    """

    def __init__(self, num_frames: int, height: int, width: int, *, memory_bytes: int) -> None:
        shape = (num_frames, height, width, 3)
        self.num_bytes = math.prod(shape)
        self.in_memory = self.num_bytes <= memory_bytes
        self.num_filled = 0
        self._frames = np.empty(shape, np.uint8) if self.in_memory else FrameFile(shape)
        self._part = memoryview(bytearray(0 if self.in_memory else _PART_BYTES))

    def room(self) -> memoryview:
        """Bytes that can be filled next; none when all frames are there."""
        if isinstance(self._frames, np.ndarray):
            return self._frames.reshape(-1)[self.num_filled:].data
        return self._part[:self.num_bytes - self.num_filled]

    def advance(self, num_bytes: int) -> None:
        """Take over bytes that were written to the front of :meth:`room`.

        Raises:
            OSError: the disk is full.
        """
        if isinstance(self._frames, FrameFile):
            self._frames.write(self._part[:num_bytes], self.num_filled)
        self.num_filled += num_bytes

    def finish(self) -> np.ndarray | FrameFile:
        """The whole frames that came, uint8 (T, H, W, 3)."""
        frame_bytes = math.prod(self._frames.shape[1:])
        count = self.num_filled // frame_bytes if frame_bytes else 0
        return self._frames[:count] if isinstance(self._frames, np.ndarray) else self._frames.first(count)
