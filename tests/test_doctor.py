"""The doctor: every trouble is planted once in a small MELD, found, named, and nothing else is."""

from __future__ import annotations

import json
import shutil
import subprocess
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any, ClassVar

import pytest

from pipeline.cli import main
from pipeline.datasets import PublishedSplit
from pipeline.datasets.manifest import Manifest
from pipeline.datasets.meld import ANNOTATIONS, VIDEO_FOLDERS, Meld
from pipeline.decode import ffmpeg_path
from pipeline.doctor import KINDS, Diagnosis, diagnose
from pipeline.doctor.findings import Finding
from pipeline.errors import DatasetError
from tests.datasets.test_meld import row, write_csv
from tests.makers import write_manifest

SMALL = "testsrc2=size=64x48"


def film(path: Path, *, seconds: float = 2.0, seed: int = 0, fps: int = 15, picture: str = SMALL,
         filters: str = "anull", late: float = 0.0, quality: int = 23) -> Path:
    """A moving pattern with noise of its own: seeds sound different."""
    path.parent.mkdir(parents=True, exist_ok=True)
    command = [ffmpeg_path(), "-v", "error", "-y"]
    if picture:
        command += ["-f", "lavfi", "-i", f"{picture}:rate={fps}:duration={seconds}"]
    command += ["-itsoffset", f"{late}", "-f", "lavfi", "-i", f"anoisesrc=seed={seed}:amplitude=0.3:duration={seconds}",
                "-af", filters, "-c:v", "libx264", "-crf", f"{quality}", "-pix_fmt", "yuv420p", "-movflags",
                "+faststart", "-threads", "1", str(path)]
    subprocess.run(command, check=True)
    return path


class SmallMeld(Meld):
    """MELD's reader with what is known and published of the corpus below."""

    known_defects: ClassVar[Mapping[str, str]] = MappingProxyType({
        "train/dia0_utt3": "its video is corrupt", "dev/dia9_utt0": "a video without annotation",
        "dev/dia0_utt0": "cut wrongly: 41 s", "test/final_videos_test*": "left over"})
    published: ClassVar[Mapping[str, PublishedSplit]] = MappingProxyType({
        "train": PublishedSplit(23, (2,), {"emotion": {"joy": 23}}), "dev": PublishedSplit(4, (1, 7)),
        "test": PublishedSplit(1, (1,), {"emotion": {"joy": 0, "fear": 1}})})


# What of each clip is not as in a clean one: columns of its row, and how it is filmed (None: not at all).
CLIPS: Mapping[str, tuple[dict[str, str], dict[str, Any] | None]] = {
    "train/dia0_utt0": ({"Utterance": "Hello  THERE, all of you."}, {}),
    "train/dia0_utt1": ({}, None),
    "train/dia0_utt2": ({}, {}),
    "train/dia0_utt3": ({}, {}),
    "train/dia0_utt4": ({}, {"filters": "volume=0.0001", "picture": "smptebars=size=64x48"}),
    "train/dia0_utt5": ({}, {}),
    "train/dia0_utt6": ({}, {"picture": ""}),
    "train/dia0_utt7": ({}, {"seconds": 6}),
    "train/dia0_utt8": ({"Utterance": "Yes.", "StartTime": "0:30:00,000", "EndTime": "0:30:12,000"}, {"seconds": 12}),
    "train/dia0_utt9": ({}, {"late": 0.5}),
    "train/dia0_utt10": ({"StartTime": "0:31:00,000", "EndTime": "0:31:00,000"}, {}),
    "train/dia0_utt11": ({}, {"seed": 99}),
    "train/dia0_utt12": ({}, {"seed": 99}),
    "train/dia1_utt0": ({}, {"seed": 98}),
    "train/dia1_utt1": ({}, {"seed": 98, "quality": 40, "filters": "volume=0.6"}),
    "train/dia1_utt2": ({"StartTime": "0:40:00,000", "EndTime": "0:40:02,000"}, {}),
    "train/dia1_utt3": ({"StartTime": "0:41:00,000", "EndTime": "0:41:02,000"}, {}),
    "train/dia1_utt4": ({"StartTime": "0:41:01,500", "EndTime": "0:41:03,500"}, {}),
    "train/dia1_utt5": ({"Utterance": "No.", "StartTime": "0:42:00,000", "EndTime": "0:42:00,200"}, {"seconds": 0.2}),
    "train/dia1_utt6": ({}, {"fps": 25}),
    "train/dia1_utt7": ({"Utterance": "I donâ€™t know."}, {}),
    "train/dia1_utt8": ({"Utterance": " "}, {}),
    "train/dia1_utt9": ({"StartTime": "0:43:00,000", "EndTime": "0:43:00,600", "Utterance": "One and two and three."},
                        {"seconds": 0.6}),
    "dev/dia0_utt0": ({}, {}),
    "dev/dia0_utt1": ({"Episode": "1", "StartTime": "0:40:01,000", "EndTime": "0:40:03,000"}, {}),
    "dev/dia0_utt2": ({"Utterance": "hello there, all of you."}, {}),
    "dev/dia0_utt3": ({"Speaker": "of train"}, {}),
    "test/dia0_utt0": ({}, {}),
}
MEDIA = {  # what each is found to be: kind, clips, beginning of what was found
    ("missing file", "train/dia0_utt1", "is not there"),
    ("empty file", "train/dia0_utt2", "0 bytes"),
    ("damaged file", "train/dia0_utt3", "dia0_utt3.mp4 is damaged: it states 2.00 s"),
    ("silent", "train/dia0_utt4", "at most -"),
    ("no sound", "train/dia0_utt5", "there is no sound"),
    ("no picture", "train/dia0_utt6", "there is no picture"),
    ("mis-cut", "train/dia0_utt7", "6.0 s"),
    ("words do not fit", "train/dia0_utt8", "12.0 s for 1 word"),
    ("words do not fit", "train/dia1_utt9", "0.60 s for 5 words"),
    ("sound beside picture", "train/dia0_utt9", "the sound starts 0.48 s after the picture"),
    ("same bytes", "train/dia0_utt11 train/dia0_utt12", "2 files are the same byte for byte"),
    ("same content", "train/dia1_utt0 train/dia1_utt1", "2 clips sound and look the same"),
    ("few frames", "train/dia1_utt5", "3 frames"),
    ("mixed formats", "", "2 frame rates and 1 sizes"),
    ("extra file", "dev_splits_complete/dia9_utt0.mp4", "no annotation names it"),
    ("extra file", "output_repeated_splits_test/final_videos_testdia7_utt1.mp4", "no annotation names it"),
    ("macOS file", "dev_splits_complete", "2 of them, for instance '._dia0_utt0.mp4'"),
    ("known defect not found", "dev/dia0_utt0", "nothing was seen of it"),
}
ANNOTATED = {
    ("impossible times", "train/dia0_utt10", "1860–1860 s"),
    ("overlap across splits", "train/dia1_utt2 dev/dia0_utt1", "1.0 s of season 1, episode 1"),
    ("overlap", "train/dia1_utt3 train/dia1_utt4", "0.5 s of season 1, episode 1"),
    ("garbled text", "train/dia1_utt7", "UTF-8 read as CP1252: 'â€™'"),
    ("empty text", "train/dia1_utt8", "no words"),
    ("shared texts", "", "dev: 25.0 % of its clips (1 of 4) have texts of train"),
    ("shared speakers", "", "dev: 25.0 % of its clips (1 of 4) have speakers of train"),
    ("shared recordings", "", "dev: 25.0 % of its clips (1 of 4) have recordings of train"),
    ("label counts", "", "test: emotion joy: 1"),
    ("label counts", "", "test: emotion fear: 0"),
}
DECODED = {"silent", "same content"}


def write_annotations(root: Path) -> None:
    rows: dict[str, list[tuple[str, ...]]] = {split: [] for split in ANNOTATIONS}
    for number, (clip_id, (changes, _)) in enumerate(CLIPS.items()):
        split, stem = clip_id.split("/")
        dialogue, turn = (int(part[3:]) for part in stem.split("_"))
        episode = str(1 + list(ANNOTATIONS).index(split))
        rows[split].append(row(dialogue, turn, **{
            "Utterance": f"We wait for number {number}.", "Speaker": f"of {split}", "Season": "1", "Episode": episode,
            "StartTime": f"0:{number}:00,000", "EndTime": f"0:{number}:02,000", **changes}))
    for split, of in rows.items():
        write_csv(root / ANNOTATIONS[split], of)


@pytest.fixture(scope="module")
def broken(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A MELD in which each trouble stands once."""
    root = tmp_path_factory.mktemp("broken")
    write_annotations(root)
    paths = {}
    for number, (clip_id, (_, filmed)) in enumerate(CLIPS.items()):
        split, stem = clip_id.split("/")
        paths[clip_id] = root / VIDEO_FOLDERS[split] / f"{stem}.mp4"
        if filmed is not None:
            film(paths[clip_id], **{"seed": number, **filmed})
    paths["train/dia0_utt2"].write_bytes(b"")
    whole = paths["train/dia0_utt3"].read_bytes()
    paths["train/dia0_utt3"].write_bytes(whole[:len(whole) * 6 // 10])
    mute = paths["train/dia0_utt5"].with_suffix(".mute.mp4")
    subprocess.run([ffmpeg_path(), "-v", "error", "-i", str(paths["train/dia0_utt5"]), "-an", "-c", "copy", str(mute)],
                   check=True)
    mute.replace(paths["train/dia0_utt5"])
    shutil.copy(paths["train/dia0_utt11"], paths["train/dia0_utt12"])
    dev, test = root / VIDEO_FOLDERS["dev"], root / VIDEO_FOLDERS["test"]
    for extra in (dev / "dia9_utt0.mp4", dev / "._dia0_utt0.mp4", dev / "._x", test / "final_videos_testdia7_utt1.mp4",
                  dev / "notes.txt"):
        extra.write_bytes(b"x")
    return root


def meld(root: Path, *splits: str) -> SmallMeld:
    return SmallMeld(Meld.Config(root=root, splits=splits))


def named(diagnosis: Diagnosis, expected: set[tuple[str, str, str]]) -> set[tuple[str, str, str]]:
    """The findings as triples; what was found is cut to what is expected of it."""
    beginnings = {(kind, subject): found for kind, subject, found in expected if subject}
    triples = set()
    for one in diagnosis.findings:
        subject = " ".join(one.clips) or one.file
        length = len(beginnings.get((one.kind, subject), one.found))
        triples.add((one.kind, subject, one.found[:length] if subject else _started(one, expected)))
    return triples


def _started(one: Finding, expected: set[tuple[str, str, str]]) -> str:
    return next((found for kind, _, found in expected if kind == one.kind and one.found.startswith(found)), one.found)


def test_every_trouble_is_found_and_named_and_nothing_else_is(broken: Path) -> None:
    before = {path: path.stat().st_mtime_ns for path in broken.rglob("*")}
    told: list[tuple[int, int]] = []
    diagnosis = diagnose(meld(broken), jobs=2, progress=lambda done, total: told.append((done, total)))
    assert named(diagnosis, MEDIA | ANNOTATED) == MEDIA | ANNOTATED
    assert len(diagnosis.findings) == len(MEDIA | ANNOTATED)
    assert diagnosis.unusable == ("train/dia0_utt1", "train/dia0_utt2", "train/dia0_utt3")
    assert told == [(number, len(CLIPS)) for number in range(1, len(CLIPS) + 1)]
    assert {path: path.stat().st_mtime_ns for path in broken.rglob("*")} == before, "the doctor changes nothing"


def test_every_kind_but_those_of_other_corpora_is_planted() -> None:
    elsewhere = {"unreadable file", "group in two splits", "no media", "one modality"}
    assert {kind for kind, *_ in MEDIA | ANNOTATED} == KINDS.keys() - elsewhere


def test_what_is_known_is_said_beside_what_was_found(broken: Path) -> None:
    known = {" ".join(one.clips) or one.file: one.known for one in diagnose(meld(broken)).findings
             if one.known and not one.kind.startswith("shared")}
    assert known == {"train/dia0_utt3": "its video is corrupt", "dev/dia0_utt0": "cut wrongly: 41 s",
                     "dev_splits_complete/dia9_utt0.mp4": "a video without annotation",
                     "output_repeated_splits_test/final_videos_testdia7_utt1.mp4": "left over"}


def test_a_quick_look_misses_only_what_decoding_shows(broken: Path) -> None:
    expected = {one for one in MEDIA if one[0] not in DECODED} | ANNOTATED
    diagnosis = diagnose(meld(broken), quick=True)
    assert named(diagnosis, expected) == expected and not diagnosis.decoded
    missed = next(one for one in diagnosis.findings if one.kind == "known defect not found")
    assert missed.found == "nothing was seen of it without decoding"


def test_annotations_alone_are_said_once_and_checked_all_the_same(tmp_path: Path) -> None:
    write_annotations(tmp_path)
    diagnosis = diagnose(meld(tmp_path))
    bare, = (one for one in diagnosis.findings if one.kind == "no media")
    assert bare.clips == tuple(CLIPS) and bare.found == "the 28 clips of train, dev, test have text alone"
    expected = ANNOTATED | {one for one in MEDIA if one[0] == "words do not fit"}
    assert named(diagnosis, expected) == expected | {("no media", " ".join(CLIPS), bare.found)}
    assert (diagnosis.num_looked, diagnosis.unusable) == (0, ())


def test_splits_that_are_not_asked_for_are_left_alone(broken: Path) -> None:
    diagnosis = diagnose(meld(broken, "test"), quick=True)
    assert {one.kind for one in diagnosis.findings} == {"label counts", "extra file"}
    assert diagnosis.labels == {"test": {"emotion": {"joy": 1}, "sentiment": {"positive": 1}}}


def test_the_official_annotations_are_as_published_and_leak_as_known(shared_data: Path) -> None:
    diagnosis = diagnose(Meld(Meld.Config(root=shared_data / "meld", splits=("train", "dev"))))
    counts = {kind: sum(one.kind == kind for one in diagnosis.findings) for kind in KINDS}
    assert counts["label counts"] == counts["garbled text"] == counts["group in two splits"] == 0
    assert (counts["overlap across splits"], counts["no media"]) == (8, 1)
    assert {one.found: one.known for one in diagnosis.findings if one.kind.startswith("shared")} == dict.fromkeys(
        ("dev: 12.2 % of its clips (135 of 1,109) have texts of train",
         "dev: 96.7 % of its clips (1,072 of 1,109) have speakers of train",
         "dev: 98.8 % of its clips (1,096 of 1,109) have recordings of train"), Meld.known_leaks)
    assert any(one.clips == ("train/dia309_utt0",) and one.found == "41.0 s for 20 words" for one in diagnosis.findings)


def test_files_that_break_decoders_and_good_ones_in_one_run(shared_data: Path, tmp_path: Path) -> None:
    files = [path for folder in ("odd", "video") for path in sorted((shared_data / folder).iterdir()) if path.is_file()]
    manifest = write_manifest(tmp_path / "all.csv", [{"path": path, "id": path.name} for path in files])
    diagnosis = diagnose(Manifest(Manifest.Config(manifest=manifest)))
    assert set(diagnosis.unusable) == {f"all/{name}" for name in (
        "result.webm", "1001_DFA_ANG_XX.wav", "corrupted.mp4", "cut_in_half.mp4", "empty.wav",
        "test-44100Hz-le-1ch-4bytes-early-eof.wav", "test-44100Hz-le-1ch-4bytes-incomplete-chunk.wav")}
    silent = {clip_id for one in diagnosis.findings if one.kind == "silent" for clip_id in one.clips}
    assert {"all/silence.wav", "all/WolfgangLanger_Pexels.mp4"} <= silent
    assert not [one for one in diagnosis.findings if one.kind in ("same bytes", "same content")]


def test_the_command_shows_tables_and_ends_with_3_when_clips_cannot_be_used(
        broken: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (broken / "outside.csv").write_text("path,id,text\n" + "".join(
        f"train_splits/dia0_utt{number}.mp4,c{number},Well.\n" for number in (0, 1, 2)))
    asked = ["doctor", "--dataset", "manifest", "--manifest", str(broken / "outside.csv")]
    assert main(asked) == 3
    shown = capsys.readouterr().out
    for words in ("error: missing file, 1. What to do: put the file there", "all/c2", "0 bytes",
                  "3 clips, 3 of them decoded to the end; findings: errors 2,", "exit code 3"):
        assert words in shown
    assert main([*asked, "--json", "--quick", "--jobs", "1"]) == 3
    told = json.loads(capsys.readouterr().out)
    assert (told["clips"], told["looked_at"], told["decoded"]) == (3, 3, False)
    assert told["unusable"] == ["all/c1", "all/c2"] and told["counts"]["error"] == 2
    assert told["findings"][0] == {
        "kind": "missing file", "severity": "error", "clips": ["all/c1"], "file": "train_splits/dia0_utt1.mp4",
        "found": "is not there", "expected": "a media file", "advice": KINDS["missing file"].advice, "known": ""}
    assert told["formats"] == [{"fps": 15.0, "height": 48, "width": 64, "sound": True, "clips": 1}]


def test_a_clean_corpus_ends_with_0_and_one_that_cannot_be_read_with_1(
        tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    film(tmp_path / "a.mp4", seconds=1)
    manifest = write_manifest(tmp_path / "clips.csv", [{"path": "a.mp4", "text": "All is well."}])
    assert main(["doctor", "--dataset", "manifest", "--manifest", str(manifest)]) == 0
    assert "errors 0, warnings 0, notes 0; clips that cannot be used: 0\n" in capsys.readouterr().out
    assert main(["doctor", "--dataset", "manifest", "--manifest", str(tmp_path / "gone.csv")]) == 1
    assert "no manifest" in capsys.readouterr().err
    asked = ["doctor", "--dataset", "manifest", "--manifest", str(manifest)]
    assert main([*asked, "--set", "faces.stride=2"]) == 2
    assert "--set faces.…: the doctor has settings of manifest and of decode only" in capsys.readouterr().err
    assert main([*asked, "--json", "--set", "decode.max_duration_seconds=0.5"]) == 3
    assert "limit of 0.5 s" in json.loads(capsys.readouterr().out)["findings"][0]["found"]


def test_a_corpus_without_clips_is_an_error(broken: Path) -> None:
    class Empty(SmallMeld):
        def clips(self) -> Any:
            return iter(())
    with pytest.raises(DatasetError, match="has no clips; expected at least one annotated row"):
        diagnose(Empty(Meld.Config(root=broken)))


def write_clips(root: Path, *rows: Mapping[str, object]) -> Manifest:
    return Manifest(Manifest.Config(manifest=write_manifest(root / "clips.csv", rows)))


def test_files_that_are_all_gone_are_one_finding_whose_clips_cannot_be_used(tmp_path: Path) -> None:
    gone = diagnose(write_clips(tmp_path, {"path": "a/1.mp4"}, {"path": "a/2.mp4"}))
    assert [(one.kind, one.clips, one.file, one.found) for one in gone.findings] == [
        ("missing file", ("all/a/1", "all/a/2"), "a", "none of the 2 files of all is there")]
    assert gone.unusable == ("all/a/1", "all/a/2")


def test_a_corpus_of_sound_alone_is_a_note_and_not_a_warning_for_each_clip(tmp_path: Path) -> None:
    for number in range(3):
        film(tmp_path / f"{number}.wav", picture="", seed=number, seconds=1)
    diagnosis = diagnose(write_clips(tmp_path, *({"path": f"{number}.wav"} for number in range(3))))
    assert [(one.kind, one.found) for one in diagnosis.findings] == [
        ("one modality", "no picture in any of the 3 files")]


def test_a_group_and_a_stretch_in_two_splits_are_found_and_pieces_of_a_file_may_lie_side_by_side(
        tmp_path: Path) -> None:
    film(tmp_path / "talk.mp4", seconds=4)
    piece = {"path": "talk.mp4", "group": "anna", "id": "a", "start": 0, "end": 2, "split": "train"}
    apart = {**piece, "id": "b", "start": 2, "end": 4}
    assert diagnose(write_clips(tmp_path, piece, apart)).findings == ()
    leaky = diagnose(write_clips(tmp_path, piece, {**apart, "split": "dev"}, {**piece, "id": "c", "split": "test"}))
    assert [(one.kind, one.found) for one in leaky.findings if one.kind == "group in two splits"] == [
        ("group in two splits", "group 'anna' is in dev and test and train"),
        ("group in two splits", f"{tmp_path / 'talk.mp4'} (from 0 s) is in test and train")]
    same, = (one for one in leaky.findings if one.kind == "same content")
    assert same.clips == ("train/a", "test/c") and same.found.endswith("the same, in 2 splits")
    assert [one.clips for one in leaky.findings if one.kind == "overlap across splits"] == [("train/a", "test/c")]


def test_a_stretch_that_the_file_does_not_hold_is_found(tmp_path: Path) -> None:
    film(tmp_path / "talk.mp4", seconds=2)
    diagnosis = diagnose(write_clips(tmp_path, {"path": "talk.mp4", "id": "a", "start": 0.5, "end": 9},
                                     {"path": "talk.mp4", "id": "b", "start": 20, "end": 22}))
    assert [(one.kind, one.clips, one.found[:44]) for one in diagnosis.findings] == [
        ("damaged file", ("all/b",), "talk.mp4 has nothing from 20 s on, where cli"), ("mis-cut", ("all/a",), "1.5 s")]
