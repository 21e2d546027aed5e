"""Times of words on the sample dataset, whose true ones are known, and a picture of sound and mouth brought to them.

    python -m tests.benchmarks.alignment [--clips 60] [--picture words.png]

No network that knows letters is at hand, so the last row stands for one: its emissions are made from the true times, a
letter at a time, with some frames given to a letter drawn by chance; it shows what the search makes of them and says
nothing of a network. Errors are of a word's middle; "overlap" is the mean share that the true and the found stretch of
a word have in common (their intersection over their union).
"""

from __future__ import annotations

import argparse
import csv
import tempfile
from collections.abc import Callable
from pathlib import Path

import numpy as np

from pipeline.curation.alignment import onto, steps
from pipeline.datasets.sample import Sample
from pipeline.decode import read_media
from pipeline.extractors.audio_logmel import AudioLogmel
from pipeline.extractors.faces import Faces
from pipeline.faces.mouths import measure_mouths
from pipeline.media import SAMPLE_RATE_HZ, Media
from pipeline.pages.alignment_plots import Strip, Words, draw_alignment
from pipeline.words.word_times import forced, proportional, speech_span, words_of

LETTERS = {letter: number for number, letter in enumerate("abcdefghijklmnopqrstuvwxyz'", 1)}
FRAME_SECONDS = 0.02  # of wav2vec 2.0
STEP = SAMPLE_RATE_HZ // 100  # samples of a bar of loudness
Found = dict[str, np.ndarray]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--clips", type=int, default=60)
    parser.add_argument("--picture", type=Path)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        corpus = Sample(Sample.Config(root=Path(folder) / "sample", num_clips=options.clips))
        corpus.prepare()
        truth = read_truth(corpus.root / "words.csv")
        media = {clip.clip_id: read_media(clip, (), waveform=True) for clip in corpus.clips()}
        if options.picture is not None:
            options.picture.write_bytes(draw_first(corpus, truth))
    ways: dict[str, Callable[[str], np.ndarray]] = {
        "by letters, over the whole clip": lambda clip_id: proportional(
            words_of(media[clip_id].text), 0.0, media[clip_id].duration_seconds),
        "by letters, from the first to the last loud moment (`text_words` without a network)": lambda clip_id: guess(
            media[clip_id]),
        **{f"search in made emissions, {wrong:.0%} of frames by chance": lambda clip_id, wrong=wrong: search(
            truth[clip_id], media[clip_id], wrong) for wrong in (0.0, 0.5, 0.7)}}  # type: ignore[misc]
    print(f"{len(media)} clips, {sum(map(len, truth.values()))} words\n")
    print("| way | median error, ms | 90 % within, ms | overlap |\n|---|---|---|---|")
    for name, way in ways.items():
        errors, overlaps = zip(*(compare(truth[clip_id], way(clip_id)) for clip_id in media))
        error, overlap = np.concatenate(errors) * 1000, np.concatenate(overlaps)
        print(f"| {name} | {np.median(error):.0f} | {np.quantile(error, .9):.0f} | {overlap.mean():.2f} |")


def draw_first(corpus: Sample, truth: Found) -> bytes:
    """The first clip of more than four words that shows one face."""
    faces = Faces()
    for clip in corpus.clips():
        if len(truth[clip.clip_id]) > 4:
            drawn = draw(read_media(clip, (faces.request,), waveform=True), truth[clip.clip_id], faces)
            if drawn is not None:
                return drawn
    raise SystemExit("no clip of more than four words shows one face; render more: --clips 60")


def read_truth(path: Path) -> Found:
    """Start and stop of each word by clip id."""
    found: dict[str, list[tuple[float, float]]] = {}
    with path.open(encoding="utf-8", newline="") as file:
        for row in csv.DictReader(file):
            found.setdefault(f"{row['split']}/{row['clip']}", []).append(
                (float(row["start_seconds"]), float(row["stop_seconds"])))
    return {clip_id: np.array(spans) for clip_id, spans in found.items()}


def guess(clip: Media) -> np.ndarray:
    """As ``text_words`` does without a network."""
    assert clip.waveform is not None
    return proportional(words_of(clip.text), *speech_span(clip.waveform))


def search(truth: np.ndarray, clip: Media, wrong: float) -> np.ndarray:
    """Words found in emissions that are made from the true times."""
    rng = np.random.default_rng(len(clip.text))
    words = words_of(clip.text)
    emission = np.full((int(clip.duration_seconds / FRAME_SECONDS), len(LETTERS) + 1), .01, np.float32)
    heard = np.zeros(len(emission), np.int64)
    for (start, stop), word in zip(truth / FRAME_SECONDS, words, strict=True):
        letters = [LETTERS[letter] for letter in word.lower() if letter in LETTERS]
        edges = np.linspace(start, stop, len(letters) + 1).round().astype(int)
        for letter, first, last in zip(letters, edges, edges[1:]):
            heard[first:last] = letter
    by_chance = rng.random(len(heard)) < wrong
    heard[by_chance] = rng.integers(0, len(LETTERS) + 1, by_chance.sum())
    emission[np.arange(len(heard)), heard] = .7
    found = forced(np.log(emission / emission.sum(1, keepdims=True)), words, LETTERS, blank=0)
    assert found is not None
    return found[0] * FRAME_SECONDS


def compare(truth: np.ndarray, found: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Error of each word's middle in seconds, and the share that its stretches have in common."""
    common = np.minimum(truth[:, 1], found[:, 1]) - np.maximum(truth[:, 0], found[:, 0])
    whole = np.maximum(truth[:, 1], found[:, 1]) - np.minimum(truth[:, 0], found[:, 0])
    return np.abs(truth.mean(1) - found.mean(1)), np.maximum(common, 0) / whole


def draw(clip: Media, truth: np.ndarray, faces: Faces) -> bytes | None:
    """Words as said and as found, what is heard and what the mouth does, and both averaged over the words said; None
    for a clip that shows another number of faces than one, all the time."""
    seen, frames = faces.extract([clip])[0], clip.frames[faces.request]
    mouths = measure_mouths(frames, seen.values, seen.times[:, 0])
    if len(mouths) != 1 or len(mouths[0].times) != len(frames):
        return None
    assert clip.waveform is not None
    words, tens = words_of(clip.text), clip.waveform[:len(clip.waveform) // STEP * STEP].reshape(-1, STEP)
    loudness, ticks = np.abs(tens).max(1), steps(STEP / SAMPLE_RATE_HZ, len(tens) * STEP / SAMPLE_RATE_HZ)
    bands, opening = AudioLogmel().extract([clip])[0], mouths[0].opening.astype(np.float32)
    heard, which = onto(bands.values, bands.times, truth, "mean")
    open_wide, when = onto(opening, frames.times, truth, "mean")
    left, top, right, bottom = (np.median(seen.values[:, 1:5], 0) * frames.shape[1] / frames.source_size[0]).astype(int)
    lower_faces = frames.take(slice(None))[:, (top + bottom) // 2:bottom, left:right]
    return draw_alignment([
        Words("said (rendered)", words, truth), Words("found: by letters", words, guess(clip)),
        Words("found: in made emissions", words, search(truth, clip, .5)), Strip("loudness", loudness, ticks),
        Strip("log-mel", bands.values, bands.times), Strip("log-mel, a word", heard, truth[which]),
        Strip("picture", lower_faces, frames.times), Strip("mouth, open", opening, frames.times),
        Strip("mouth, a word", open_wide, truth[when])], truth, title=f"{clip.clip_id}: “{clip.text}”")


if __name__ == "__main__":
    main()
