"""RAVDESS: 24 actors speak or sing two sentences with eight emotions at two strengths (Livingstone & Russo 2018)."""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from types import MappingProxyType
from typing import Any, ClassVar, Literal

from pipeline.clip import Clip, Corpus, Fold, Protocol, Task
from pipeline.config import setting
from pipeline.datasets import Dataset, PublishedSplit
from pipeline.datasets._media import counted, find_media, listed, num_pointers, read_names
from pipeline.downloads.ravdess import DISTRIBUTION
from pipeline.errors import DatasetError, unknown_name
from pipeline.rendering.corpus import CITATION, LICENCE, rendered_layout

EMOTIONS = ("neutral", "calm", "happy", "sad", "angry", "fearful", "disgust", "surprised")
SONG_EMOTIONS = EMOTIONS[:6]
INTENSITIES = ("normal", "strong")
STATEMENTS = ("Kids are talking by the door", "Dogs are sitting by the door")
ACTORS = tuple(range(1, 25))
MODALITIES = MappingProxyType({"av": "picture with sound (01)", "video": "picture alone (02)",
                               "audio": "sound alone (03)"})
SUFFIXES = (".mp4", ".wav", ".flac")
# Each field of a name, with what its codes 01, 02 … mean.
FIELDS: Mapping[str, Sequence[Any]] = MappingProxyType({
    "modality": tuple(MODALITIES), "channel": ("speech", "song"), "emotion": EMOTIONS, "intensity": INTENSITIES,
    "statement": STATEMENTS, "repetition": (1, 2), "actor": ACTORS})

# The folds that papers on unseen actors share; their fold 0 stands first.
_FIVE_FOLDS = ((2, 5, 14, 15, 16), (3, 6, 7, 13, 18), (10, 11, 12, 19, 20), (8, 17, 21, 23, 24), (1, 4, 9, 22))
# Counts in the paper: neutral has no strong form, so half as many; 18 of the women sings no song.
PUBLISHED: Mapping[str, PublishedSplit] = MappingProxyType({
    "speech": PublishedSplit(1440, (24,), {
        "emotion": dict(zip(EMOTIONS, (96, 192, 192, 192, 192, 192, 192, 192))),
        "intensity": {"normal": 768, "strong": 672}, "gender": {"male": 720, "female": 720}}),
    "song": PublishedSplit(1012, (23,), {
        "emotion": dict(zip(SONG_EMOTIONS, (92, 184, 184, 184, 184, 184))),
        "intensity": {"normal": 552, "strong": 460}, "gender": {"male": 528, "female": 484}}),
    "both": PublishedSplit(2452, (24,), {
        "emotion": dict(zip(EMOTIONS, (188, 376, 376, 376, 376, 376, 192, 192))),
        "intensity": {"normal": 1320, "strong": 1132}, "gender": {"male": 1248, "female": 1204}}),
})
KNOWN_DEFECTS: Mapping[str, str] = MappingProxyType({
    "all/*-01-03-01-02-02-07": "its sound (03) is that of 03-01-03-01-02-01-07, sample for sample"})
_ACTOR_FOLDER = re.compile(r"actor_(\d{2})", re.ASCII | re.IGNORECASE)
_TWO_DIGITS = re.compile(r"\d{2}", re.ASCII)


@dataclass(frozen=True)
class Recording:
    """What the seven fields of a name say.

    Args:
        modality: ``"av"``, ``"video"`` or ``"audio"``.
        channel: ``"speech"`` or ``"song"``.
        emotion: one of ``EMOTIONS``.
        intensity: ``"normal"`` or ``"strong"``.
        statement: the words, one of ``STATEMENTS``.
        repetition: 1 or 2.
        actor: 1 to 24.

    Raises:
        ValueError: there is no such recording: a strong neutral, a song of disgust or surprise, a song of actor 18.
    """

    modality: str
    channel: str
    emotion: str
    intensity: str
    statement: str
    repetition: int
    actor: int

    def __post_init__(self) -> None:
        for name, values in FIELDS.items():
            if getattr(self, name) not in values:
                raise ValueError(f"{name} is {getattr(self, name)!r}; expected one of {', '.join(map(str, values))}")
        if self.emotion == "neutral" and self.intensity == "strong":
            raise ValueError("neutral (emotion 01) is never strong (intensity 02)")
        if self.channel == "song" and self.emotion not in SONG_EMOTIONS:
            raise ValueError(f"a song (channel 02) is never {self.emotion}; expected emotion 01 to 06")
        if self.channel == "song" and self.actor == 18:
            raise ValueError("actor 18 sings no song (channel 02)")

    @property
    def stem(self) -> str:
        """The file's name without suffix.

        >>> parse_name("03-01-06-01-02-01-12").stem
        '03-01-06-01-02-01-12'
        """
        return "-".join(f"{values.index(getattr(self, name)) + 1:02d}" for name, values in FIELDS.items())

    @property
    def take(self) -> str:
        """What the files 01, 02 and 03 of one performance share: the name without its modality."""
        return self.stem[3:]

    @property
    def gender(self) -> str:
        """Of the actor: odd numbers are men."""
        return "male" if self.actor % 2 else "female"

    @property
    def group(self) -> str:
        """The actor as folds name them: ``"07"``."""
        return f"{self.actor:02d}"


def parse_name(stem: str) -> Recording:
    """What a file's name says.

    Args:
        stem: the name without its suffix.

    Raises:
        ValueError: it is not seven fields of two digits, a field's code means nothing, or there is no such recording.

    >>> parse_name("03-01-06-01-02-01-12").emotion
    'fearful'
    """
    codes = stem.split("-")
    if len(codes) != len(FIELDS):
        raise ValueError(f"{counted(len(codes), 'field')}; expected seven, {'-'.join(FIELDS)}, as in"
                         " 03-01-06-01-02-01-12")
    found: list[Any] = []
    for code, (name, values) in zip(codes, FIELDS.items()):
        if not _TWO_DIGITS.fullmatch(code):
            raise ValueError(f"{name} is {ascii(code[:20])}; expected two digits")
        if not 0 < int(code) <= len(values):
            raise ValueError(f"{name} is {code}; expected 01 to {len(values):02d}")
        found.append(values[int(code) - 1])
    return Recording(*found)


def every_recording(channel: str, *, modality: str = "av") -> Iterator[Recording]:
    """All recordings of speech (1,440) or song (1,012), by actor and then by name."""
    for actor in ACTORS:
        for emotion in EMOTIONS if channel == "speech" else SONG_EMOTIONS:
            for intensity in INTENSITIES[:1] if emotion == "neutral" else INTENSITIES:
                for statement in STATEMENTS:
                    for repetition in (1, 2):
                        if channel == "speech" or actor != 18:
                            yield Recording(modality, channel, emotion, intensity, statement, repetition, actor)


def _protocols() -> tuple[Protocol, ...]:
    names = [f"{actor:02d}" for actor in ACTORS]
    folds = [tuple(f"{actor:02d}" for actor in fold) for fold in _FIVE_FOLDS]
    five = tuple(Fold(str(place), test=fold, dev=folds[(place + 1) % len(folds)]) for place, fold in enumerate(folds))
    one = tuple(Fold(name, test=(name,), dev=(names[place % 24], names[(place + 1) % 24]))
                for place, name in enumerate(names, start=1))
    return (
        Protocol("five-actor-folds", five,
                 source="test folds: C. Luna-Jiménez et al., Applied Sciences 12(1): 327, 2022, as printed at"
                        " https://github.com/cristinalunaj/MMEmotionRecognition; dev: the next fold, by this pipeline"),
        Protocol("leave-one-actor-out", one,
                 source="each actor tested once; dev: the next two actors, a man and a woman, by this pipeline"),
        Protocol("fixed-20-2-2", (Fold("23-24", test=("23", "24"), dev=("21", "22")),),
                 source="train 01–20, dev 21–22, test 23–24, as in published code, for instance"
                        " https://github.com/nathandpenha/European-Space-Agency-Video-Sentiment-Analysis; not by the"
                        " corpus's authors",
                 warning="two actors are tested: another two may give quite another figure"))


class Ravdess(Dataset):
    """Reads files by their names, wherever they lie below the root: as unpacked, in ``Actor_01`` …, or in one folder.

    A performance is published up to three times, as 01 (picture with sound), 02 (picture alone) and 03 (sound alone):
    names that differ in their first field only. One file of each is read unless all are asked for, and all have their
    actor as group, so they never part.
    """

    @dataclass(frozen=True)
    class Config(Dataset.Config):
        """Which files are read; see ``Dataset.Config`` for the rest."""

        modality: Literal["best", "av", "video", "audio", "all"] = setting(
            "best", "files to read: av (01), video (02), audio (03); best: one of each performance, 01 before 03 before"
                    " 02; all: every file, so that performances are there up to three times")
        channel: Literal["speech", "song", "both"] = setting("speech", "speech, song or both")

    config: Config
    default_root: ClassVar[Path] = DISTRIBUTION.root
    known_defects: ClassVar[Mapping[str, str]] = KNOWN_DEFECTS
    where_to_get: ClassVar[str] = (
        f"`python -m pipeline download --dataset ravdess` fetches it, or unpack its archives by hand from"
        f" {DISTRIBUTION.corpus.terms_url}")

    @property
    def corpus(self) -> Corpus:
        """Emotions in the corpus's order, six for songs; terms are the sample's where the files were rendered here."""
        emotions = SONG_EMOTIONS if self.config.channel == "song" else EMOTIONS
        tasks = (Task("emotion", emotions), Task("intensity", INTENSITIES), Task("gender", ("male", "female")))
        corpus = replace(DISTRIBUTION.corpus, tasks=tasks, protocols=_protocols())
        if not self._is_rendered:
            return corpus
        return replace(corpus, licence=LICENCE, terms_url="", redistribute="yes", citation=CITATION)

    @property
    def published(self) -> Mapping[str, PublishedSplit]:  # type: ignore[override]
        """Counts of the channel that is read; none where files are read several times, or were rendered here."""
        if self.config.modality == "all" or self._is_rendered:
            return {}
        return {"all": PUBLISHED[self.config.channel]}

    def clips(self) -> Iterator[Clip]:
        """Clips by actor and name; ``clip_id`` is ``"all/<name>"``, speaker and group are the actor, ``"01"`` … .

        Raises:
            UsageError: a split other than ``all``.
            DatasetError: no folder, no media below it, no name that is RAVDESS's, or none of the kind asked for.
        """
        self.notes.clear()
        for name in self.config.splits:
            if name != "all":
                raise unknown_name("split of ravdess", name, ("all",))
        found = self._chosen(self._spoken(self._named()))
        self._note_missing([recording for _, recording in found])
        pointers = num_pointers(path for path, _ in found)
        if pointers:
            self.notes.append(f"{pointers:,} of {len(found):,} files are git-LFS pointers, not the files"
                              " themselves; run `git lfs pull` in their repository")
        for path, recording in found:
            yield Clip(f"all/{recording.stem}", source=path, text=recording.statement, speaker=recording.group,
                       group=recording.group, labels={"emotion": recording.emotion, "gender": recording.gender,
                                                      "intensity": recording.intensity})

    @property
    def _is_rendered(self) -> bool:
        return rendered_layout(self.root) == "ravdess"

    def _named(self) -> list[tuple[Path, Recording]]:
        """Every file with a right name, once, by actor and name."""
        if not self.root.is_dir():
            raise DatasetError(f"no folder {self.root}; expected RAVDESS there: {self.where_to_get}; then put it there"
                               " or name its folder with --root")
        paths = find_media(self.root, SUFFIXES)
        if not paths:
            zips = len(find_media(self.root, (".zip",)))
            what = f"but {counted(zips, 'zip archive')}" if zips else "and nothing that could be unpacked"
            raise DatasetError(f"{self.root} holds no mp4, wav or flac file, {what}; expected Actor_01/03-01-….wav and"
                               f" the like: {'unpack there' if zips else self.where_to_get}")
        good, wrong = read_names(paths, _parse_path)
        if not good:
            raise DatasetError(f"none of {counted(len(paths), 'file')} below {self.root} has a name of RAVDESS, as"
                               f" 03-01-06-01-02-01-12.wav: {listed(wrong, joint='; ')}; name the folder of the corpus"
                               " with --root")
        if wrong:
            self.notes.append(f"{counted(len(wrong), 'file')} left out by their names: {listed(wrong, joint='; ')}")
        good.sort(key=lambda one: (one[1].actor, one[1].stem, SUFFIXES.index(one[0].suffix.lower())))
        once = {recording.stem: path for path, recording in reversed(good)}
        copies = [str(path.relative_to(self.root)) for path, recording in good if once[recording.stem] != path]
        if copies:
            self.notes.append(f"{counted(len(copies), 'file')} left out as second copies by name: {listed(copies)}")
        return [(path, recording) for path, recording in good if once[recording.stem] == path]

    def _spoken(self, found: list[tuple[Path, Recording]]) -> list[tuple[Path, Recording]]:
        """Those of the channel asked for."""
        asked = self.config.channel
        other = "song" if asked == "speech" else "speech"
        kept = [one for one in found if asked in ("both", one[1].channel)]
        if not kept:
            raise DatasetError(f"{self.root} holds no {asked} but {counted(len(found), 'file')} of {other}; expected"
                               f" {asked}: read what is there with --set ravdess.channel=both")
        if len(kept) < len(found):
            self.notes.append(f"{counted(len(found) - len(kept), 'file')} of {other} left out; --set"
                              " ravdess.channel=both reads both")
        return kept

    def _chosen(self, found: list[tuple[Path, Recording]]) -> list[tuple[Path, Recording]]:
        """Those of the modality asked for; with ``best`` one of each performance."""
        asked = self.config.modality
        there = _by_modality(found)
        if asked == "best":
            takes: dict[str, dict[str, tuple[Path, Recording]]] = defaultdict(dict)
            for path, recording in found:
                takes[recording.take][recording.modality] = path, recording
            kept = [next(of[name] for name in ("av", "audio", "video") if name in of) for of in takes.values()]
        else:
            kept = [one for one in found if asked in ("all", one[1].modality)]
        if not kept:
            raise DatasetError(f"{self.root} holds no {MODALITIES[asked]}; the performances asked for are there as"
                               f" {there}: read them without --set ravdess.modality={asked}")
        if len(kept) < len(found):
            self.notes.append(f"one file of each performance is read ({_by_modality(kept)}) of those that are there"
                              f" ({there}); --set ravdess.modality=av|video|audio|all chooses others")
        kept.sort(key=lambda one: (one[1].actor, one[1].stem))
        return kept

    def _note_missing(self, found: Sequence[Recording]) -> None:
        """Performances of the corpus that are not here, by actor."""
        here = {recording.take for recording in found}
        channels = ("speech", "song") if self.config.channel == "both" else (self.config.channel,)
        missing = Counter(recording.group for channel in channels for recording in every_recording(channel)
                          if recording.take not in here)
        if missing and not self._is_rendered:
            actors = [f"{actor} ({number})" for actor, number in sorted(missing.items())]
            self.notes.append(f"{sum(missing.values()):,} of {PUBLISHED[self.config.channel].num_clips:,} performances"
                              f" are not here; by actor: {listed(actors)}")


def _parse_path(path: Path) -> Recording:
    """What a file's name says, checked against its suffix and its folder."""
    recording = parse_name(path.stem)
    if recording.modality != "audio" and path.suffix.lower() != ".mp4":
        raise ValueError(f"a {path.suffix.lower()[1:]} file holds no picture, its name says"
                         f" {MODALITIES[recording.modality]}; name sound alone 03-…")
    folder = _ACTOR_FOLDER.fullmatch(path.parent.name)
    if folder and int(folder[1]) != recording.actor:
        raise ValueError(f"its name says actor {recording.group}, its folder {path.parent.name}")
    return recording


def _by_modality(found: Sequence[tuple[Path, Recording]]) -> str:
    counts = Counter(recording.modality for _, recording in found)
    return ", ".join(f"{what}: {counts[name]:,}" for name, what in MODALITIES.items() if counts[name])
