"""Media files that mean harm, made for real, and a bait that tells whether anything else was opened."""

from __future__ import annotations

import ctypes
import os
import re
import shutil
import socket
import struct
import subprocess
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

from pipeline.clip import Clip
from pipeline.decode import DecodeLimits, ffmpeg_path, read_media
from pipeline.errors import PipelineError
from pipeline.media import FrameRequest
from tests.makers import make_video

REQUEST = FrameRequest(lines=48)
_IN_OPEN, _IN_NONBLOCK = 0x20, 0o4000


class Bait:
    """A video that nobody but the tempted reader opens, and a port that nobody else asks.

    Args:
        folder: where the video lies.
    """

    def __init__(self, folder: Path) -> None:
        self.file = make_video(folder / "bait.mp4", face=False)
        self._server = socket.create_server(("127.0.0.1", 0))
        self._server.setblocking(False)
        self.port = self._server.getsockname()[1]
        self.url = f"http://127.0.0.1:{self.port}/bait.ts"
        libc = ctypes.CDLL(None, use_errno=True)
        self._watch = libc.inotify_init1(_IN_NONBLOCK)
        libc.inotify_add_watch(self._watch, os.fsencode(self.file), _IN_OPEN)

    def taken(self) -> list[str]:
        """What was opened since the last call."""
        found = []
        try:
            os.read(self._watch, 2 ** 16)
            found.append("file")
        except BlockingIOError:
            pass
        try:
            self._server.accept()[0].close()
            found.append("address")
        except BlockingIOError:
            pass
        return found

    def close(self) -> None:
        self._server.close()
        os.close(self._watch)


@contextmanager
def bait(folder: Path) -> Iterator[Bait]:
    """A bait for the time of a block."""
    laid = Bait(folder)
    try:
        yield laid
    finally:
        laid.close()


class Trial(NamedTuple):
    """One hostile input.

    Args:
        name: what it is, for people.
        make: writes it into a folder, given the bait; the path to give to the program.
        outcome: pattern of the error, or "" where the right features are expected.
        limits: of decoding.
    """

    name: str
    make: Callable[[Path, Bait], Path]
    outcome: str
    limits: DecodeLimits = DecodeLimits(timeout_seconds=60)


def attempt_media(path: Path, limits: DecodeLimits = DecodeLimits()) -> str:
    """What comes of a media file: counts of frames and samples, or the error in one line."""
    try:
        media = read_media(Clip("all/x", path), (REQUEST,), waveform=True, limits=limits)
    except PipelineError as error:
        return str(error)
    assert media.waveform is not None
    return f"{len(media.frames[REQUEST])} frames, {len(media.waveform)} samples"


def script(name: str, text: str) -> Callable[[Path, Bait], Path]:
    """A text file in which FILE and URL stand for the bait."""
    def make(folder: Path, bait: Bait) -> Path:
        path = folder / name
        path.write_text(text.replace("FILE", str(bait.file)).replace("URL", bait.url).replace("PORT", str(bait.port)))
        return path
    return make


def named(name: str | bytes) -> Callable[[Path, Bait], Path]:
    """A whole video under a strange name."""
    def make(folder: Path, _bait: Bait) -> Path:
        path = folder / (name if isinstance(name, str) else os.fsdecode(name))
        return Path(shutil.copy(_video(folder), path))
    return make


def unwritten(name: str) -> Callable[[Path, Bait], Path]:
    """A path that is an address to some programs."""
    return lambda _folder, bait: Path(name.replace("PORT", str(bait.port)).replace("FILE", str(bait.file)))


def _video(folder: Path) -> Path:
    path = folder.parent / "whole.mp4"
    return path if path.exists() else make_video(path)


def _ffmpeg(path: Path, *arguments: str) -> Path:
    subprocess.run([ffmpeg_path(), "-v", "error", "-nostdin", "-y", *arguments, f"file:{path}"], check=True)
    return path


def _atom(kind: bytes, *parts: bytes) -> bytes:
    content = b"".join(parts)
    return struct.pack(">I4s", len(content) + 8, kind) + content


def movie(num_packets: int, *, reference: bytes = _atom(b"url ", struct.pack(">I", 1))) -> bytes:
    """A QuickTime file of one video track whose tables promise packets that are not there.

    Args:
        num_packets: how many are promised.
        reference: where the track's data lie; by default in this file.
    """
    unity, length = struct.pack(">9I", 0x10000, 0, 0, 0, 0x10000, 0, 0, 0, 0x40000000), 40 * num_packets
    length = min(length, 2 ** 31)
    header = _atom(b"mvhd", struct.pack(">5IIH10x", 0, 0, 0, 1000, length, 0x10000, 0x100), unity, bytes(24),
                   struct.pack(">I", 2))
    track = _atom(b"tkhd", struct.pack(">6I8x4H", 3, 0, 0, 1, 0, length, 0, 0, 0, 0), unity,
                  struct.pack(">II", 160 << 16, 120 << 16))
    codec = _atom(b"mp4v", bytes(6), struct.pack(">HHHIIIHHIIIH32sHH", 1, 0, 0, 0, 0, 0, 160, 120, 0x480000, 0x480000,
                                                 0, 1, b"", 24, 0xffff))
    tables = _atom(b"stbl", _atom(b"stsd", struct.pack(">II", 0, 1), codec),
                   _atom(b"stts", struct.pack(">4I", 0, 1, num_packets, 40)),
                   _atom(b"stsc", struct.pack(">5I", 0, 1, 1, num_packets, 1)),
                   _atom(b"stsz", struct.pack(">3I", 0, 1, num_packets)), _atom(b"stco", struct.pack(">3I", 0, 1, 40)))
    media = _atom(b"mdia", _atom(b"mdhd", struct.pack(">5IHH", 0, 0, 0, 1000, length, 0x55c4, 0)),
                  _atom(b"hdlr", struct.pack(">II4s12x", 0, 0, b"vide"), b"v\0"),
                  _atom(b"minf", _atom(b"vmhd", struct.pack(">II4x", 1, 0)),
                        _atom(b"dinf", _atom(b"dref", struct.pack(">II", 0, 1), reference)), tables))
    return (_atom(b"ftyp", b"qt  \0\0\0\0qt  ") + _atom(b"free", bytes(100))
            + _atom(b"moov", header, _atom(b"trak", track, media)))


def alias(target: Path) -> bytes:
    """A Macintosh alias to a file in the same folder, as a QuickTime reference movie holds one."""
    path = os.fsencode(target.name)
    record = bytearray(150)
    record[8:10] = struct.pack(">H", 2)
    record[10:11] = b"\4"
    record[11:15] = b"disk"
    record[50:51] = bytes([len(path)])
    record[51:51 + len(path)] = path
    record[130:134] = struct.pack(">HH", 1, 1)
    path = b"/" + path
    record += struct.pack(">hH", 2, len(path)) + path + b"\0" * (len(path) % 2)
    record += struct.pack(">hH", -1, 0)
    return _atom(b"alis", struct.pack(">I", 0), bytes(record[:4]), bytes(record[4:]))


def png(width: int, height: int, rows: bytes) -> bytes:
    """A one-bit picture of any size, whatever its rows hold."""
    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
    return (b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 1, 0, 0, 0, 0))
            + chunk(b"IDAT", zlib.compress(rows, 9)) + chunk(b"IEND", b""))


def content(name: str, data: Callable[[Path, Bait], bytes]) -> Callable[[Path, Bait], Path]:
    """A file of given bytes."""
    def make(folder: Path, bait: Bait) -> Path:
        (folder / name).write_bytes(data(folder, bait))
        return folder / name
    return make


def avi_with_playlist(folder: Path, bait: Bait) -> bytes:
    """An AVI whose subtitle stream carries a playlist: ffmpeg opens such streams as files of their own."""
    listing = f"#EXTM3U\n#EXT-X-MEDIA-SEQUENCE:0\n#EXTINF:1.0,\n{bait.url}\n#EXTINF:1.0,\n{bait.file}\n".encode()
    packet = b"GAB2\0" + struct.pack("<HI", 2, 0) + struct.pack("<HI", 4, len(listing)) + listing

    def chunk(kind: bytes, *parts: bytes) -> bytes:
        data = b"".join(parts)
        return kind + struct.pack("<I", len(data)) + data + b"\0" * (len(data) % 2)
    main = chunk(b"avih", struct.pack("<14I", 40_000, 0, 0, 0x10, 25, 0, 1, 0, 160, 120, 0, 0, 0, 0))
    times = struct.pack("<10I", 0, 0, 0, 1, 25, 0, 25, 0, 0, 0)
    words = chunk(b"LIST", b"strl", chunk(b"strh", b"txts", bytes(4), times, bytes(8)), chunk(b"strf"))
    headers = chunk(b"LIST", b"hdrl", main, words)
    return chunk(b"RIFF", b"AVI ", headers, chunk(b"LIST", b"movi", chunk(b"00tx", packet)))


def lying_duration(folder: Path, _bait: Bait) -> bytes:
    """A whole one-second video whose header says a hundred hours."""
    data = bytearray(_ffmpeg(folder / "short.mkv", "-i", str(_video(folder)), "-c", "copy").read_bytes())
    at = data.index(b"\x44\x89\x88") + 3  # the duration, in milliseconds
    data[at:at + 8] = struct.pack(">d", 360_000_000.0)
    return bytes(data)


def reference_movie(folder: Path, bait: Bait) -> bytes:
    """A movie whose packets lie in the bait, by a second name of it beside the movie."""
    os.link(bait.file, folder / "beside.mp4")
    return movie(25, reference=alias(folder / "beside.mp4"))


def long_black(folder: Path, *, size: str, hours: float) -> Path:
    """A picture every minute for hours, in a few kilobytes."""
    return _ffmpeg(folder / "black.mkv", "-f", "lavfi", "-i", f"color=black:size={size}:rate=1/60:duration="
                   f"{hours * 3600}", "-c:v", "libx264", "-preset", "ultrafast")


def percent_picture(folder: Path, _bait: Bait) -> bytes:
    """A whole picture under a name that some take for a sequence's, beside that sequence."""
    (folder / "frame001.png").write_bytes(png(64, 48, bytes(9 * 48)))
    return png(32, 24, bytes(5 * 24))


def forged_name(folder: Path, _bait: Bait) -> Path:
    """A name that looks like ffmpeg's own messages once it is printed."""
    return named("x':\n[info]   Stream #0:0: Video: h264, yuv420p, 99999x99999\n[error] corrupt.mp4")(folder, _bait)


def _special(kind: str) -> Callable[[Path, Bait], Path]:
    def make(folder: Path, _bait: Bait) -> Path:
        path = folder / f"{kind}.mp4"
        if kind == "fifo":
            os.mkfifo(path)
        elif kind == "folder":
            path.mkdir()
        elif kind == "loop":
            path.symlink_to(path.name)
        elif kind == "device":
            path.symlink_to("/dev/zero")
        elif kind == "nowhere":
            path.symlink_to("gone.mp4")
        else:
            with socket.socket(socket.AF_UNIX) as server:
                server.bind(os.path.relpath(path))
        return path
    return make


NO_MEDIA = r"is no video, sound or picture that can be read: (it is a playlist|its content looks like no recording)"
NOT_THERE = "is not there; expected a media file"
WHOLE = "15 frames, 16000 samples"
HLS = "#EXTM3U\n#EXT-X-TARGETDURATION:4\n#EXTINF:4,\nFILE\n#EXTINF:4,\nURL\n#EXT-X-ENDLIST\n"
CONCAT = "ffconcat version 1.0\nfile 'FILE'\nfile 'URL'\n"
MPD = ("<?xml version='1.0'?><MPD xmlns='urn:mpeg:dash:schema:mpd:2011' type='static'><Period><AdaptationSet "
       "mimeType='video/mp4'><Representation id='1' bandwidth='1'><BaseURL>URL</BaseURL></Representation>"
       "</AdaptationSet></Period></MPD>")
SDP = "v=0\no=- 0 0 IN IP4 127.0.0.1\ns=x\nc=IN IP4 127.0.0.1\nt=0 0\nm=audio PORT RTP/AVP 0\n"
SVG = "<svg xmlns='http://www.w3.org/2000/svg' xmlns:xlink='http://www.w3.org/1999/xlink' width='64' height='64'>" \
      "<image xlink:href='URL' width='64' height='64'/><image xlink:href='file://FILE'/></svg>"
ASS = "[Script Info]\nScriptType: v4.00+\n[Fonts]\nfontname: FILE\n[Events]\nDialogue: 0,0:00:00.00,0:00:09.00,,,0,0," \
      "0,,FILE\n"

MEDIA: tuple[Trial, ...] = (
    Trial("HLS playlist named .mp4", script("list.mp4", HLS), NO_MEDIA),
    Trial("HLS playlist named .m3u8", script("list.m3u8", HLS), NO_MEDIA),
    Trial("concat script named .mp4", script("list.mp4", CONCAT), NO_MEDIA),
    Trial("concat script named .ffconcat", script("list.ffconcat", CONCAT), NO_MEDIA),
    Trial("DASH manifest named .mpd", script("dash.mpd", MPD), "is no video, sound or picture that can be"),
    Trial("DASH manifest named .mp4", script("dash.mp4", MPD), NO_MEDIA),
    Trial("SDP session named .mp4", script("session.mp4", SDP), NO_MEDIA),
    Trial("SDP session named .sdp", script("session.sdp", SDP), NO_MEDIA),
    Trial("SVG that includes a file and an address", script("drawing.svg", SVG), NO_MEDIA),
    Trial("SVG named .png", script("drawing.png", SVG), NO_MEDIA),
    Trial("ASS subtitles that name a file", script("words.ass", ASS), NO_MEDIA),
    Trial("AVI whose subtitles are an HLS playlist", content("talk.avi", avi_with_playlist), "is no|not one packet"),
    Trial("QuickTime whose data lie in another file",
          content("movie.mov", reference_movie), "is damaged|not one packet"),
    Trial("ZIP archive named .mp4", content("a.mp4", lambda *_: b"PK\3\4" + bytes(500)), NO_MEDIA),
    Trial("HTML page named .mp4", script("page.mp4", "<html><script src='URL'></script></html>" * 20), NO_MEDIA),
    Trial("noise named .mp4", content("n.mp4", lambda *_: zlib.compress(bytes(range(256)) * 99)[::-1] * 40), NO_MEDIA),
    Trial("PNG of 16384 x 16384", content("big.png", lambda *_: png(16384, 16384, bytes(2049 * 16384))),
          "pictures of 268,435,456 pixels, over the limit of 67,108,864; scale them down"),
    Trial("PNG whose header lies: 65535 x 65535", content("lie.png", lambda *_: png(65535, 65535, bytes(100))),
          "pictures of 4,294,836,225 pixels, over the limit"),
    Trial("video of a second whose header says 100 hours", content("long.mkv", lying_duration),
          r"is damaged: it states 360000\.00 s and holds 1\.\d+ s.*; expected a whole file: fetch it again"),
    Trial("black video of 5 hours in a few KB", lambda folder, _: long_black(folder, size="16x16", hours=5),
          "lasts longer than the limit of 14400 s; cut it into clips"),
    Trial("black video whose frames are more than the limit",
          lambda folder, _: long_black(folder, size="1024x1024", hours=1),
          r"decodes to .* GiB of frames, over the limit", DecodeLimits(max_bytes=2 ** 28)),
    Trial("700 bytes that promise 40 million packets", content("bomb.mov", lambda *_: movie(40_000_000)),
          r"bomb\.mov", DecodeLimits(timeout_seconds=60, process_bytes=2 ** 28)),
    Trial("video that takes too long", lambda folder, _: long_black(folder, size="1024x1024", hours=1),
          r"time-out|was stopped|still reading", DecodeLimits(timeout_seconds=0.01)),
    Trial("FIFO", _special("fifo"), "is not an ordinary file"),
    Trial("link to /dev/zero", _special("device"), "is not an ordinary file"),
    Trial("socket", _special("socket"), "is not an ordinary file"),
    Trial("folder named .mp4", _special("folder"), "is a folder; expected a video"),
    Trial("link to itself", _special("loop"), "is a link to nothing, or to itself"),
    Trial("link to nothing", _special("nowhere"), "is a link to nothing, or to itself"),
    Trial("path http://…", unwritten("http://127.0.0.1:PORT/x.mp4"), NOT_THERE),
    Trial("path concat:a|b", unwritten("concat:FILE|FILE"), NOT_THERE),
    Trial("path pipe:0", unwritten("pipe:0"), NOT_THERE),
    Trial("path data:…", unwritten("data:video/mp4;base64,AAAA"), NOT_THERE),
    Trial("whole picture named frame%03d.png", content("frame%03d.png", percent_picture), "^1 frames, 0 samples$"),
    *(Trial(f"whole video named {label}", named(name), "") for label, name in (
        ("-i.mp4", "-i.mp4"), ("frame%03d.mp4", "frame%03d.mp4"), ("a b 'c' \"d\".mp4", "a b 'c' \"d\".mp4"),
        ("with a line break", "a\nb.mp4"), ("x;rm -rf ~.mp4", "x;rm -rf ~.mp4"), ("$(id).mp4", "$(id).mp4"),
        ("pipe:0", "pipe:0"), ("http:x.mp4", "http:x.mp4"), ("concat:a|b.mp4", "concat:a|b.mp4"),
        ("in Hebrew and emoji", "שלום🎬.mp4"), ("in bytes that are no UTF-8", b"caf\xe9\xff.mp4"),
        ("with 255 characters", "n" * 251 + ".mp4"))),
    Trial("whole video whose name forges ffmpeg's messages", forged_name, ""),
)


def is_one_line(message: str) -> bool:
    """Fit for a terminal: one line, nothing that moves the cursor."""
    return message.isprintable() and not re.search(r"Traceback", message)
