"""Recipes in English: how a feature was made and how a model was trained, from what stores and runs recorded."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from pipeline import plugins
from pipeline.pages.tables import METRIC_TITLES

CLASS_WEIGHTS = {"none": "all classes weigh the same", "inverse": "classes are weighted by their rarity",
                 "sqrt": "classes are weighted by the square root of their rarity"}
VALUE_LOSSES = {"ccc": "1 − the concordance correlation", "mse": "the mean squared error"}
DIGITS = 8      # of a digest: enough to tell two apart by eye
MOST_NAMED = 24                 # columns of a row that are named


@dataclass(frozen=True)
class FeatureText:
    """How one feature was made.

    Args:
        name: as stored.
        text: a paragraph.
        fingerprint: digest of all that changes its results.
        has_random_weights: did any of its networks never learn anything?
    """

    name: str
    text: str
    fingerprint: str
    has_random_weights: bool


def describe_feature(name: str, head: Mapping[str, Any]) -> FeatureText:
    """A feature's recipe as a paragraph.

    Args:
        name: as stored.
        head: as :meth:`pipeline.store.FeatureStore.head` gives it.
    """
    recipe = head["recipe"]
    weights = recipe.get("weights", [])
    sentences = [_what(name, head), *map(_frames, recipe.get("frames", [])), _senses(recipe), *_upstream(recipe),
                 *map(_weights, weights), _settings(recipe.get("settings", {}))]
    return FeatureText(name, " ".join(filter(None, sentences)), str(head["fingerprint"]),
                       any(record.get("source") == "random" for record in weights))


def _what(name: str, head: Mapping[str, Any]) -> str:
    shape = " × ".join(map(str, head["row_shape"]))
    extractor = head["recipe"].get("extractor")
    unit = "pixel" if head["dtype"] == "uint8" else "number"
    row = f"Each row is {shape} {unit}{'' if shape == '1' else 's'}"
    columns, more = head["columns"][:MOST_NAMED], len(head["columns"]) - MOST_NAMED
    row += f" ({', '.join(columns)}{f' and {more} more' if more > 0 else ''})." if columns else "."
    if extractor is None:
        return f"The store does not say how it was made. {row}"
    summary = _summary("extractor", extractor) if extractor in plugins.names("extractor") else ""
    made = f"Made by the extractor {extractor}, version {head['recipe'].get('version', 'unknown')}."
    return f"{summary}. {row} {made}" if summary else f"{row} {made}"


def _frames(request: Mapping[str, Any]) -> str:
    """A frame request (:class:`pipeline.media.FrameRequest`) in words."""
    size = request.get("size")
    scaled = f"scaled to {size[0]} × {size[1]} pixels" if size else f"scaled down to {request.get('lines')} lines"
    cut = f", of which the middle {request['crop'][0]} × {request['crop'][1]} is used" if request.get("crop") else ""
    text = f"It sees {request['rate_hz']:g} frames a second, {scaled}{cut}"
    snippets = request.get("snippets")
    if snippets and snippets["layout"] == "spread":
        text += f", in {snippets['most']} snippets of {snippets['size']} frames spread over the clip"
    elif snippets:
        text += f", in snippets of {snippets['size']} frames every {snippets['hop']}, at most {snippets['most']} a clip"
    return text + "."


def _senses(recipe: Mapping[str, Any]) -> str:
    senses = [words for key, words in (("waveform", "the sound"), ("text", "the words")) if recipe.get(key)]
    return f"It is given {' and '.join(senses)}." if senses else ""


def _upstream(recipe: Mapping[str, Any]) -> list[str]:
    return [f"It reads the feature {name} (fingerprint {fingerprint[:DIGITS]})."
            for name, fingerprint in recipe.get("upstream", {}).items()]


def _weights(record: Mapping[str, Any]) -> str:
    network, digest = record.get("network", "its network"), str(record.get("digest", "unknown"))[:DIGITS]
    if record.get("source") == "random":
        return f"The network {network} has random weights ({record.get('name')}, digest {digest}): it never learnt."
    origin = "pretrained, from its publisher's file" if record.get("source") == "pretrained" else "from the file"
    return f"The weights of {network} are {origin} {record.get('name')} (digest {digest})."


def _settings(settings: Mapping[str, Any]) -> str:
    listed = "; ".join(f"{name} = {in_words(value)}" for name, value in settings.items())
    return f"Settings: {listed}." if listed else ""


def in_words(value: Any) -> str:
    """A setting's value as it is typed: lists with commas, yes and no."""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, (list, tuple)):
        return ", ".join(map(in_words, value)) or "none"
    if isinstance(value, Mapping):
        return ", ".join(f"{key} {in_words(item)}" for key, item in value.items())
    if isinstance(value, float):
        return f"{value:g}"
    return "none" if value is None or value == "" else str(value)


def listing(words: Sequence[str], joint: str = "and") -> str:
    """Words as an English list.

    >>> listing(["text", "sound", "faces"])
    'text, sound and faces'
    """
    return f"{', '.join(words[:-1])} {joint} {words[-1]}" if len(words) > 1 else "".join(words)


def _by_splits(config: Mapping[str, Any], pixels: Sequence[str]) -> str:
    """Which clips of which splits did what."""
    splits = config["splits"]
    used = splits["used_clips"]
    carved = f", carved by group from {splits['train']}," if splits["dev_carved"] else ""
    data = (f"{_model(config)} learnt {listing(config['tasks'])} from {used['train']} clips of the"
            f" split {splits['train']}, given {listing(config['inputs'])}; {_standardised(config, pixels)}."
            f" The {used['dev']} clips of {splits['dev']}{carved} chose the best epoch, by"
            f" {METRIC_TITLES[config['select_by']]} of {config['tasks'][0]}.")
    if splits["test"] is not None:
        data += f" The split {splits['test']} was read once, after the last epoch."
    return data


def _by_folds(config: Mapping[str, Any], pixels: Sequence[str]) -> str:
    """Which clips of which folds did what."""
    plan = config["folds"]

    def clips(split: str) -> str:
        numbers = [fold["clips"][split] for fold in plan["folds"]]
        least, most = min(numbers), max(numbers)
        return f"{least} clips" if least == most else f"{least} to {most} clips"

    several = f"{len(config['seeds'])} networks, one a seed, each" if len(config["seeds"]) > 1 else "a network"
    return (f"{_model(config)} learnt {listing(config['tasks'])}, given {listing(config['inputs'])}, in the"
            f" {len(plan['folds'])} folds of {plan['protocol']}: for every fold {several} learnt from"
            f" {clips('train')}, {clips('dev')} chose the best epoch, by {METRIC_TITLES[config['select_by']]} of"
            f" {config['tasks'][0]}, and {clips('test')}, none of them among the others, were scored after the last"
            f" epoch. In each fold {_standardised(config, pixels)}. The predictions for the test clips of all folds are"
            " scored together.")


def _model(config: Mapping[str, Any]) -> str:
    """The beginning of a sentence of which it is the subject."""
    known = config["model"] in plugins.names("model")
    summary = _summary("model", config["model"]) if known else ""
    return f"The model is {config['model']}: {summary[0].lower()}{summary[1:]}. It" if summary \
        else f"The model {config['model']}"


def _summary(kind: plugins.Kind, name: str) -> str:
    """What a plug-in is, without its full stop and the marks of code."""
    return plugins.summary(kind, name).rstrip(".").replace("`", "")


def _standardised(config: Mapping[str, Any], pixels: Sequence[str]) -> str:
    if set(pixels) >= set(config["inputs"]):
        return "pixels were brought to the range from 0 to 1"
    every = f"the pixels of {listing(pixels)} were brought to the range from 0 to 1 and every other" if pixels \
        else "every"
    over = "all clips of the same speaker, those that are tested too" \
        if config["training"].get("normalise") == "speaker" else "the training clips"
    return f"{every} number was standardised by its mean and standard deviation over {over}"


def describe_training(config: Mapping[str, Any], *, has_classes: bool, has_values: bool,
                      pixels: Sequence[str] = ()) -> list[str]:
    """A run's ``config.json`` as paragraphs.

    Args:
        config: the file's values.
        has_classes, has_values: are there classifications and regressions among its tasks?
        pixels: those of its inputs that are pictures.
    """
    training = config["training"]
    data = _by_folds(config, pixels) if "folds" in config else _by_splits(config, pixels)
    losses = []
    if has_classes:
        losses.append(f"cross-entropy with label smoothing {training['label_smoothing']:g}, where"
                      f" {CLASS_WEIGHTS[training['class_weights']]}")
    if has_values:
        losses.append(VALUE_LOSSES[training["value_loss"]])
    several = " added up over the tasks," if len(config["tasks"]) > 1 else ""
    seeds = list(map(str, config["seeds"]))
    how = (f"The loss is {listing(losses)},{several} minimised by AdamW (learning rate {training['lr']:g}, weight decay"
           f" {training['weight_decay']:g}) in batches of {training['batch_size']} clips, with gradients clipped to a"
           f" norm of {training['gradient_clip']:g}. After {training['plateau']} epochs without a better dev score the"
           f" learning rate halves; after {training['patience']}, or {training['epochs']} in all, training ends."
           f" {'Seed' if len(seeds) == 1 else 'Seeds'}: {', '.join(seeds)}. Device: {training['device']}.")
    settings = "; ".join(f"{name} = {in_words(value)}" for name, value in config["model_config"].items())
    return [data, how, f"Settings of the model: {settings}."] if settings else [data, how]
