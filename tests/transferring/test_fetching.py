"""Files are fetched whole and checked from servers that drop, lie, refuse and redirect."""

from __future__ import annotations

import errno
import hashlib
import os
import socket
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest

from pipeline.errors import FetchError
from pipeline.transferring import fetching
from pipeline.transferring.fetching import Patience, difference, fetch
from tests.serving import Site, serving

CONTENT = bytes(range(256)) * 20
DIGEST = hashlib.sha256(CONTENT).hexdigest()
QUICK = Patience(timeout_seconds=0.5, tries=3, pause_seconds=0.01)


@pytest.fixture(autouse=True)
def online(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("PIPELINE_OFFLINE", "http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture
def site() -> Iterator[Site]:
    with serving({"/a.bin": CONTENT}) as found:
        yield found


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "kept" / "a.bin"


def nothing_else(path: Path) -> bool:
    return [file.name for file in path.parent.iterdir()] == [path.name]


def test_a_file_comes_whole_and_once(site: Site, path: Path) -> None:
    steps: list[tuple[int, int]] = []
    for _ in range(2):
        assert fetch(f"{site.url}/a.bin", path, digest=DIGEST, size=len(CONTENT),
                     progress=lambda done, total: steps.append((done, total))) == path
    assert path.read_bytes() == CONTENT and len(site.asked) == 1 and nothing_else(path)
    assert steps[0] == (0, len(CONTENT)) and steps[-1] == (len(CONTENT), len(CONTENT))


@pytest.mark.parametrize("algorithm", ["sha256", "md5"])
def test_the_beginning_of_a_digest_is_enough(site: Site, path: Path, algorithm: fetching.Algorithm) -> None:
    digest = hashlib.new(algorithm, CONTENT).hexdigest()
    fetch(f"{site.url}/a.bin", path, digest=digest[:8].upper(), algorithm=algorithm)
    assert difference(path, digest=digest, algorithm=algorithm) == ""
    assert difference(path, digest="0" * 8, algorithm=algorithm) \
        == f"{ {'sha256': 'SHA-256', 'md5': 'MD5'}[algorithm]} {digest[:8]}, expected 00000000"
    assert difference(path, size=3) == f"{len(CONTENT)} bytes, expected 3"


def test_a_file_that_is_there_but_not_the_published_one_is_replaced(site: Site, path: Path) -> None:
    path.parent.mkdir()
    path.write_bytes(b"another")
    fetch(f"{site.url}/a.bin", path)
    assert path.read_bytes() == b"another" and not site.asked
    fetch(f"{site.url}/a.bin", path, digest=DIGEST)
    assert path.read_bytes() == CONTENT


def test_dropped_connections_are_taken_up_where_they_broke(site: Site, path: Path) -> None:
    site.script += ["cut", "503", "cut"]
    fetch(f"{site.url}/a.bin", path, digest=DIGEST, patience=Patience(0.5, 4, 0.01))
    assert path.read_bytes() == CONTENT
    assert site.ranges_asked() == [None, "bytes=1000-", "bytes=1000-", "bytes=2000-"] and nothing_else(path)


def test_a_server_that_does_not_answer_is_given_up_with_what_came_kept(site: Site, path: Path) -> None:
    site.script += ["cut", "silent", "silent"]
    with pytest.raises(FetchError, match=r"a.bin: no answer \(timed out\) \(tried 3 times\); 1,000 bytes are kept, and"
                                         " the same command goes on"):
        fetch(f"{site.url}/a.bin", path, patience=QUICK)
    assert not path.exists()
    fetch(f"{site.url}/a.bin", path)
    assert path.read_bytes() == CONTENT and site.ranges_asked()[-1] == "bytes=1000-" and nothing_else(path)


def test_a_try_that_brings_much_does_not_count_as_failed(site: Site, path: Path,
                                                         monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fetching, "FRUITFUL", 1000)
    site.script += ["cut"] * 5
    fetch(f"{site.url}/a.bin", path, digest=DIGEST, patience=QUICK)
    assert len(site.asked) == 6


def half_done(path: Path, content: bytes, source: str = "") -> None:
    path.parent.mkdir()
    path.with_name("a.bin.part").write_bytes(content)
    if source:
        path.with_name("a.bin.part.from").write_text(source)


def test_another_edition_is_never_mixed_with_what_was_here(site: Site, path: Path) -> None:
    half_done(path, b"x" * 1000, f'{site.url}/a.bin\n"0"')
    fetch(f"{site.url}/a.bin", path)
    assert path.read_bytes() == CONTENT and site.asked[0]["If-Range"] == '"0"'


def test_a_beginning_of_unknown_edition_is_used_only_where_a_digest_can_tell(site: Site, path: Path) -> None:
    half_done(path, CONTENT[:500])
    fetch(f"{site.url}/a.bin", path)
    path.unlink()
    path.with_name("a.bin.part").write_bytes(CONTENT[:500])
    fetch(f"{site.url}/a.bin", path, digest=DIGEST)
    path.unlink()
    path.with_name("a.bin.part").write_bytes(b"x" * 500)
    fetch(f"{site.url}/a.bin", path, digest=DIGEST)
    assert site.ranges_asked() == [None, "bytes=500-", "bytes=500-", None]
    assert path.read_bytes() == CONTENT and nothing_else(path)


def test_bytes_that_are_all_here_already_need_only_their_name(site: Site, path: Path) -> None:
    half_done(path, CONTENT)
    fetch(f"{site.url}/a.bin", path, digest=DIGEST)
    assert path.read_bytes() == CONTENT and site.ranges_asked() == [f"bytes={len(CONTENT)}-"]


def test_too_many_bytes_are_thrown_away(site: Site, path: Path) -> None:
    half_done(path, CONTENT + b"more")
    fetch(f"{site.url}/a.bin", path, digest=DIGEST, patience=QUICK)
    assert path.read_bytes() == CONTENT


def test_a_server_without_ranges_sends_it_all_again(path: Path) -> None:
    with serving({"/a.bin": CONTENT}, script=["cut"], ranges=False) as site:
        fetch(f"{site.url}/a.bin", path, digest=DIGEST, patience=QUICK)
    assert path.read_bytes() == CONTENT and site.ranges_asked() == [None, "bytes=1000-"]


def test_a_file_of_unknown_length_is_taken_only_where_something_can_tell_that_it_is_whole(path: Path) -> None:
    with serving({"/a.bin": CONTENT}, told=False) as site:
        with pytest.raises(FetchError, match="does not say how long the file is and no digest .*Fetch it by hand"):
            fetch(f"{site.url}/a.bin", path)
        fetch(f"{site.url}/a.bin", path, digest=DIGEST)
        assert path.read_bytes() == CONTENT
        with pytest.raises(FetchError, match="more than the expected 100 bytes came"):
            fetch(f"{site.url}/a.bin", path.with_name("b"), size=100)
    assert nothing_else(path)


def test_another_file_than_the_published_one_is_not_kept(site: Site, path: Path) -> None:
    with pytest.raises(FetchError, match=f"what came has SHA-256 {DIGEST[:8]}, expected 00000000; the publisher has"
                                         ".*Nothing was kept"):
        fetch(f"{site.url}/a.bin", path, digest="00000000")
    with pytest.raises(FetchError, match="offers 5,120 bytes, expected 7"):
        fetch(f"{site.url}/a.bin", path, size=7)
    assert not path.exists()


@pytest.mark.parametrize(("code", "words"), [
    ("404", "404 Not Found: there is no such file; the publisher may have moved it"), ("401", "it wants a password"),
    ("403", "it does not give this file to you"), ("400", "400 Bad Request: look at the address")])
def test_a_refusal_is_final(site: Site, path: Path, code: str, words: str) -> None:
    site.script.append(code)
    with pytest.raises(FetchError, match=words):
        fetch(f"{site.url}/a.bin", path)
    assert len(site.asked) == 1 and not list(path.parent.iterdir())


def test_a_server_that_is_busy_is_asked_again_and_then_given_up(site: Site, path: Path) -> None:
    site.script += ["503", "429"]
    fetch(f"{site.url}/a.bin", path, patience=QUICK)
    path.unlink()
    site.script += ["503"] * 3
    with pytest.raises(FetchError, match="answers 503 Service Unavailable .tried 3 times.. Look at the connection"):
        fetch(f"{site.url}/a.bin", path, patience=QUICK)
    assert len(site.asked) == 6


def test_a_port_where_nobody_listens_is_a_fetch_error(path: Path) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        with pytest.raises(FetchError, match="no answer .*refused.* .tried 3 times"):
            fetch(f"http://127.0.0.1:{free.getsockname()[1]}/a", path, patience=QUICK)


def test_redirects_are_followed_to_the_web_alone(site: Site, path: Path, tmp_path: Path) -> None:
    site.script.append(f"->{site.url}/a.bin")
    fetch(f"{site.url}/moved", path, digest=DIGEST)
    assert path.read_bytes() == CONTENT
    (tmp_path / "secret").write_text("secret")
    for target in ((tmp_path / "secret").as_uri(), "ftp://127.0.0.1/a", "data:,x"):
        site.script.append(f"->{target}")
        with pytest.raises(FetchError, match="leads to an address of kind 'ftp'; expected|url '.*' is not allowed"):
            fetch(f"{site.url}/a.bin", path.with_name("b"))
    assert not path.with_name("b").exists()


def test_a_redirect_never_leads_from_https_to_http() -> None:
    with pytest.raises(FetchError, match="https://a.org/x leads to http://b.org/x, from https to http"):
        fetching._check_scheme("http://b.org/x", "https://a.org/x")


def test_a_token_goes_over_https_alone(site: Site, path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fetch(f"{site.url}/a.bin", path, token="secret")
    assert "Authorization" not in site.asked[0]
    seen = []

    class Opener:
        def open(self, request: urllib.request.Request, timeout: float) -> None:
            seen.append(request)
            raise ConnectionRefusedError("no")
    monkeypatch.setattr(fetching, "_opener", Opener)
    with pytest.raises(FetchError, match="no answer .no. .tried 1 times.") as caught:
        fetch("https://example.org/a", path.with_name("b"), token="secret", patience=Patience(tries=1))
    assert seen[0].unredirected_hdrs["Authorization"] == "Bearer secret" and "secret" not in str(seen[0].headers)
    assert "secret" not in str(caught.value)


def test_redirects_without_end_are_given_up(site: Site, path: Path) -> None:
    site.script += [f"->{site.url}/a.bin"] * 30
    with pytest.raises(FetchError, match="302"):
        fetch(f"{site.url}/a.bin", path)


@pytest.mark.parametrize("url", ["file:///etc/hostname", "ftp://127.0.0.1/a", "a.bin", ""])
def test_only_web_addresses_are_fetched(path: Path, url: str) -> None:
    with pytest.raises(FetchError, match="is an address of kind '.*'; expected http or https"):
        fetch(url, path)


@pytest.mark.parametrize("url", ["http://127.0.0.1:port/", "http://127.0.0.1/a b", "http://127.0.0.1/ä"])
def test_an_address_that_is_none_is_refused(path: Path, url: str) -> None:
    with pytest.raises(FetchError, match="is no address that can be asked"):
        fetch(url, path)


def test_offline_opens_no_socket_and_keeps_what_is_there(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*arguments: object, **options: object) -> None:
        raise AssertionError("a socket was made")
    monkeypatch.setattr(socket, "socket", refuse)
    monkeypatch.setattr(socket, "getaddrinfo", refuse)
    monkeypatch.setenv("PIPELINE_OFFLINE", "1")
    with pytest.raises(FetchError, match="PIPELINE_OFFLINE forbids the network; unset it, or put the file at .*a.bin"):
        fetch("https://example.org/a.bin", path)
    assert not path.parent.exists()
    path.parent.mkdir()
    path.write_bytes(CONTENT)
    assert fetch("https://example.org/a.bin", path, digest=DIGEST) == path


def test_a_folder_that_cannot_be_made_is_a_fetch_error(site: Site, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(FetchError, match="cannot be written .*choose a folder that can be written"):
        fetch(f"{site.url}/a.bin", tmp_path / "file" / "a.bin")


def test_a_full_disk_is_seen_before_the_first_byte(site: Site, path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    real = os.statvfs

    def full(place: int) -> os.statvfs_result:
        found = list(real(place))
        found[4] = 0  # f_bavail
        return os.statvfs_result(found)
    monkeypatch.setattr(os, "statvfs", full)
    with pytest.raises(FetchError, match="5,120 more bytes are to come and 0 are free.*Make room") as caught:
        fetch(f"{site.url}/a.bin", path)
    assert isinstance(caught.value.__cause__, OSError) and caught.value.__cause__.errno == errno.ENOSPC


def test_two_processes_fetch_one_file_once(site: Site, path: Path) -> None:
    code = ("import sys; from pathlib import Path; from pipeline.transferring.fetching import fetch;"
            "fetch(sys.argv[1], Path(sys.argv[2]), digest=sys.argv[3])")
    command = [sys.executable, "-c", code, f"{site.url}/a.bin", str(path), DIGEST]
    children = [subprocess.Popen(command, cwd=Path(__file__).parents[2]) for _ in range(3)]
    assert [child.wait(60) for child in children] == [0, 0, 0]
    assert path.read_bytes() == CONTENT and len(site.asked) == 1 and nothing_else(path)
