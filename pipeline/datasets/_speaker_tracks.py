"""Face tracks of AVA-ActiveSpeaker and UniTalk as clips: tables of labels, and where pictures and sound should lie.

Folders are listed, files are not: a corpus of four million pictures has some hundred folders of some hundred tracks
each. Every row keeps the path that its picture should have, there or not, and every track the path of its sound; what
is missing is the track's failure when it is read.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import overload

import numpy as np
import pandas as pd

from pipeline.clip import Clip, FrameLabels, Task, Track
from pipeline.datasets._media import counted, listed
from pipeline.errors import DatasetError, UsageError, unknown_name
from pipeline.speaking.speaker_tables import OnDamage, SpeakerTable, Tracks, join_tables, read_ground_truth

SPEAKING = Task("speaking", ("not_speaking", "speaking"), level="frame", positive="speaking")
TRACK_EXTRACTORS = ("asd_faces", "asd_audio")
# Our splits and what the publishers call them: both publish labels of "val" alone to test on, and no dev.
PUBLISHED_NAMES: Mapping[str, str] = MappingProxyType({"train": "train", "test": "val"})

_COLONS = (":", "_")  # of a track's id in names of files; unpacking where names hold no colon puts the other
_SUFFIXES = (".jpg", ".jpeg", ".png")
_FORMS: tuple[Callable[[float, str], str], ...] = (lambda time, text: f"{time:.2f}", lambda time, text: text)
_USUAL_RATES_HZ = (24000 / 1001, 24.0, 25.0, 30000 / 1001, 30.0, 50.0, 60000 / 1001, 60.0)
_LOOKED_AT = 3  # folders of pictures, to learn how they are named


class Pictures(Sequence[Path]):
    """Paths of a track's pictures, made when they are asked for: four million of them would fill a gigabyte.

    Args:
        folder: of the track.
        names: of the files; object (T,).
    """

    def __init__(self, folder: Path, names: np.ndarray) -> None:
        self.folder, self.names = folder, names

    def __len__(self) -> int:
        return len(self.names)

    @overload
    def __getitem__(self, place: int) -> Path: ...

    @overload
    def __getitem__(self, place: slice) -> Pictures: ...

    def __getitem__(self, place: int | slice) -> Path | Pictures:
        if isinstance(place, slice):
            return Pictures(self.folder, self.names[place])
        return self.folder / str(self.names[place])


@dataclass(frozen=True)
class Places:
    """Where the pictures and the sound of the tracks of one split are, as far as folders tell.

    Args:
        pictures: ``clips_videos/SPLIT``.
        sound: ``clips_audios/SPLIT``; None where the corpus has no sound at all.
        in_pictures: names in it by folder below it: of videos or, where tracks lie flat, of tracks themselves under "".
        in_sound: the same of ``sound``.
    """

    pictures: Path
    sound: Path | None
    in_pictures: Mapping[str, frozenset[str]]
    in_sound: Mapping[str, frozenset[str]]

    def folder_of(self, video: str, entity: str) -> tuple[Path, bool]:
        """Where a track's pictures should be, and whether that folder is there."""
        return _find(self.pictures, self.in_pictures, video, entity, "")

    def sound_of(self, video: str, entity: str) -> tuple[Path | None, bool]:
        """Where a track's sound should be, and whether that file is there."""
        return (None, False) if self.sound is None else _find(self.sound, self.in_sound, video, entity, ".wav")


def splits_of(corpus: str, asked: Collection[str]) -> tuple[str, ...]:
    """The splits asked for, in order; all where none is named.

    Raises:
        UsageError: there is none of that name.
    """
    for name in asked:
        if name not in PUBLISHED_NAMES:
            hint = "; what is published as val is the split test here" if name in ("val", "dev") else ""
            raise UsageError(f"{unknown_name(f'split of {corpus}', name, PUBLISHED_NAMES)}{hint}")
    return tuple(name for name in PUBLISHED_NAMES if name in asked or not asked)


def find_places(root: Path, published: str, videos: np.ndarray) -> Places:
    """List the folders of one split.

    Args:
        root: of the corpus.
        published: what its publisher calls the split.
        videos: whose folders are wanted; text, each as often as it likes.

    Raises:
        DatasetError: a folder cannot be read.
    """
    pictures, sound = root / "clips_videos" / published, root / "clips_audios" / published
    names = pd.unique(videos).tolist()
    return Places(pictures, sound if (root / "clips_audios").is_dir() else None,
                  _names_below(pictures, names), _names_below(sound, names))


@dataclass(frozen=True)
class LabelFiles:
    """Where the labels of a corpus lie.

    Args:
        corpus: its name.
        root: its folder.
        places: paths below the root with ``{}`` for what the publisher calls the split: a CSV file, or a folder with
            one for each video; the first that is there is read.
        where_to_get: for messages.
        on_damage: what to do with rows that are wrong.
    """

    corpus: str
    root: Path
    places: tuple[str, ...]
    where_to_get: str
    on_damage: OnDamage

    def tables(self, asked: Collection[str], notes: list[str]) -> Iterator[tuple[str, SpeakerTable]]:
        """The labels of each split asked for; of each that is there where none is named.

        Args:
            asked: names of splits, as ours.
            notes: what the tables say, and which splits are not there, is added to them.

        Raises:
            UsageError: there is no split of that name.
            DatasetError: there are no labels; one file cannot be read, or a row of it; two files hold the same track.
        """
        splits = splits_of(self.corpus, asked)
        if not self.root.is_dir():
            raise DatasetError(f"no folder {self.root}; expected the dataset {self.corpus} there: {self.where_to_get};"
                               " then put it there or name its folder with --root")
        files = {split: self._files(PUBLISHED_NAMES[split]) for split in splits}
        for split in splits:
            if not files[split] and (asked or not any(files.values())):
                expected = " or ".join(place.format(PUBLISHED_NAMES[split]) for place in self.places)
                others = [other for other in PUBLISHED_NAMES if self._files(PUBLISHED_NAMES[other])]
                leave = f", or leave {split} out with --splits {','.join(others)}" if others else ""
                raise DatasetError(f"no labels of {split} in {self.root}; expected {expected}: {self.where_to_get}"
                                   f"{leave}")
        for split, (place, *paths) in ((split, found) for split, found in files.items() if found):
            table = join_tables([read_ground_truth(path, on_damage=self.on_damage) for path in paths], place)
            notes += table.notes
            yield split, table
        notes += [f"{split}: no labels here, left out" for split, found in files.items() if not found]

    def _files(self, published: str) -> list[Path]:
        """The first place with labels, then the files in it; empty where there are none."""
        for place in (self.root / name.format(published) for name in self.places):
            files = sorted(place.rglob("*.csv")) if place.is_dir() else [place] if place.exists() else []
            files = [path for path in files if not path.name.startswith(".")]
            if files:
                return [place, *files]
        return []


def track_clips(table: SpeakerTable, places: Places, split: str, rate_of: Callable[[str], float],
                notes: list[str]) -> Iterator[Clip]:
    """A clip for each track, in the order in which the table first names them.

    ``start_seconds`` and ``stop_seconds`` are the track's in its video; the times of its frames count from its start.

    Args:
        table: labels of one split.
        places: of its pictures and sound.
        split: ours, in front of every id.
        rate_of: frames a second, by video.
        notes: what is missing is added to them.
    """
    tracks = table.tracks()
    names = _picture_names(table, tracks, places)[tracks.order]
    time, speaking = table.time[tracks.order], table.speaking[tracks.order].astype(np.int64)
    no_pictures: list[str] = []
    no_sound: list[str] = []
    for start, stop in zip(tracks.starts[:-1].tolist(), tracks.starts[1:].tolist()):
        row = tracks.order[start]
        video, entity = str(table.video[row]), str(table.entity[row])
        folder, is_there = places.folder_of(video, entity)
        sound, is_heard = places.sound_of(video, entity)
        no_pictures += [] if is_there else [entity]
        no_sound += [] if is_heard or sound is None else [entity]
        rate = rate_of(video)
        times = time[start:stop] - time[start]
        pictures = Pictures(folder, names[start:stop])
        yield Clip(f"{split}/{entity}", source=folder, start_seconds=float(time[start]),
                   stop_seconds=float(time[stop - 1]) + 1 / rate, speaker=entity, dialogue=video, group=video,
                   split=split, track=Track(pictures, times, sound, rate),
                   frame_labels=FrameLabels(times, {SPEAKING.name: speaking[start:stop]}, rate))
    notes += _told(places, split, len(tracks), no_pictures, no_sound)


def mean_rates(table: SpeakerTable) -> dict[str, float]:
    """Frames a second of each video, from the steps between a track's frames; gaps are left out.

    Times are printed with two digits or so, hence the mean over a video, and the nearest usual rate within 1 %.
    """
    tracks = table.tracks()
    videos, names = pd.factorize(table.video[tracks.order])
    steps = np.diff(table.time[tracks.order])
    within = np.ones(len(steps), bool)
    within[tracks.starts[1:-1] - 1] = False
    found = {}
    for code, name in enumerate(names):
        of = steps[within & (videos[1:] == code)]
        of = of[of < 1.5 * np.median(of)] if len(of) else of
        rate = 1 / float(of.mean()) if len(of) else 25.0
        nearest = min(_USUAL_RATES_HZ, key=lambda usual: abs(usual - rate))
        found[str(name)] = nearest if abs(nearest - rate) < 0.01 * rate else rate
    return found


def _find(base: Path, there: Mapping[str, frozenset[str]], video: str, entity: str, suffix: str) -> tuple[Path, bool]:
    spelt = [entity.replace(":", colon) + suffix for colon in _COLONS]
    for name in spelt:
        if name in there.get(video, ()):
            return base / video / name, True
    for name in spelt:
        if name in there[""]:
            return base / name, True
    return base / video / spelt[0], False


def _names_below(folder: Path, videos: Sequence[str]) -> dict[str, frozenset[str]]:
    top = _names_in(folder)
    return {"": top, **{video: _names_in(folder / video) for video in videos if video in top}}


def _names_in(folder: Path) -> frozenset[str]:
    try:
        with os.scandir(folder) as entries:
            return frozenset(entry.name for entry in entries)
    except (FileNotFoundError, NotADirectoryError):
        return frozenset()
    except OSError as error:
        raise DatasetError(f"{folder} cannot be read: {error.strerror}; check the disk and the permissions") from error


def _picture_names(table: SpeakerTable, tracks: Tracks, places: Places) -> np.ndarray:
    """Name of each row's picture, object (N,): as those are named that are there, else with two digits."""
    codes, texts = pd.factorize(table.time_text)
    first = np.zeros(len(texts), np.int64)
    first[codes[::-1]] = np.arange(len(codes))[::-1]
    times = table.time[first]
    choices = [np.array([form(time, text) + suffix for time, text in zip(times.tolist(), texts.tolist())], object)
               for form in _FORMS for suffix in _SUFFIXES]
    known: set[str] = set()
    looked = 0
    for row in tracks.order[tracks.starts[:-1]]:
        folder, is_there = places.folder_of(table.video[row], table.entity[row])
        if is_there:
            known |= _names_in(folder)
            looked += 1
        if looked == _LOOKED_AT:
            break
    best = max(choices, key=lambda names: len(known.intersection(names.tolist())))
    named: np.ndarray = best[codes]
    return named


def _told(places: Places, split: str, number: int, no_pictures: Sequence[str], no_sound: Sequence[str]) -> list[str]:
    def said(without: Sequence[str], of: str) -> str:
        return f"{split}: {len(without):,} of {counted(number, 'track')} have no {of}: {listed(without)}"

    notes = [said(no_pictures, f"folder of pictures in {places.pictures}")] if no_pictures else []
    if places.sound is None:
        notes.append(f"{split}: no folder clips_audios, so its tracks have pictures alone")
    elif no_sound:
        notes.append(said(no_sound, f"sound in {places.sound}"))
    return notes
