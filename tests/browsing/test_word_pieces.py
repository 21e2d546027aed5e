"""Words as the encoder read them where the recipe tells, by the very tokenizer, and else as they stand."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from pipeline.browsing.opened_store import OpenedStore
from pipeline.browsing.word_pieces import Pieces, pieces_of
from pipeline.clip import Clip, Corpus
from pipeline.storage.packing import FeatureData, write_store
from pipeline.weights import file_digest
from tests.browsing.stores import make_store, untimed
from tests.makers import make_bert


def pieces(folder: Path, recipe: dict[str, Any], *, text: str = "Oh, you knows!", num_rows: int = 6,
           requests: tuple[dict[str, Any], ...] = ()) -> list[Pieces]:
    clip = Clip("all/a", text=text)
    store = write_store(folder / "s.h5", corpus=Corpus("c"), clips=[clip], requests=requests, features={
        "text_bert": FeatureData("text", (4,), {"extractor": "text_bert", **recipe}, {
            "all/a": untimed(np.zeros((num_rows, 4), np.float32))})})
    return pieces_of(OpenedStore(store), 0)


def test_random_weights_hash_words(tmp_path: Path) -> None:
    found, = pieces(tmp_path, {"settings": {"tokenizer": "hashed words"}}, num_rows=5)
    assert found.words == ("oh", ",", "you", "knows", "!") and found.has_rows
    assert found.what == "word pieces of text_bert" and found.times is None


@pytest.mark.parametrize("where", ["model", "weights", "all weights", "kept"])
def test_the_tokenizer_of_the_recipe_is_found_by_its_digest(tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
                                                            where: str) -> None:
    folder = make_bert(tmp_path / "here" / "bert")
    recipe = {"settings": {"tokenizer": file_digest(folder / "tokenizer.json")},
              "weights": [{"name": "bert/model.safetensors"}]}
    requests: tuple[dict[str, Any], ...] = ()
    if where == "kept":
        monkeypatch.setenv("PIPELINE_WEIGHTS", str(folder.parent))
    elif where == "all weights":
        requests = ({"weights": str(folder.parent), "settings": {}},)
    else:
        requests = ({"weights": None, "settings": {"text_bert": {
            where: str(folder if where == "model" else folder.parent)}}},)
    found, = pieces(tmp_path, recipe, requests=requests)
    assert found.words == ("oh", ",", "you", "know", "##s", "!") and found.has_rows
    other, = pieces(tmp_path, {**recipe, "settings": {"tokenizer": "ab" * 16}}, requests=requests)
    assert other == Pieces(("Oh,", "you", "knows!"))  # another tokenizer would show other pieces


def test_pieces_that_are_not_the_rows_say_so(tmp_path: Path) -> None:
    found, = pieces(tmp_path, {"settings": {"tokenizer": "hashed words", "rows": "mean"}}, num_rows=1)
    assert len(found.words) == 5 and not found.has_rows


@pytest.mark.parametrize("recipe", [
    {}, {"settings": 5}, {"settings": {"tokenizer": ["x"]}, "weights": "x"},
    {"settings": {"tokenizer": "x"}, "weights": [{"name": "../../etc/passwd"}, {"name": "a\0b/c"}, 7]}], ids=str)
def test_odd_recipes_give_the_words(tmp_path: Path, recipe: dict[str, Any]) -> None:
    requests = ({"settings": [1], "weights": 3}, {"settings": {"text_bert": "x"}})
    assert pieces(tmp_path, recipe, requests=requests) == [Pieces(("Oh,", "you", "knows!"))]
    assert pieces(tmp_path, recipe, text=" ") == []


def test_words_with_times_come_first(tmp_path: Path) -> None:
    timed, hashed = pieces_of(OpenedStore(make_store(tmp_path / "s.h5")), 1)
    assert timed.words == ("Well,", "yes.", "1") and timed.times is not None and not timed.guessed
    assert timed.times[1].tolist() == pytest.approx([.2, .4]) and hashed.words == ("well", ",", "yes", ".", "1")
