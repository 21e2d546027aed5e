"""A web server on this machine that answers as it is told: whole, in ranges, too late, cut off, or not at all."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any


@dataclass
class Site:
    """What a server offers and what was asked of it.

    Args:
        files: content by path, ``{"/a.bin": b"…"}``.
        script: one word for each request to come, after which all are answered well: ``"cut"`` (the connection ends
            after ``cut_after`` bytes), ``"silent"`` (nothing comes), an HTTP status as ``"503"``, or ``"->URL"``.
        ranges: are ranges served, or the whole file whatever was asked?
        tag: the entity tag; empty for none.
        told: does the server say how long a file is?
    """

    files: dict[str, bytes]
    script: list[str] = field(default_factory=list)
    ranges: bool = True
    tag: str = '"1"'
    told: bool = True
    cut_after: int = 1000
    asked: list[dict[str, str]] = field(default_factory=list)
    url: str = ""

    def ranges_asked(self) -> list[str | None]:
        """The ``Range`` of each request."""
        return [headers.get("Range") for headers in self.asked]


@contextmanager
def serving(files: dict[str, bytes], *, script: Sequence[str] = (), **options: Any) -> Iterator[Site]:
    """Serve ``files`` on 127.0.0.1 as long as the block lasts; ``site.url`` is the address."""
    site = Site(files, list(script), **options)
    closing = threading.Event()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            site.asked.append({"path": self.path, **dict(self.headers)})
            _answer(self, site, site.script.pop(0) if site.script else "", closing)

        def do_HEAD(self) -> None:
            self.do_GET()

        def log_message(self, *arguments: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    site.url = f"http://127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield site
    finally:
        closing.set()
        server.shutdown()
        thread.join()
        server.server_close()


def _answer(handler: BaseHTTPRequestHandler, site: Site, word: str, closing: threading.Event) -> None:
    if word == "silent":
        closing.wait(20)
        return
    if word.startswith("->") or word.isdecimal():
        handler.send_response(302 if word.startswith("->") else int(word))
        if word.startswith("->"):
            handler.send_header("Location", word[2:])
        handler.send_header("Content-Length", "0")
        handler.end_headers()
        return
    content = site.files.get(handler.path.partition("?")[0])
    if content is None:
        handler.send_error(404)
        return
    start = 0
    asked = handler.headers.get("Range")
    if asked and site.ranges and handler.headers.get("If-Range", site.tag) == site.tag:
        start = int(asked.removeprefix("bytes=").partition("-")[0])
    handler.send_response(416 if start >= len(content) > 0 else 206 if start else 200)
    if start:
        span = f"{start}-{len(content) - 1}" if start < len(content) else "*"
        handler.send_header("Content-Range", f"bytes {span}/{len(content)}")
    if site.tag:
        handler.send_header("ETag", site.tag)
    if site.told:
        handler.send_header("Content-Length", str(len(content) - min(start, len(content))))
    handler.end_headers()
    if handler.command != "HEAD":
        handler.wfile.write(content[start:start + site.cut_after] if word == "cut" else content[start:])
