"""Sound beside pictures: as many rows as ``asd_faces`` has, at its times, and silence only where there is silence."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from pipeline.errors import ClipError
from pipeline.extractors.asd_audio import AsdAudio
from pipeline.media import SAMPLE_RATE_HZ, FeatureSequence, Media, TrackMedia
from pipeline.sound.frame_spectra import cepstra


def noise(seconds: float) -> np.ndarray:
    return np.random.default_rng(0).uniform(-0.3, 0.3, round(seconds * SAMPLE_RATE_HZ)).astype(np.float32)


def track(num_frames: int, rate_hz: float = 25.0, seconds: float | None = None) -> Media:
    starts = np.arange(num_frames) / rate_hz
    times = np.stack([starts, starts + 1 / rate_hz], axis=1).astype(np.float32)
    return Media("a", waveform=noise(num_frames / rate_hz if seconds is None else seconds),
                 track=TrackMedia(times, rate_hz), duration_seconds=num_frames / rate_hz)


def video(*spans: tuple[float, float], sound_seconds: float = 2.0, seconds: float = 2.0) -> Media:
    starts = np.concatenate([np.arange(round(25 * start), round(25 * stop)) for start, stop in spans]) / 25
    faces = FeatureSequence(np.zeros((len(starts), 112, 112), np.uint8),
                            np.stack([starts, starts + 0.04], axis=1).astype(np.float32))
    return Media("a", waveform=noise(sound_seconds), duration_seconds=seconds, features={"asd_faces": faces})


def rows_of(media: Media, **config: object) -> FeatureSequence:
    [found] = AsdAudio(AsdAudio.Config(**config)).extract([media])  # type: ignore[arg-type]
    return found


@pytest.mark.parametrize("rate_hz", [12.0, 24.0, 25.0, 29.97, 60.0])
@pytest.mark.parametrize(("spectra", "width"), [("mfcc", 13), ("logmel", 64)])
def test_a_track_has_four_spectra_a_frame_at_any_rate(rate_hz: float, spectra: str, width: int) -> None:
    media = track(77, rate_hz)
    found = rows_of(media, clips="tracks", spectra=spectra)
    assert found.values.shape == (77, 4, width)
    assert media.track is not None
    np.testing.assert_array_equal(found.times, media.track.times)


def test_sound_that_ends_with_the_last_frames_start_adds_no_silence() -> None:
    found = rows_of(track(50, seconds=1.96), clips="tracks").values
    assert (found[-1, :, 0] > found[:, :, 0].mean() - 1).all(), "as loud as the rest"


def test_each_track_of_a_video_has_the_sound_of_its_own_time() -> None:
    media = video((0.0, 2.0), (0.48, 0.96))
    found = rows_of(media).values
    assert found.shape == (62, 4, 13)
    np.testing.assert_array_equal(found[50:], found[12:24])
    np.testing.assert_allclose(found[0, 0], cepstra(noise(2.0), np.array([0]), 400)[0], atol=1e-6)


def test_a_videos_sound_that_ends_early_is_followed_by_silence() -> None:
    found = rows_of(video((0.0, 2.0), sound_seconds=1.0)).values
    assert found[:24, :, 0].min() > 15 and found[26:, :, 0].max() < -30


@pytest.mark.parametrize("media", [replace(track(5), waveform=np.zeros(0, np.float32)),
                                   track(0), video((0.0, 2.0), sound_seconds=0.0), video((1.0, 1.0))])
def test_without_sound_or_pictures_there_are_no_rows(media: Media) -> None:
    found = rows_of(media, clips="videos" if media.track is None else "tracks")
    assert found.values.shape == (0, 4, 13) and found.values.dtype == np.float32


def test_a_video_among_face_tracks_is_a_failure() -> None:
    with pytest.raises(ClipError, match="is no face track, as the other clips of its corpus are"):
        rows_of(video((0.0, 2.0)), clips="tracks")


def test_tracks_need_their_sound_alone_and_videos_the_times_of_their_faces() -> None:
    assert AsdAudio(AsdAudio.Config(clips="tracks")).needs.features == ()
    assert AsdAudio().needs.features == ("asd_faces",) and AsdAudio().needs.waveform
