"""The report's sheet of faces: some clips with label, prediction and words."""

from __future__ import annotations

import textwrap
from collections.abc import Mapping
from typing import Any

import numpy as np

from pipeline.clip import Task
from pipeline.pages.finished_run import FinishedRun
from pipeline.pages.tables import printed
from pipeline.pages.thumbnails import Thumbnail, face_feature, picture_clip, problems, spread
from pipeline.storage.packing import stored_clips

MOST_FACES = 24
EXCERPT_CHARACTERS = 60


def face_sheet(run: FinishedRun, *, thumbnails: bool) -> dict[str, Any]:
    """What the template shows of it; ``why_none`` says why there are no ``cards``, "" where there are.

    Args:
        run: a finished run.
        thumbnails: show faces although the corpus forbids passing them on.
    """
    found = [(store, name) for store in run.stores.stores if (name := face_feature(store)) is not None]
    if not found:
        return {"why_none": "tracks" if _are_tracks(run) else "no_faces", "cards": []}
    store, feature = found[0]
    if store.corpus.redistribute == "no" and not thumbnails:
        return {"why_none": "forbidden", "cards": []}
    task, seed = run.tasks[0], run.config["seeds"][0]
    rows = run.predictions[(run.predictions["task"] == task.name) & (run.predictions["seed"] == seed)]
    answers = rows.drop_duplicates("clip_id").set_index("clip_id").to_dict("index")
    there = dict(zip(store.column("clip_id").tolist(), np.diff(store.offsets(feature)).tolist(), strict=True))
    shown = [clip_id for clip_id in answers if there.get(clip_id, 0)]
    if not shown:
        return {"why_none": "no_rows", "cards": []}
    keys = {clip_id: (answers[clip_id]["split"], answers[clip_id]["label"] if task.classes else "")
            for clip_id in shown}
    wrong = [clip_id for clip_id in shown if _is_wrong(task, answers[clip_id])]
    clips = {clip.clip_id: clip for clip in stored_clips(store)}
    cards, pictures = [], []
    for clip_id in spread(keys, wrong, MOST_FACES):
        picture = picture_clip(clips[clip_id], store.read(clip_id, feature))
        pictures.append(picture)
        if picture.data_uri:
            cards.append(_card(picture, answers[clip_id], task, clips[clip_id].text))
    return {"why_none": "" if cards else "no_files", "cards": cards, "task": task, "seed": seed, "several": len(
        run.config["seeds"]) > 1, "problems": problems(pictures), "restricted": store.corpus.redistribute == "no"}


def _are_tracks(run: FinishedRun) -> bool:
    """Are the clips face tracks, of which nobody can find faces anew?"""
    recipes = [store.recipe("asd_faces") for store in run.stores.stores if "asd_faces" in store.features]
    return any(recipe.get("settings", {}).get("clips") == "tracks" for recipe in recipes)


def _is_wrong(task: Task, answer: Mapping[str, Any]) -> bool:
    return bool(task.classes and answer["label"] and answer["label"] != answer["prediction"])


def _card(picture: Thumbnail, answer: Mapping[str, Any], task: Task, text: str) -> dict[str, Any]:
    label, prediction = answer["label"], answer["prediction"]
    if not task.classes:
        label, prediction = (printed("ccc", float(value)) if value else "" for value in (label, prediction))
    return {"picture": picture, "label": label, "prediction": prediction, "is_wrong": _is_wrong(task, answer),
            "text": textwrap.shorten(text, EXCERPT_CHARACTERS, placeholder=" …")}
