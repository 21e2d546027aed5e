"""Weights are carried to another machine whole; a bundle that lies, climbs, links or swells is refused."""

from __future__ import annotations

import hashlib
import json
import shutil
import stat
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from pipeline import weights
from pipeline.errors import WeightsError
from pipeline.networks import weight_files
from pipeline.networks.weight_files import MANIFEST, export_weights, import_weights
from pipeline.weights import Official

CONTENT = b"weights" * 1000
DIGEST = hashlib.sha256(CONTENT).hexdigest()
NAME = f"small-{DIGEST[:8]}.pth"
MODEL = {"config.json": b"{}", "model.safetensors": b"tensors", "vocab.txt": b"[PAD]\n"}


@pytest.fixture
def kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The weights folder of the machine with a network: a file and a model, of no true network."""
    monkeypatch.setattr(weights, "R3D18", Official(NAME, "a small network", "MIT", 0.1, lambda path: path, "http://x"))
    folder = tmp_path / "kept"
    (folder / "org--tiny").mkdir(parents=True)
    (folder / NAME).write_bytes(CONTENT)
    for name, content in MODEL.items():
        (folder / "org--tiny" / name).write_bytes(content)
    monkeypatch.setenv("PIPELINE_WEIGHTS", str(folder))
    return folder


@pytest.fixture
def other(kept: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[], Path]:
    """Go over to the machine without a network; its weights folder."""
    def go() -> Path:
        monkeypatch.setenv("PIPELINE_WEIGHTS", str(tmp_path / "other"))
        return tmp_path / "other"
    return go


def contents(folder: Path) -> dict[str, bytes]:
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@pytest.mark.parametrize("name", ["bundle", "bundle.zip"])
def test_what_is_exported_is_imported_byte_by_byte(kept: Path, other: Callable[[], Path], tmp_path: Path,
                                                   name: str) -> None:
    (kept / f"{NAME}.part").write_bytes(b"half")
    (kept / "org--tiny" / "notes.md").write_bytes(b"not the model's")
    steps: list[tuple[int, int]] = []
    entries = export_weights(tmp_path / name, lambda done, total: steps.append((done, total)))
    total = len(CONTENT) + sum(map(len, MODEL.values()))
    assert steps[-1] == (total, total) and sum(entry.size for entry in entries) == total
    there = other()
    assert import_weights(tmp_path / name) == entries
    assert contents(there) == {NAME: CONTENT, **{f"org--tiny/{name}": content for name, content in MODEL.items()}}
    assert import_weights(tmp_path / name) == entries, "a second time changes nothing"


def test_the_manifest_names_sizes_and_digests(kept: Path, tmp_path: Path) -> None:
    export_weights(tmp_path / "bundle")
    manifest = json.loads((tmp_path / "bundle" / MANIFEST).read_text())
    assert (manifest["format"], manifest["version"]) == ("affect weights", 1)
    assert {"path": NAME, "size": len(CONTENT), "sha256": DIGEST} in manifest["files"]


def test_nothing_to_export_says_what_to_do(kept: Path) -> None:
    shutil.rmtree(kept)
    with pytest.raises(WeightsError, match="no fetched weights in .*kept; run `python -m pipeline weights fetch`"):
        export_weights(kept / "bundle.zip")


def test_a_file_that_is_not_the_published_one_is_not_passed_on(kept: Path, tmp_path: Path) -> None:
    (kept / NAME).write_bytes(b"another")
    with pytest.raises(WeightsError, match="is not the published file"):
        export_weights(tmp_path / "bundle.zip")
    assert not (tmp_path / "bundle.zip").exists()


@pytest.mark.parametrize("name", ["file/bundle", "file/bundle.zip"])
def test_a_target_that_cannot_be_written_is_a_weights_error(kept: Path, tmp_path: Path, name: str) -> None:
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(WeightsError, match="cannot be written .*choose another place"):
        export_weights(tmp_path / name)


@pytest.mark.parametrize("make", [lambda path: None, lambda path: path.mkdir(), lambda path: path.write_bytes(b"PK no"),
                                  lambda path: zipfile.ZipFile(path, "w").close()])
def test_what_is_no_bundle_is_refused(kept: Path, tmp_path: Path, make: Callable[[Path], None]) -> None:
    make(tmp_path / "x")
    with pytest.raises(WeightsError, match="there is no folder or zip file|holds no manifest.json|is no whole zip"):
        import_weights(tmp_path / "x")


def bundle(folder: Path, files: dict[str, bytes], *, manifest: Any = None,
           changes: dict[str, Any] | None = None) -> Path:
    """A zip file with a manifest that fits it, but for what is changed in its first entry."""
    entries = [{"path": name, "size": len(content), "sha256": hashlib.sha256(content).hexdigest()}
               for name, content in files.items()]
    entries[0] |= changes or {}
    whole = {"format": "affect weights", "version": 1, "files": entries} if manifest is None else manifest
    with zipfile.ZipFile(folder / "hostile.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr(MANIFEST, json.dumps(whole) if not isinstance(whole, bytes) else whole)
        for name, content in files.items():
            archive.writestr(name, content)
    return folder / "hostile.zip"


@pytest.mark.parametrize("name", ["../up.pth", "/absolute-00000000.pth", "a/../../b.pth", "org--tiny/../../config.json",
                                  "org--tiny/run.py", "..", ".hidden-00000000.pth", "org--tiny/sub/config.json",
                                  "a\\b-00000000.pth", "unknown-00000000.pth", "org--tiny/config.json\n",
                                  "-00000000.pth", "../x/config.json", "C:/config.json", "x/"])
def test_names_that_climb_or_that_nothing_reads_are_refused(other: Callable[[], Path], tmp_path: Path,
                                                            name: str) -> None:
    there = other()
    with pytest.raises(WeightsError, match="is no weight file of this program; refused|do not hold the same files"):
        import_weights(bundle(tmp_path, {name: b"x"}))
    assert not there.exists() and sorted(path.name for path in tmp_path.iterdir()) == ["hostile.zip", "kept"]


@pytest.mark.parametrize(("changes", "words"), [
    ({"size": 10**15}, "has 7,000 bytes, the manifest says 1,000,000,000,000,000; refused"),
    ({"size": 7}, "has 7,000 bytes, the manifest says 7; refused"),
    ({"size": -1}, "without path, size and SHA-256"), ({"size": True}, "without path"), ({"path": 3}, "without path"),
    ({"sha256": DIGEST[:-1]}, "without path"), ({"sha256": "0" * 64}, "is not the published file: .* 00000000, expec"),
    ({"sha256": DIGEST[:8] + "0" * 56}, "another digest or size than the manifest says: it was damaged or changed")])
def test_a_manifest_that_lies_is_found_out(other: Callable[[], Path], tmp_path: Path, changes: dict[str, Any],
                                           words: str) -> None:
    there = other()
    with pytest.raises(WeightsError, match=words):
        import_weights(bundle(tmp_path, {NAME: CONTENT}, changes=changes))
    assert not there.exists() or not list(there.iterdir())


@pytest.mark.parametrize(("manifest", "words"), [
    (b"{", "is not JSON"), (b"[" * 100_000, "is not JSON"), (b"[]", "is not one of affect weights"),
    (b'"\xff"', "is not JSON"), ({"format": "affect weights", "version": 2, "files": []}, "is of version 2, this"),
    ({"format": "affect weights", "version": 1, "files": {}}, "is not one of affect weights"),
    ({"format": "affect weights", "version": 1, "files": [3]}, "has an entry without path"),
    ({"format": "affect weights", "version": 1, "files": []}, f"do not hold the same files: '{NAME}'"),
    (b" " * ((1 << 20) + 1), "more than any true one")])
def test_a_manifest_that_is_none_is_refused(kept: Path, tmp_path: Path, manifest: Any, words: str) -> None:
    with pytest.raises(WeightsError, match=words):
        import_weights(bundle(tmp_path, {NAME: CONTENT}, manifest=manifest))


def test_files_named_twice_or_missing_are_refused(kept: Path, tmp_path: Path) -> None:
    entry = {"path": NAME, "size": len(CONTENT), "sha256": DIGEST}
    manifest = {"format": "affect weights", "version": 1, "files": [entry, entry]}
    with pytest.raises(WeightsError, match="names a file twice"):
        import_weights(bundle(tmp_path, {NAME: CONTENT}, manifest=manifest))
    manifest["files"] = [entry, entry | {"path": "org--tiny/config.json"}]
    with pytest.raises(WeightsError, match="do not hold the same files: 'org--tiny/config.json'"):
        import_weights(bundle(tmp_path, {NAME: CONTENT}, manifest=manifest))
    path = bundle(tmp_path, {NAME: CONTENT})
    with pytest.warns(UserWarning, match="Duplicate name"), zipfile.ZipFile(path, "a") as archive:
        archive.writestr(NAME, b"another")
    with pytest.raises(WeightsError, match="holds two files of one name"):
        import_weights(path)


def test_links_are_refused_in_zips_and_in_folders(kept: Path, other: Callable[[], Path], tmp_path: Path) -> None:
    export_weights(tmp_path / "bundle")
    there = other()
    path = bundle(tmp_path, {NAME: CONTENT})
    with zipfile.ZipFile(path) as archive:
        manifest = archive.read(MANIFEST)
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr(MANIFEST, manifest)
        link = zipfile.ZipInfo(NAME)
        link.external_attr = (stat.S_IFLNK | 0o777) << 16
        archive.writestr(link, CONTENT)
    with pytest.raises(WeightsError, match="is a link, or packed in a way that"):
        import_weights(path)
    (tmp_path / "bundle" / NAME).unlink()
    (tmp_path / "bundle" / NAME).symlink_to(kept / NAME)
    with pytest.raises(WeightsError, match="the manifest says|is a link or no plain file"):
        import_weights(tmp_path / "bundle")
    (tmp_path / "bundle" / NAME).unlink()
    (tmp_path / "bundle" / NAME).write_bytes(CONTENT)
    shutil.move(tmp_path / "bundle" / "org--tiny", tmp_path / "elsewhere")
    (tmp_path / "bundle" / "org--tiny").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(WeightsError, match="do not hold the same files|is a link or no plain file"):
        import_weights(tmp_path / "bundle")
    assert not there.exists() or contents(there) == {}


def test_a_damaged_zip_leaves_nothing_behind(kept: Path, other: Callable[[], Path], tmp_path: Path) -> None:
    export_weights(tmp_path / "whole.zip")
    content = (tmp_path / "whole.zip").read_bytes()
    place = content.index(CONTENT) + 100
    there = other()
    (tmp_path / "flipped.zip").write_bytes(content[:place] + b"X" + content[place + 1:])
    with pytest.raises(WeightsError, match="is no whole zip file|another digest"):
        import_weights(tmp_path / "flipped.zip")
    (tmp_path / "cut.zip").write_bytes(content[:-200])
    with pytest.raises(WeightsError, match="is no whole zip file"):
        import_weights(tmp_path / "cut.zip")
    assert not there.exists() or contents(there) == {}


def test_what_unpacks_to_more_than_there_is_room_for_is_refused(other: Callable[[], Path], tmp_path: Path,
                                                                monkeypatch: pytest.MonkeyPatch) -> None:
    there = other()
    monkeypatch.setattr(shutil, "disk_usage", lambda place: shutil._ntuple_diskusage(10, 10, 0))  # type: ignore
    with pytest.raises(WeightsError, match="unpacks to 7,000 bytes and .* has room for 0; make room"):
        import_weights(bundle(tmp_path, {NAME: CONTENT}))
    assert not there.exists()


def test_another_file_in_its_place_is_never_overwritten(other: Callable[[], Path], tmp_path: Path) -> None:
    there = other()
    there.mkdir()
    (there / NAME).write_bytes(b"mine")
    with pytest.raises(WeightsError, match="is there already and is another file .*remove it if"):
        import_weights(bundle(tmp_path, {NAME: CONTENT}))
    assert (there / NAME).read_bytes() == b"mine"


def test_a_model_counts_as_whole_only_when_all_of_it_is_there(other: Callable[[], Path], tmp_path: Path) -> None:
    there = other()
    files = {f"org--tiny/{name}": content for name, content in MODEL.items()}
    path = bundle(tmp_path, files)
    with zipfile.ZipFile(path) as archive:
        manifest = json.loads(archive.read(MANIFEST))
    manifest["files"][-1]["sha256"] = "0" * 64
    with pytest.raises(WeightsError, match="another digest"):
        import_weights(bundle(tmp_path, files, manifest=manifest))
    assert set(contents(there)) == {"org--tiny/model.safetensors"}, "config.json comes last"


def test_weights_that_change_while_they_are_copied_are_not_exported(kept: Path, tmp_path: Path,
                                                                    monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(weight_files, "sha256", lambda path: "0" * 64)
    with pytest.raises(WeightsError, match="another digest or size than the manifest says"):
        export_weights(tmp_path / "bundle.zip")
    assert not (tmp_path / "bundle.zip").exists()
