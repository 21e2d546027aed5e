"""The server of the store browser: this machine only, one address that nobody can guess, reading only."""

from __future__ import annotations

import secrets
import sys
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, urlsplit

from pipeline.browsing.pages import Answer, Pages
from pipeline.errors import UsageError

HOME = "127.0.0.1"
HOSTS = (HOME, "localhost")     # by any port, as a tunnel may have another
MOST_FIELDS = 100               # of an address; more is nobody's form
SILENCE_SECONDS = 30            # after which a connection that says nothing is closed
# Own files only: no script at all, nothing from elsewhere, in no frame, kept in no cache, told to nobody.
HEADERS = {
    "Content-Security-Policy": "default-src 'none'; style-src 'self'; img-src 'self' data:; form-action 'self';"
                               " base-uri 'none'; frame-ancestors 'none'",
    "X-Content-Type-Options": "nosniff", "X-Frame-Options": "DENY", "Referrer-Policy": "no-referrer",
    "Cross-Origin-Resource-Policy": "same-origin", "Cross-Origin-Opener-Policy": "same-origin",
    "Cache-Control": "no-store",
}


class BrowserServer(ThreadingHTTPServer):
    """Serves the pages of one store on this machine.

    Who is not given :attr:`address` is told nothing: it has a random word in it. A request whose ``Host`` is another
    name is refused, so that no page of elsewhere reaches it under a name of its own (DNS rebinding).

    Args:
        path: the store.
        thumbnails: show faces although the corpus forbids passing them on.
        port: 0 for one that is free.

    Raises:
        StoreError: there is no store, or it cannot be read.
        UsageError: the port is taken or may not be used.
    """

    daemon_threads = True       # Ctrl-C waits for no picture

    def __init__(self, path: Path, *, thumbnails: bool = False, port: int = 0) -> None:
        self.pages = Pages(path, thumbnails=thumbnails)
        self.word = secrets.token_urlsafe(16)
        try:
            super().__init__((HOME, port), _Handler)
        except OSError as error:
            raise UsageError(f"port {port} cannot be used ({error.strerror or error}); name another --port, or none for"
                             " one that is free") from error

    @property
    def address(self) -> str:
        """Where the first page is."""
        return f"http://{HOME}:{self.server_port}/{self.word}/"

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Tell of a mistake of ours on stderr; a reader who goes away is none."""
        if not isinstance(sys.exc_info()[1], ConnectionError):
            super().handle_error(request, client_address)


class _Handler(BaseHTTPRequestHandler):
    server: BrowserServer
    protocol_version = "HTTP/1.1"
    timeout = SILENCE_SECONDS
    error_content_type = "text/plain; charset=utf-8"
    error_message_format = "%(code)d: %(explain)s\n"

    def do_GET(self) -> None:
        self._send(self._answer())

    def refuse(self) -> None:
        """Answer to every method that is not for reading."""
        self.close_connection = True  # a body may follow, which nobody reads
        self._send(_plain(HTTPStatus.METHOD_NOT_ALLOWED, "pages are only read here: GET"), Allow="GET")

    do_HEAD = do_POST = do_PUT = do_DELETE = do_PATCH = do_OPTIONS = do_TRACE = do_CONNECT = refuse

    def _answer(self) -> Answer:
        hosts = self.headers.get_all("Host") or []
        if len(hosts) != 1 or hosts[0].partition(":")[0].lower() not in HOSTS:
            return _plain(HTTPStatus.FORBIDDEN, f"this server answers to {HOME} and localhost alone")
        try:
            address = urlsplit(self.path)
            fields = parse_qsl(address.query, max_num_fields=MOST_FIELDS, errors="surrogatepass")
        except ValueError:
            return _plain(HTTPStatus.BAD_REQUEST, "that address cannot be read")
        start, word, name = [*address.path.split("/", 2), "", ""][:3]
        own = secrets.compare_digest(word.encode("utf-8", "replace"), self.server.word.encode())
        if start or not own or address.path == f"/{word}":
            return _plain(HTTPStatus.NOT_FOUND, "nothing is here; use the whole address that `browse` printed")
        return self.server.pages.answer(name, dict(fields))

    def _send(self, answer: Answer, **headers: str) -> None:
        self.send_response(answer.status)
        for name, value in {"Content-Type": answer.kind, "Content-Length": str(len(answer.body)), **headers}.items():
            self.send_header(name, value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(answer.body)

    def end_headers(self) -> None:
        for name, value in HEADERS.items():
            self.send_header(name, value)
        super().end_headers()

    def version_string(self) -> str:
        return "affect-pipeline"

    def log_message(self, *arguments: object) -> None:
        """Nothing is logged: addresses tell what was looked at."""


def _plain(status: HTTPStatus, text: str) -> Answer:
    return Answer(int(status), "text/plain; charset=utf-8", f"{text}\n".encode())
