"""IEMOCAP: 10,039 utterances of ten actors in five sessions, emotions and dimensions (Busso et al. 2008)."""

from __future__ import annotations

import math
import os
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from types import MappingProxyType
from typing import ClassVar, Literal

from pipeline.clip import Clip, Corpus, Fold, Label, Protocol, Task
from pipeline.config import setting
from pipeline.datasets import Dataset, PublishedSplit, RecordedSpan
from pipeline.datasets._agreement import agreement_notes, names_happiness, vote_shares
from pipeline.datasets._emo_evaluation import (DIMENSIONS, EMOTIONS, HIGHEST, LOWEST, Turn, is_recording,
                                               read_evaluation, read_words)
from pipeline.datasets._media import counted, listed
from pipeline.datasets._table import parse_table, read_bytes, shown
from pipeline.downloads.iemocap import DISTRIBUTION
from pipeline.errors import DatasetError, unknown_name
from pipeline.rendering.corpus import CITATION, LICENCE, rendered_layout

SESSIONS = tuple(f"Session{number}" for number in range(1, 6))
SIX = ("neutral", "happy", "excited", "sad", "angry", "frustrated")
FOUR: Mapping[str, str] = MappingProxyType({
    "neutral": "neutral", "happy": "happy", "excited": "happy", "sad": "sad", "angry": "angry"})
# Class of each emotion, by task; an emotion that is not there has no label of the task.
CLASSES: Mapping[str, Mapping[str, str]] = MappingProxyType({
    "emotion4": FOUR, "emotion6": MappingProxyType({name: name for name in SIX}),
    "emotion": MappingProxyType({name: name for name in EMOTIONS.values()})})
_TASKS = {"four": ("emotion4",), "six": ("emotion6",), "all": tuple(CLASSES)}
# Counts of the release, as papers and readers of it state them; the other 2,507 turns are undecided.
PUBLISHED_TURNS: Mapping[str, int] = MappingProxyType(dict(zip(
    EMOTIONS.values(), (1708, 595, 1041, 1084, 1103, 1849, 40, 2, 107, 3))))
PUBLISHED_UNDECIDED = 2507
HALVES: Mapping[str, tuple[float, float, float, float]] = MappingProxyType({
    "left": (0.0, 0.0, 0.5, 1.0), "right": (0.5, 0.0, 1.0, 1.0)})
_OTHER = {"left": "right", "right": "left"}
_LEAK = ("scripted scenes are the same in every session, so their words are known from training before they are tested:"
         " with text among the inputs, set figures of --set iemocap.only=improvised beside these")


class Iemocap(Dataset):
    """Reads the release as it is unpacked: ``Session1`` to ``Session5`` in the root, or one folder below it.

    An utterance is a stretch of its dialogue's film, of which it sees the half with the speaker, or the wav of its
    sentence. Which half that is follows from the names: in a recording ``Ses01F_…`` the woman wears the markers, who
    wears them stands at the left, and a turn's last letter is its speaker. The corpus's authors do not write where the
    actors stand; published code that cuts faces out of the films takes it so; ``sides`` corrects single recordings.
    """

    @dataclass(frozen=True)
    class Config(Dataset.Config):
        """Which utterances are read, and from what; see ``Dataset.Config`` for the rest."""

        emotions: Literal["four", "six", "all"] = setting(
            "all", "four: neutral, happy (with excited), sad, angry; six: happy and excited apart, and frustrated;"
                   " all: every utterance, with the tasks emotion4, emotion6 and emotion (ten)")
        undecided: Literal["keep", "drop"] = setting(
            "keep", "utterances that annotators did not agree on (xxx) or called other; kept for their dimensions and"
                    " as context")
        only: Literal["all", "improvised", "scripted"] = setting("all", "improvised, scripted or all dialogues")
        media: Literal["auto", "avi", "wav"] = setting(
            "auto", "avi: a stretch of the dialogue's film; wav: the sentence's own sound, without picture; auto: avi"
                    " where there is one")
        picture: Literal["speaker", "both"] = setting(
            "speaker", "of a film the half with who speaks, or both actors side by side")
        sides: Path | None = setting(
            None, "CSV with the columns recording and side (left, right): where the actor with markers stands, for"
                  " recordings in which it is not the left")
        votes: bool = setting(False, "add a task votes_… for each emotion: its share in the annotators' votes")
        ties: Literal["undecided", "happy"] = setting(
            "undecided", "happy: undecided utterances are happy where happiness is named most, all votes counted, which"
                         " is how lists of 7,433 utterances of six classes came about")

    config: Config
    default_root: ClassVar[Path] = DISTRIBUTION.root
    known_leaks: ClassVar[str] = _LEAK
    where_to_get: ClassVar[str] = DISTRIBUTION.ask

    @property
    def corpus(self) -> Corpus:
        """Emotions and dimensions; terms are the sample's where the files were rendered here."""
        tasks = [Task(name, tuple(dict.fromkeys(CLASSES[name].values()))) for name in _TASKS[self.config.emotions]]
        tasks += [Task(name, value_range=(LOWEST, HIGHEST)) for name in DIMENSIONS]
        if self.config.votes:
            tasks += [Task(f"votes_{name}", value_range=(0.0, 1.0)) for name in EMOTIONS.values()]
        corpus = replace(DISTRIBUTION.corpus, tasks=tuple(tasks), redistribute="no",
                         protocols=_protocols("" if self.config.only == "improvised" else _LEAK))
        if not self._is_rendered:
            return corpus
        return replace(corpus, licence=LICENCE, terms_url="", redistribute="yes", citation=CITATION)

    @property
    def published(self) -> Mapping[str, PublishedSplit]:  # type: ignore[override]
        """Counts of all dialogues with the release's labels; none for other choices, or where files were rendered."""
        config = self.config
        if self._is_rendered or config.only != "all" or config.ties != "undecided":
            return {}
        labels = {name: _published(CLASSES[name]) for name in _TASKS[config.emotions]}
        if config.emotions == "all":
            dropped = PUBLISHED_UNDECIDED + PUBLISHED_TURNS["other"] if config.undecided == "drop" else 0
            if dropped:
                del labels["emotion"]["other"]
            return {"all": PublishedSplit(sum(PUBLISHED_TURNS.values()) + PUBLISHED_UNDECIDED - dropped, (5,), labels)}
        return {"all": PublishedSplit(sum(next(iter(labels.values())).values()), (5,), labels)}

    def clips(self) -> Iterator[Clip]:
        """Clips by session, recording and time; ``clip_id`` is ``"all/<turn>"``, the group is the session.

        ``turn`` counts all utterances of a recording by the time at which they begin, those left out too. Mean ratings
        outside 1 to 5, the scale's ends, are set to the nearest end.

        Raises:
            UsageError: a split other than ``all``.
            DatasetError: no session in the root, no annotation in one, a line of it that says nothing or contradicts
                another, the CSV of sides is wrong, or no utterance is of the kind asked for.
        """
        self.notes.clear()
        for name in self.config.splits:
            if name != "all":
                raise unknown_name("split of iemocap", name, ("all",))
        kept, words, sides = self._kept(), self._words, self._sides
        if not kept:
            raise DatasetError(f"{self.root} holds {counted(len(self._turns), 'utterance')}, none of them of the kind"
                               f" asked for (only={self.config.only}, emotions={self.config.emotions},"
                               f" undecided={self.config.undecided}); ask for others with --set iemocap.…")
        self._note(kept)
        files = _Files(self._sessions, self.config.media)
        clips = [self._clip(turn, place, files, words, sides) for turn, place in kept]
        self._note_media(clips)
        yield from clips

    def recorded_spans(self) -> Mapping[str, RecordedSpan]:
        """Times in the dialogue; each speaker's apart, as people talk at the same time.

        Raises:
            DatasetError: as :meth:`clips`.
        """
        return {f"all/{turn.stem}": RecordedSpan(f"{turn.name.recording}, {turn.name.speaker}", turn.start_seconds,
                                                 turn.stop_seconds) for turn, _ in self._kept()}

    @property
    def _is_rendered(self) -> bool:
        return rendered_layout(self.root) == "iemocap"

    @cached_property
    def _sessions(self) -> Mapping[str, Path]:
        """Folders of the sessions that are here."""
        for base in (self.root, self.root / "IEMOCAP_full_release", self.root / "IEMOCAP"):
            found = {name: base / name for name in SESSIONS if (base / name).is_dir()}
            if found:
                return found
        what = "holds none of them" if self.root.is_dir() else "is not there"
        raise DatasetError(f"expected Session1 to Session5 in {self.root}, which {what}: {self.where_to_get}, or name"
                           " another folder with --root")

    @cached_property
    def _turns(self) -> Mapping[str, tuple[Turn, int]]:
        """Every utterance with its place among those of its recording, by session, recording and time."""
        found: dict[str, tuple[Turn, int]] = {}
        for session, folder in self._sessions.items():
            place = folder / "dialog" / "EmoEvaluation"
            # The folders below hold each annotator's file: votes, which the files here repeat.
            paths = sorted(path for path in place.glob("Ses*.txt") if is_recording(path.stem))
            if not paths:
                raise DatasetError(f"{place} holds no file as Ses01F_impro01.txt; expected the labels of {session}"
                                   " there: unpack the release again, or leave the whole session away")
            for path in paths:
                turns = sorted(read_evaluation(path), key=lambda turn: (turn.start_seconds, turn.stem))
                for number, turn in enumerate(turns):
                    if f"Session{turn.name.session}" != session:
                        raise DatasetError(f"{path}, line {turn.line}: {turn.stem} is of session {turn.name.session},"
                                           f" its folder is {session}; put the file where it belongs")
                    found[turn.stem] = turn, number
        return found

    @cached_property
    def _words(self) -> Mapping[str, str]:
        """What is said, by utterance."""
        return {stem: text for folder in self._sessions.values()
                for path in sorted((folder / "dialog" / "transcriptions").glob("Ses*.txt"))
                for stem, text in read_words(path).items()}

    @cached_property
    def _sides(self) -> Mapping[str, str]:
        """Where the actor with markers stands, for the recordings that the user names."""
        path = self.config.sides
        if path is None:
            return {}
        table = parse_table(read_bytes(path).decode("utf-8-sig", errors="replace"), path)
        table.require(("recording", "side"))
        known = {turn.name.recording for turn, _ in self._turns.values()}
        found: dict[str, str] = {}
        for row in table.rows:
            recording, side = row.cells["recording"].strip(), row.cells["side"].strip().lower()
            if recording not in known or recording in found or side not in HALVES:
                raise DatasetError(f"{path}, row {row.number}: {shown(recording)}, {shown(side)}; expected a recording"
                                   " of this corpus, each once, and left or right")
            found[recording] = side
        return found

    def _kept(self) -> list[tuple[Turn, int]]:
        """The utterances asked for."""
        config, wanted = self.config, {"four": CLASSES["emotion4"], "six": CLASSES["emotion6"]}
        return [(turn, place) for turn, place in self._turns.values()
                if (config.only == "all" or turn.name.is_scripted == (config.only == "scripted"))
                and (config.undecided == "keep" or self._emotion(turn) not in ("", "other"))
                and (config.emotions == "all" or self._emotion(turn) in wanted[config.emotions])]

    def _emotion(self, turn: Turn) -> str:
        """As agreed, or as the user's rule for ties has it; "" where neither says."""
        if not turn.emotion and self.config.ties == "happy" and names_happiness(turn):
            return "happy"
        return turn.emotion

    def _clip(self, turn: Turn, place: int, files: _Files, words: Mapping[str, str], sides: Mapping[str, str]) -> Clip:
        name, source = turn.name, files.of(turn)
        is_film = source is not None and source.suffix == ".avi"
        side = sides.get(name.recording, "left")
        half = HALVES[side if name.speaker == name.marked else _OTHER[side]]
        return Clip(
            f"all/{turn.stem}", source=source, start_seconds=turn.start_seconds if is_film else 0.0,
            stop_seconds=turn.stop_seconds if is_film else None, text=words.get(turn.stem, ""),
            speaker=f"Ses{name.session:02d}_{name.speaker}", dialogue=name.recording, turn=place,
            group=f"Session{name.session}", labels=self._labels(turn),
            view=half if is_film and self.config.picture == "speaker" else None)

    def _labels(self, turn: Turn) -> dict[str, Label]:
        emotion = self._emotion(turn)
        labels: dict[str, Label] = {task: CLASSES[task][emotion] for task in _TASKS[self.config.emotions]
                                    if emotion in CLASSES[task]}
        labels |= {name: min(max(rating, LOWEST), HIGHEST) for name, rating in zip(DIMENSIONS, turn.ratings)
                   if not math.isnan(rating)}
        if self.config.votes:
            labels |= {f"votes_{name}": share for name, share in vote_shares(turn, tuple(EMOTIONS.values())).items()}
        return labels

    def _note(self, kept: Sequence[tuple[Turn, int]]) -> None:
        """What a user should know of the annotations that are read."""
        missing = [name for name in SESSIONS if name not in self._sessions]
        if missing and not self._is_rendered:
            self.notes.append(f"not here: {', '.join(missing)}")
        turns = [turn for turn, _ in kept]
        undecided = sum(self._emotion(turn) in ("", "other") for turn in turns)
        if undecided:
            self.notes.append(f"{undecided:,} of {counted(len(turns), 'utterance')} are undecided (xxx) or other; --set"
                              " iemocap.undecided=drop leaves them away")
        outside = sum(any(not LOWEST <= rating <= HIGHEST for rating in turn.ratings if not math.isnan(rating))
                      for turn in turns)
        unrated = sum(any(map(math.isnan, turn.ratings)) for turn in turns)
        if outside or unrated:
            self.notes.append(f"ratings: {outside:,} utterances have one outside 1 to 5, set to the nearest end;"
                              f" {unrated:,} lack one")
        self._note_words(turns)
        self.notes += agreement_notes(turns, {task: CLASSES[task] for task in _TASKS[self.config.emotions]})

    def _note_words(self, turns: Sequence[Turn]) -> None:
        """Utterances without words, and how far scripts leak from session to session."""
        silent = [turn.stem for turn in turns if not self._words.get(turn.stem)]
        if silent:
            self.notes.append(f"{counted(len(silent), 'utterance')} without a transcription: {listed(silent)}")
        said: dict[str, set[int]] = defaultdict(set)
        for turn in turns:
            said[_plain(self._words.get(turn.stem, ""))].add(turn.name.session)
        spoken = [turn for turn in turns if turn.name.is_scripted and self._words.get(turn.stem)]
        again = sum(len(said[_plain(self._words[turn.stem])]) > 1 for turn in spoken)
        if again:
            self.notes.append(f"words leak between sessions: {again:,} of {counted(len(spoken), 'scripted utterance')}"
                              " are said word for word in another session too; a model with text can know them from"
                              " training: --set iemocap.only=improvised leaves scripts away")

    def _note_media(self, clips: Sequence[Clip]) -> None:
        kinds = Counter("text alone" if clip.source is None else clip.source.suffix[1:] for clip in clips)
        if len(kinds) > 1 or "text alone" in kinds:
            self.notes.append("read from: " + ", ".join(f"{what}: {number:,}" for what, number in kinds.most_common()))
        seen = {clip.dialogue for clip in clips if clip.view is not None}
        if seen:
            ruled = len(seen - self._sides.keys())
            self.notes.append(f"who wears the markers is taken to stand at the left in {ruled:,} of"
                              f" {counted(len(seen), 'film')}, by a rule of published code: look at some, and correct"
                              " them by --set iemocap.sides=FILE (docs/iemocap.md)")


class _Files:
    """Which films and sounds are there; each folder is listed once.

    Args:
        sessions: their folders.
        media: as in ``Iemocap.Config``.
    """

    def __init__(self, sessions: Mapping[str, Path], media: str) -> None:
        self._sessions, self._media = sessions, media
        self._films = {name: _names(folder / "dialog" / "avi" / "DivX") for name, folder in sessions.items()}
        self._sounds = {name: _names(folder / "sentences" / "wav") for name, folder in sessions.items()}

    def of(self, turn: Turn) -> Path | None:
        """The file to read, there or not; None where a session has neither films nor sounds."""
        session, recording = f"Session{turn.name.session}", turn.name.recording
        film = self._sessions[session] / "dialog" / "avi" / "DivX" / f"{recording}.avi"
        sound = self._sessions[session] / "sentences" / "wav" / recording / f"{turn.stem}.wav"
        if self._media == "auto" and (film.name in self._films[session] or not self._sounds[session]):
            return film if self._films[session] else None
        return film if self._media == "avi" else sound


def _names(folder: Path) -> frozenset[str]:
    try:
        with os.scandir(folder) as entries:
            return frozenset(entry.name for entry in entries if not entry.name.startswith("."))
    except FileNotFoundError:
        return frozenset()
    except OSError as error:
        raise DatasetError(f"{folder} cannot be read: {error.strerror}; check the disk and the permissions") from error


def _plain(text: str) -> str:
    """Words alone, for comparison: scripts are transcribed with other commas each time."""
    return " ".join("".join(letter if letter.isalnum() else " " for letter in text.casefold()).split())


def _published(classes: Mapping[str, str]) -> dict[str, int]:
    counts: dict[str, int] = defaultdict(int)
    for emotion, name in classes.items():
        counts[name] += PUBLISHED_TURNS[emotion]
    return dict(counts)


def _protocols(warning: str) -> tuple[Protocol, ...]:
    folds = tuple(Fold(name, test=(name,), dev=(SESSIONS[(place + 1) % len(SESSIONS)],))
                  for place, name in enumerate(SESSIONS))
    return (
        Protocol("leave-one-session-out", folds, warning=warning,
                 source="each session, and with it its two speakers, tested once, as is usual for IEMOCAP; dev: the"
                        " next session, by this pipeline"),
        Protocol("fixed-session5", folds[-1:], warning="; ".join(filter(None, (
            "one session is tested: another one may give quite another figure", warning))),
            source="sessions 1 to 4 and 5 of published code; dev: Session1 of the four, by this pipeline"))
