"""UniTalk's form: two splits of videos, a row and a picture for every face in every frame, and each face's sound."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from pipeline.rendering.conversation import OUT_OF_VIEW, RATE_HZ, Conversation, Face, Performance, film
from pipeline.rendering.layouts import Filmed, Layout, Plan, Shot, Table, words_table
from pipeline.rendering.script import SPEAKERS, Speaker
from pipeline.rendering.speech import utter
from pipeline.rendering.voice import SAMPLE_RATE_HZ, write_wav

if TYPE_CHECKING:
    from pipeline.rendering.scene import Scene, Track

SPLITS = ("train", "val")
SUB_CATEGORIES = ("language", "noise", "visual", "mixed")
COLUMNS = ("video_id", "frame_timestamp", "entity_box_x1", "entity_box_y1", "entity_box_x2", "entity_box_y2", "label",
           "entity_id", "label_id", "instance_id")
_TRUTH_COLUMNS = ("split", "video_id", "sub_category", "entity_id", "kind", "start_seconds", "stop_seconds", "text")
_JPEG_QUALITY = 95
# Nobody is in both splits: the people of a split are varied from its own half of the script's.
_BASES = {"train": SPEAKERS[:4], "val": SPEAKERS[4:]}
_SENTENCES = ("I put the letter on the table.", "We can take the bus at nine.", "Something is behind the door!",
              "My sister works near the station.", "You broke my guitar again!", "I do not know what to say.",
              "This soup tastes awful.", "They moved the paper to the garden.", "Thank you, the cake is wonderful!",
              "I saw it at the hotel.", "Is that what you said?", "He is gone and I feel alone.")
# Other languages: syllables that no English sentence above is made of; val's are not those of train.
_SYLLABLES = {"train": ("ka", "mi", "to", "re", "su", "no", "ha", "yo"),
              "val": ("dai", "lo", "wen", "shu", "mai", "zor", "peth", "oo", "gan")}
_OTHER_LANGUAGE_SHARE = 0.3  # of the voices in train; in val it is that of its sub-categories
_NOISE_SHARE = 0.4
_MIMING_SHARE, _CHEWING_SHARE = 0.40, 0.20  # of those in view whose turn it is not
_NOBODY = -2
_README = """Talking faces and voices made by a program from a seed: nobody said or felt any of this.
The photograph is of Eileen Collins, by NASA, public domain, as it ships with scikit-image.
Folders, names and tables have the form of UniTalk; nothing else is of UniTalk. csv/ holds a row for every face in every
frame, clips_videos/ its picture, clips_audios/ the sound of every face's stretch, videos/ the whole; sub_categories/
says of the val videos what makes them hard. truth.csv says what every mouth does when, words.csv when each word is
said. sample.json lists the files.
"""


@dataclass(frozen=True)
class Video:
    """A video and its place in the corpus."""

    split: str
    video_id: str
    sub_category: str
    conversation: Conversation


def choose_videos(num_videos: int, seed: int) -> tuple[Video, ...]:
    """Conversations of two to four faces, a third of them in val, whose sub-categories take turns.

    Args:
        num_videos: at least 3.
        seed: another seed, other people, words and times.

    Raises:
        ValueError: fewer than 3 videos.
    """
    if num_videos < 3:
        raise ValueError(f"UniTalk's form has at least 3 videos, asked for {num_videos}")
    num_val = num_videos // 3
    videos = []
    for split, count in zip(SPLITS, (num_videos - num_val, num_val)):
        for number in range(count):
            rng = np.random.default_rng([seed, SPLITS.index(split), number])
            name = f"made_{split[:2]}_{number:03d}"
            category = SUB_CATEGORIES[number % len(SUB_CATEGORIES)]
            videos.append(Video(split, name, category, converse(name, split, category, rng)))
    return tuple(videos)


def converse(name: str, split: str, sub_category: str, rng: np.random.Generator) -> Conversation:
    """One video: turns of speech by two or more of its faces, or by somebody out of view; others move their mouths too.

    Args:
        name: the video's id.
        split: whose people and languages.
        sub_category: language, noise, visual (more and smaller faces) or mixed (all of these).
        rng: all that is left open.
    """
    crowded = sub_category in ("visual", "mixed")
    num_faces = 4 if sub_category == "visual" else int(rng.integers(3, 5)) if crowded else int(rng.integers(2, 4))
    people = [_person(split, rng) for _ in range(num_faces + 1)]
    foreign = sub_category in ("language", "mixed") if split == "val" else rng.random() < _OTHER_LANGUAGE_SHARE
    noisy = sub_category in ("noise", "mixed") if split == "val" else rng.random() < _NOISE_SHARE
    performances, end = _perform(num_faces, split if foreign else "", rng)
    num_frames = int(np.ceil((end + rng.uniform(.2, .45)) * RATE_HZ))
    emotions = rng.choice(("neutral", "neutral", "joy", "sadness", "anger"), num_faces)
    faces = tuple(Face(person, str(emotion), f"{name}:{number}", int(rng.integers(0, 8)),
                       num_frames - int(rng.integers(0, 8)))
                  for number, (person, emotion) in enumerate(zip(people, emotions), start=1))
    height, width, zoom = (112, 120, .68) if crowded else (160, 150, float(rng.uniform(.88, 1.05)))
    return Conversation(faces, 2 if num_faces == 4 else num_faces, (height, width), zoom, performances, people[-1],
                        num_frames, float(rng.uniform(4, 10)) if noisy else None)


def plan(num_clips: int, seed: int) -> Plan:
    """See :func:`choose_videos`."""
    videos = choose_videos(num_clips, seed)
    shots = [Shot(f"videos/{video.split}/{video.video_id}.mp4",
                  video.conversation.num_frames * len(video.conversation.faces), partial(film, video.conversation),
                  partial(write_tracks, video.split, video.video_id)) for video in videos]
    return Plan(tuple(shots), partial(_tables, videos))


def write_tracks(split: str, video_id: str, scene: Scene, folder: Path) -> None:
    """Cut every track's pictures and sound out of a video.

    Args:
        split, video_id: where it belongs.
        scene: the video.
        folder: of the corpus.
    """
    from PIL import Image

    sounds = folder / "clips_audios" / split / video_id
    sounds.mkdir(parents=True)
    for track in scene.tracks:
        pictures = folder / "clips_videos" / split / video_id / track.entity
        pictures.mkdir(parents=True)
        for offset, box in enumerate(np.round(track.boxes).astype(int)):
            left, top, right, bottom = (int(side) for side in box)
            face = Image.fromarray(scene.frames[track.first_frame + offset, top:bottom, left:right])
            face.save(pictures / f"{_time(track, offset)}.jpg", quality=_JPEG_QUALITY)
        start, stop = (round(frame / RATE_HZ * SAMPLE_RATE_HZ)
                       for frame in (track.first_frame, track.first_frame + len(track.labels)))
        write_wav(sounds / f"{track.entity}.wav", scene.waveform[start:stop])


def _perform(num_faces: int, language: str, rng: np.random.Generator) -> tuple[tuple[Performance, ...], float]:
    """What mouths do, and when the last turn ends.

    The first two turns are of two people in view; the third is of one of the people, of a voice out of view, or of
    nobody. Others mime or chew meanwhile.
    """
    first, second, *_ = (int(place) for place in rng.permutation(num_faces))
    chance = rng.random()
    last = OUT_OF_VIEW if chance < .2 else _NOBODY if chance < .4 else int(rng.integers(num_faces))
    performances: list[Performance] = []
    now = float(rng.uniform(.2, .45))
    for turn, speaker in enumerate((first, second, last)):
        text, rate = _sentence(language, rng), float(rng.uniform(1.15, 1.45))
        stop = now + _length(text, rate)
        if speaker != _NOBODY:
            performances.append(Performance(speaker, "speaking", now, stop, text, rate))
        pause = float(rng.uniform(.3, .5)) if turn < 2 else .0
        for person in range(num_faces):
            if person != speaker:
                performances += _others_mouth(person, now, stop, language, rng)
        now = stop + pause
    return tuple(performances), now


def _others_mouth(person: int, start: float, stop: float, language: str, rng: np.random.Generator) -> list[Performance]:
    """What somebody does while another's turn lasts: nothing, miming of another sentence, or chewing."""
    chance, begin = rng.random(), start + float(rng.uniform(-.1, .3))
    if chance < _MIMING_SHARE:
        text, rate = _sentence(language, rng), float(rng.uniform(1.15, 1.45))
        return [Performance(person, "miming", begin, min(stop + .1, begin + _length(text, rate)), text, rate)]
    if chance < _MIMING_SHARE + _CHEWING_SHARE:
        return [Performance(person, "chewing", begin, stop - float(rng.uniform(0, .2)))]
    return []


def _length(text: str, rate: float) -> float:
    return sum(phone.seconds for phone in utter(text, rate=rate, start_seconds=0)[0])


def _sentence(language: str, rng: np.random.Generator) -> str:
    """An English sentence, or words of the made syllables of a split's language."""
    if not language:
        return str(rng.choice(_SENTENCES))
    words = ("".join(str(part) for part in rng.choice(_SYLLABLES[language], int(length)))
             for length in rng.integers(1, 4, 4))
    return " ".join(words) + "."


def _person(split: str, rng: np.random.Generator) -> Speaker:
    """Somebody who was never seen or heard before, varied from one of the split's people."""
    bases = _BASES[split]
    basis = bases[int(rng.integers(len(bases)))]
    red, green, blue = (float(gain) for gain in rng.uniform(.85, 1.08, 3))
    light = float(rng.uniform(.85, 1.1))
    skin, hair = basis.skin, basis.hair
    return replace(
        basis, pitch_hz=basis.pitch_hz * float(np.exp(rng.normal(0, .15))), tract=basis.tract * float(
            np.exp(rng.normal(0, .04))), mirrored=bool(rng.random() < .5),
        face_width=basis.face_width * float(rng.uniform(.95, 1.05)),
        hair=(hair[0] * red * light, hair[1] * green * light, hair[2] * blue * light),
        skin=(skin[0] * light, skin[1] * light * float(rng.uniform(.96, 1.03)), skin[2] * light))


def _time(track: Track, offset: int) -> str:
    """Seconds in the video at which a track's frame stands, as in the CSV and in the pictures' names."""
    return f"{float((track.first_frame + offset) / RATE_HZ):.2f}"


def _tables(videos: Sequence[Video], filmed: Sequence[Filmed]) -> Mapping[str, Table | str]:
    both = list(zip(videos, filmed))
    tables: dict[str, Table | str] = {
        f"csv/{split}_orig.csv": Table(COLUMNS, [row for video, clip in both if video.split == split
                                                 for track in clip.tracks for row in _rows(video, clip, track)])
        for split in SPLITS}
    for category in SUB_CATEGORIES:
        names = [video.video_id for video in videos if (video.split, video.sub_category) == ("val", category)]
        if names:
            tables[f"sub_categories/test_{category}.csv"] = "\n".join(names)  # no newline at the end, as published
    tables["truth.csv"] = Table(_TRUTH_COLUMNS, [row for video in videos for row in _truth(video)])
    tables["words.csv"] = words_table(("split", "video_id"), [((video.split, video.video_id), clip)
                                                              for video, clip in both])
    return tables


def _rows(video: Video, clip: Filmed, track: Track) -> list[tuple[str, ...]]:
    """A row of the CSV for each frame; an instance is a stretch in which nothing begins or ends."""
    relative = track.boxes / np.array([clip.width, clip.height] * 2)
    rows, instance, before = [], -1, ""
    for offset, (label, box) in enumerate(zip(track.labels, relative)):
        label_id = str(int(label == "SPEAKING_AUDIBLE"))
        instance += label_id != before
        before = label_id
        rows.append((video.video_id, _time(track, offset), *(f"{side:.6f}" for side in box), label, track.entity,
                     label_id, f"{track.entity}:{instance}"))
    return rows


def _truth(video: Video) -> list[tuple[str, ...]]:
    return [(video.split, video.video_id, video.sub_category,
             "" if one.person == OUT_OF_VIEW else video.conversation.faces[one.person].entity, one.kind,
             f"{one.start_seconds:.3f}", f"{one.stop_seconds:.3f}", one.text)
            for one in video.conversation.performances]


LAYOUT = Layout("unitalk", num_clips=24, plan=plan, readme=_README,
                top=("csv", "clips_videos", "clips_audios", "videos", "sub_categories"))
