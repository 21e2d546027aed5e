"""What a run of cross-attention looks at in one clip: attentions read out, and the crops and the sound they are of."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from models._layers import Mixed
from models.cross_attention import CrossAttention, parts, side_of
from pipeline.batch import Batches
from pipeline.clip import Clip
from pipeline.decode import read_media
from pipeline.errors import ClipError, StoreError, UsageError
from pipeline.evaluation import check_features
from pipeline.extractors import Extractor
from pipeline.faces import COLUMNS, SPEAKING_COLUMNS
from pipeline.joined import JoinedStores, is_labelled, open_stores
from pipeline.learning.scaling import Scaler
from pipeline.media import Media
from pipeline.networks.crops import FaceSnippetExtractor
from pipeline.networks.snippets import RATE_HZ, middle
from pipeline.pages.attention_plots import Looks, draw_attention
from pipeline.pages.drawing import check_source
from pipeline.plugins import plugin_class
from pipeline.runs import Checkpoint, seed_folders
from pipeline.scores.answers import is_by_folds, read_folds_plan, unseen
from pipeline.scores.scoring import in_units
from pipeline.sound.spectrogram import log_mel
from pipeline.storage.durable import replacing
from pipeline.storage.packing import stored_clips
from pipeline.store import FeatureStore

PICTURE_SIDE = 112              # of whole frames, as the networks of snippets see them


@dataclass(frozen=True)
class Looked:
    """What one network looks at in a clip.

    Args:
        looks: the attentions.
        seen: feature whose maps or rows are drawn; "" where the clip or the model has none.
        rows: which of its rows stands in the middle of each step, int64 (S,); empty without ``seen``.
        answer: what the network says of the clip, in words.
    """

    looks: Looks
    seen: str
    rows: np.ndarray
    answer: str


def draw_clip_attention(run: Path, features: Path | Sequence[Path], clip_id: str, out: Path, *,
                        seed: int | None = None) -> tuple[str, ...]:
    """Write a picture of what a run looks at in a clip.

    The crops are cut anew from the clip's file, by the settings and the faces in the store; a stored ``audio_logmel``
    gives the spectrogram, or else the file. Where the file is gone or is another one, a plain grid stands in.

    Args:
        run: folder of a run of ``cross_attention``; of one by folds, the fold that did not learn from the clip is
            taken.
        features: the store, or several that are joined by clip id.
        clip_id: which clip.
        out: the picture, ``.png``; replaced where it is there.
        seed: which of the run's networks; by default the first.

    Returns:
        What a reader of the picture should know, one line each.

    Raises:
        UsageError: ``out`` is no picture's name, or the run is of another model or has not this seed.
        TrainingError: the folder holds no trained network.
        StoreError: no such clip, the store lacks a feature or made it by another recipe, or ``out`` cannot be written.
    """
    if out.suffix.lower() != ".png":
        raise UsageError(f"--out {out}: expected a name that ends in .png")
    stores = open_stores(features)
    place = place_of(stores, clip_id)
    folder, notes = _fold(Path(run), stores, place)
    looked = look_at(_checkpoint(folder, seed), stores, place)
    crops, levels = None, None
    if looked.seen:
        try:
            crops = row_pictures(stores.owner(looked.seen), looked.seen, clip_id)[looked.rows]
        except (StoreError, ClipError) as error:
            notes.append(f"drawn over a plain grid in place of the pictures: {error}")
    else:
        notes.append("the clip has no rows of what is seen")
    try:
        levels = spectrogram_of(stores, clip_id)
    except (StoreError, ClipError) as error:
        notes.append(f"drawn without its spectrogram: {error}")
    title = f"{clip_id}: {looked.answer}" + (f"\nover {looked.seen}" if looked.seen else "")
    picture = draw_attention(looked.looks, crops, levels, title=title)
    try:
        with replacing(out) as file:
            file.write(picture)
    except OSError as error:
        raise StoreError(f"cannot write {out}: {error.strerror or error}") from error
    return tuple(notes)


def place_of(stores: JoinedStores, clip_id: str) -> int:
    """Row of a clip in the joined table.

    Raises:
        StoreError: no such clip.
    """
    found = np.flatnonzero(stores.clips["clip_id"].to_numpy() == clip_id)
    if not len(found):
        some = ", ".join(stores.clips["clip_id"][:3]) or "(there are none)"
        raise StoreError(f"{' and '.join(map(str, stores.paths))} has no clip {clip_id!r}; ids look like {some}")
    return int(found[0])


def look_at(checkpoint: Checkpoint, stores: JoinedStores, place: int) -> Looked:
    """Run a network of ``cross_attention`` on one clip and read its attentions.

    Args:
        checkpoint: the network.
        stores: with the features that it learnt from.
        place: row of the clip.

    Raises:
        UsageError: the network is of another model.
        StoreError: the features are made by another recipe.
    """
    if checkpoint.model != "cross_attention":
        raise UsageError(f"the run is of {checkpoint.model}, which has no attention to draw; expected one of"
                         " cross_attention")
    check_features(checkpoint, stores)
    network = checkpoint.network()
    batches = Batches({name: stores.rows(name) for name in checkpoint.inputs}, {}, stores.clips["clip_id"].to_numpy(),
                      pools=network.config.pools)
    by_speaker = checkpoint.training.get("normalise") == "speaker"
    batches.use_scaler(batches.fit_speakers(stores.clips["speaker"].to_numpy()) if by_speaker
                       else Scaler.from_state(checkpoint.scaler))
    batch = batches.take(np.array([place]))
    features, mask = dict(batch.features), dict(batch.mask)
    with torch.inference_mode():
        outputs = network(features, mask)
    model = network
    if isinstance(network, Mixed):
        model, features = network.model, network.mixed(features, mask)
    assert isinstance(model, CrossAttention)
    found = {name: values[0].numpy() for name, values in model.attention(features, mask).items()}
    seen = _seen(found, mask)
    weights = parts(mask[seen], model.config.steps)[0].numpy() if seen else np.zeros((0, 0))
    rows = np.array([np.flatnonzero(step)[np.count_nonzero(step) // 2] for step in weights], np.int64)
    space = weights @ found[f"space/{seen}"] if f"space/{seen}" in found else None
    return Looked(Looks(space, found["time/seen"], found["time/heard"], found["heard_by_seen"]), seen, rows,
                  _answer(checkpoint, outputs, stores, place))


def row_pictures(store: FeatureStore, feature: str, clip_id: str) -> np.ndarray:
    """What the network saw in the middle of each row of a clip, cut anew from the clip's file.

    Args:
        store: that holds the feature.
        feature: of faces or of whole frames.
        clip_id: of a clip that has rows.

    Returns:
        uint8 RGB (T, side, side, 3), one for each row.

    Raises:
        StoreError: the file is gone or another one, or what is stored does not fit the recipe.
        ClipError: the file cannot be decoded.
    """
    clip, place = _whole(store, clip_id)
    extractor = _extractor(feature, store.recipe(feature))
    media = read_media(clip, extractor.needs.frames, waveform=False, on_damage="partial")
    times = store.cell(place, feature).times
    if isinstance(extractor, FaceSnippetExtractor):
        return _face_crops(extractor, media, store, feature, place)
    frames = media.frames[extractor.needs.frames[0]] if extractor.needs.frames else None
    if frames is None or not len(frames) or np.isnan(times).any():
        raise StoreError(f"no pictures can be told for the rows of {feature}")
    return middle(frames.take(frames.at(np.floor(times.mean(1) * RATE_HZ).astype(np.int64))), PICTURE_SIDE)


def spectrogram_of(stores: JoinedStores, clip_id: str) -> np.ndarray:
    """Log-mel spectrogram of a clip in decibels, float32 (T, bands): a stored one, or made of the clip's file.

    Raises:
        StoreError: neither is to be had, or there is no sound.
        ClipError: the file cannot be decoded.
    """
    for feature in stores.features:
        owner = stores.owner(feature)
        if owner.recipe(feature).get("extractor") == "audio_logmel" and owner.find(clip_id) is not None:
            stored = owner.read(clip_id, feature).values
            if len(stored):
                return stored
    store = next(store for store in stores.stores if store.find(clip_id) is not None)
    clip, _ = _whole(store, clip_id)
    waveform = read_media(clip, (), waveform=True, on_damage="partial").waveform
    if waveform is None or not len(waveform):
        raise StoreError(f"{clip.source} has no sound")
    return log_mel(waveform)


def _fold(run: Path, stores: JoinedStores, place: int) -> tuple[Path, list[str]]:
    """The folder whose networks look at a clip, and what is to be said of that."""
    if not is_by_folds(run):
        return run, []
    plan = read_folds_plan(run)
    fresh = unseen(run, plan, stores)[:, place]
    fold = plan["folds"][int(fresh.argmax())]
    said = "did not learn from this clip" if fresh.any() else "learnt from this clip, as all of the run's folds did"
    return run / fold["folder"], [f"fold {fold['name']} of the run looks, which {said}"]


def _checkpoint(folder: Path, seed: int | None) -> Checkpoint:
    seeds = {int(path.name.removeprefix("seed")): path for path in seed_folders(folder)}
    if seed is not None and seed not in seeds:
        raise UsageError(f"--seed {seed}: {folder} has {', '.join(map(str, seeds))}")
    return Checkpoint.load(seeds[min(seeds) if seed is None else seed] / "best.pt")


def _seen(found: Mapping[str, np.ndarray], mask: Mapping[str, Tensor]) -> str:
    """The feature to draw on: one of square maps before others, among those that the clip has."""
    there = [name for name, real in mask.items() if side_of(name) == "seen" and real.any()]
    maps = [name for name in there if f"space/{name}" in found]
    return next(iter([*maps, *there]), "")


def _answer(checkpoint: Checkpoint, outputs: Mapping[str, Tensor], stores: JoinedStores, place: int) -> str:
    """What the network says of the first task, and what the clip is labelled."""
    task = checkpoint.tasks[0]
    values = in_units(task, outputs[task.name], checkpoint.value_scale[task.name])
    if not task.classes:
        return f"{task.name} {values[0, 0]:.2f}"
    answer = int(values[0].argmax())
    labels = stores.labels(task.name) if task.name in stores.tasks else None
    known = "" if labels is None or not is_labelled(labels)[place] else f", labelled {task.classes[labels[place]]}"
    return f"{task.name} {task.classes[answer]} ({100 * values[0, answer]:.0f} %){known}"


def _whole(store: FeatureStore, clip_id: str) -> tuple[Clip, int]:
    """A clip whose file is there and is the one that the store was made from, and its place."""
    place = store.place(clip_id)
    clip = stored_clips(store)[place]
    check_source(store, clip, str(store.column("source_digest")[place]))
    return clip, place


def _extractor(feature: str, recipe: Mapping[str, Any]) -> Extractor:
    """The extractor of a recipe, for its choice of pictures alone: its network is never loaded.

    Raises:
        StoreError: the recipe is none that this version can follow.
    """
    try:
        kind: Any = plugin_class("extractor", str(recipe["extractor"]))
        known = {field.name for field in dataclasses.fields(kind.Config)} - {"side"}  # any size does to look at
        settings = {name: value for name, value in recipe["settings"].items() if name in known}
        found: Extractor = kind(kind.Config(**settings, **({"weights": "random"} if "weights" in known else {})))
    except (KeyError, TypeError, ValueError, AttributeError, UsageError) as error:
        raise StoreError(f"pictures cannot be cut by the recipe of {feature}: {error}") from error
    return found


def _face_crops(extractor: FaceSnippetExtractor, media: Media, store: FeatureStore, feature: str,
                place: int) -> np.ndarray:
    """The crop in the middle of each row, (T, side, side, 3)."""
    made_from = store.recipe(feature).get("upstream")
    upstream = made_from if isinstance(made_from, Mapping) else {}
    for name in extractor.needs.features:
        if name not in store.features or store.fingerprint(name) != upstream.get(name) \
                or store.head(name)["columns"] != {"faces": COLUMNS, "speaking": SPEAKING_COLUMNS}.get(name, ()):
            raise StoreError(f"{store.path} does not hold the {name} that {feature} was made from")
    media = dataclasses.replace(media, features={name: store.cell(place, name) for name in extractor.needs.features})
    again = extractor.second_look(media)
    if again:
        larger = read_media(stored_clips(store)[place], again, waveform=False, on_damage="partial")
        media = dataclasses.replace(media, frames={**media.frames, **larger.frames})
    found = extractor.snippets(media)
    num_rows = len(store.cell(place, feature).values)
    if len(found) != num_rows:
        raise StoreError(f"{len(found)} crops were found for {num_rows} rows of {feature}")
    return np.asarray(found.crops[found.rows[:, extractor.layout.size // 2]])
