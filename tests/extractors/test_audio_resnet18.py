"""ResNet-18 on log-mel patches."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torchvision.models import ResNet18_Weights, resnet18

from pipeline import weights
from pipeline.errors import ClipError, WeightsError
from pipeline.extractors.asd_faces import SIDE, AsdFaces
from pipeline.extractors.audio_resnet18 import MEAN, SD, AudioResnet18
from pipeline.media import FeatureSequence, Media, PictureRequest, TrackMedia
from pipeline.networks.backbones import build


def media(seconds: float, *, seed: int = 0) -> Media:
    wave = np.random.default_rng(seed).normal(0, 0.1, round(16_000 * seconds)).astype(np.float32)
    return Media("a", waveform=wave, duration_seconds=seconds)


@pytest.fixture(scope="module")
def extractor() -> AudioResnet18:
    torch.set_num_threads(1)
    return AudioResnet18(AudioResnet18.Config(weights="random", dtype="float32", most=6, side=64))


def extract(extractor: Any, seconds: float) -> FeatureSequence:
    return extractor.extract([media(seconds)])[0]  # type: ignore[no-any-return]


def test_constants_are_those_that_the_weights_were_trained_with() -> None:
    preset = ResNet18_Weights.IMAGENET1K_V1.transforms()
    assert (MEAN, SD) == (tuple(preset.mean), tuple(preset.std))


@pytest.mark.parametrize(("seconds", "num_rows"), [(0.001, 1), (0.5, 1), (0.975, 1), (1.46, 2), (2.9, 4), (60.0, 6)])
def test_as_few_patches_as_cover_the_clip(extractor: AudioResnet18, seconds: float, num_rows: int) -> None:
    found = extract(extractor, seconds)
    assert found.values.shape == (num_rows, 512)
    assert found.times[0, 0] == 0 and found.times[-1, 1] <= np.float32(seconds)


def test_patches_of_a_long_clip_reach_from_its_start_to_its_end(extractor: AudioResnet18) -> None:
    times = extract(extractor, 60.0).times
    assert times[-1, 1] > 59.4 and np.ptp(np.diff(times[:, 0])) < 1


def test_times_of_patches(extractor: AudioResnet18) -> None:
    np.testing.assert_allclose(extract(extractor, 2.0).times, [[0, 0.975], [0.52, 1.495], [1.03, 2.0]], atol=1e-6)


def test_a_row_is_the_spatial_average_of_torchvisions_network(extractor: AudioResnet18) -> None:
    network = build(resnet18, "random", weights.RESNET18)
    network.fc = torch.nn.Identity()
    from pipeline.sound.spectrogram import log_mel
    clip = media(0.975)
    assert clip.waveform is not None
    patch = torch.from_numpy(((log_mel(clip.waveform) + 80) / 80).clip(0, 1).T.copy())        # (bands, windows)
    picture = torch.nn.functional.interpolate(patch[None, None], (64, 64), mode="bilinear").repeat(1, 3, 1, 1)
    inputs = (picture - torch.tensor(MEAN).view(3, 1, 1)) / torch.tensor(SD).view(3, 1, 1)
    with torch.inference_mode():
        expected = network(inputs)[0].numpy()
    found = extractor.extract([clip])[0].values[0]
    assert np.linalg.norm(found - expected) / np.linalg.norm(expected) < 1e-4


def test_silence_and_sound_differ(extractor: AudioResnet18) -> None:
    silence = extractor.extract([Media("a", waveform=np.zeros(14_400, np.float32), duration_seconds=0.9)])[0]
    assert silence.values.shape == (1, 512)
    assert np.linalg.norm(silence.values[0] - extract(extractor, 0.9).values[0]) > 0.1


@pytest.mark.parametrize("name", ["patch_windows", "most", "side", "batch_size"])
def test_a_count_below_one_is_refused(name: str) -> None:
    with pytest.raises(ValueError, match=f"{name} is at least 1, found 0"):
        AudioResnet18.Config(**{name: 0})


def six_parts(**settings: Any) -> AudioResnet18:
    return AudioResnet18(AudioResnet18.Config(weights="random", dtype="float32", side=32, patches="six_parts",
                                              **settings))


@pytest.mark.parametrize("num_samples", [1, 5, 4000, 59_999, 160_000])
def test_six_equal_parts_give_six_rows_of_512(num_samples: int) -> None:
    wave = np.random.default_rng(0).normal(0, 0.1, num_samples).astype(np.float32)
    found, = six_parts().extract([Media("a", waveform=wave, duration_seconds=num_samples / 16_000)])
    edges = np.arange(7) * num_samples / 6 / 16_000
    assert found.values.shape == (6, 512)
    np.testing.assert_allclose(found.times, np.stack([edges[:-1], edges[1:]], 1), atol=1e-6)


def test_a_part_hears_its_own_sixth_of_the_clip_and_no_more() -> None:
    extractor, wave = six_parts(), np.zeros(48_000, np.float32)
    silence, = extractor.extract([Media("a", waveform=wave, duration_seconds=3)])
    wave[16_000:24_000] = np.random.default_rng(0).normal(0, 0.1, 8000)
    heard, = extractor.extract([Media("a", waveform=wave, duration_seconds=3)])
    changed = np.abs(heard.values - silence.values).max(1) > 1e-3
    assert changed.tolist() == [False, False, True, False, False, False]


def test_spectra_are_of_a_few_hundredths_of_a_second_never_of_the_whole_clip() -> None:
    """One Fourier transform of a whole clip (190,000 points) cannot tell which of two tones came first."""
    extractor, times = six_parts(), np.arange(48_000) / 16_000
    rising = np.sin(2 * np.pi * np.where(times % 0.5 < 0.25, 300, 3000) * times).astype(np.float32)
    falling = np.sin(2 * np.pi * np.where(times % 0.5 < 0.25, 3000, 300) * times).astype(np.float32)
    pictures = [extractor._six_parts(wave)[0][2, 0].numpy() for wave in (rising, falling)]
    assert np.abs(pictures[0] - pictures[1]).max() > 0.5
    low, high = pictures[0][:12], pictures[0][16:]
    assert low[:, :12].max() > low[:, 20:].max() + 0.2 and high[:, 20:].max() > high[:, :12].max() + 0.2


def test_settings_hold_what_counts_in_the_layout_that_is_set() -> None:
    assert {"patch_windows", "most"} <= AudioResnet18().settings().keys()
    assert "patches" not in AudioResnet18().settings(), "stores of before this setting stay what they are"
    settings = six_parts(most=9).settings()
    assert settings["patches"] == "six_parts" and not {"patch_windows", "most"} & settings.keys()


def checkpoint(path: Path, *, channels: int = 3, prefix: str = "", **others: torch.Tensor) -> Path:
    """A ResNet-18 as a training script leaves it."""
    network = weights.seeded(resnet18, 7)
    state = {prefix + name: value for name, value in network.state_dict().items()}
    state[f"{prefix}conv1.weight"] = state[f"{prefix}conv1.weight"][:, :channels].clone()
    torch.save({"state_dict": {**state, **others}, "epoch": 3}, path)
    return path


@pytest.mark.parametrize(("channels", "prefix"), [(3, ""), (3, "module."), (1, "backbone."), (1, "")])
def test_any_checkpoint_of_a_resnet18_is_taken(tmp_path: Path, channels: int, prefix: str) -> None:
    path = checkpoint(tmp_path / "audio.pth", channels=channels, prefix=prefix)
    extractor = AudioResnet18(AudioResnet18.Config(weights=str(path), dtype="float32", side=64))
    found = extract(extractor, 0.9).values
    network = weights.seeded(resnet18, 7).eval()
    network.fc = torch.nn.Identity()
    patch = torch.from_numpy(extractor._cover(media(0.9).waveform)[0].numpy())  # type: ignore[arg-type]
    if channels == 1:
        network.conv1.weight = torch.nn.Parameter(network.conv1.weight[:, :1])
        inputs = (patch - np.mean(MEAN)) / np.mean(SD)
    else:
        inputs = (patch - torch.tensor(MEAN).view(3, 1, 1)) / torch.tensor(SD).view(3, 1, 1)
    with torch.inference_mode():
        expected = network(inputs.float()).numpy()
    np.testing.assert_allclose(found, expected, rtol=1e-3, atol=1e-4)
    assert extractor.weights[0].name == "audio.pth" and extractor.weights[0].source == "file"
    assert not any(module.training for module in extractor.network.modules())


def test_layers_that_are_dropped_are_said_in_the_record(tmp_path: Path) -> None:
    path = checkpoint(tmp_path / "audio.pth", **{"head.0.weight": torch.zeros(2), "speaker.bias": torch.zeros(1)})
    extractor = AudioResnet18(AudioResnet18.Config(weights=str(path), dtype="float32", side=64))
    assert extractor.weights[0].name == "audio.pth without head, speaker"
    assert extract(extractor, 0.9).values.shape == (1, 512)


@pytest.mark.parametrize(("others", "message"), [
    ({"conv1.weight": torch.zeros(64, 2, 7, 7)}, "size mismatch for conv1.weight"),
    ({"layer4.1.bn2.bias": torch.zeros(9)}, "size mismatch for layer4.1.bn2.bias")])
def test_weights_of_a_wrong_shape_are_refused(tmp_path: Path, others: dict[str, torch.Tensor], message: str) -> None:
    path = checkpoint(tmp_path / "audio.pth", **others)
    with pytest.raises(WeightsError, match=f"audio.pth does not hold weights of ResNet .*{message}"):
        AudioResnet18(AudioResnet18.Config(weights=str(path))).weights


def by_frames(**settings: Any) -> AudioResnet18:
    return AudioResnet18(AudioResnet18.Config(weights="random", dtype="float32", side=32, patches="frames",
                                              **{"patch_windows": 8, **settings}))


def noise(seconds: float) -> np.ndarray:
    return np.random.default_rng(0).normal(0, 0.1, round(16_000 * seconds)).astype(np.float32)


def face_track(starts: np.ndarray, rate_hz: float) -> Media:
    """A face track with its pictures, and sound as long as it."""
    times = np.stack([starts, starts + 1 / rate_hz], axis=1).astype(np.float32)
    pictures = np.zeros((len(starts), SIDE, SIDE), np.uint8)
    stop = float(times[-1, 1])
    return Media("a", waveform=noise(stop), duration_seconds=stop,
                 track=TrackMedia(times, rate_hz, {PictureRequest(SIDE): pictures}))


@pytest.mark.parametrize(("starts", "rate_hz"), [
    (np.arange(31) / 25, 25.0), (np.arange(37) / 29.97, 29.97), (np.arange(36) / 30, 30.0),
    (np.cumsum([0.01, *[0.02, 0.05, 0.11] * 9]), 25.0)], ids=["25 Hz", "29.97 Hz", "30 Hz", "variable"])
def test_frames_of_a_track_have_a_row_each_at_the_times_of_its_faces(starts: np.ndarray, rate_hz: float) -> None:
    track = face_track(starts, rate_hz)
    [faces] = AsdFaces(AsdFaces.Config(clips="tracks")).extract([track])
    [found] = by_frames(clips="tracks").extract([track])
    assert found.values.shape == (len(faces.values), 512) and len(starts) == len(faces.values)
    np.testing.assert_array_equal(found.times, faces.times)
    assert found.times_kind == faces.times_kind


def test_frames_of_a_video_have_a_row_for_each_of_its_faces_and_hear_its_own_time() -> None:
    starts = np.concatenate([np.arange(50), np.arange(12, 24)]) / 25
    faces = FeatureSequence(np.zeros((62, SIDE, SIDE), np.uint8),
                            np.stack([starts, starts + 0.04], axis=1).astype(np.float32))
    [found] = by_frames().extract([Media("a", waveform=noise(1.0), duration_seconds=2.0,
                                         features={"asd_faces": faces})])
    np.testing.assert_array_equal(found.times, faces.times)
    np.testing.assert_allclose(found.values[50:], found.values[12:24], atol=1e-5)
    assert np.ptp(found.values[28:50], axis=0).max() < 1e-5, "behind the sound's end there is silence"
    assert np.ptp(found.values[10:20], axis=0).max() > 0.1


def test_the_patch_of_a_frame_lies_around_its_middle() -> None:
    extractor, wave = by_frames(patch_windows=9), np.zeros(32_000, np.float32)
    wave[15_990:16_010] = 1.0
    middles = np.array([0.0, 0.9, 1.0, 1.03, 2.0])
    pictures = torch.cat(list(extractor._around(wave, middles)))[:, 0].mean(1).numpy()        # (5, 32): over bands
    assert [bool(row.max() > 0) for row in pictures] == [False, False, True, True, False]
    loud = [(np.flatnonzero(row > row.max() / 2).mean() + 0.5) / 32 for row in pictures[2:4]]
    assert loud == pytest.approx([0.5, 0.5 - 3 / 9], abs=0.08), "a window of the spectrum is a ninth"


@pytest.mark.parametrize("clips", ["tracks", "videos"])
def test_frames_without_sound_or_faces_have_no_rows(clips: str) -> None:
    silent = face_track(np.arange(5) / 25, 25.0)
    [faces] = AsdFaces(AsdFaces.Config(clips="tracks")).extract([silent])
    for media in (replace(silent, waveform=noise(0), features={"asd_faces": faces}),
                  replace(silent, features={"asd_faces": FeatureSequence.empty((SIDE, SIDE), "uint8")},
                          track=TrackMedia(np.zeros((0, 2), np.float32), 25.0))):
        [found] = by_frames(clips=clips).extract([media])
        assert found.values.shape == (0, 512) and found.values.dtype == np.float32


def test_a_video_among_face_tracks_is_a_failure() -> None:
    with pytest.raises(ClipError, match="is no face track, as the other clips of its corpus are"):
        by_frames(clips="tracks").extract([media(1.0)])


def test_only_frames_of_videos_need_the_times_of_faces() -> None:
    assert by_frames().needs.features == ("asd_faces",) and by_frames().needs.waveform
    assert by_frames(clips="tracks").needs.features == ()
    assert AudioResnet18().needs.features == six_parts().needs.features == ()
    assert by_frames().settings() | {"clips": "tracks"} == by_frames(clips="tracks").settings()
    assert by_frames().settings() == {"clips": "videos", "patches": "frames", "patch_windows": 8, "side": 32,
                                      "dtype": "float32"}
    assert AudioResnet18(AudioResnet18.Config(clips="tracks")).settings() == AudioResnet18().settings()
