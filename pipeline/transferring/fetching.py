"""Files from the network: whole and checked or not at all, resumed where they stopped, never when offline.

Nothing else in this package opens a connection of its own. Proxies are taken from the environment, as urllib does.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import hashlib
import http.client
import os
import ssl
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any, Literal

from pipeline.errors import FetchError

Algorithm = Literal["sha256", "md5"]

BLOCK = 1 << 18  # bytes read at a time
FRUITFUL = 1 << 20  # a try that brings as many bytes does not count as failed
PASSING = (408, 425, 429, 500, 502, 503, 504)  # a later try may be answered
LONGEST_PAUSE_SECONDS = 60.0


@dataclass(frozen=True)
class Patience:
    """How long to go on with a server that does not answer.

    Args:
        timeout_seconds: without a byte, after which a connection is given up.
        tries: in a row that bring next to nothing, after which the file is given up.
        pause_seconds: before the second try; each further pause is twice as long, at most a minute. A server's own
            ``Retry-After`` counts where it is longer.
    """

    timeout_seconds: float = 30.0
    tries: int = 5
    pause_seconds: float = 1.0


@dataclass(frozen=True)
class _Wanted:
    url: str
    digest: str
    algorithm: Algorithm
    size: int | None
    token: str = field(default="", repr=False)


class _Passing(Exception):
    """A trouble that may be over at the next try, after a number of seconds."""

    def __init__(self, message: str, after_seconds: float = 0.0) -> None:
        super().__init__(message)
        self.after_seconds = after_seconds


def offline() -> bool:
    """Has the user forbidden the network with ``PIPELINE_OFFLINE=1``?"""
    return os.environ.get("PIPELINE_OFFLINE", "") not in ("", "0")


def fetch(url: str, path: Path, *, digest: str = "", algorithm: Algorithm = "sha256", size: int | None = None,
          progress: Callable[[int, int], None] | None = None, token: str = "",
          patience: Patience = Patience()) -> Path:
    """Fetch one file; it appears under its name only when it is whole and right.

    A file that is there already is kept if it has the digest and size, and taken as it is where neither is known; one
    that has not is replaced. Bytes that came before a failure wait in ``NAME.part``, and the next call goes on from
    there if the server still offers the same file. Where two processes want one file, the second waits for the first.

    Args:
        url: an http or https address. Redirects are followed to such addresses alone, and never from https to http.
        path: where the file goes; its folder is made.
        digest: hexadecimal digits that the file's digest begins with, some or all of them; empty: not known.
        algorithm: of the digest.
        size: bytes, if known; more are never written.
        progress: called with the bytes that are here and the bytes in all (0: the server does not say).
        token: a secret for the address's own host, over https alone; hosts that it redirects to never see it.
        patience: with servers that do not answer.

    Returns:
        ``path``.

    Raises:
        FetchError: offline; not an http address; the server refuses, does not answer or sends another file; the folder
            cannot be written or the disk is full. Says which address, what was found and what to do.
    """
    wanted = _Wanted(url, digest.lower(), algorithm, size, token)
    if path.is_file() and not difference(path, digest=digest, algorithm=algorithm, size=size):
        return path
    if offline():
        raise FetchError(f"{url} is needed and PIPELINE_OFFLINE forbids the network; unset it, or put the file at"
                         f" {path}")
    _check_scheme(url, url)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with _exclusive(path.with_name(f"{path.name}.part")) as (file, part):
            if path.is_file() and not difference(path, digest=digest, algorithm=algorithm, size=size):
                part.unlink()  # another process has fetched it meanwhile
            else:
                _fetch_into(wanted, file, part, path, progress or (lambda done, total: None), patience)
    except OSError as error:
        raise FetchError(f"{path} cannot be written ({error.strerror or error}); {url} was not fetched. Make room, or"
                         " choose a folder that can be written") from error
    return path


def difference(path: Path, *, digest: str = "", algorithm: Algorithm = "sha256", size: int | None = None) -> str:
    """How a file differs from the published one, in words; empty: it does not.

    Raises:
        OSError: the file cannot be read.
    """
    found_size = path.stat().st_size
    if size is not None and found_size != size:
        return f"{found_size} bytes, expected {size}"
    if digest:
        with path.open("rb") as file:
            found = _digest(file, algorithm)
        if not found.startswith(digest.lower()):
            return f"{algorithm.upper().replace('SHA', 'SHA-')} {found[:len(digest)]}, expected {digest.lower()}"
    return ""


def _digest(file: IO[bytes], algorithm: Algorithm) -> str:
    state = hashlib.new(algorithm, usedforsecurity=False)
    while block := file.read(1 << 20):
        state.update(block)
    return state.hexdigest()


@contextlib.contextmanager
def _exclusive(part: Path) -> Iterator[tuple[IO[bytes], Path]]:
    """The unfinished file, open, while no other process works on it."""
    while True:
        with open(part, "a+b") as file:
            with contextlib.suppress(OSError):  # a file system without locks: then there is none
                fcntl.flock(file, fcntl.LOCK_EX)
            if part.exists() and os.path.samestat(os.fstat(file.fileno()), part.stat()):
                try:
                    yield file, part
                finally:
                    if not os.fstat(file.fileno()).st_size and part.exists():
                        part.unlink()
                        part.with_name(f"{part.name}.from").unlink(missing_ok=True)
                return
        # Whoever held it has finished and renamed it, so this is no longer the unfinished file.


def _fetch_into(wanted: _Wanted, file: IO[bytes], part: Path, path: Path, progress: Callable[[int, int], None],
                patience: Patience) -> None:
    source = part.with_name(f"{part.name}.from")
    resumed = file.seek(0, os.SEEK_END) > 0
    _download(wanted, file, source, progress, patience)
    wrong = _wrong(wanted, part, file)
    if wrong and resumed:  # its beginning may be of another edition
        file.truncate(0)
        _download(wanted, file, source, progress, patience)
        wrong = _wrong(wanted, part, file)
    source.unlink(missing_ok=True)
    if wrong:
        part.unlink()
        raise FetchError(f"{wanted.url}: what came has {wrong}; the publisher has changed the file, or it was changed"
                         " on its way. Nothing was kept")
    os.fsync(file.fileno())
    os.replace(part, path)


def _wrong(wanted: _Wanted, part: Path, file: IO[bytes]) -> str:
    file.flush()
    return difference(part, digest=wanted.digest, algorithm=wanted.algorithm, size=wanted.size)


def _download(wanted: _Wanted, file: IO[bytes], source: Path, progress: Callable[[int, int], None],
              patience: Patience) -> None:
    """Try until all bytes are here or patience ends."""
    failed = 0
    while True:
        before = file.seek(0, os.SEEK_END)
        try:
            _try(wanted, file, source, progress, patience.timeout_seconds)
            return
        except _Passing as error:
            here = file.seek(0, os.SEEK_END)
            failed = 1 if here - before >= FRUITFUL else failed + 1
            if failed >= patience.tries:
                kept = f"; {here:,} bytes are kept, and the same command goes on from there" if here else ""
                raise FetchError(f"{wanted.url}: {error} (tried {failed} times){kept}. Look at the connection, or try"
                                 " later") from error
            pause = max(error.after_seconds, patience.pause_seconds * 2 ** (failed - 1))
            time.sleep(min(pause, LONGEST_PAUSE_SECONDS))


def _try(wanted: _Wanted, file: IO[bytes], source: Path, progress: Callable[[int, int], None], timeout: float) -> None:
    """One connection: ask for what is missing and write what comes."""
    here = file.seek(0, os.SEEK_END)
    edition = _edition(source, wanted.url)
    if here and not (edition or wanted.digest):
        here = file.truncate(0)  # nothing could tell whether the rest is of the same edition
    headers = {"User-Agent": "affect-pipeline", "Accept-Encoding": "identity"}
    if here:
        headers |= {"Range": f"bytes={here}-"} | ({"If-Range": edition} if edition else {})
    try:
        request = urllib.request.Request(wanted.url, headers=headers)
        if wanted.token and wanted.url.startswith("https:"):
            request.add_unredirected_header("Authorization", f"Bearer {wanted.token}")
        response = _opener().open(request, timeout=timeout)
    except urllib.error.HTTPError as error:
        with error:
            if error.code == 416 and _range(error.headers)[1] == here:
                return  # all of it was here already
            if error.code == 416:
                file.truncate(0)
        raise _refusal(wanted.url, error) from error
    except (ValueError, http.client.InvalidURL) as error:
        raise FetchError(f"{wanted.url} is no address that can be asked ({error})") from error
    except (OSError, http.client.HTTPException) as error:
        raise _silence(wanted.url, error) from error
    with response:
        if response.status != 206 or _range(response.headers)[0] != here:
            if response.status == 206:
                raise _Passing(f"the server sent bytes {response.headers.get('Content-Range')}, asked for {here}-")
            here = file.truncate(0)
            edition = _edition_of(response.headers)
            source.write_text(f"{wanted.url}\n{edition}", encoding="utf-8") if edition else source.unlink(True)
        _receive(wanted, response, file, here, progress)


def _receive(wanted: _Wanted, response: http.client.HTTPResponse, file: IO[bytes], here: int,
             progress: Callable[[int, int], None]) -> None:
    """Write what comes behind the ``here`` bytes that are there."""
    length = response.length
    total = here + length if length is not None else 0
    if wanted.size is not None and total not in (0, wanted.size):
        raise FetchError(f"{wanted.url}: the server offers {total:,} bytes, expected {wanted.size:,}; the publisher has"
                         " changed the file. Nothing was fetched")
    if not total and not wanted.digest and wanted.size is None and not response.chunked:
        raise FetchError(f"{wanted.url}: the server does not say how long the file is and no digest of it is known, so"
                         " that nobody could tell whether it came whole. Fetch it by hand")
    free = os.statvfs(file.fileno())
    if total - here > free.f_bavail * free.f_frsize:
        raise OSError(errno.ENOSPC, f"{total - here:,} more bytes are to come and"
                                    f" {free.f_bavail * free.f_frsize:,} are free")
    progress(here, total)
    while block := _read(response):
        here += len(block)
        if wanted.size is not None and here > wanted.size:
            file.truncate(0)
            raise FetchError(f"{wanted.url}: more than the expected {wanted.size:,} bytes came; the publisher has"
                             " changed the file")
        file.write(block)
        progress(here, total)
    file.flush()
    if here < total:
        raise _Passing(f"the connection ended after {here:,} of {total:,} bytes")


def _read(response: http.client.HTTPResponse) -> bytes:
    try:
        return response.read1(BLOCK)
    except (OSError, http.client.HTTPException) as error:
        raise _Passing(f"the connection broke ({error or type(error).__name__})") from error


def _refusal(url: str, error: urllib.error.HTTPError) -> Exception:
    said = f"the server answers {error.code} {error.reason}"
    if error.code in PASSING or error.code == 416:
        after = error.headers.get("Retry-After", "")
        return _Passing(said, float(after) if after.isdecimal() else 0.0)
    advice = {401: "it wants a password", 403: "it does not give this file to you",
              404: "there is no such file; the publisher may have moved it"}.get(error.code, "look at the address")
    return FetchError(f"{url}: {said}: {advice}")


def _silence(url: str, error: Exception) -> Exception:
    reason: Any = getattr(error, "reason", None) or error
    if isinstance(reason, ssl.SSLCertVerificationError):
        return FetchError(f"{url}: the server's certificate is not to be trusted ({reason.verify_message}); look at the"
                          " clock and at the proxy of this machine")
    return _Passing(f"no answer ({getattr(reason, 'strerror', None) or str(reason) or type(reason).__name__})")


def _range(headers: Any) -> tuple[int | None, int | None]:
    """First byte and length in all of ``Content-Range: bytes 5-9/10`` or ``bytes */10``."""
    span, _, total = str(headers.get("Content-Range", "")).removeprefix("bytes").strip().partition("/")
    first = span.partition("-")[0]
    return int(first) if first.isdecimal() else None, int(total) if total.isdecimal() else None


def _edition(source: Path, url: str) -> str:
    """What told the edition of the unfinished file, if it is of this address."""
    with contextlib.suppress(OSError, ValueError):
        address, _, edition = source.read_text(encoding="utf-8").partition("\n")
        return edition if address == url and edition.isprintable() else ""
    return ""


def _edition_of(headers: Any) -> str:
    """What ``If-Range`` may carry: a strong entity tag, or the time of change."""
    tag = str(headers.get("ETag", ""))
    return tag if tag and not tag.startswith("W/") else str(headers.get("Last-Modified", ""))


def _check_scheme(url: str, origin: str) -> None:
    scheme, first = urllib.parse.urlsplit(url).scheme, urllib.parse.urlsplit(origin).scheme
    if scheme not in ("http", "https"):
        raise FetchError(f"{origin} {'leads to' if url != origin else 'is'} an address of kind {scheme or 'none'!r};"
                         " expected http or https. Nothing was fetched")
    if first == "https" and scheme == "http":
        raise FetchError(f"{origin} leads to {url}, from https to http, where anyone on the way can change the file;"
                         " refused")


class _Redirects(urllib.request.HTTPRedirectHandler):
    """Follows redirects to http and https, and never down from https."""

    def redirect_request(self, req: urllib.request.Request, fp: IO[bytes], code: int, msg: str, headers: Any,
                         newurl: str) -> urllib.request.Request | None:
        _check_scheme(newurl, req.full_url)
        return super().redirect_request(req, fp, code, msg, headers, newurl)


def _opener() -> urllib.request.OpenerDirector:
    """HTTP and HTTPS through the proxies of the environment; no file, ftp or data addresses."""
    opener = urllib.request.OpenerDirector()
    for handler in (urllib.request.ProxyHandler(), urllib.request.HTTPHandler(), urllib.request.HTTPSHandler(),
                    urllib.request.HTTPDefaultErrorHandler(), urllib.request.HTTPErrorProcessor(),
                    urllib.request.UnknownHandler(), _Redirects()):
        opener.add_handler(handler)
    return opener
