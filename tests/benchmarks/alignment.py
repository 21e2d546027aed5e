"""Times of words on the sample dataset, whose true ones are known, and a picture of sound brought to them.

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
from matplotlib.figure import Figure

from pipeline.curation.alignment import onto
from pipeline.datasets.sample import Sample
from pipeline.decode import read_media
from pipeline.extractors.audio_logmel import AudioLogmel
from pipeline.media import Media
from pipeline.words.word_times import forced, proportional, speech_span, words_of

LETTERS = {letter: number for number, letter in enumerate("abcdefghijklmnopqrstuvwxyz'", 1)}
FRAME_SECONDS = 0.02  # of wav2vec 2.0
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
    if options.picture is not None:
        first = next(clip_id for clip_id in media if len(truth[clip_id]) > 4)
        draw(media[first], truth[first], guess(media[first])).savefig(options.picture, dpi=120)


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


def draw(clip: Media, truth: np.ndarray, guessed: np.ndarray) -> Figure:
    """Log-mel bands with the words above them: as said, as guessed, and the bands averaged over the words said."""
    rows = AudioLogmel().extract([clip])[0]
    words, stop = words_of(clip.text), clip.duration_seconds
    pooled, which = onto(rows.values, rows.times, truth, "mean")
    figure = Figure((10, 5.2), layout="constrained")
    top, bands, below = figure.subplots(3, 1, sharex=True, height_ratios=(1, 3, 3))
    for height, spans, colour, name in ((1, truth, "#009e73", "said"), (0, guessed, "#e69f00", "guessed")):
        top.barh([height] * len(spans), spans[:, 1] - spans[:, 0], left=spans[:, 0], color=colour, edgecolor="white")
        for word, (begin, end) in zip(words, spans, strict=True):
            top.text((begin + end) / 2, height, word, ha="center", va="center", fontsize=9)
    top.set(yticks=(0, 1), yticklabels=("guessed", "said"), ylim=(-.6, 1.6), title=f"{clip.clip_id}: “{clip.text}”")
    scale = {"vmin": float(np.quantile(rows.values, .05)), "vmax": float(rows.values.max()), "shading": "auto"}
    bands.pcolormesh(np.append(rows.times[:, 0], rows.times[-1, 1]), np.arange(rows.values.shape[1] + 1),
                     rows.values.T, **scale)
    bands.set(ylabel="log-mel band")
    for row, place in zip(pooled, which, strict=True):
        below.pcolormesh(truth[place], np.arange(pooled.shape[1] + 1), row[:, None], **scale)
    below.set(ylabel="mean over each word", xlabel="seconds", xlim=(0, stop))
    for axes in (bands, below):
        for edge in np.unique(truth):
            axes.axvline(edge, color="white", linewidth=.6)
    return figure


if __name__ == "__main__":
    main()
