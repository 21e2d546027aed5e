"""How well do handcrafted features tell emotions of actors never heard? Prints a Markdown table.

    python -m tests.benchmarks.ravdess_audio FOLDER [--actors 16] [--opensmile] [--only openSMILE]

FOLDER holds RAVDESS speech, sound alone (03-01-….wav or .flac, in any subfolders). Actors are tested four by four, each
once, by machines trained on the other actors; C is chosen among those by folds of actors, and so is the scaling learnt.
With ``--opensmile`` the sets of the package `opensmile` stand beside ours (its licence is for research alone, so it is
no dependency: ``pip install opensmile`` where that is allowed).
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable, Iterable
from pathlib import Path

import numpy as np
from sklearn.metrics import accuracy_score, recall_score
from sklearn.model_selection import GridSearchCV, GroupKFold
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.svm import SVC

from pipeline.datasets.ravdess import Ravdess
from pipeline.decode import read_media
from pipeline.extractors.audio_functionals import AudioFunctionals
from pipeline.media import SAMPLE_RATE_HZ, Media

Describe = Callable[[Media], np.ndarray]
COSTS = {"linear": (1e-4, 1e-3, 1e-2), "rbf": (1.0, 4.0, 16.0)}


def read(folder: Path, num_actors: int) -> tuple[list[Media], np.ndarray, np.ndarray]:
    """Sounds, emotions (N,) and actors (N,)."""
    clips = [clip for clip in Ravdess(Ravdess.Config(root=folder, modality="audio")).clips()
             if int(clip.speaker) <= num_actors]
    media = [read_media(clip, (), waveform=True) for clip in clips]
    return media, np.array([clip.labels["emotion"] for clip in clips]), np.array([int(clip.speaker) for clip in clips])


def ours(chosen: str) -> Describe:
    extractor = AudioFunctionals(AudioFunctionals.Config(set=chosen))
    return lambda media: np.asarray(extractor.extract([media])[0].values[0])


def of_opensmile(chosen: str) -> Describe:
    import opensmile
    smile = opensmile.Smile(feature_set=opensmile.FeatureSet[chosen],
                            feature_level=opensmile.FeatureLevel.Functionals)
    return lambda media: np.nan_to_num(smile.process_signal(media.waveform, SAMPLE_RATE_HZ).to_numpy()[0])


def predicted(values: np.ndarray, emotions: np.ndarray, actors: np.ndarray, kind: str) -> np.ndarray:
    """What machines that never heard the actor say of each clip (N,)."""
    answers = np.zeros_like(emotions)
    for first in range(1, int(actors.max()) + 1, 4):
        test = (actors >= first) & (actors < first + 4)
        pipe: Pipeline = make_pipeline(StandardScaler(), SVC(kernel=kind))
        search = GridSearchCV(pipe, {"svc__C": COSTS[kind]}, cv=GroupKFold(3))
        search.fit(values[~test], emotions[~test], groups=actors[~test])
        answers[test] = search.predict(values[test])
    return answers


def rows(name: str, describe: Describe, media: Iterable[Media], emotions: np.ndarray,
         actors: np.ndarray) -> Iterable[str]:
    start = time.process_time()
    values = np.stack([describe(clip) for clip in media]).astype(float)
    cost = (time.process_time() - start) / len(values)
    for kind in COSTS:
        answers = predicted(values, emotions, actors, kind)
        uar = recall_score(emotions, answers, average="macro")
        yield (f"| {name} | {values.shape[1]} | {kind} | {100 * accuracy_score(emotions, answers):.1f} |"
               f" {100 * uar:.1f} | {1000 * cost:.0f} |")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path, help="RAVDESS speech")
    parser.add_argument("--actors", type=int, default=16, help="actors 1 to this one, a multiple of four, at least 8")
    parser.add_argument("--opensmile", action="store_true", help="eGeMAPS and ComParE of the package beside ours")
    parser.add_argument("--only", default="", help="sets whose name has this in it")
    options = parser.parse_args()
    media, emotions, actors = read(options.folder, options.actors)
    sets = {f"audio_functionals, {name}": ours(name) for name in ("large", "egemaps_like")}
    if options.opensmile:
        sets |= {f"openSMILE {name}": of_opensmile(name) for name in ("eGeMAPSv02", "ComParE_2016")}
    sets = {name: describe for name, describe in sets.items() if options.only in name}
    print(f"{len(media)} clips of {len(np.unique(actors))} actors.\n")
    print("| features | columns | SVM | accuracy, % | UAR, % | ms of one core a clip |\n|---|---|---|---|---|---|")
    for name, describe in sets.items():
        for row in rows(name, describe, media, emotions, actors):
            print(row, flush=True)


if __name__ == "__main__":
    main()
