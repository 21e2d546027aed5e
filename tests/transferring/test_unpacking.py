"""Archives are unpacked as they are, and hostile ones not at all."""

from __future__ import annotations

import stat
import tarfile
import zipfile
from pathlib import Path

import pytest

from pipeline.errors import DatasetError
from pipeline.transferring import unpacking
from pipeline.transferring.unpacking import pointers, unpack
from tests.distributions import make_tar, make_zip

DIGEST = "ab" * 32
POINTER = f"version https://git-lfs.github.com/spec/v1\noid sha256:{DIGEST}\nsize 42\n".encode()


def contents(folder: Path) -> dict[str, bytes]:
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def save(path: Path, content: bytes) -> Path:
    path.write_bytes(content)
    return path


@pytest.mark.parametrize(("name", "make"), [("a.zip", make_zip), ("a.tar.gz", make_tar)])
def test_files_come_out_below_the_leading_folder(tmp_path: Path, name: str, make: object) -> None:
    assert callable(make)
    archive = save(tmp_path / name, make({"top/a/b.txt": b"12", "./top/c.csv": b"3", "d.txt": b"4"}))
    assert unpack(archive, tmp_path / "all") == 4
    assert contents(tmp_path / "all") == {"top/a/b.txt": b"12", "top/c.csv": b"3", "d.txt": b"4"}
    assert unpack(archive, tmp_path / "some", strip=1, only=["*.csv", "a/*"]) == 3
    assert contents(tmp_path / "some") == {"a/b.txt": b"12", "c.csv": b"3"}


def test_archives_within_an_archive_are_unpacked_but_none_within_those(tmp_path: Path) -> None:
    innermost = make_tar({"x.txt": b"x"})
    inner = make_tar({"clips/1.mp4": b"one", "deep.tar.gz": innermost})
    archive = save(tmp_path / "a.tar.gz", make_tar({"Raw/a.csv": b"a", "Raw/train.tar.gz": inner}))
    unpack(archive, tmp_path / "out", strip=1)
    assert contents(tmp_path / "out") == {"a.csv": b"a", "clips/1.mp4": b"one", "deep.tar.gz": innermost}


BAD_NAMES = ["/etc/x", "../x", "a/../../x", "a\\..\\x", "a\nb", "a\x1b[31m"]


@pytest.mark.parametrize("name", BAD_NAMES)
def test_a_name_that_leads_out_or_cannot_be_shown_is_refused(tmp_path: Path, name: str) -> None:
    for file, content in (("a.zip", make_zip({"good": b"1", name: b"2"})),
                          ("a.tar.gz", make_tar({"good": b"1", name: b"2"})),
                          ("b.tar.gz", make_tar({"in.tar.gz": make_tar({name: b"2"})}))):
        with pytest.raises(DatasetError, match="leads out of its folder or cannot be shown"):
            unpack(save(tmp_path / file, content), tmp_path / "out" / "deep")
    assert {path.name for path in tmp_path.rglob("*") if path.is_file()} <= {"a.zip", "a.tar.gz", "b.tar.gz", "good"}


@pytest.mark.parametrize("kind", [tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.CHRTYPE, tarfile.FIFOTYPE])
def test_links_and_devices_in_a_tar_are_refused(tmp_path: Path, kind: bytes) -> None:
    header = tarfile.TarInfo("link")
    header.type, header.linkname = kind, "/etc"
    archive = save(tmp_path / "a.tar.gz", make_tar({"link": header, "link/passwd": b"mine"}))
    with pytest.raises(DatasetError, match="a link or device"):
        unpack(archive, tmp_path / "out")
    assert contents(tmp_path / "out") == {}


def test_a_link_in_a_zip_is_refused(tmp_path: Path) -> None:
    info = zipfile.ZipInfo("link")
    info.external_attr = (stat.S_IFLNK | 0o777) << 16
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
        archive.writestr("good", b"1")
        archive.writestr(info, b"/etc")
    with pytest.raises(DatasetError, match="a link or device"):
        unpack(tmp_path / "a.zip", tmp_path / "out")
    assert contents(tmp_path / "out") == {}


def test_an_encrypted_member_is_refused(tmp_path: Path) -> None:
    content = bytearray(make_zip({"a": b"1"}))
    for mark, offset in ((b"PK\x03\x04", 6), (b"PK\x01\x02", 8)):
        content[content.index(mark) + offset] |= 1
    with pytest.raises(DatasetError, match="which is encrypted"):
        unpack(save(tmp_path / "a.zip", bytes(content)), tmp_path / "out")


@pytest.mark.parametrize(("name", "make"), [("a.zip", make_zip), ("a.tar.gz", make_tar)])
def test_more_bytes_than_agreed_are_refused(tmp_path: Path, name: str, make: object) -> None:
    assert callable(make)
    archive = save(tmp_path / name, make({"a": bytes(60), "b": bytes(60)}))
    assert unpack(archive, tmp_path / "whole", most_bytes=120) == 120
    with pytest.raises(DatasetError, match="over 200,000 files or 119 bytes"):
        unpack(archive, tmp_path / "out", most_bytes=119)


def test_a_tar_of_too_many_files_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(unpacking, "MOST_MEMBERS", 2)
    inner = make_tar({"a": b"", "b": b""})
    archive = save(tmp_path / "a.tar.gz", make_tar({"1.tar.gz": inner, "2.tar.gz": inner}))
    with pytest.raises(DatasetError, match="over 2 files"):
        unpack(archive, tmp_path / "out")


@pytest.mark.parametrize("name", ["a.zip", "a.tar.gz"])
def test_what_is_no_archive_is_said_to_be_damaged(tmp_path: Path, name: str) -> None:
    whole = (make_zip if name == "a.zip" else make_tar)({"a": bytes(range(256)) * 200})
    for content in (b"", b"<html>", whole[:len(whole) // 2]):
        with pytest.raises(DatasetError, match="damaged or not an archive"):
            unpack(save(tmp_path / name, content), tmp_path / "out")


def test_a_damaged_member_of_a_zip_is_noticed(tmp_path: Path) -> None:
    content = make_zip({"a": b"hello"}).replace(b"hello", b"hullo", 1)
    with pytest.raises(DatasetError, match="damaged or not an archive"):
        unpack(save(tmp_path / "a.zip", content), tmp_path / "out")


def test_a_name_that_is_both_file_and_folder_is_explained(tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match="cannot be unpacked into"):
        unpack(save(tmp_path / "a.tar.gz", make_tar({"a": b"1", "a/b": b"2"})), tmp_path / "out")


def test_pointers_give_size_and_digest(tmp_path: Path) -> None:
    archive = save(tmp_path / "a.zip", make_zip({"R-master/V/1.flv": POINTER, "R-master/x.csv": b"1",
                                                 "R-master/A/1.wav": b"no pointer"}))
    assert pointers(archive, strip=1, only=["V/*.flv"]) == {"V/1.flv": (DIGEST, 42)}
    with pytest.raises(DatasetError, match="A/1.wav is no git-lfs pointer"):
        pointers(archive, strip=1, only=["A/*.wav"])
    with pytest.raises(DatasetError, match=r"holds no B/\*"):
        pointers(archive, strip=1, only=["B/*"])
    with pytest.raises(DatasetError, match="damaged or not an archive"):
        pointers(save(tmp_path / "b.zip", b"<html>"), strip=1, only=["V/*"])
    with pytest.raises(DatasetError, match="leads out"):
        pointers(save(tmp_path / "c.zip", make_zip({"R/../../V/1.flv": POINTER})), strip=1, only=["V/*"])
