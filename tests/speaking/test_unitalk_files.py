"""Releases made into one another: nothing lost, nothing replaced, ids of any length."""

from __future__ import annotations

import filecmp
import os
from pathlib import Path

import pytest

from pipeline.cli import main
from pipeline.datasets.unitalk import Unitalk
from pipeline.errors import DatasetError
from pipeline.speaking.speaker_tables import read_ground_truth
from pipeline.speaking.unitalk_files import from_asc, read_labels, to_asc, trim
from tests.speaking.test_active_speaker_metric import HEADER

# One id of 11 characters, one longer, one of a single letter; the first two begin alike, as a cut at 11 would find.
VIDEOS = {"train": ("abcdefghijk", "abcdefghijkl"), "val": ("x", "some_video-of-mine", "y")}


def make_release(root: Path) -> Path:
    """Two tracks of three frames in each video; every file holds its own path, so that a mix-up shows."""
    (root / "csv").mkdir(parents=True)
    (root / "sub_categories").mkdir()
    (root / "sub_categories" / "test_noise.csv").write_text("y\nx")
    for split, videos in VIDEOS.items():
        lines = [HEADER]
        for video in videos:
            for entity in (f"{video}:1", f"{video}:2"):
                for frame in range(3):
                    time = f"{1 + .04 * frame:.2f}"
                    lines.append(f"{video},{time},0.1,0.2,0.3,0.4,{('NOT_SPEAKING', 'SPEAKING_AUDIBLE')[frame % 2]},"
                                 f"{entity},{frame % 2},{entity}:{frame}")
                    write(root / "clips_videos" / split / video / entity / f"{time}.jpg")
                write(root / "clips_audios" / split / video / f"{entity}.wav")
        (root / "csv" / f"{split}_orig.csv").write_text("\n".join(lines))
    return root


def write(path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("/".join(path.parts[-3:]))


def files(root: Path) -> dict[str, str]:
    found = {}
    for folder, _, names in os.walk(root, followlinks=True):
        for name in names:
            path = Path(folder, name)
            found[path.relative_to(root).as_posix()] = path.read_text()
    return found


@pytest.fixture
def release(tmp_path: Path) -> Path:
    return make_release(tmp_path / "release")


@pytest.mark.parametrize("copy", [False, True])
def test_a_sub_category_is_trimmed(release: Path, tmp_path: Path, copy: bool) -> None:
    before = files(release)
    made = trim(release, tmp_path / "noise", ("y", "x"), copy=copy)
    assert (made.num_videos, made.num_tracks, made.num_rows, made.missing) == (2, 4, 12, ())
    after = files(made.out)
    assert {name: text for name, text in after.items() if name.startswith("clips_")} == {
        name: text for name, text in before.items() if name.split("/")[1:3] in (["val", "x"], ["val", "y"])}
    assert sorted(name for name in after if not name.startswith("clips_")) == [
        "csv/val_orig.csv", "sub_categories/test_noise.csv"]
    table = read_ground_truth(made.out / "csv" / "val_orig.csv")
    assert set(table.video) == {"x", "y"} and table.instance is not None and table.instance[1] == "x:1:1"
    assert (made.out / "clips_videos" / "val" / "x" / "x:1").is_symlink() != copy
    assert files(release) == before
    assert {clip.clip_id for clip in Unitalk(Unitalk.Config(root=made.out)).clips()} == {
        "test/x:1", "test/x:2", "test/y:1", "test/y:2"}


def test_all_videos_of_the_list_are_kept_in_whatever_order(release: Path, tmp_path: Path) -> None:
    """A list from which entries are dropped while it is walked would lose every other video."""
    for number, videos in enumerate((VIDEOS["val"], VIDEOS["val"][::-1], VIDEOS["val"][1:])):
        assert trim(release, tmp_path / str(number), videos).num_videos == len(videos)


def test_train_can_be_trimmed_and_ids_that_begin_alike_are_told_apart(release: Path, tmp_path: Path) -> None:
    made = trim(release, tmp_path / "one", ("abcdefghijkl",), split="train")
    assert {path.name for path in (made.out / "clips_videos" / "train").iterdir()} == {"abcdefghijkl"}
    assert not (made.out / "csv" / "val_orig.csv").exists()


def test_flat_and_back_is_the_same_release(release: Path, tmp_path: Path) -> None:
    flat = to_asc(release, tmp_path / "flat")
    names = {path.name for path in (flat.out / "clips_videos" / "val").iterdir()}
    assert names == {f"{video}:{number}" for video in VIDEOS["val"] for number in (1, 2)}
    assert (flat.out / "clips_audios" / "train" / "abcdefghijk:2.wav").is_file() and flat.num_tracks == 10
    truth = (flat.out / "gt" / "some_video-of-mine.csv").read_text().splitlines()
    assert len(truth) == 6 and truth[0].startswith("some_video-of-mine,1.00,0.1,0.2,0.3,0.4,NOT_SPEAKING,")
    back = from_asc(flat.out, tmp_path / "back", copy=True)
    assert {name: text for name, text in files(back.out).items() if name.startswith("clips_")} == {
        name: text for name, text in files(release).items() if name.startswith("clips_")}
    for split in VIDEOS:
        assert (back.out / "csv" / f"{split}_orig.csv").read_text().splitlines() == (
            release / "csv" / f"{split}_orig.csv").read_text().splitlines()


@pytest.mark.parametrize("arguments", [["trim", "--sub-category", "noise"], ["to-asc"], ["from-asc"]])
def test_a_destination_is_never_replaced(release: Path, tmp_path: Path, arguments: list[str],
                                         capsys: pytest.CaptureFixture[str]) -> None:
    taken = tmp_path / "taken"
    make_release(taken)
    held = files(taken)
    for out in (taken, release):
        assert main(["unitalk", arguments[0], str(release), str(out), *arguments[1:]]) == 1
        assert "is not empty, and nothing in it will be replaced" in " ".join(capsys.readouterr().err.split())
    assert files(taken) == held == files(release)
    (tmp_path / "link").symlink_to(taken)
    (tmp_path / "file").touch()
    for name in ("link", "file"):
        with pytest.raises(DatasetError, match="is a file or a link"):
            to_asc(release, tmp_path / name)
    (tmp_path / "empty").mkdir()
    assert main(["unitalk", arguments[0], str(release), str(tmp_path / "empty"), *arguments[1:]]) == 0
    assert (tmp_path / "empty" / "csv").is_dir()
    assert not [path for path in tmp_path.iterdir() if path.name.startswith(".")], "nothing is left beside it"


def test_what_goes_wrong_leaves_nothing_behind(release: Path, tmp_path: Path) -> None:
    text = (release / "csv" / "val_orig.csv").read_text()
    (release / "csv" / "val_orig.csv").write_text(text[:-20])
    with pytest.raises(DatasetError, match="val_orig.csv, row 19"):
        to_asc(release, tmp_path / "out")
    (release / "csv" / "val_orig.csv").unlink()
    with pytest.raises(DatasetError, match="has no labels of val; it has train"):
        trim(release, tmp_path / "out", ("x",))
    assert sorted(path.name for path in tmp_path.iterdir()) == ["release"]


def test_videos_that_are_not_there_are_named(release: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(DatasetError, match=r"has no rows of abcdefghijk \(1 of 2\)"):
        trim(release, tmp_path / "out", ("x", "abcdefghijk"))
    with pytest.raises(DatasetError, match="has no rows of no videos"):
        trim(release, tmp_path / "out", ())
    assert main(["unitalk", "trim", str(release), str(tmp_path / "out")]) == 2
    assert "say which videos" in capsys.readouterr().err
    assert main(["unitalk", "trim", str(release), str(tmp_path / "out"), "--sub-category", "loud"]) == 1
    assert "test_loud.csv cannot be read" in " ".join(capsys.readouterr().err.split())


def test_tracks_without_sound_or_pictures_are_told_and_keep_their_labels(release: Path, tmp_path: Path,
                                                                         capsys: pytest.CaptureFixture[str]) -> None:
    (release / "clips_audios" / "val" / "x" / "x:2.wav").unlink()
    for picture in (release / "clips_videos" / "val" / "y" / "y:1").iterdir():
        picture.unlink()
    (release / "clips_videos" / "val" / "y" / "y:1").rmdir()
    assert main(["unitalk", "to-asc", str(release), str(tmp_path / "out"), "--copy"]) == 3
    shown = capsys.readouterr()
    assert shown.out.strip() == str(tmp_path / "out") and "x:2" in shown.err and "y:1" in shown.err
    assert {name: len(table) for name, table in read_labels(tmp_path / "out").items()} == {"train": 12, "val": 18}
    assert not (tmp_path / "out" / "clips_audios" / "val" / "x:2.wav").exists()


def test_a_copy_made_by_pandas_with_its_index_is_read(release: Path, tmp_path: Path) -> None:
    """The published script writes such a file."""
    path = release / "csv" / "val_orig.csv"
    first, *lines = path.read_text().splitlines()
    path.write_text("\n".join(["," + first, *(f"{number},{line}" for number, line in enumerate(lines))]))
    made = trim(release, tmp_path / "out", ("x",))
    assert (made.out / "csv" / "val_orig.csv").read_text().startswith(HEADER + "\nx,1.00,")


def test_the_command_gives_what_the_function_gives(release: Path, tmp_path: Path) -> None:
    (tmp_path / "list.csv").write_text("Link\nhttps://www.youtube.com/watch?v=x\nhttps://www.youtube.com/watch?v=y")
    assert main(["unitalk", "trim", str(release), str(tmp_path / "a"), "--list", str(tmp_path / "list.csv")]) == 0
    trim(release, tmp_path / "b", ("x", "y"))
    assert files(tmp_path / "a") == files(tmp_path / "b")
    assert filecmp.cmp(tmp_path / "a" / "csv" / "val_orig.csv", tmp_path / "b" / "csv" / "val_orig.csv", shallow=False)
