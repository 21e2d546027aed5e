"""The server: on this machine only, by its own names only, reading only, and gone after Ctrl-C."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from urllib.request import urlopen

import pytest

from pipeline.browsing.server import BrowserServer
from pipeline.cli import main
from pipeline.errors import StoreError, UsageError
from tests.browsing.stores import ask, make_store, serving


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[BrowserServer]:
    with serving(make_store(tmp_path_factory.mktemp("server") / "s.h5")) as running:
        yield running


def raw(server: BrowserServer, request: bytes) -> bytes:
    """What comes back for bytes that are no request of a browser's."""
    with socket.create_connection(("127.0.0.1", server.server_port), timeout=20) as connection:
        connection.sendall(request)
        connection.shutdown(socket.SHUT_WR)
        return b"".join(iter(lambda: connection.recv(65536), b""))


def test_its_address_opens_the_first_page(server: BrowserServer) -> None:
    with urlopen(server.address, timeout=20) as response:
        assert response.status == 200 and b"made-up" in response.read()
    assert server.address.startswith("http://127.0.0.1:") and len(server.word) >= 20


def test_only_this_machine_is_listened_to(server: BrowserServer) -> None:
    assert server.socket.getsockname()[0] == "127.0.0.1"


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "localhost:8000", "127.0.0.1:9", "LOCALHOST:1"])
def test_own_names_are_answered_to_by_any_port(server: BrowserServer, host: str) -> None:
    assert ask(server, "clips", Host=host)[0].status == 200


@pytest.mark.parametrize("host", ["evil.example", "evil.example:80", "127.0.0.1.evil.example", "localhost.evil.example",
                                  "", ":80", "[::1]", "0.0.0.0", "evil@127.0.0.1"])
def test_other_names_are_refused(server: BrowserServer, host: str) -> None:
    answer, _ = ask(server, "clips", Host=host)
    assert answer.status == 403 and b"made-up" not in answer.body and b"c1" not in answer.body


def test_no_name_and_two_names_are_refused(server: BrowserServer) -> None:
    line = f"GET /{server.word}/ HTTP/1.1\r\n".encode()
    assert b" 403 " in raw(server, line + b"Connection: close\r\n\r\n").splitlines()[0]
    assert b" 403 " in raw(server, line + b"Host: localhost\r\nHost: evil.example\r\nConnection: close\r\n\r\n"
                           ).splitlines()[0]


@pytest.mark.parametrize("word", ["", "x", "..", "%2e%2e", "page.css"])
def test_who_does_not_know_the_word_is_told_nothing(server: BrowserServer, word: str) -> None:
    answer, _ = ask(server, "clips", word=word)
    assert answer.status == 404 and answer.body == b"nothing is here; use the whole address that `browse` printed\n"


@pytest.mark.parametrize("path", [
    "../../../../etc/passwd", "%2e%2e/%2e%2e/etc/passwd", "..%2f..%2fetc/passwd", "/etc/passwd", "//etc/passwd",
    "templates/report.html.jinja", "page.css/", "./page.css", "clips/..", "..\\..\\x", "page.css%00.html", "server.py"])
def test_no_path_leads_to_a_file(server: BrowserServer, path: str) -> None:
    answer, _ = ask(server, path)
    assert answer.status == 404 and b"root:" not in answer.body and b"{%" not in answer.body


def test_the_word_without_its_slash_is_no_address(server: BrowserServer) -> None:
    assert raw(server, f"GET /{server.word} HTTP/1.0\r\nHost: localhost\r\n\r\n".encode()).split()[1] == b"404"


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "PATCH", "OPTIONS", "HEAD", "TRACE"])
def test_pages_are_only_read(server: BrowserServer, method: str) -> None:
    answer, headers = ask(server, "clips", method=method)
    assert answer.status == 405 and headers["Allow"] == "GET"


def test_every_answer_says_what_it_may_load(server: BrowserServer) -> None:
    for path in ("", "clips", "page.css", "nothing", "rows.png?id=train/c1&feature=text_bert"):
        _, headers = ask(server, path)
        policy = headers["Content-Security-Policy"]
        assert policy.startswith("default-src 'none'") and "script" not in policy and "unsafe" not in policy
        assert headers["X-Content-Type-Options"] == "nosniff" and headers["Referrer-Policy"] == "no-referrer"
        assert headers["Cache-Control"] == "no-store" and "Python" not in headers["Server"]
    assert "frame-ancestors 'none'" in ask(server, "", word="x")[1]["Content-Security-Policy"]


@pytest.mark.parametrize("request_line", [
    b"GET", b"nonsense\r\n\r\n", b"GET / HTTP/9.9\r\n\r\n", b"\x16\x03\x01\x02\x00\x01", b"BREW / HTTP/1.1\r\n\r\n",
    b"GET /" + b"x" * 70_000 + b" HTTP/1.1\r\n\r\n"], ids=["cut", "words", "version", "TLS", "method", "long"])
def test_what_is_no_request_does_no_harm(server: BrowserServer, request_line: bytes,
                                         capsys: pytest.CaptureFixture[str]) -> None:
    said = raw(server, request_line)
    assert b"<script" not in said and b"Traceback" not in said
    assert ask(server, "")[0].status == 200 and capsys.readouterr().err == ""


def test_very_many_fields_are_refused(server: BrowserServer) -> None:
    assert ask(server, "clips?" + "&".join(f"a{number}=1" for number in range(200)))[0].status == 400


def test_a_reader_who_goes_away_is_no_mistake(server: BrowserServer, capsys: pytest.CaptureFixture[str]) -> None:
    connection = socket.create_connection(("127.0.0.1", server.server_port), timeout=20)
    connection.sendall(f"GET /{server.word}/map HTTP/1.1\r\nHost: localhost\r\n\r\n".encode())
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\x01\0\0\0\0\0\0\0")  # close with a reset
    connection.close()
    assert ask(server, "")[0].status == 200 and capsys.readouterr().err == ""


def test_a_port_that_is_taken_is_said(server: BrowserServer) -> None:
    with pytest.raises(UsageError, match=rf"port {server.server_port} cannot be used \(.*\); name another --port"):
        BrowserServer(server.pages.path, port=server.server_port)


def test_no_store_is_said_before_anything_is_served(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match="there is no store"):
        BrowserServer(tmp_path / "none.h5")


def test_what_is_no_store_is_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "notes.h5").write_text("no store")
    assert main(["browse", str(tmp_path / "notes.h5")]) == 1
    captured = capsys.readouterr()
    assert captured.out == "" and captured.err.count("\n") == 1 and "is not a readable HDF5 file" in captured.err


@pytest.mark.parametrize("number", [signal.SIGINT])
def test_ctrl_c_ends_it_cleanly(tmp_path: Path, number: signal.Signals) -> None:
    path = make_store(tmp_path / "s.h5")
    process = subprocess.Popen([sys.executable, "-m", "pipeline", "browse", str(path)], stdout=subprocess.PIPE,
                               stderr=subprocess.PIPE, text=True, cwd=Path(__file__).parents[2],
                               env={**os.environ, "OMP_NUM_THREADS": "1"})
    try:
        assert process.stdout is not None
        url = process.stdout.readline().strip()
        with urlopen(url, timeout=60) as response:
            assert b"Overview" in response.read()
        process.send_signal(number)
        out, said = process.communicate(timeout=60)
    finally:
        process.kill()
    assert process.returncode == 0 and out == "" and "Traceback" not in said
    assert said.splitlines() == ["Open this address in a web browser on this machine; Ctrl-C ends it.", "Ended."]
