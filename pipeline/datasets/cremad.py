"""CREMA-D: 7,442 clips of 91 actors, six intended emotions, and what a crowd saw and heard (Cao et al. 2014)."""

from __future__ import annotations

import hashlib
import re
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from types import MappingProxyType
from typing import ClassVar, Literal, NamedTuple

from pipeline.clip import Clip, Corpus, Fold, Protocol, Task
from pipeline.config import setting
from pipeline.datasets import Dataset, PublishedSplit
from pipeline.datasets._media import counted, find_media, listed, num_pointers, read_names
from pipeline.datasets._table import Table, parse_table, read_bytes, shown
from pipeline.downloads.cremad import DISTRIBUTION
from pipeline.errors import DatasetError, unknown_name
from pipeline.transferring.unpacking import POINTER

EMOTIONS: Mapping[str, str] = MappingProxyType({
    "ANG": "anger", "DIS": "disgust", "FEA": "fear", "HAP": "happy", "NEU": "neutral", "SAD": "sad"})
SENTENCES: Mapping[str, str] = MappingProxyType({
    "IEO": "It's eleven o'clock", "TIE": "That is exactly what happened", "IOM": "I'm on my way to the meeting",
    "IWW": "I wonder what this is about", "TAI": "The airplane is almost full",
    "MTI": "Maybe tomorrow it will be cold", "IWL": "I would like a new alarm clock",
    "ITH": "I think I have a doctor's appointment", "DFA": "Don't forget a jacket",
    "ITS": "I think I've seen this before", "TSI": "The surface is slick", "WSI": "We'll stop in a couple of minutes"})
LEVELS: Mapping[str, str] = MappingProxyType({"LO": "low", "MD": "medium", "HI": "high", "XX": "unspecified"})
ACTORS = range(1001, 1092)
# The publisher's VideoDemographics.csv; the other 48 are men.
WOMEN = frozenset(map(int, (
    "1002 1003 1004 1006 1007 1008 1009 1010 1012 1013 1018 1020 1021 1024 1025 1028 1029 1030 1037 1043 1046 1047 1049"
    " 1052 1053 1054 1055 1056 1058 1060 1061 1063 1072 1073 1074 1075 1076 1078 1079 1082 1084 1089 1091").split()))
FILMS, SOUNDS = (".flv", ".mp4"), (".wav", ".flac", ".mp3")
SUMMARY, RESPONSES = "summaryTable.csv", "finishedResponses.csv"
# Older copies hold this name; https://github.com/CheyneyComputerScience/CREMA-D/issues/6
MISNAMED: Mapping[str, str] = MappingProxyType({"1040_ITH_SAD_X": "1040_ITH_SAD_XX"})
KNOWN_DEFECTS: Mapping[str, str] = MappingProxyType({
    "all/1076_MTI_NEU_XX": "its users report it as bad",
    "all/1076_MTI_SAD_XX": "its users report it as bad: no sound",
    "all/1064_TIE_SAD_XX": "its users report it as bad",
    "all/1064_IEO_DIS_MD": "its users report it as bad: 61 s long",
})
PUBLISHED: Mapping[str, PublishedSplit] = MappingProxyType({
    "all": PublishedSplit(7442, (91,), {"emotion": dict(zip(EMOTIONS.values(), (1271, 1271, 1271, 1271, 1087, 1271)))}),
})
_VOTES = {name[0]: name for name in EMOTIONS.values()}
_SUMMARY_COLUMNS = {"multimodal": "MultiModalVote", "voice": "VoiceVote", "face": "FaceVote"}
_QUERIES = {"voice": "1", "face": "2", "multimodal": "3"}  # of finishedResponses.csv
_UNNAMED = re.compile(r'\A(?:"")?,')  # R writes row numbers in a column without a name
_NUM_FOLDS = 5


class Recording(NamedTuple):
    """What a name says.

    Args:
        stem: the right name, without suffix.
        actor: 1001 to 1091.
        sentence: the words.
        emotion: intended, one of ``EMOTIONS``' values.
        level: intended, one of ``LEVELS``' values.
    """

    stem: str
    actor: int
    sentence: str
    emotion: str
    level: str

    @property
    def gender(self) -> str:
        return "female" if self.actor in WOMEN else "male"


def parse_name(stem: str) -> Recording:
    """What a file's name says; the one name that the publisher once got wrong is read as it was meant.

    Args:
        stem: the name without its suffix.

    Raises:
        ValueError: it is not actor, sentence, emotion and level, or one of these is none of CREMA-D.

    >>> parse_name("1001_DFA_ANG_XX").sentence, parse_name("1040_ITH_SAD_X").stem
    ("Don't forget a jacket", '1040_ITH_SAD_XX')
    """
    stem = MISNAMED.get(stem, stem)
    parts = stem.split("_")
    if len(parts) != 4:
        raise ValueError(f"{counted(len(parts), 'field')}; expected four, actor_sentence_emotion_level, as in"
                         " 1001_DFA_ANG_XX")
    actor, sentence, emotion, level = parts
    if not (re.fullmatch(r"\d{4}", actor, re.ASCII) and int(actor) in ACTORS):
        raise ValueError(f"actor is {ascii(actor[:20])}; expected 1001 to 1091")
    for what, code, codes in (("sentence", sentence, SENTENCES), ("emotion", emotion, EMOTIONS),
                              ("level", level, LEVELS)):
        if code not in codes:
            raise ValueError(f"{what} is {ascii(code[:20])}; expected one of {', '.join(codes)}")
    return Recording(stem, int(actor), SENTENCES[sentence], EMOTIONS[emotion], LEVELS[level])


def actor_folds() -> tuple[tuple[str, ...], ...]:
    """Five sets of 18 or 19 actors with 9 or 10 men each, the same for ever.

    Men, then women, each in the order of the SHA-256 of ``"cremad 0 ACTOR"``, are dealt to the folds in turn.
    """
    order = sorted(ACTORS, key=lambda actor: (actor in WOMEN, hashlib.sha256(f"cremad 0 {actor}".encode()).digest()))
    return tuple(tuple(sorted(map(str, order[fold::_NUM_FOLDS]))) for fold in range(_NUM_FOLDS))


def _protocols() -> tuple[Protocol, ...]:
    folds = actor_folds()
    return (Protocol(
        "five-actor-folds", tuple(Fold(str(place), test=fold, dev=folds[(place + 1) % _NUM_FOLDS])
                                  for place, fold in enumerate(folds)),
        source="made for this pipeline, not by the corpus's authors: men and women shuffled by a seed (0) and dealt to"
               " five folds; dev: the next fold"),)


class Cremad(Dataset):
    """Reads files by their names, wherever they lie below the root: ``VideoFlash/``, ``AudioWAV/`` or one folder.

    Film and sound of a performance have one name; one file is read. The votes of the crowd are read where
    ``processedResults/summaryTable.csv`` is there, or else counted from ``finishedResponses.csv``.
    """

    @dataclass(frozen=True)
    class Config(Dataset.Config):
        """Which files and votes are read; see ``Dataset.Config`` for the rest."""

        modality: Literal["best", "av", "audio"] = setting(
            "best", "files to read: av (flv, mp4) or audio (wav, flac, mp3); best: film where there is one")
        votes: Literal["multimodal", "voice", "face"] = setting(
            "multimodal", "whose votes emotion_crowd is: of people who saw and heard, only heard, or only saw")

    config: Config
    default_root: ClassVar[Path] = DISTRIBUTION.root
    known_defects: ClassVar[Mapping[str, str]] = KNOWN_DEFECTS
    published: ClassVar[Mapping[str, PublishedSplit]] = PUBLISHED
    where_to_get: ClassVar[str] = "`python -m pipeline download --dataset cremad` fetches it"

    @property
    def corpus(self) -> Corpus:
        """Intended emotion and the actor's gender; with a table of votes ``emotion_crowd`` too.

        Raises:
            DatasetError: as :meth:`clips`, of the table of votes.
        """
        emotions = tuple(EMOTIONS.values())
        tasks = [Task("emotion", emotions), Task("gender", ("male", "female"))]
        if self._votes is not None:
            tasks.insert(1, Task("emotion_crowd", emotions))
        return replace(DISTRIBUTION.corpus, tasks=tuple(tasks), protocols=_protocols())

    def clips(self) -> Iterator[Clip]:
        """Clips by name; ``clip_id`` is ``"all/<name>"``, speaker and group are the actor, ``"1001"`` … .

        A clip whose votes are a tie, or that nobody rated, has no ``emotion_crowd``.

        Raises:
            UsageError: a split other than ``all``.
            DatasetError: no folder, no media below it, no name that is CREMA-D's, none of the kind asked for, or a
                malformed table of votes.
        """
        self.notes.clear()
        for name in self.config.splits:
            if name != "all":
                raise unknown_name("split of cremad", name, ("all",))
        found, votes = self._named(), self._votes
        self._note(found, votes)
        for path, recording in found:
            labels = {"emotion": recording.emotion, "gender": recording.gender}
            vote = (votes or {}).get(recording.stem)
            if vote:
                labels["emotion_crowd"] = vote
            yield Clip(f"all/{recording.stem}", source=path, text=recording.sentence, speaker=str(recording.actor),
                       group=str(recording.actor), labels=labels)

    def _named(self) -> list[tuple[Path, Recording]]:
        """One file of every performance, by name."""
        if not self.root.is_dir():
            raise DatasetError(f"no folder {self.root}; expected CREMA-D there: {self.where_to_get}; then put it there"
                               " or name its folder with --root")
        suffixes = {"best": FILMS + SOUNDS, "av": FILMS, "audio": SOUNDS}[self.config.modality]
        paths = find_media(self.root, suffixes)
        if not paths:
            raise DatasetError(f"{self.root} holds no {', '.join(suffixes)} file; expected AudioWAV/1001_DFA_ANG_XX.wav"
                               f" or VideoFlash/1001_DFA_ANG_XX.flv and the like: {self.where_to_get}")
        good, wrong = read_names(paths, lambda path: parse_name(path.stem))
        if not good:
            raise DatasetError(f"none of {counted(len(paths), 'file')} below {self.root} has a name of CREMA-D, as"
                               f" 1001_DFA_ANG_XX.wav: {listed(wrong, joint='; ')}; name the folder of the corpus with"
                               " --root")
        if wrong:
            self.notes.append(f"{counted(len(wrong), 'file')} left out by their names: {listed(wrong, joint='; ')}")
        # The best kind of file first, and the right name before the wrong one.
        good.sort(key=lambda one: (one[1].stem, suffixes.index(one[0].suffix.lower()), one[0].stem != one[1].stem))
        once: dict[str, tuple[Path, Recording]] = {}
        for path, recording in good:
            once.setdefault(recording.stem, (path, recording))
        return list(once.values())

    def _note(self, found: Sequence[tuple[Path, Recording]], votes: Mapping[str, str] | None) -> None:
        """What a user should know of the files that are read."""
        kinds = Counter(path.suffix.lower()[1:] for path, _ in found)
        if len(kinds) > 1:
            self.notes.append("files of several kinds are read: "
                              + ", ".join(f"{number:,} {kind}" for kind, number in kinds.most_common()))
        self.notes += [f"{path.name} is read as {recording.stem}: a name that the publisher has since mended"
                       for path, recording in found if path.stem != recording.stem]
        self.notes += [f"all/{recording.stem} is known to be bad: {self.known_defects[f'all/{recording.stem}']}"
                       for _, recording in found if f"all/{recording.stem}" in self.known_defects]
        pointers = num_pointers(path for path, _ in found)
        if pointers:
            self.notes.append(f"{pointers:,} of {len(found):,} files are git-LFS pointers, not the files"
                              f" themselves; run `git lfs pull` in their repository, or {self.where_to_get}")
        if votes is None:
            self.notes.append(f"no {SUMMARY} and no {RESPONSES}: the clips have the intended emotion alone")
            return
        ties, unrated = (sum(votes.get(recording.stem) == what for _, recording in found) for what in ("", None))
        if ties or unrated:
            self.notes.append(f"{counted(ties + unrated, 'clip')} without emotion_crowd: {ties:,} by a tie of"
                              f" {self.config.votes} votes, {unrated:,} without votes")

    @cached_property
    def _votes(self) -> Mapping[str, str] | None:
        """The crowd's emotion by name, "" for a tie; None without a table."""
        for name, read in ((SUMMARY, self._summary), (RESPONSES, self._responses)):
            for folder in (self.root / "processedResults", self.root, self.root.parent / "processedResults",
                           self.root.parent):
                if (folder / name).is_file():
                    return read(_table(folder / name))
        return None

    def _summary(self, table: Table) -> dict[str, str]:
        """The votes as the publisher counted them: ``"A"``, or ``"A:D"`` for a tie; empty or ``NA`` where none is."""
        file_column = next((name for name in table.columns if name.lower() == "filename"), "FileName")
        column = _SUMMARY_COLUMNS[self.config.votes]
        table.require((file_column, column))
        found = {}
        for row in table.rows:
            vote = row.cells[column].strip()
            if vote not in ("", "NA"):
                names = [_emotion(letter, table, row.number, column) for letter in vote.split(":")]
                stem = row.cells[file_column].strip()
                found[MISNAMED.get(stem, stem)] = names[0] if len(names) == 1 else ""
        return found

    def _responses(self, table: Table) -> dict[str, str]:
        """The votes counted from the single responses."""
        table.require(("clipName", "queryType", "respEmo"))
        counts: dict[str, Counter[str]] = defaultdict(Counter)
        for row in table.rows:
            if row.cells["queryType"].strip() == _QUERIES[self.config.votes]:
                stem = row.cells["clipName"].strip()
                counts[MISNAMED.get(stem, stem)][_emotion(row.cells["respEmo"], table, row.number, "respEmo")] += 1
        return {stem: first if not rest or first_count > rest[0][1] else ""
                for stem, of in counts.items() for (first, first_count), *rest in (of.most_common(2),)}


def _emotion(text: str, table: Table, number: int, column: str) -> str:
    """The emotion of a vote: its first letter, or its three."""
    code = text.strip().upper()
    name = EMOTIONS.get(code) or _VOTES.get(code.lower())
    if name is None:
        raise DatasetError(f"{table.path}, row {number}: {column} is {shown(text)}; expected one of"
                           f" {', '.join(letter.upper() for letter in _VOTES)}")
    return name


def _table(path: Path) -> Table:
    content = read_bytes(path)
    if POINTER.match(content):
        raise DatasetError(f"{path} is a git-LFS pointer, not the file itself; run `git lfs pull` in its repository")
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise DatasetError(f"{path} is not UTF-8; expected the publisher's CSV: fetch it again") from error
    return parse_table(_UNNAMED.sub('"row",', text), path)
