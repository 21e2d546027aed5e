"""Hidden states of a small BERT made on the spot, against transformers' own."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file
from transformers import AutoModel, AutoTokenizer

from pipeline.errors import UsageError, WeightsError
from pipeline.extractors.text_bert import BUCKETS, TextBert
from pipeline.learning.layered import is_layered
from pipeline.media import Media, Spoken

TEXT = "oh no, you know what!"


def extractor(folder: Path, **settings: Any) -> TextBert:
    return TextBert(TextBert.Config(model=str(folder), **{"dtype": "float32", **settings}))


def rows(bert: TextBert, *texts: str) -> list[np.ndarray]:
    return [sequence.values for sequence in bert.extract([Media(text, text=text) for text in texts])]


@pytest.fixture(scope="module")
def states(tiny_bert: Path) -> tuple[torch.Tensor, ...]:
    """transformers' own hidden states (1, T, D) of each layer for the text alone, without padding."""
    tokens = AutoTokenizer.from_pretrained(tiny_bert)(TEXT, return_tensors="pt")
    with torch.inference_mode():
        found = AutoModel.from_pretrained(tiny_bert).eval()(**tokens, output_hidden_states=True).hidden_states
    return tuple(found)


def test_tokens_are_transformers_own_without_the_special_ones(tiny_bert: Path, states: tuple[Any, ...]) -> None:
    found, = rows(extractor(tiny_bert), TEXT)
    assert found.shape == (7, 32)
    np.testing.assert_allclose(found, states[-1][0, 1:-1], atol=1e-5)


def test_cls_is_the_first_special_token_and_mean_the_average_of_the_others(
        tiny_bert: Path, states: tuple[Any, ...]) -> None:
    np.testing.assert_allclose(rows(extractor(tiny_bert, rows="cls"), TEXT)[0], states[-1][0, :1], atol=1e-5)
    np.testing.assert_allclose(rows(extractor(tiny_bert, rows="mean"), TEXT)[0],
                               states[-1][0, 1:-1].mean(0, keepdim=True), atol=1e-5)


def test_last_four_is_the_mean_of_the_layers_there_are(tiny_bert: Path, states: tuple[Any, ...]) -> None:
    found, = rows(extractor(tiny_bert, layers="last_four"), TEXT)
    np.testing.assert_allclose(found, torch.stack(states[-4:]).mean(0)[0, 1:-1], atol=1e-5)


@pytest.mark.parametrize("num_words", [1, 13, 14, 15, 29, 30, 31, 165])
def test_padding_to_a_bucket_changes_nothing(tiny_bert: Path, num_words: int) -> None:
    text = " ".join(["you know what"] * num_words)[:12 * num_words]
    tokens = AutoTokenizer.from_pretrained(tiny_bert)(text, return_tensors="pt")
    with torch.inference_mode():
        expected = AutoModel.from_pretrained(tiny_bert).eval()(**tokens).last_hidden_state[0, 1:-1]
    np.testing.assert_allclose(rows(extractor(tiny_bert), text)[0], expected, atol=1e-5)


def test_more_texts_than_a_batch_come_back_in_order(tiny_bert: Path) -> None:
    texts = [" ".join(["oh"] * (1 + number * 7 % 40)) for number in range(21)]
    bert = extractor(tiny_bert)
    together = rows(bert, *texts)
    assert [len(found) for found in together] == [1 + number * 7 % 40 for number in range(21)]
    for text, found in zip(texts, together, strict=True):
        assert rows(bert, text)[0].tobytes() == found.tobytes()


def test_a_long_text_is_cut_special_tokens_included(tiny_bert: Path) -> None:
    assert len(rows(extractor(tiny_bert, max_tokens=10), "oh " * 50)[0]) == 8
    with pytest.raises(ValueError, match="max_tokens is 3 to 512, found 2"):
        TextBert.Config(max_tokens=2)


@pytest.mark.parametrize("text", ["", "   ", "\n\t"])
@pytest.mark.parametrize("kind", ["tokens", "cls", "mean"])
def test_a_clip_without_words_has_no_rows(tiny_bert: Path, text: str, kind: str) -> None:
    assert rows(extractor(tiny_bert, rows=kind), text)[0].shape == (0, 32)


def test_words_that_the_vocabulary_lacks_are_words_still(tiny_bert: Path) -> None:
    assert len(rows(extractor(tiny_bert), "oh 😀 zebra!")[0]) == 4


def test_text_with_broken_characters_is_no_obstacle(tiny_bert: Path) -> None:
    found = rows(extractor(tiny_bert), "oh \udcff no", "\x00\u200b\u200b", "oh " + "\u0301" * 30)
    assert len(found[0]) == 3 and len(found[1]) == 0 and np.isfinite(found[2]).all()


@pytest.mark.parametrize(("layers", "numbers"), [("all", (0, 1, 2)), ("0,2", (0, 2))])
def test_rows_of_several_layers_hold_each_of_them(tiny_bert: Path, states: tuple[Any, ...], layers: str,
                                                  numbers: tuple[int, ...]) -> None:
    bert = extractor(tiny_bert, layers=layers)
    found, = rows(bert, TEXT)
    assert bert.row_shape == (len(numbers), 32) and found.shape == (7, len(numbers), 32)
    assert is_layered({"row_shape": list(bert.row_shape), "recipe": {"settings": bert.settings()}})
    for place, number in enumerate(numbers):
        np.testing.assert_allclose(found[:, place], states[number][0, 1:-1], atol=1e-5)
    assert rows(extractor(tiny_bert, layers=layers, rows="mean"), TEXT)[0].shape == (1, len(numbers), 32)


def test_one_layer_by_number_is_that_layer(tiny_bert: Path, states: tuple[Any, ...]) -> None:
    found, = rows(extractor(tiny_bert, layers="1"), TEXT)
    np.testing.assert_allclose(found, states[1][0, 1:-1], atol=1e-5)


def test_layers_that_the_model_has_not_are_refused(tiny_bert: Path, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="layers=3: the model has layers 1 to 2, and 0 below them"):
        extractor(tiny_bert, layers="3").settings()
    with pytest.raises(ValueError, match="layers is last, last_four, all or numbers as 4,8, found first"):
        TextBert.Config(layers="first")
    with pytest.raises(WeightsError, match="states no number of layers .*use text_bert.layers=last"):
        extractor(edited(tiny_bert, tmp_path / "a", num_hidden_layers=None), layers="all").row_shape


EARLIER = (Spoken("Ross", "oh!"), Spoken("Rachel", "what do you mean?"), Spoken("Ross", "well, you know"))
LATER = (Spoken("Ross", "yes."), Spoken("", "no! no!"))


def dialogue(bert: TextBert, text: str = TEXT, earlier: tuple[Spoken, ...] = EARLIER,
             later: tuple[Spoken, ...] = LATER) -> np.ndarray:
    return bert.extract([Media("a", text=text, speaker="Rachel", before=earlier, after=later)])[0].values


def test_neighbours_are_read_and_give_no_rows(tiny_bert: Path) -> None:
    tokenizer = AutoTokenizer.from_pretrained(tiny_bert)
    parts = [tokenizer(text, add_special_tokens=False)["input_ids"] for text in
             ("oh! what do you mean? well, you know", TEXT, "yes. no! no!")]
    separator = [tokenizer.sep_token_id]
    ids = [tokenizer.cls_token_id, *parts[0], *separator, *parts[1], *separator, *parts[2], *separator]
    with torch.inference_mode():
        states = AutoModel.from_pretrained(tiny_bert).eval()(input_ids=torch.tensor([ids])).last_hidden_state[0]
    start = 2 + len(parts[0])
    found = dialogue(extractor(tiny_bert, before=3, after=2))
    np.testing.assert_allclose(found, states[start:start + len(parts[1])], atol=1e-5)
    mean = dialogue(extractor(tiny_bert, before=3, after=2, rows="mean"))
    np.testing.assert_allclose(mean, found.mean(0, keepdims=True), atol=1e-6)
    np.testing.assert_allclose(dialogue(extractor(tiny_bert, before=3, after=2, rows="cls"))[0], states[0], atol=1e-5)


def test_names_change_the_rows_and_add_none(tiny_bert: Path) -> None:
    alone, named = (dialogue(extractor(tiny_bert, speakers=speakers), earlier=(), later=())
                    for speakers in ("none", "name"))
    assert alone.shape == named.shape == (7, 32) and not np.allclose(alone, named, atol=1e-3)
    np.testing.assert_array_equal(alone, rows(extractor(tiny_bert), TEXT)[0])


def test_a_clip_without_words_has_no_rows_whatever_its_neighbours_say(tiny_bert: Path) -> None:
    assert dialogue(extractor(tiny_bert, before=3, speakers="upper"), text=" ").shape == (0, 32)


def test_in_a_dialogue_the_bytes_do_not_depend_on_the_batch(tiny_bert: Path) -> None:
    bert = extractor(tiny_bert, before=3, after=2, speakers="name")
    clips = [Media(str(number), text="oh " * (1 + number * 7 % 40), speaker="Ross", before=EARLIER[:number % 4],
                   after=LATER[:number % 3]) for number in range(21)]
    together = [sequence.values for sequence in bert.extract(clips)]
    assert [len(values) for values in together] == [1 + number * 7 % 40 for number in range(21)]
    for clip, values in zip(clips, together, strict=True):
        assert bert.extract([clip])[0].values.tobytes() == values.tobytes()


def test_what_is_read_beside_the_words_is_part_of_the_recipe_only_where_it_is_asked_for(tiny_bert: Path) -> None:
    plain = extractor(tiny_bert).settings()
    assert not {"before", "after", "speakers"} & plain.keys(), "stores made before there were such settings stay valid"
    read = extractor(tiny_bert, before=2, speakers="name").settings()
    assert (read["before"], read["speakers"]) == (2, "name") and "after" not in read
    assert extractor(tiny_bert, before=2, speakers="name").needs.context == (2, 0)
    with pytest.raises(ValueError, match="before and after are 0 to 64 utterances, found -1 and 0"):
        TextBert.Config(before=-1)


def test_times_of_words_are_not_known(tiny_bert: Path) -> None:
    found, = extractor(tiny_bert).extract([Media("a", text=TEXT)])
    assert found.times_kind == "none" and np.isnan(found.times).all()


def edited(tiny_bert: Path, folder: Path, **config: Any) -> Path:
    """A copy of the folder with entries of its config.json changed; None takes one out."""
    shutil.copytree(tiny_bert, folder)
    found = json.loads((folder / "config.json").read_text()) | config
    (folder / "config.json").write_text(json.dumps({key: value for key, value in found.items() if value is not None}))
    return folder


def test_a_model_with_few_places_gets_no_more_tokens_than_it_has(tiny_bert: Path, tmp_path: Path) -> None:
    folder = edited(tiny_bert, tmp_path / "short", max_position_embeddings=40)
    state = load_file(folder / "model.safetensors")
    name = "embeddings.position_embeddings.weight"
    save_file({**state, name: state[name][:40].clone()}, folder / "model.safetensors", {"format": "pt"})
    assert 40 not in BUCKETS
    assert [len(found) for found in rows(extractor(folder), "oh " * 35, "oh " * 100)] == [35, 38]


def test_places_of_robertas_kind_begin_behind_the_padding(tiny_bert: Path, tmp_path: Path) -> None:
    assert extractor(edited(tiny_bert, tmp_path / "a", pad_token_id=1, max_position_embeddings=514)).longest == 512
    assert extractor(edited(tiny_bert, tmp_path / "b", max_position_embeddings=None)).longest == 512


def test_the_width_is_read_from_the_models_config(tiny_bert: Path, tmp_path: Path) -> None:
    assert extractor(tiny_bert).row_shape == (32,)
    assert extractor(edited(tiny_bert, tmp_path / "a", hidden_size=None, dim=48)).row_shape == (48,)
    with pytest.raises(WeightsError, match="states no width .*hidden_size, dim, d_model"):
        extractor(edited(tiny_bert, tmp_path / "b", hidden_size=None)).row_shape


def test_random_weights_of_a_folder_use_its_tokenizer_and_are_seeded(tiny_bert: Path) -> None:
    first, second = (rows(extractor(tiny_bert, weights="random"), TEXT)[0] for _ in range(2))
    assert first.shape == (7, 32) and first.tobytes() == second.tobytes()
    record, = extractor(tiny_bert, weights="random").weights
    assert record.source == "random"


def test_random_weights_without_a_folder_are_berts_size_and_need_no_vocabulary() -> None:
    bert = TextBert(TextBert.Config(weights="random"))
    assert bert.row_shape == (768,) and bert.settings()["tokenizer"] == "hashed words"
    assert bert.tokenizer("Oh, hi!")["input_ids"][0] == 101


def test_the_recipe_names_the_model_and_digests_weights_and_vocabulary(tiny_bert: Path, tmp_path: Path) -> None:
    copy = shutil.copytree(tiny_bert, tmp_path / "tiny")
    assert extractor(copy).settings() == extractor(tiny_bert).settings(), "the place is not part of it"
    assert extractor(copy).weights == extractor(tiny_bert).weights
    for name in ("tokenizer.json", "vocab.txt"):
        if (copy / name).is_file():
            (copy / name).write_text((copy / name).read_text() + "\n")
    assert extractor(copy).settings() != extractor(tiny_bert).settings()


def test_a_folder_of_models_holds_the_model_by_its_name(tiny_bert: Path) -> None:
    for place in (tiny_bert, tiny_bert.parent):
        bert = TextBert(TextBert.Config(model="org/tiny", weights=str(place)))
        assert bert.folder == tiny_bert and bert.weights[0].source == "file"
    with pytest.raises(WeightsError, match="no model in .*; expected config.json, weights and a tokenizer"):
        TextBert(TextBert.Config(model="org/huge", weights=str(tiny_bert.parent))).weights


def test_a_model_that_is_neither_here_nor_to_be_had_says_how_to_get_it(
        tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PIPELINE_OFFLINE", "1")
    monkeypatch.setenv("PIPELINE_WEIGHTS", str(tmp_path))
    with pytest.raises(WeightsError, match="PIPELINE_OFFLINE forbids .*weights fetch --model org/x.*"
                                           "--set text_bert.model=FOLDER, or use --weights random"):
        TextBert(TextBert.Config(model="org/x")).weights


def test_a_model_kept_from_before_is_found_and_one_without_weights_is_not_taken(
        tiny_bert: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PIPELINE_OFFLINE", "1")
    monkeypatch.setenv("PIPELINE_WEIGHTS", str(tmp_path))
    kept = shutil.copytree(tiny_bert, tmp_path / "org--x")
    assert TextBert(TextBert.Config(model="org/x")).folder == kept
    (kept / "model.safetensors").unlink()
    with pytest.raises(WeightsError, match="is not there and PIPELINE_OFFLINE forbids"):
        TextBert(TextBert.Config(model="org/x")).weights


def test_folders_that_hold_no_model_are_weights_errors(tiny_bert: Path, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    with pytest.raises(WeightsError, match="config.json cannot be read"):
        extractor(tmp_path / "empty").row_shape
    bare = edited(tiny_bert, tmp_path / "bare")
    (bare / "model.safetensors").unlink()
    with pytest.raises(WeightsError, match="holds no weights"):
        extractor(bare).weights
    for name, content in (("a", "[1, 2]"), ("b", "{"), ("c", '"text"')):
        folder = edited(tiny_bert, tmp_path / name)
        (folder / "config.json").write_text(content)
        with pytest.raises(WeightsError, match="config.json cannot be read"):
            extractor(folder).row_shape


def test_weights_that_are_not_the_encoders_are_refused_and_not_made_up(tiny_bert: Path, tmp_path: Path) -> None:
    folder = edited(tiny_bert, tmp_path / "a")
    state = load_file(folder / "model.safetensors")
    some = {name: tensor for name, tensor in state.items() if "layer.1" not in name}
    save_file(some, folder / "model.safetensors", {"format": "pt"})
    with pytest.raises(WeightsError, match=r"lacks 16 of the encoder's weights \(encoder.layer.1"):
        extractor(folder).network
    without_pooler = {name: tensor for name, tensor in state.items() if not name.startswith("pooler.")}
    save_file(without_pooler, folder / "model.safetensors", {"format": "pt"})
    assert extractor(folder).network is not None


@pytest.mark.parametrize("content", [b"", b"not weights", bytes(100)])
def test_a_broken_weight_file_is_a_weights_error(tiny_bert: Path, tmp_path: Path, content: bytes) -> None:
    folder = edited(tiny_bert, tmp_path / "a")
    (folder / "model.safetensors").write_bytes(content)
    with pytest.raises(WeightsError, match="does not hold a model that transformers can load"):
        extractor(folder).network


class Payload:
    """Makes a folder when it is unpickled."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[object, tuple[str]]:
        return os.mkdir, (str(self.path),)


def test_code_hidden_in_a_model_is_refused_and_never_runs(tiny_bert: Path, tmp_path: Path) -> None:
    folder = edited(tiny_bert, tmp_path / "evil")
    (folder / "model.safetensors").unlink()
    torch.save({"embeddings.word_embeddings.weight": Payload(tmp_path / "owned")}, folder / "pytorch_model.bin")
    with pytest.raises(WeightsError, match="does not hold a model that transformers can load"):
        extractor(folder).network
    assert not (tmp_path / "owned").exists()


def test_a_folder_without_a_tokenizer_is_a_weights_error(tiny_bert: Path, tmp_path: Path) -> None:
    folder = edited(tiny_bert, tmp_path / "a")
    for file in folder.iterdir():
        if file.name not in ("config.json", "model.safetensors"):
            file.unlink()
    with pytest.raises(WeightsError, match="holds no tokenizer"):
        extractor(folder).extract([Media("a", text=TEXT)])
