"""Rows a word: guessed without a network, and with a tiny CTC network of random weights, whose course is known."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from transformers import Wav2Vec2Config, Wav2Vec2ForCTC

from pipeline.errors import WeightsError
from pipeline.extractors.text_words import TextWords
from pipeline.media import Media
from pipeline.words.word_times import forced

TEXT = "Oh no, 42 — you know!"
LETTERS = "ABCDEFGHIJKLMNOPQRSTUVWXYZ'"


def make_ctc(folder: Path) -> Path:
    """wav2vec 2.0 with random weights and a head of 30 symbols, in the layout of published ones."""
    folder.mkdir()
    vocabulary = {"<pad>": 0, "<unk>": 1, "|": 2, **{letter: number for number, letter in enumerate(LETTERS, 3)}}
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        Wav2Vec2ForCTC(Wav2Vec2Config(
            vocab_size=len(vocabulary), hidden_size=32, num_hidden_layers=2, num_attention_heads=2, pad_token_id=0,
            intermediate_size=64, conv_dim=[8] * 7, num_conv_pos_embeddings=8, num_conv_pos_embedding_groups=2,
            feat_extract_norm="layer")).save_pretrained(folder)
    (folder / "vocab.json").write_text(json.dumps(vocabulary))
    (folder / "preprocessor_config.json").write_text(json.dumps({"do_normalize": True, "sampling_rate": 16_000}))
    return folder


@pytest.fixture(scope="module")
def ctc(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_ctc(tmp_path_factory.mktemp("ctc") / "tiny")


@pytest.fixture(scope="module")
def sound() -> np.ndarray:
    """Two seconds, loud from 0.5 to 1.5."""
    noise = np.random.default_rng(0).normal(size=32_000).astype(np.float32) / 20
    noise[:8000] *= 1e-3
    noise[24_000:] *= 1e-3
    return noise


def extract(extractor: TextWords, sound: np.ndarray, text: str = TEXT) -> tuple[np.ndarray, np.ndarray, str]:
    found, = extractor.extract([Media("a", waveform=sound, text=text, duration_seconds=len(sound) / 16_000)])
    return found.values, found.times, found.times_kind


def test_without_a_network_times_are_guessed_and_say_so(sound: np.ndarray) -> None:
    values, times, kind = extract(TextWords(), sound)
    assert kind == "proportional" and values.tolist() == [[2, 0], [2, 0], [2, 0], [3, 0], [4, 0]]
    assert times[0, 0] == pytest.approx(.5, abs=.03) and times[-1, 1] == pytest.approx(1.5, abs=.03)
    np.testing.assert_array_equal(times[1:, 0], times[:-1, 1])


def test_with_a_network_times_are_measured_on_its_grid(ctc: Path, sound: np.ndarray) -> None:
    extractor = TextWords(TextWords.Config(model=str(ctc)))
    values, times, kind = extract(extractor, sound)
    assert kind == "measured" and values[:, 0].tolist() == [2, 2, 2, 3, 4] and values[2, 1] == 0
    assert (values[[0, 1, 3, 4], 1] > 0).all()
    np.testing.assert_allclose(np.round(times / .02), times / .02, atol=1e-3)
    assert (np.diff(times[:, 0]) >= 0).all() and times.max() <= 2
    normalised = (sound - sound.mean()) / np.sqrt(sound.var() + 1e-7)
    with torch.inference_mode():
        logits = Wav2Vec2ForCTC.from_pretrained(ctc).eval()(torch.from_numpy(normalised)[None]).logits[0]
    expected = forced(logits.log_softmax(-1).numpy(), TEXT.replace("—", "").split(), extractor.vocabulary, blank=0,
                      between=2)
    assert expected is not None
    np.testing.assert_allclose(times, expected[0] * .02, atol=1e-5)


def test_a_text_that_the_sound_has_no_room_for_is_guessed(ctc: Path, sound: np.ndarray) -> None:
    extractor = TextWords(TextWords.Config(model=str(ctc)))
    assert extract(extractor, sound[:1000], "so many words in so short a time")[2] == "proportional"
    assert extract(extractor, sound, "42 — 43")[2] == "proportional"
    assert extract(extractor, sound[:100], "a")[2] == "measured", "a scrap is filled up with silence"


def test_long_sound_is_heard_in_windows_that_agree_with_the_whole(
        ctc: Path, sound: np.ndarray, monkeypatch: pytest.MonkeyPatch) -> None:
    extractor = TextWords(TextWords.Config(model=str(ctc)))
    whole = extractor._emission(sound)
    monkeypatch.setattr("pipeline.extractors.text_words.WINDOW_SECONDS", 1.0)
    monkeypatch.setattr("pipeline.extractors.text_words.OVERLAP_SECONDS", 0.5)
    assert extractor._emission(sound).shape == whole.shape


@pytest.mark.parametrize("text", ["", " — "])
def test_without_words_or_sound_there_are_no_rows(text: str, sound: np.ndarray) -> None:
    assert extract(TextWords(), sound, text)[0].shape == (0, 2)
    assert extract(TextWords(), sound[:0])[0].shape == (0, 2)


def test_the_recipe_holds_the_letters_and_the_architecture_and_not_the_place(ctc: Path, tmp_path: Path) -> None:
    other = make_ctc(tmp_path / "other")
    one, two = (TextWords(TextWords.Config(model=str(folder))) for folder in (ctc, other))
    assert one.settings() == two.settings() and one.weights[0].digest == two.weights[0].digest
    assert TextWords().settings() == {"model": "none"} and TextWords().weights == ()
    (other / "vocab.json").write_text(json.dumps({"<pad>": 0, "a": 1}))
    assert TextWords(TextWords.Config(model=str(other))).settings() != one.settings()


def test_folders_that_hold_no_such_network_are_weights_errors(ctc: Path, tmp_path: Path) -> None:
    def refused(message: str) -> None:
        with pytest.raises(WeightsError, match=message):
            extractor = TextWords(TextWords.Config(model=str(folder)))
            extractor.settings()
            extractor.network
    folder = tmp_path / "gone"
    refused("no folder .*gone; text_words.model is none, or a folder with a CTC network")
    folder = make_ctc(tmp_path / "a")
    (folder / "vocab.json").write_text(json.dumps({"<pad>": 0, "ab": 1}))
    refused("vocab.json knows no single letters")
    (folder / "vocab.json").unlink()
    refused("vocab.json cannot be read")
    folder = make_ctc(tmp_path / "b")
    (folder / "preprocessor_config.json").write_text('{"sampling_rate": 8000, "do_normalize": true}')
    refused("expected sampling_rate 16000")
    folder = make_ctc(tmp_path / "c")
    (folder / "model.safetensors").write_bytes(b"")
    refused("does not hold a CTC network that transformers can load")
    (folder / "model.safetensors").unlink()
    refused("holds no weights as")
    folder = make_ctc(tmp_path / "d")
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps({**config, "conv_kernel": 3}))
    refused("conv_kernel and conv_stride are lists of one length")


def test_an_encoder_without_a_head_is_refused(tmp_path: Path) -> None:
    from tests.makers import make_speech_encoder
    folder = make_speech_encoder(tmp_path / "bare")
    (folder / "vocab.json").write_text('{"A": 1}')
    with pytest.raises(WeightsError, match=r"lacks 2 of the network's weights \(lm_head"):
        TextWords(TextWords.Config(model=str(folder))).network
