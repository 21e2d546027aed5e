"""Who is speaking: how often each policy follows the speaker, on real and rendered clips and on counterfactuals.

    python -m tests.benchmarks.speaking VIDEO_FOLDER FACE_FOLDER [--rendered 20]

Nothing of the scorer was fitted to any of these. A window is a snippet of 16 frames of the 15 Hz grid. ``right`` is the
share of the windows in which somebody is heard, in the clip's own sound, where a policy follows the speaker (where
``speaking`` follows nobody it is wrong); "follows anybody" is over all windows; scores are means over all rows of the
speaker and of everybody else. Where a clip's name is bold nobody in view speaks, and ``speaking`` is to follow nobody.
"""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch

from pipeline.faces import RATE_HZ
from pipeline.faces.choice import Candidates, Policy, choose
from pipeline.media import FeatureSequence
from pipeline.sound.voice import Voice
from tests.faces import counterfactuals as made
from tests.faces.counterfactuals import Film

POLICIES: tuple[Policy, ...] = ("largest", "central", "longest", "speaking")
WINDOW = 16


@dataclass(frozen=True)
class Seen:
    """What a film gave: faces, scores, and how often each policy was right; ``picked`` is the share of windows in
    which ``speaking`` follows anybody."""

    faces: FeatureSequence
    speaker: float
    others: float
    right: dict[str, float]
    picked: float


def judge(film: Film, folder: Path, original: Film | None = None) -> Seen:
    """Write a film, extract from the file, and compare with who spoke in the film that it was made from."""
    faces, scores, size = made.watch(made.write_film(folder / "film.mp4", film))
    rows = faces.values
    middle = (rows[:, 1] + rows[:, 3]) / 2
    speaks = (middle >= film.border) == film.speaker_on_right
    frames = np.round(faces.times[:, 0] * RATE_HZ).astype(int)
    candidates = Candidates(frames, rows, size, speaking=scores.values[:, 5])
    windows = [(start, start + WINDOW) for start in range(0, max(1, frames.max(initial=0) - WINDOW + 2), WINDOW)]
    voice = Voice.of((original or film).waveform)
    heard = np.array([voice.activity_at(np.arange(*window) / RATE_HZ).mean() >= 0.5 for window in windows])
    right, picked = {}, 0.0
    for policy in POLICIES:
        chosen = [choose(policy, candidates, *window) for window in windows]
        good = np.array([bool(picks) and bool(speaks[picks[0]].mean() > 0.5) for picks in chosen])
        right[policy] = float(good[heard].mean()) if heard.any() else float("nan")
        picked = float(np.mean([bool(picks) for picks in chosen]))
    means = [float(scores.values[which, 5].mean()) if which.any() else float("nan") for which in (speaks, ~speaks)]
    return Seen(faces, *means, right, picked)


def speaker_points(film: Film, seen: Seen) -> np.ndarray:
    """Landmarks of the speaker in every picture of a film, (T, 5, 2)."""
    rows = seen.faces.values
    speaks = ((rows[:, 1] + rows[:, 3]) / 2 >= film.border) == film.speaker_on_right
    times = np.arange(len(film.frames)) / film.rate_hz
    return np.stack([np.interp(times, seen.faces.times[speaks, 0], column)
                     for column in rows[speaks, 6:].T], axis=1).reshape(-1, 5, 2)


def listener_centre(film: Film, seen: Seen) -> tuple[float, float]:
    """Middle of the listener's face on the listener's side."""
    rows = seen.faces.values
    middle = (rows[:, 1:3] + rows[:, 3:5]) / 2
    listens = (middle[:, 0] >= film.border) != film.speaker_on_right
    x, y = np.median(middle[listens], axis=0)
    return float(x) - (0 if film.speaker_on_right else film.border), float(y)


def counterfactuals(film: Film, seen: Seen, other: np.ndarray) -> Iterator[tuple[str, Film]]:
    """Each differs from the film in one thing; from the still mouth on nobody in view speaks."""
    yield "listener enlarged 1.5×", made.enlarged_listener(film, listener_centre(film, seen))
    points = speaker_points(film, seen)
    near = np.abs(points[:, :2, 0] - film.border).max()
    eyes = float(np.median(np.linalg.norm(points[:, 1] - points[:, 0], axis=1)))
    width = min(int(near + 1.2 * eyes) // 2 * 2, made.halves(film)[0].shape[2])
    yield "speaker at the edge", made.at_the_edge(film, width)
    yield "mirrored", made.mirrored(film)
    yield "sound 0.2 s late", made.shifted_sound(film, 0.2)
    yield "sound 0.2 s early", made.shifted_sound(film, -0.2)
    yield "**sound 2 s late**", made.shifted_sound(film, 2.0)
    yield "**sound of another clip**", made.with_sound(film, other)
    yield "**mouth of one picture**", made.still_mouth(film, points)
    yield "**frozen picture**", made.frozen(film)
    yield "**silence**", made.silent(film)


def two_shots(count: int) -> Iterator[Film]:
    """Rendered clips of two people."""
    from pipeline.rendering.scene import film
    from pipeline.rendering.script import write_script
    lines = [line for line in write_script(10 * count, 4) if line.two_shot][:count]
    for number, line in enumerate(lines):
        scene = film(line, np.random.default_rng([4, number]))
        yield Film(scene.frames, float(scene.rate_hz), scene.waveform, scene.frames.shape[2] // 2,
                   not line.speaker_on_left)


def show(rows: list[tuple[str, list[Seen]]], title: str) -> None:
    """A Markdown table of means over films."""
    print(f"\n### {title}\n\n| clip | " + " | ".join(f"{policy} right" for policy in POLICIES)
          + " | speaking follows anybody | score of the speaker | of others |\n|---|" + "---|" * (len(POLICIES) + 3))
    for name, seen in rows:
        cells = [f"{np.mean([one.right[policy] for one in seen]):.0%}" for policy in POLICIES]
        cells += [f"{np.mean([one.picked for one in seen]):.0%}"]
        cells += [f"{np.mean([getattr(one, who) for one in seen]):.2f}" for who in ("speaker", "others")]
        cells = [cell.replace("nan%", "–").replace("nan", "–") for cell in cells]
        print(f"| {name} | " + " | ".join(cells) + " |", flush=True)


def real(videos: Path, other: np.ndarray, folder: Path) -> None:
    """The man at the lectern, and what can be made of him."""
    film = made.read_film(videos / "obama_speech.mp4", rate_hz=12.0)
    film = replace(film, border=120, speaker_on_right=True)
    seen = judge(film, folder)
    show([("as it is", [seen]), *((name, [judge(changed, folder, film)]) for name, changed
                                  in counterfactuals(film, seen, other))], "obama_speech (two real people)")


def pairs(videos: Path, faces: Path, folder: Path) -> None:
    """Real people from different videos side by side, with the sound of one."""
    from PIL import Image
    lectern = made.read_film(videos / "obama_speech.mp4")
    talker = lectern.frames[:, 20:180, 160:]
    rapper = made.read_film(videos / "short_hamilton_clip.mp4", start=3.6, stop=7.8)
    stage = rapper.frames[:, :320, 80:400]
    smiler = made.read_film(videos / "single_face.mp4").frames[:, :, 140:500]
    later = made.read_film(videos / "obama_speech.mp4", start=4.4)
    woman = made.read_film(videos / "WolfgangLanger_Pexels.mp4", start=9.0, stop=18.0).frames[:, :, 180:620]
    photo = np.asarray(Image.open(faces / "biden.jpg").convert("RGB"))
    cases = [("lectern, woman smiling", talker, woman, lectern.waveform, False),
             ("man smiling, lectern", smiler, later.frames[:, 20:180, 160:], later.waveform, True),
             ("lectern, photograph", talker, photo, lectern.waveform, False),
             ("lectern, rapper; lectern heard", talker, stage, lectern.waveform, False),
             ("lectern, rapper; rapper heard", talker, stage, rapper.waveform, True),
             ("rapper, woman smiling", stage, woman, rapper.waveform, False)]
    rows = [(name, [judge(made.beside(left, right, sound, rate_hz=25.0, speaker_on_right=on_right), folder)])
            for name, left, right, sound, on_right in cases]
    nobody = [("man and woman smiling; lectern heard", smiler, woman, later.waveform),
              ("photograph, woman smiling; lectern heard", photo, woman, lectern.waveform)]
    rows += [(f"**{name}**", [judge(made.beside(left, right, sound, rate_hz=25.0, speaker_on_right=True), folder)])
             for name, left, right, sound in nobody]
    show(rows, "Real people side by side (in bold: none of them speaks)")


def single(videos: Path, other: np.ndarray, folder: Path) -> None:
    """One person in view, with own sound, another's and none."""
    rows = []
    for name, stop in (("single_face.mp4", None), ("face_noface.mov", 2.4), ("short_hamilton_clip.mp4", None)):
        film = made.read_film(videos / name, stop=stop)
        for label, changed in (("own sound", film), ("**sound of another clip**", made.with_sound(film, other)),
                               ("**silence**", made.silent(film))):
            rows.append((f"{name}, {label}", [judge(changed, folder)]))
    show(rows, "Other real videos (everybody counts as the speaker; in single_face and face_noface a man smiles)")


def rendered(count: int, folder: Path) -> None:
    """Two-person clips of the sample dataset."""
    films = list(two_shots(count))
    table: dict[str, list[Seen]] = {}
    for number, film in enumerate(films):
        seen = judge(film, folder)
        table.setdefault("as they are", []).append(seen)
        for name, changed in counterfactuals(film, seen, films[number - 1].waveform):
            table.setdefault(name, []).append(judge(changed, folder, film))
    show(list(table.items()), f"{count} two-person clips of the sample dataset")


def main() -> None:
    """Print the tables."""
    from scipy.io import wavfile
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("videos", type=Path)
    parser.add_argument("faces", type=Path)
    parser.add_argument("--other", type=Path, help="16 kHz wav of other people talking")
    parser.add_argument("--rendered", type=int, default=20)
    options = parser.parse_args()
    torch.set_num_threads(1)
    other = made.read_film(options.videos / "short_hamilton_clip.mp4").waveform
    if options.other:
        other = wavfile.read(options.other)[1].astype(np.float32)[7 * 16_000:] / 32768
    with tempfile.TemporaryDirectory() as folder:
        real(options.videos, other, Path(folder))
        pairs(options.videos, options.faces, Path(folder))
        single(options.videos, other, Path(folder))
        rendered(options.rendered, Path(folder))


if __name__ == "__main__":
    main()
