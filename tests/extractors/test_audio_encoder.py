"""Hidden states of small speech encoders made on the spot, against transformers' own."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file
from transformers import AutoFeatureExtractor, AutoModel

from pipeline.errors import UsageError, WeightsError
from pipeline.extractors.audio_encoder import AudioEncoder, FrameGrid, cut_windows, normalised
from pipeline.media import SAMPLE_RATE_HZ, FeatureSequence, Media
from tests.makers import make_speech_encoder, make_vision_encoder

KINDS = {"wav2vec2": {}, "hubert": {}, "wavlm": {}, "data2vec-audio": {}, "unispeech-sat": {},
         "wav2vec2 large": {"feat_extract_norm": "layer", "do_stable_layer_norm": True, "conv_bias": True},
         "wavlm large": {"feat_extract_norm": "layer", "do_stable_layer_norm": True}}


def extractor(folder: Path | str, **settings: Any) -> AudioEncoder:
    return AudioEncoder(AudioEncoder.Config(model=str(folder), **{"dtype": "float32", **settings}))


def sound(seconds: float, seed: int = 0) -> np.ndarray:
    """Noise under a tone that rises."""
    chance, time = np.random.default_rng(seed), np.arange(round(seconds * SAMPLE_RATE_HZ)) / SAMPLE_RATE_HZ
    return (0.3 * np.sin(2 * np.pi * (200 + 90 * time) * time) + 0.02 * chance.normal(size=len(time)) + 0.05
            ).astype(np.float32)


def clip(waveform: np.ndarray) -> Media:
    return Media("a", waveform=waveform, duration_seconds=len(waveform) / SAMPLE_RATE_HZ)


def encode(encoder: AudioEncoder, *waveforms: np.ndarray) -> list[FeatureSequence]:
    return encoder.extract([clip(waveform) for waveform in waveforms])


def own(folder: Path, *waveforms: np.ndarray) -> list[torch.Tensor]:
    """transformers' own hidden states (B, T, D) of each layer; of several sounds with the mask that they need."""
    inputs = AutoFeatureExtractor.from_pretrained(folder)(
        list(waveforms), sampling_rate=SAMPLE_RATE_HZ, return_tensors="pt", padding=True,
        return_attention_mask=len(waveforms) > 1)
    with torch.inference_mode():
        output = AutoModel.from_pretrained(folder).eval()(**inputs, output_hidden_states=True)
    return [*output.hidden_states[:-1], output.last_hidden_state]


def edited(folder: Path, copy: Path, name: str = "config.json", **entries: Any) -> Path:
    """A copy of a model's folder with entries of one of its files changed; None takes one out."""
    shutil.copytree(folder, copy)
    found = json.loads((copy / name).read_text()) | entries
    (copy / name).write_text(json.dumps({key: value for key, value in found.items() if value is not None}))
    return copy


@pytest.mark.parametrize("kind", KINDS)
def test_layers_are_transformers_own_of_every_kind(kind: str, tmp_path: Path) -> None:
    folder = make_speech_encoder(tmp_path / "tiny", kind.split()[0], **KINDS[kind])
    waveform = sound(1.3)
    states = own(folder, waveform)
    last, second, both, mean, pooled = (encode(extractor(folder, layers=layers), waveform)[0].values
                                        for layers in ("last", "1", "0,2", "last_four", "all"))
    assert last.shape == (64, 32) and both.shape == (64, 2, 32) and pooled.shape == (1, 3, 32)
    np.testing.assert_allclose(last, states[2][0], atol=1e-5)
    np.testing.assert_allclose(second, states[1][0], atol=1e-5)
    np.testing.assert_allclose(both, torch.stack([states[0][0], states[2][0]], 1), atol=1e-5)
    np.testing.assert_allclose(mean, torch.stack(states).mean(0)[0], atol=1e-5)
    np.testing.assert_allclose(pooled[0], torch.stack(states).mean(2)[:, 0], atol=1e-5)
    assert np.abs(last - second).max() > 0.01


def test_a_model_with_masks_gives_the_same_unpadded_as_padded_and_masked(tmp_path: Path) -> None:
    folder = make_speech_encoder(tmp_path / "tiny", feat_extract_norm="layer", do_stable_layer_norm=True)
    long, short = sound(1.5), sound(0.7, seed=1)
    padded = own(folder, long, short)[-1]
    found = encode(extractor(folder, layers="last"), long, short)
    for states, sequence in zip(padded, found, strict=True):
        np.testing.assert_allclose(sequence.values, states[:len(sequence.values)], atol=1e-4)


def test_a_model_with_a_group_norm_would_hear_padding_and_gets_none(tiny_speech: Path) -> None:
    assert json.loads((tiny_speech / "config.json").read_text())["feat_extract_norm"] == "group"
    long, short = sound(1.5), sound(0.7, seed=1)
    found, = encode(extractor(tiny_speech, layers="last"), short)
    assert np.abs(found.values - own(tiny_speech, long, short)[-1][1, :len(found.values)].numpy()).max() > 1e-3
    np.testing.assert_allclose(found.values, own(tiny_speech, short)[-1][0], atol=1e-5)


@pytest.mark.parametrize("layers", ["all", "last"])
def test_clips_together_are_those_one_by_one_to_the_byte(tiny_speech: Path, layers: str) -> None:
    encoder = extractor(tiny_speech, layers=layers, window_seconds=1, overlap_seconds=0.2)
    waveforms = [sound(seconds, seed=3) for seconds in (0.5, 2.7, 0.0, 0.01, 1.0)]
    together = encode(encoder, *waveforms)
    for waveform, found in zip(waveforms, together, strict=True):
        alone, = encode(encoder, waveform)
        assert alone.values.tobytes() == found.values.tobytes() and alone.times.tobytes() == found.times.tobytes()


def test_a_frame_stands_for_its_receptive_field(tiny_speech: Path) -> None:
    """A click moves the frames whose samples hold it, seen before attention spreads it to all others."""
    encoder = extractor(tiny_speech, layers="last")
    quiet, click = np.zeros(SAMPLE_RATE_HZ, np.float32), 5_000
    loud = quiet.copy()
    loud[click] = 1.0
    convolutions = encoder.network.feature_extractor
    convolutions.conv_layers[0].layer_norm = torch.nn.Identity()  # the group norm hears the whole clip
    with torch.inference_mode():
        before, after = (convolutions(torch.from_numpy(waveform)[None])[0] for waveform in (quiet, loud))
    moved = (before != after).any(0).numpy()
    times = encoder.grid.times(len(moved))
    assert len(moved) == encoder.grid.num_frames(SAMPLE_RATE_HZ) == 49
    np.testing.assert_array_equal(moved, (times[:, 0] <= click / 16_000) & (click / 16_000 < times[:, 1]))
    sequence, = encode(encoder, sound(1.0))
    np.testing.assert_array_equal(sequence.times, times)
    np.testing.assert_allclose(times[[0, 1, 48]], [[0, .025], [.02, .045], [.96, .985]], atol=1e-6)


@pytest.mark.parametrize("num_samples", [400, 401, 719, 720, 721, 16_000, 12_345])
def test_frames_are_counted_as_transformers_counts_them(tiny_speech: Path, num_samples: int) -> None:
    network = extractor(tiny_speech).network
    expected = int(network._get_feat_extract_output_lengths(torch.tensor(num_samples)))
    assert FrameGrid((10, 3, 3, 3, 3, 2, 2), (5, 2, 2, 2, 2, 2, 2)).num_frames(num_samples) == expected


def test_windows_keep_every_frame_once_with_context_on_both_sides() -> None:
    for num_frames in (*range(1, 60), 997):
        windows = cut_windows(num_frames, 20, 6)
        kept = np.concatenate([np.arange(keep, stop) for _, keep, stop in windows])
        np.testing.assert_array_equal(kept, np.arange(num_frames))
        assert (windows[:, 0] >= 0).all() and (windows[1:, 0] + 20 <= num_frames).all()
        assert (windows[1:, 1] - windows[1:, 0] >= 3).all() and (windows[:-1, 0] + 20 - windows[:-1, 2] >= 3).all()
    assert cut_windows(20, 20, 6).tolist() == [[0, 0, 20]]


def test_long_sound_goes_through_in_windows_on_one_grid(tmp_path: Path) -> None:
    """Without layers only the convolutions speak, and their place is the same in a window as in the whole."""
    folder = make_speech_encoder(tmp_path / "tiny", feat_extract_norm="layer", do_stable_layer_norm=True,
                                 num_conv_pos_embeddings=2)
    waveform = sound(7.3)
    cut, whole = (encode(extractor(folder, layers="0", window_seconds=seconds), waveform)[0] for seconds in (4, 20))
    np.testing.assert_array_equal(cut.times, whole.times)
    np.testing.assert_allclose(cut.values, whole.values, atol=1e-4)
    several = encode(extractor(folder, layers="0", window_seconds=4, batch_size=3), waveform)[0]
    np.testing.assert_allclose(several.values, cut.values, atol=1e-5)
    pooled, = encode(extractor(folder, layers="all", window_seconds=4), waveform)
    np.testing.assert_allclose(pooled.values[0, 0], cut.values.mean(0), atol=1e-5)
    np.testing.assert_allclose(pooled.times, [[0, 7.3]], atol=1e-6)


def test_no_window_is_longer_than_is_set(tiny_speech: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    encoder, seen = extractor(tiny_speech, window_seconds=1, overlap_seconds=0.2, batch_size=2), []
    states = encoder.states

    def watched(inputs: torch.Tensor) -> torch.Tensor:
        seen.append(tuple(inputs.shape))
        return states(inputs)
    monkeypatch.setattr(encoder, "states", watched)
    encode(encoder, sound(9.0))
    assert set(seen) <= {(2, 49 * 320 + 400), (1, 49 * 320 + 400)} and len(seen) == 6


def test_sound_shorter_than_a_frame_is_filled_with_silence_and_none_gives_no_rows(tiny_speech: Path) -> None:
    encoder = extractor(tiny_speech, layers="last")
    short, none = encode(encoder, sound(0.01), np.zeros(0, np.float32))
    filled = np.pad(normalised(sound(0.01)), (0, 240))
    with torch.inference_mode():
        expected = AutoModel.from_pretrained(tiny_speech).eval()(torch.from_numpy(filled)[None]).last_hidden_state[0]
    np.testing.assert_allclose(short.values, expected, atol=1e-5)
    np.testing.assert_allclose(short.times, [[0, 0.01]], atol=1e-6)
    assert none.values.shape == (0, 32)
    silent, = encode(encoder, np.zeros(8000, np.float32))
    assert len(silent.values) == 24


def test_sound_is_normalised_as_the_models_own_file_says(tiny_speech: Path, tmp_path: Path) -> None:
    raw = edited(tiny_speech, tmp_path / "raw", "preprocessor_config.json", do_normalize=False)
    waveform = sound(0.6)
    with torch.inference_mode():
        expected = AutoModel.from_pretrained(raw).eval()(torch.from_numpy(waveform)[None]).last_hidden_state[0]
    found, = encode(extractor(raw, layers="last"), waveform)
    np.testing.assert_allclose(found.values, expected, atol=1e-5)
    assert extractor(raw).settings() != extractor(tiny_speech).settings()
    made, = AutoFeatureExtractor.from_pretrained(tiny_speech)(waveform, sampling_rate=16_000)["input_values"]
    np.testing.assert_array_equal(normalised(waveform), made)


def test_a_processors_own_file_is_read_as_well(tiny_speech: Path, tmp_path: Path) -> None:
    folder = shutil.copytree(tiny_speech, tmp_path / "a")
    (folder / "preprocessor_config.json").unlink()
    with pytest.raises(WeightsError, match="does not say how the model wants its input"):
        extractor(folder).settings()
    (folder / "processor_config.json").write_text(json.dumps({"feature_extractor": {
        "do_normalize": False, "sampling_rate": 16_000}, "processor_class": "Wav2Vec2Processor"}))
    assert not extractor(folder).normalise
    (folder / "processor_config.json").write_text("[")
    with pytest.raises(WeightsError, match="processor_config.json cannot be read"):
        extractor(folder).settings()


@pytest.mark.parametrize(("entries", "finding"), [
    ({"sampling_rate": 8000}, "was trained on sound at 8000 Hz .*; expected 16000"),
    ({"sampling_rate": None}, "was trained on sound at None Hz"),
    ({"do_normalize": "yes"}, "has do_normalize=yes; expected true or false")])
def test_another_sampling_rate_or_none_is_refused(tiny_speech: Path, tmp_path: Path, entries: dict[str, Any],
                                                  finding: str) -> None:
    folder = edited(tiny_speech, tmp_path / "a", "preprocessor_config.json", **entries)
    with pytest.raises(WeightsError, match=finding):
        extractor(folder).settings()


def test_a_folder_of_another_kind_is_one_clear_error(tiny_bert: Path, tiny_speech: Path, tmp_path: Path) -> None:
    for folder, kind in ((tiny_bert, "bert"), (make_vision_encoder(tmp_path / "vit"), "vit")):
        with pytest.raises(WeightsError, match=rf"is not an encoder of speech on the waveform: its config.json "
                                               rf"\(model_type {kind}\) has no conv_kernel or conv_stride"):
            extractor(folder).row_shape
    posing = edited(tiny_bert, tmp_path / "posing", conv_kernel=[10], conv_stride=[5])
    shutil.copy(tiny_speech / "preprocessor_config.json", posing)
    with pytest.raises(WeightsError, match="is not an encoder of speech on the waveform: it takes input_ids, expected"):
        extractor(posing).network
    wrong = edited(tiny_speech, tmp_path / "wrong", conv_kernel=[10])
    with pytest.raises(WeightsError, match="conv_kernel and conv_stride are lists of one length"):
        extractor(wrong).settings()


def test_an_encoder_whose_output_is_shortened_is_refused(tmp_path: Path) -> None:
    folder = make_speech_encoder(tmp_path / "tiny", add_adapter=True)
    with pytest.raises(WeightsError, match=r"expected 3 hidden states of 4 steps of 32 numbers, found 3 of .*adapter"):
        extractor(folder).network


@pytest.mark.parametrize("content", ["", "{", "[1]", '{"hidden_size": NaN}', "[" * 100_000])
def test_a_broken_config_is_a_weights_error(tiny_speech: Path, tmp_path: Path, content: str) -> None:
    folder = shutil.copytree(tiny_speech, tmp_path / "a")
    (folder / "config.json").write_text(content)
    with pytest.raises(WeightsError, match="config.json cannot be read .*; audio_encoder.model is a name on the hub"):
        extractor(folder).row_shape
    assert not AudioEncoder.fits(folder)


def test_layers_that_the_model_has_not_are_refused(tiny_speech: Path) -> None:
    with pytest.raises(UsageError, match="audio_encoder.layers=1,3: the model has layers 1 to 2, and 0 below them"):
        extractor(tiny_speech, layers="1,3").row_shape
    for look in (lambda: extractor(tiny_speech, layers="3").settings(),
                 lambda: encode(extractor(tiny_speech, layers="3"), sound(0.1))):
        with pytest.raises(UsageError, match="audio_encoder.layers=3: the model has layers 1 to 2"):
            look()
    for layers in ("first", "1,", "-1", "", "1 2"):
        with pytest.raises(ValueError, match="layers is all, last, last_four or numbers as 6,9"):
            AudioEncoder.Config(layers=layers)


@pytest.mark.parametrize(("settings", "finding"), [
    ({"window_seconds": 0.5}, "window_seconds is 1 to 600, found 0.5"),
    ({"window_seconds": float("nan")}, "window_seconds is 1 to 600, found nan"),
    ({"overlap_seconds": 11}, "overlap_seconds is 0 to half of window_seconds, found 11"),
    ({"batch_size": 0}, "batch_size is at least 1, found 0")])
def test_settings_outside_their_range_are_refused(settings: dict[str, Any], finding: str) -> None:
    with pytest.raises(ValueError, match=finding):
        AudioEncoder.Config(**settings)


def test_published_names_of_weights_are_read_without_a_word(tiny_speech: Path, tmp_path: Path,
                                                            caplog: pytest.LogCaptureFixture) -> None:
    """As in the files of wav2vec2-base-960h: under a prefix, beside a head, weight norm's old names, no mask."""
    folder = shutil.copytree(tiny_speech, tmp_path / "a")
    state = {f"wav2vec2.{name.replace('parametrizations.weight.original0', 'weight_g')}"
             .replace("parametrizations.weight.original1", "weight_v"): value
             for name, value in load_file(folder / "model.safetensors").items() if name != "masked_spec_embed"}
    assert any(name.endswith("weight_g") for name in state) and any(name.endswith("weight_v") for name in state)
    save_file({**state, "lm_head.weight": torch.zeros(5, 32)}, folder / "model.safetensors", {"format": "pt"})
    found, expected = (encode(extractor(place), sound(0.5))[0].values for place in (folder, tiny_speech))
    np.testing.assert_allclose(found, expected, atol=1e-6)
    assert not caplog.messages


def test_weights_that_are_missing_or_pickles_are_refused(tiny_speech: Path, tmp_path: Path) -> None:
    folder = shutil.copytree(tiny_speech, tmp_path / "a")
    state = load_file(folder / "model.safetensors")
    some = {name: value for name, value in state.items() if not name.startswith("encoder.layers.1.")}
    save_file(some, folder / "model.safetensors", {"format": "pt"})
    with pytest.raises(WeightsError, match=r"lacks 16 of the encoder's weights \(encoder.layers.1"):
        extractor(folder).network
    (folder / "model.safetensors").write_bytes(b"not weights")
    with pytest.raises(WeightsError, match="does not hold a model that transformers can load"):
        extractor(folder).network
    (folder / "model.safetensors").unlink()
    torch.save(state, folder / "pytorch_model.bin")
    for look in ("weights", "network"):
        with pytest.raises(WeightsError, match=r"holds no weights as \*.safetensors, and weights that are pickles"):
            getattr(extractor(folder), look)


def test_code_beside_a_model_is_never_run(tiny_speech: Path, tmp_path: Path) -> None:
    folder = edited(tiny_speech, tmp_path / "a", model_type="own", auto_map={
        "AutoConfig": "own.OwnConfig", "AutoModel": "own.OwnModel"})
    (folder / "own.py").write_text(f"open({str(tmp_path / 'owned')!r}, 'w')\n")
    with pytest.raises(WeightsError, match="does not hold a model that transformers can load"):
        extractor(folder).network
    assert not (tmp_path / "owned").exists()


def test_random_weights_are_seeded_and_need_no_folder(tiny_speech: Path) -> None:
    first, second = (encode(extractor(tiny_speech, weights="random"), sound(0.4))[0].values for _ in range(2))
    assert first.tobytes() == second.tobytes()
    record, = extractor(tiny_speech, weights="random").weights
    assert (record.network, record.source) == ("wav2vec2", "random")
    base = AudioEncoder(AudioEncoder.Config(weights="random"))
    assert base.row_shape == (13, 768) and base.normalise and base.grid.stride == 320 and base.sources == ()


def test_the_recipe_digests_what_lies_in_the_folder_and_not_its_place(tiny_speech: Path, tmp_path: Path) -> None:
    copy = shutil.copytree(tiny_speech, tmp_path / "tiny")
    assert extractor(copy).settings() == extractor(tiny_speech).settings()
    assert extractor(copy).weights == extractor(tiny_speech).weights
    other = edited(tiny_speech, tmp_path / "other", layer_norm_eps=1e-3)
    assert extractor(other).settings() != extractor(tiny_speech).settings()
    assert "batch_size" not in extractor(tiny_speech).settings()


def test_a_folder_of_models_holds_the_model_by_its_name(tiny_speech: Path, tmp_path: Path) -> None:
    shutil.copytree(tiny_speech, tmp_path / "org--tiny")
    for place in (tiny_speech, tiny_speech.parent, tmp_path):
        encoder = AudioEncoder(AudioEncoder.Config(model="org/tiny", weights=str(place)))
        assert encoder.weights[0].source == "file"
    with pytest.raises(WeightsError, match="no model in .*; expected config.json and weights in it or in"):
        AudioEncoder(AudioEncoder.Config(model="org/other", weights=str(tmp_path / "none"))).folder


def test_offline_a_missing_model_is_said_with_its_setting(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PIPELINE_WEIGHTS", str(tmp_path))
    monkeypatch.setenv("PIPELINE_OFFLINE", "1")
    with pytest.raises(WeightsError, match="audio_encoder.model=facebook/wav2vec2-base-960h: .* is not there and"
                                           " PIPELINE_OFFLINE .*--set audio_encoder.model=FOLDER"):
        AudioEncoder().row_shape
    with pytest.raises(WeightsError, match="audio_encoder.model=no/such/name is neither a folder nor a name"):
        AudioEncoder(AudioEncoder.Config(model="no/such/name")).row_shape


def test_bfloat16_stays_near_float32(tiny_speech: Path) -> None:
    coarse, fine = (encode(extractor(tiny_speech, dtype=dtype), sound(0.8))[0].values
                    for dtype in ("bfloat16", "float32"))
    assert coarse.dtype == np.float32 and 0 < np.abs(coarse - fine).max() < 0.1
