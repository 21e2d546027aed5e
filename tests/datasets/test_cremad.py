"""CREMA-D: every name that its specification allows, every way a name can be wrong, and the votes of the crowd."""

from __future__ import annotations

import doctest
import re
from itertools import product
from pathlib import Path

import pytest

from pipeline.config import with_settings
from pipeline.datasets import cremad
from pipeline.datasets.cremad import ACTORS, KNOWN_DEFECTS, WOMEN, Cremad, actor_folds, parse_name
from pipeline.doctor import diagnose
from pipeline.errors import DatasetError, UsageError
from tests.datasets.test_meld import touch

SENTENCES = "IEO TIE IOM IWW TAI MTI IWL ITH DFA ITS TSI WSI".split()
NAMES = {"ANG": "anger", "DIS": "disgust", "FEA": "fear", "HAP": "happy", "NEU": "neutral", "SAD": "sad"}
HEADER = '"","FileName","VoiceVote","VoiceLevel","FaceVote","FaceLevel","MultiModalVote","MultiModalLevel"\n'
POINTER = f"version https://git-lfs.github.com/spec/v1\noid sha256:{'0' * 64}\nsize 72862\n"


def read(root: Path, **settings: str) -> Cremad:
    return Cremad(with_settings(Cremad.Config(root=root), settings, owner="cremad"))


def summary(root: Path, *rows: str, header: str = HEADER) -> Path:
    (root / "processedResults").mkdir(parents=True, exist_ok=True)
    path = root / "processedResults" / "summaryTable.csv"
    path.write_text(header + "".join(f'"{number}",{row}\n' for number, row in enumerate(rows, 1)))
    return path


def crowd(dataset: Cremad) -> dict[str, str]:
    return {clip.clip_id.removeprefix("all/"): str(clip.labels.get("emotion_crowd", "")) for clip in dataset.clips()}


@pytest.fixture()
def three(tmp_path: Path) -> Path:
    """Three sounds of one actor."""
    touch(tmp_path / "AudioWAV", "1001_DFA_ANG_XX.wav", "1001_DFA_HAP_XX.wav", "1001_DFA_SAD_XX.wav")
    return tmp_path


def test_the_examples_in_the_docstrings_hold() -> None:
    assert doctest.testmod(cremad) == (0, 1)


def test_every_name_of_the_specification_is_read() -> None:
    for actor, sentence, emotion, level in product(range(1001, 1092), SENTENCES, NAMES, ("LO", "MD", "HI", "XX")):
        name = f"{actor}_{sentence}_{emotion}_{level}"
        found = parse_name(name)
        assert (found.stem, found.actor, found.emotion) == (name, actor, NAMES[emotion])
    assert parse_name("1001_IEO_ANG_HI").sentence == "It's eleven o'clock" and parse_name(name).level == "unspecified"


@pytest.mark.parametrize(("name", "reason"), [
    ("", "1 field; expected four, actor_sentence_emotion_level, as in 1001_DFA_ANG_XX"),
    ("1001_DFA_ANG", "3 fields; expected four"),
    ("1001_DFA_ANG_XX_2", "5 fields; expected four"),
    ("1001-DFA-ANG-XX", "1 field; expected four"),
    ("1000_DFA_ANG_XX", "actor is '1000'; expected 1001 to 1091"),
    ("1092_DFA_ANG_XX", "actor is '1092'; expected 1001 to 1091"),
    ("01001_DFA_ANG_XX", "actor is '01001'; expected 1001"),
    ("١٠٠١_DFA_ANG_XX", r"actor is '\u0661\u0660\u0660\u0661'; expected 1001"),
    ("1001_ABC_ANG_XX", "sentence is 'ABC'; expected one of IEO, TIE"),
    ("1001_DFA_SUR_XX", "emotion is 'SUR'; expected one of ANG, DIS, FEA, HAP, NEU, SAD"),
    ("1001_DFA_ang_XX", "emotion is 'ang'; expected one of ANG"),
    ("1001_DFA_ANG_X", "level is 'X'; expected one of LO, MD, HI, XX"),
    ("1001_DFA_ANG_XX (1)", "level is 'XX (1)'; expected one of LO"),
])
def test_a_wrong_name_says_what_is_wrong_with_it(name: str, reason: str) -> None:
    with pytest.raises(ValueError, match=re.escape(reason)):
        parse_name(name)


@pytest.mark.parametrize("folder", ["AudioWAV", "VideoFlash", "", "CREMA-D-master/AudioWAV"])
@pytest.mark.parametrize("suffix", [".wav", ".flv", ".mp3", ".mp4", ".flac"])
def test_files_are_found_wherever_they_lie(tmp_path: Path, folder: str, suffix: str) -> None:
    touch(tmp_path / folder, f"1002_ITH_FEA_XX{suffix}", f"._1002_ITH_FEA_XX{suffix}")
    clip, = read(tmp_path).clips()
    assert (clip.clip_id, clip.speaker, clip.group) == ("all/1002_ITH_FEA_XX", "1002", "1002")
    assert clip.text == "I think I have a doctor's appointment"
    assert dict(clip.labels) == {"emotion": "fear", "gender": "female"}


@pytest.mark.parametrize(("modality", "suffixes"), [("best", [".flv", ".wav"]), ("av", [".flv"]),
                                                    ("audio", [".wav", ".wav"])])
def test_film_and_sound_of_a_performance_are_one_clip(tmp_path: Path, modality: str, suffixes: list[str]) -> None:
    touch(tmp_path / "VideoFlash", "1001_DFA_ANG_XX.flv")
    touch(tmp_path / "AudioWAV", "1001_DFA_ANG_XX.wav", "1001_DFA_SAD_XX.wav")
    touch(tmp_path / "AudioMP3", "1001_DFA_ANG_XX.mp3", "1001_DFA_SAD_XX.mp3")
    dataset = read(tmp_path, modality=modality)
    sources = [clip.source for clip in dataset.clips()]
    assert [source.suffix for source in sources if source is not None] == suffixes
    assert ("files of several kinds are read: 1 flv, 1 wav" in dataset.notes) == (modality == "best")


def test_the_misnamed_file_is_read_as_it_was_meant(tmp_path: Path) -> None:
    touch(tmp_path, "1040_ITH_SAD_X.wav")
    summary(tmp_path, '"1040_ITH_SAD_X","S",50,"S",50,"N",50')
    dataset = read(tmp_path)
    assert crowd(dataset) == {"1040_ITH_SAD_XX": "neutral"}
    assert any(note.startswith("1040_ITH_SAD_X.wav is read as 1040_ITH_SAD_XX") for note in dataset.notes)
    touch(tmp_path, "1040_ITH_SAD_XX.wav")
    clip, = read(tmp_path).clips()
    assert clip.source == tmp_path / "1040_ITH_SAD_XX.wav"


def test_wrong_names_known_defects_and_pointers_are_told(tmp_path: Path) -> None:
    touch(tmp_path, "1076_MTI_SAD_XX.wav", "1001_DFA_ANG.wav", "1001_DFA_ANG_XX.wav")
    (tmp_path / "1001_DFA_ANG_XX.wav").write_text(POINTER)
    dataset = read(tmp_path)
    assert len(list(dataset.clips())) == 2
    for start in ("1 file left out by their names: '1001_DFA_ANG.wav' (3 fields; expected four",
                  "all/1076_MTI_SAD_XX is known to be bad: its users report it as bad: no sound",
                  "1 of 2 files are git-LFS pointers, not the files themselves; run `git lfs pull`",
                  "no summaryTable.csv and no finishedResponses.csv"):
        assert any(note.startswith(start) for note in dataset.notes), start


def test_the_doctor_tells_a_real_pointer(shared_data: Path, tmp_path: Path) -> None:
    (tmp_path / "AudioWAV").mkdir()
    (tmp_path / "AudioWAV" / "1001_DFA_ANG_XX.wav").write_bytes(
        (shared_data / "odd" / "1001_DFA_ANG_XX.wav").read_bytes())
    diagnosis = diagnose(read(tmp_path))
    assert diagnosis.unusable == ("all/1001_DFA_ANG_XX",)
    assert any("git-LFS pointer" in finding.found for finding in diagnosis.findings)
    assert any(note.startswith("1 of 1 files are git-LFS") for note in diagnosis.notes)


@pytest.mark.parametrize(("votes", "expected"), [
    ("multimodal", ["anger", "", "neutral"]), ("voice", ["neutral", "happy", "sad"]),
    ("face", ["disgust", "fear", ""])])
@pytest.mark.parametrize("flat", [False, True])
def test_the_crowds_votes_are_read_beside_the_intended_emotion(three: Path, votes: str, expected: list[str],
                                                               flat: bool) -> None:
    table = summary(three, '"1001_DFA_ANG_XX","N",50,"D",50,"A",55.5', '"1001_DFA_HAP_XX","H",60,"F",60,"H:N","60:50"',
                    '"1001_DFA_SAD_XX","S",30,"A:S","30:20","N",20')
    if flat:
        table.rename(three / "AudioWAV" / table.name)
    dataset = read(three / "AudioWAV" if flat else three, votes=votes)
    assert list(crowd(dataset).values()) == expected
    assert [clip.labels["emotion"] for clip in dataset.clips()] == ["anger", "happy", "sad"]
    assert [task.name for task in dataset.corpus.tasks] == ["emotion", "emotion_crowd", "gender"]
    assert any(note.startswith("1 clip without emotion_crowd: 1 by a tie") for note in dataset.notes) == (
        votes != "voice")


def test_clips_that_nobody_rated_have_no_vote(three: Path) -> None:
    summary(three, '"1001_DFA_ANG_XX","A",50,"A",50,"A",55.5', '"1001_DFA_HAP_XX","H",60,"F",60,"NA","NA"')
    dataset = read(three)
    assert list(crowd(dataset).values()) == ["anger", "", ""]
    assert "2 clips without emotion_crowd: 0 by a tie of multimodal votes, 2 without votes" in dataset.notes


def test_single_responses_are_counted_where_the_summary_is_missing(three: Path) -> None:
    rows = [("1001_DFA_ANG_XX", "3", "A"), ("1001_DFA_ANG_XX", "3", "A"), ("1001_DFA_ANG_XX", "3", "N"),
            ("1001_DFA_ANG_XX", "1", "S"), ("1001_DFA_HAP_XX", "3", "H"), ("1001_DFA_HAP_XX", "3", "N"),
            ("1001_DFA_SAD_XX", "2", "SAD")]
    (three / "finishedResponses.csv").write_text('"","clipName","queryType","respEmo"\n' + "".join(
        f'"{number}","{name}",{query},"{vote}"\n' for number, (name, query, vote) in enumerate(rows, 1)))
    assert list(crowd(read(three)).values()) == ["anger", "", ""]
    assert list(crowd(read(three, votes="voice")).values()) == ["sad", "", ""]
    assert list(crowd(read(three, votes="face")).values()) == ["", "", "sad"]


@pytest.mark.parametrize(("content", "message"), [
    (HEADER + '"1","1001_DFA_ANG_XX","A",50,"A",50,"Q",50\n',
     r"summaryTable.csv, row 2: MultiModalVote is 'Q'; expected one of A, D, F, H, N, S"),
    (HEADER + '"1","1001_DFA_ANG_XX","A",50\n', "row 2 has 4 cells, its header 8"),
    ('"","FileName","VoiceVote"\n"1","1001_DFA_ANG_XX","A"\n', "has no column 'MultiModalVote'"),
    (POINTER, "summaryTable.csv is a git-LFS pointer, not the file itself; run `git lfs pull`"),
    (HEADER.encode() + b"\xff", "is not UTF-8; expected the publisher's CSV"),
    ("", "is empty; expected a header"),
])
def test_a_malformed_table_of_votes_is_an_error(three: Path, content: str | bytes, message: str) -> None:
    summary(three).write_bytes(content if isinstance(content, bytes) else content.encode())
    with pytest.raises(DatasetError, match=message):
        list(read(three).clips())


@pytest.mark.parametrize(("files", "settings", "message"), [
    ((), {}, "holds no .flv, .mp4, .wav, .flac, .mp3 file; expected AudioWAV/1001_DFA_ANG_XX.wav"),
    (("1001_DFA_ANG_XX.wav",), {"modality": "av"}, "holds no .flv, .mp4 file"),
    (("a.wav", "b.wav"), {}, r"none of 2 files below .* has a name of CREMA-D, .* 'a.wav' \(1 field; .*; 'b.wav'"),
])
def test_a_folder_without_the_corpus_is_one_clear_error(tmp_path: Path, files: tuple[str, ...],
                                                        settings: dict[str, str], message: str) -> None:
    touch(tmp_path, *files)
    with pytest.raises(DatasetError, match=message):
        list(read(tmp_path, **settings).clips())


def test_a_split_that_is_not_there_is_refused(three: Path) -> None:
    with pytest.raises(UsageError, match="no split of cremad named 'train'"):
        list(Cremad(Cremad.Config(root=three, splits=("train",))).clips())


def test_the_five_folds_are_balanced_and_stay_the_same() -> None:
    folds = actor_folds()
    assert sorted(actor for fold in folds for actor in fold) == [str(actor) for actor in ACTORS]
    assert [len(fold) for fold in folds] == [19, 18, 18, 18, 18]
    assert [sum(int(actor) not in WOMEN for actor in fold) for fold in folds] == [10, 10, 10, 9, 9]
    assert len(WOMEN) == 43 and folds[0][:3] == ("1004", "1015", "1017")
    protocol, = Cremad().corpus.protocols
    assert "not by the corpus's authors" in protocol.source
    assert [fold.dev for fold in protocol.folds] == [*folds[1:], folds[0]]


def test_known_defects_have_names_of_the_corpus() -> None:
    assert all(parse_name(name.removeprefix("all/")) for name in KNOWN_DEFECTS) and len(KNOWN_DEFECTS) == 4
