"""The pieces that a text encoder read a clip's words in, where its recipe tells them; else its words."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from tokenizers import Tokenizer

from pipeline.browsing.opened_store import OpenedStore
from pipeline.store import FeatureStore
from pipeline.weights import file_digest, weights_folder
from pipeline.words.utterances import readable
from pipeline.words.word_times import words_of

HASHED = "hashed words"         # what a recipe calls the tokenizer of random weights
_HASHED_PIECES = re.compile(r"\w+|[^\w\s]")
TEXT, TIMED = "text_bert", "text_words"


@dataclass(frozen=True)
class Pieces:
    """A clip's words as they are shown.

    Args:
        words: in order.
        what: they are: for instance ``"word pieces of text_bert"``.
        has_rows: is there a row of the feature for each of them, in order?
        times: start and stop of each in seconds, (N, 2); None where they are not known.
        guessed: were the times guessed from the words' lengths?
    """

    words: tuple[str, ...]
    what: str = "words"
    has_rows: bool = False
    times: np.ndarray | None = None
    guessed: bool = False


def pieces_of(opened: OpenedStore, place: int) -> list[Pieces]:
    """What is known of a clip's words, the closest to its features first; none without words.

    Args:
        opened: the store.
        place: of the clip in the clip table.

    Raises:
        StoreError: rows are damaged.
    """
    store, text = opened.store, opened.clips[place].text
    found = [_timed(store, place, name, text) for name in store.features if _made_by(store, name) == TIMED]
    for name in store.features:
        if _made_by(store, name) != TEXT:
            continue
        words = _encoded(opened, name, text)
        if words:
            num_rows = int(np.diff(store.offsets(name)[place:place + 2])[0])
            found.append(Pieces(words, f"word pieces of {name}", num_rows == len(words)))
    kept: dict[tuple[tuple[str, ...], bool], Pieces] = {}
    for pieces in found:
        if pieces is not None:
            kept.setdefault((pieces.words, pieces.times is None), pieces)
    words = tuple(text.split())
    return list(kept.values()) or ([Pieces(words)] if words else [])


def _made_by(store: FeatureStore, feature: str) -> object:
    return store.recipe(feature).get("extractor")


def _timed(store: FeatureStore, place: int, feature: str, text: str) -> Pieces | None:
    rows, words = store.cell(place, feature), words_of(text)
    if not words or len(rows.values) != len(words) or rows.times_kind == "none":
        return None
    return Pieces(words, f"words of {feature}", True, rows.times, rows.times_kind == "proportional")


def _encoded(opened: OpenedStore, feature: str, text: str) -> tuple[str, ...]:
    settings = opened.store.recipe(feature).get("settings")
    stated = settings.get("tokenizer") if isinstance(settings, dict) else None
    if stated == HASHED:
        return tuple(_HASHED_PIECES.findall(text.lower()))
    tokenizer = opened.once(("tokenizer", feature), lambda: _tokenizer(opened.store, feature, stated))
    return () if tokenizer is None else tuple(tokenizer.encode(readable(text), add_special_tokens=False).tokens)


def _tokenizer(store: FeatureStore, feature: str, stated: object) -> Tokenizer | None:
    """The very tokenizer that the recipe states by its digest, where it is still to be found."""
    for folder in _folders(store, feature):
        file = folder / "tokenizer.json"
        if file.is_file() and file_digest(file) == stated:
            return Tokenizer.from_file(str(file))
    return None


def _folders(store: FeatureStore, feature: str) -> Sequence[Path]:
    """Where the encoder may lie: as the runs that made the store named it, and where fetched ones are kept."""
    found = []
    for request in store.requests:
        settings = request.get("settings")
        own = settings.get(feature) if isinstance(settings, dict) else None
        found += [own[name] for name in ("model", "weights") if isinstance(own, dict) and name in own]
        found += [request["weights"]] if "weights" in request else []
    weights = store.recipe(feature).get("weights")
    names = [record.get("name") for record in weights if isinstance(record, dict)] if isinstance(weights, list) else []
    inner = [str(name).partition("/")[0] for name in names]
    roots = [Path(text) for text in found if isinstance(text, str)] + [weights_folder()]
    return [folder for root in roots for folder in (root, *(root / name for name in inner if _is_plain(name)))]


def _is_plain(name: str) -> bool:
    return bool(name) and name not in (".", "..") and "\0" not in name
