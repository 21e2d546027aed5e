"""IEMOCAP: the release's folders, which file and which half of it is read, labels, choices and published counts."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest

from pipeline.clip import Clip
from pipeline.datasets.iemocap import PUBLISHED_TURNS, PUBLISHED_UNDECIDED, SESSIONS, Iemocap
from pipeline.doctor.annotations import annotation_findings
from pipeline.errors import DatasetError, UsageError

CODES = ("neu", "hap", "exc", "sad", "ang", "fru", "fea", "dis", "sur", "oth", "xxx")
LEFT, RIGHT = (0.0, 0.0, .5, 1.0), (.5, 0.0, 1.0, 1.0)


def evaluation(*turns: tuple[str, str], ratings: str = "[2.5000, 3.0000, 3.5000]", votes: str = "") -> str:
    """Turns one after the other, each two seconds long: name and code."""
    return "% [START_TIME - END_TIME] TURN_NAME EMOTION [V, A, D]\n\n" + "".join(
        f"[{2 * place + .5:.4f} - {2 * place + 2.5:.4f}]\t{name}\t{code}\t{ratings}\n{votes}\n"
        for place, (name, code) in enumerate(turns))


def write(root: Path, recording: str, text: str, *, words: str = "", film: bool = True, sounds: bool = True) -> Path:
    """One recording's labels, words and empty media."""
    dialog = root / f"Session{recording[4]}" / "dialog"
    for folder in (dialog / "EmoEvaluation", dialog / "transcriptions"):
        folder.mkdir(parents=True, exist_ok=True)
    (dialog / "EmoEvaluation" / f"{recording}.txt").write_text(text)
    names = [line.split("\t")[1] for line in text.splitlines() if line.startswith("[")]
    (dialog / "transcriptions" / f"{recording}.txt").write_text(words or "".join(
        f"{name} [000.5-002.5]: {name} speaks.\n" for name in names))
    if film:
        (dialog / "avi" / "DivX").mkdir(parents=True, exist_ok=True)
        (dialog / "avi" / "DivX" / f"{recording}.avi").touch()
    if sounds:
        folder = root / f"Session{recording[4]}" / "sentences" / "wav" / recording
        folder.mkdir(parents=True, exist_ok=True)
        for name in names:
            (folder / f"{name}.wav").touch()
    return root


def iemocap_tree(root: Path) -> Path:
    """Two sessions: an improvised and a scripted recording in the first, a scripted one with a man's markers."""
    votes = ("C-E1:\tAnger;\t()\nC-E2:\tAnger;\t()\nC-E4:\tHappiness;\t()\nC-F1:\tAnger;\t()\n"
             "A-E3:\tval 1; act 2; dom 3;\t()\n")
    write(root, "Ses01F_impro01", evaluation(*((f"Ses01F_impro01_{'FM'[place % 2]}{place:03d}", code)
                                               for place, code in enumerate(CODES)), votes=votes))
    for recording, codes in (("Ses01F_script01_1", ("ang", "hap")), ("Ses02M_script01_1", ("neu", "sad"))):
        names = [f"{recording}_{speaker}000" for speaker in "MF"]
        write(root, recording, evaluation(*zip(names, codes)),
              words="".join(f"{name} [000.5-002.5]: {text}\n" for name, text in zip(names, ("Tell me.", "No - no!"))))
    (root / "Session1" / "dialog" / "EmoEvaluation" / "Categorical").mkdir()
    (root / "Session1" / "dialog" / "EmoEvaluation" / "Categorical" / "Ses01F_impro01_e1_cat.txt").write_text("?")
    (root / "Session1" / "dialog" / "EmoEvaluation" / "._Ses01F_impro01.txt").write_bytes(b"\0\1")
    return root


def read(root: Path, **settings: object) -> dict[str, Clip]:
    return {clip.clip_id[4:]: clip for clip in Iemocap(
        Iemocap.Config(root=root, **settings)).clips()}  # type: ignore[arg-type]


def notes(root: Path, **settings: object) -> str:
    dataset = Iemocap(Iemocap.Config(root=root, **settings))  # type: ignore[arg-type]
    list(dataset.clips())
    return "\n".join(dataset.notes)


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    return iemocap_tree(tmp_path)


def test_a_clip_says_who_when_where_and_what(tree: Path) -> None:
    clip = read(tree)["Ses01F_impro01_M001"]
    assert clip.source == tree / "Session1" / "dialog" / "avi" / "DivX" / "Ses01F_impro01.avi"
    assert (clip.start_seconds, clip.stop_seconds) == (2.5, 4.5)
    assert (clip.speaker, clip.dialogue, clip.turn, clip.group) == ("Ses01_M", "Ses01F_impro01", 1, "Session1")
    assert clip.text == "Ses01F_impro01_M001 speaks."
    assert clip.labels == {"emotion4": "happy", "emotion6": "happy", "emotion": "happy", "valence": 2.5,
                           "arousal": 3.0, "dominance": 3.5}


def test_the_tasks_have_the_classes_that_papers_use(tree: Path) -> None:
    clips, tasks = read(tree), {task.name: task.classes for task in Iemocap().corpus.tasks}
    assert tasks["emotion4"] == ("neutral", "happy", "sad", "angry") and len(tasks["emotion"]) == 10
    assert tasks["emotion6"] == ("neutral", "happy", "excited", "sad", "angry", "frustrated")
    labels = [clips[f"Ses01F_impro01_{'FM'[place % 2]}{place:03d}"].labels for place in range(len(CODES))]
    assert [of.get("emotion4") for of in labels] == ["neutral", "happy", "happy", "sad", "angry", *[None] * 6]
    assert [of.get("emotion6") for of in labels] == [*tasks["emotion6"], *[None] * 5]
    assert [of.get("emotion") for of in labels] == [
        "neutral", "happy", "excited", "sad", "angry", "frustrated", "fearful", "disgusted", "surprised", "other", None]


def test_the_speaker_with_markers_stands_at_the_left(tree: Path) -> None:
    views = {name: clip.view for name, clip in read(tree).items()}
    assert views["Ses01F_impro01_F000"] == views["Ses02M_script01_1_M000"] == LEFT
    assert views["Ses01F_impro01_M001"] == views["Ses02M_script01_1_F000"] == RIGHT
    assert {clip.view for clip in read(tree, picture="both").values()} == {None}
    assert "stand at the left in 3 of 3 films" in notes(tree)


def test_a_table_of_sides_turns_single_recordings_round(tree: Path, tmp_path: Path) -> None:
    sides = tmp_path / "sides.csv"
    sides.write_text("recording,side\nSes01F_impro01,Right\nSes02M_script01_1,left\n")
    views = {name: clip.view for name, clip in read(tree, sides=sides).items()}
    assert views["Ses01F_impro01_F000"] == RIGHT and views["Ses01F_impro01_M001"] == LEFT
    assert views["Ses01F_script01_1_F000"] == views["Ses02M_script01_1_M000"] == LEFT
    assert "stand at the left in 1 of 3 films" in notes(tree, sides=sides)


@pytest.mark.parametrize("text, words", [
    ("recording,side\nSes01F_impro09,left\n", "row 2: 'Ses01F_impro09', 'left'; expected a recording of this corpus"),
    ("recording,side\nSes01F_impro01,up\n", "row 2: 'Ses01F_impro01', 'up'; .* left or right"),
    ("recording,side\nSes01F_impro01,left\nSes01F_impro01,right\n", "row 3: .* each once"),
    ("recording\nSes01F_impro01\n", "has no column 'side'")])
def test_a_wrong_table_of_sides_is_an_error(tree: Path, tmp_path: Path, text: str, words: str) -> None:
    sides = tmp_path / "sides.csv"
    sides.write_text(text)
    with pytest.raises(DatasetError, match=words):
        read(tree, sides=sides)
    sides.unlink()
    with pytest.raises(DatasetError, match="cannot be read"):
        read(tree, sides=sides)


def test_sound_alone_is_read_from_the_sentence_as_a_whole(tree: Path) -> None:
    clip = read(tree, media="wav")["Ses01F_script01_1_F000"]
    assert clip.source == tree / "Session1/sentences/wav/Ses01F_script01_1/Ses01F_script01_1_F000.wav"
    assert (clip.start_seconds, clip.stop_seconds, clip.view) == (0.0, None, None)


def test_a_recording_without_its_film_is_heard_and_one_without_anything_keeps_its_place(tmp_path: Path) -> None:
    for recording, film, sounds in (("Ses01F_impro01", True, True), ("Ses01F_impro02", False, True),
                                    ("Ses02F_impro01", True, False), ("Ses02F_impro02", False, False),
                                    ("Ses03F_impro01", False, False), ("Ses04F_impro01", False, True)):
        write(tmp_path, recording, evaluation((f"{recording}_F000", "neu")), film=film, sounds=sounds)
    of = {name[:-5]: clip.source and clip.source.suffix for name, clip in read(tmp_path).items()}
    assert of == {"Ses01F_impro01": ".avi", "Ses01F_impro02": ".wav", "Ses02F_impro01": ".avi",
                  "Ses02F_impro02": ".avi", "Ses03F_impro01": None, "Ses04F_impro01": ".wav"}
    assert "read from: avi: 3, wav: 2, text alone: 1" in notes(tmp_path)
    assert {clip.source and clip.source.suffix for clip in read(tmp_path, media="avi").values()} == {".avi"}


def test_turns_are_counted_by_time_though_files_have_them_in_another_order(tmp_path: Path) -> None:
    names = [f"Ses01F_impro01_{name}" for name in ("F000", "F001", "M000", "M001")]
    lines = [f"[{start} - {start + .9}]\t{name}\tneu\t[2, 2, 2]\n" for name, start in zip(names, (1.0, 3.0, 2.0, 4.0))]
    write(tmp_path, "Ses01F_impro01", "".join(lines))
    assert {name: clip.turn for name, clip in read(tmp_path).items()} == dict(zip(names, (0, 2, 1, 3)))
    assert list(read(tmp_path)) == [names[place] for place in (0, 2, 1, 3)]


@pytest.mark.parametrize("settings, number, tasks", [
    ({}, 15, ["emotion4", "emotion6", "emotion"]), ({"undecided": "drop"}, 13, ["emotion4", "emotion6", "emotion"]),
    ({"emotions": "four"}, 9, ["emotion4"]), ({"emotions": "six"}, 10, ["emotion6"]),
    ({"only": "improvised"}, 11, ["emotion4", "emotion6", "emotion"]),
    ({"only": "scripted", "emotions": "four"}, 4, ["emotion4"])])
def test_choices_leave_utterances_away(tree: Path, settings: dict[str, str], number: int, tasks: list[str]) -> None:
    dataset = Iemocap(Iemocap.Config(root=tree, **settings))  # type: ignore[arg-type]
    clips = list(dataset.clips())
    assert len(clips) == len(dataset.recorded_spans()) == number
    assert [task.name for task in dataset.corpus.tasks] == [*tasks, "valence", "arousal", "dominance"]


def test_votes_are_tasks_when_asked_for(tree: Path) -> None:
    labels = read(tree, votes=True)["Ses01F_impro01_F000"].labels
    assert labels["votes_angry"] == pytest.approx(2 / 3) and labels["votes_happy"] == pytest.approx(1 / 3)
    assert labels["votes_sad"] == 0 and "votes_sad" in {
        task.name for task in Iemocap(Iemocap.Config(votes=True)).corpus.tasks}
    assert "votes_angry" not in read(tree, votes=True)["Ses02M_script01_1_M000"].labels, "nobody voted"


def test_ties_may_be_happy(tmp_path: Path) -> None:
    votes = "C-E1:\tHappiness; Excited;\t()\nC-E2:\tHappiness;\t()\nC-E4:\tNeutral;\t()\n"
    write(tmp_path, "Ses01F_impro01", evaluation(("Ses01F_impro01_F000", "xxx"), votes=votes))
    assert "emotion6" not in read(tmp_path)["Ses01F_impro01_F000"].labels
    assert read(tmp_path, ties="happy", emotions="six")["Ses01F_impro01_F000"].labels["emotion6"] == "happy"


def test_ratings_off_the_scale_are_set_to_its_end_and_missing_ones_left_out(tmp_path: Path) -> None:
    write(tmp_path, "Ses01F_impro01", evaluation(("Ses01F_impro01_F000", "neu"), ratings="[5.5000, , 0.5000]"))
    labels = read(tmp_path)["Ses01F_impro01_F000"].labels
    assert (labels["valence"], labels["dominance"]) == (5.0, 1.0) and "arousal" not in labels
    assert "ratings: 1 utterances have one outside 1 to 5" in notes(tmp_path) and "1 lack one" in notes(tmp_path)


def test_notes_say_how_words_leak_how_people_agree_and_what_is_missing(tree: Path) -> None:
    said = notes(tree)
    assert "words leak between sessions: 4 of 4 scripted utterances are said word for word in another session" in said
    assert "emotion: one annotator names what the majority of the others named in 0.0 % of 10 votes" in said
    assert "not here: Session3, Session4, Session5" in said
    assert "2 of 15 utterances are undecided (xxx) or other; --set iemocap.undecided=drop" in said
    assert "words leak" not in notes(tree, only="improvised")
    (tree / "Session2" / "dialog" / "transcriptions" / "Ses02M_script01_1.txt").unlink()
    said = notes(tree)
    assert "words leak" not in said
    assert "2 utterances without a transcription: Ses02M_script01_1_M000, Ses02M_script01_1_F000" in said


def test_every_result_with_scripts_carries_the_warning(tree: Path) -> None:
    folds, fixed = Iemocap(Iemocap.Config(root=tree)).corpus.protocols
    assert "scripted scenes are the same in every session" in folds.warning and folds.warning in fixed.warning
    improvised, fixed = Iemocap(Iemocap.Config(root=tree, only="improvised")).corpus.protocols
    assert improvised.warning == "" and "one session is tested" in fixed.warning


def test_protocols_test_each_session_once_with_the_next_as_dev() -> None:
    folds, fixed = Iemocap().corpus.protocols
    assert [(fold.test, fold.dev) for fold in folds.folds] == [
        ((f"Session{number}",), (f"Session{number % 5 + 1}",)) for number in range(1, 6)]
    assert (folds.name, fixed.name, fixed.folds) == ("leave-one-session-out", "fixed-session5", folds.folds[4:])


def test_a_folder_without_sessions_or_labels_is_an_error_that_says_where_to_get_it(tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match="which holds none of them: .*sail.usc.edu"):
        read(tmp_path)
    with pytest.raises(DatasetError, match="gone, which is not there"):
        read(tmp_path / "gone")
    (tmp_path / "Session1").mkdir()
    with pytest.raises(DatasetError, match="EmoEvaluation holds no file as Ses01F_impro01.txt; expected the labels of"):
        read(tmp_path)


def test_the_folder_of_the_release_is_found_below_the_root(tmp_path: Path) -> None:
    write(tmp_path / "IEMOCAP_full_release", "Ses01F_impro01", evaluation(("Ses01F_impro01_F000", "neu")))
    assert list(read(tmp_path)) == ["Ses01F_impro01_F000"]


def test_an_utterance_in_another_sessions_folder_is_an_error(tmp_path: Path) -> None:
    write(tmp_path, "Ses01F_impro01", evaluation(("Ses01F_impro01_F000", "neu")))
    (tmp_path / "Session1").rename(tmp_path / "Session2")
    with pytest.raises(DatasetError, match="line 3: Ses01F_impro01_F000 is of session 1, its folder is Session2"):
        read(tmp_path)


def test_nothing_of_the_kind_asked_for_is_an_error(tmp_path: Path) -> None:
    write(tmp_path, "Ses01F_impro01", evaluation(("Ses01F_impro01_F000", "neu")))
    with pytest.raises(DatasetError, match="holds 1 utterance, none of them of the kind asked for .only=scripted"):
        read(tmp_path, only="scripted")
    with pytest.raises(UsageError, match="no split of iemocap named 'train'"):
        read(tmp_path, splits=("train",))


# Utterances of the release by session and code, as its readers state them; their sums are those of papers.
PER_SESSION = {
    "neu": (384, 362, 320, 258, 384), "hap": (135, 117, 135, 65, 143), "exc": (143, 210, 151, 238, 299),
    "sad": (194, 197, 305, 143, 245), "ang": (229, 137, 240, 327, 170), "fru": (280, 325, 382, 481, 381)}
ALL_PER_SESSION = (1819, 1811, 2136, 2103, 2170)
RARE = {"fea": 40, "dis": 2, "sur": 107, "oth": 3}


def published_tree(root: Path) -> Path:
    """Labels of as many utterances as the release has, by session and emotion; of the rare, all in the first."""
    for session in range(5):
        codes = [code for code, counts in PER_SESSION.items() for _ in range(counts[session])]
        codes += [code for code, count in RARE.items() for _ in range(count)] if session == 0 else []
        codes += ["xxx"] * (ALL_PER_SESSION[session] - len(codes))
        for place in range(0, len(codes), 900):
            recording = f"Ses0{session + 1}{'FM'[place // 900 % 2]}_impro{place // 900:02d}"
            names = [f"{recording}_{'FM'[number % 2]}{number:03d}" for number in range(len(codes[place:place + 900]))]
            write(root, recording, evaluation(*zip(names, codes[place:place + 900])), film=False, sounds=False)
    return root


def test_counts_of_the_published_list_come_out_by_session_and_class(tmp_path: Path) -> None:
    root = published_tree(tmp_path)
    for settings, number, by_session in (({"emotions": "four"}, 5531, (1085, 1023, 1151, 1031, 1241)),
                                         ({"emotions": "six"}, 7380, (1365, 1348, 1533, 1512, 1622)),
                                         ({"emotions": "all"}, 10039, ALL_PER_SESSION),
                                         ({"undecided": "drop"}, 7529, None)):
        dataset = Iemocap(Iemocap.Config(root=root, **settings))  # type: ignore[arg-type]
        clips = list(dataset.clips())
        counts = Counter(clip.group for clip in clips)
        assert len(clips) == number and (by_session is None or counts == dict(zip(SESSIONS, by_session)))
        assert [str(finding) for finding in annotation_findings(dataset, clips, dataset.recorded_spans())
                if finding.kind == "label counts"] == []
        tested = {fold.test[0]: counts[fold.test[0]] for fold in dataset.corpus.protocols[0].folds}
        assert tested == dict(counts), "each fold tests one session, whole"
    assert sum(PUBLISHED_TURNS.values()) + PUBLISHED_UNDECIDED == 10039


def test_counts_that_differ_from_the_published_are_a_finding(tree: Path) -> None:
    dataset = Iemocap(Iemocap.Config(root=tree))
    found = [finding.found for finding in annotation_findings(dataset, list(dataset.clips()), dataset.recorded_spans())
             if finding.kind == "label counts"]
    assert "all: 15 clips" in found and "all: emotion4 sad: 2" in found
    assert not Iemocap(Iemocap.Config(root=tree, only="improvised")).published
