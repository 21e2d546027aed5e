"""Face tracks: every picture and the sound come as they lie in their files, or the track fails and says where."""

from __future__ import annotations

import io
import os
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from skimage.data import astronaut

from pipeline.clip import Clip
from pipeline.decode import DecodeLimits, read_media
from pipeline.errors import ClipError
from pipeline.media import Media, PictureRequest
from pipeline.speaking.track_media import grey_picture, plain_samples, read_files, read_track, track_record
from tests.face_tracks import make_track, tone, write_wav

WHOLE = PictureRequest(112)


@pytest.fixture
def clip(tmp_path: Path) -> Clip:
    return make_track(tmp_path, "video_1", num_frames=6)


def read(clip: Clip, *requests: PictureRequest, waveform: bool = True, **limits: int) -> Media:
    assert clip.track is not None
    files = read_files(clip.track, limits=DecodeLimits(**limits))  # type: ignore[arg-type]
    return read_track(clip, files, requests or (WHOLE,), waveform=waveform,
                      limits=DecodeLimits(**limits))  # type: ignore[arg-type]


def with_sound(clip: Clip, sound: Path | None) -> Clip:
    assert clip.track is not None
    return replace(clip, track=replace(clip.track, sound=sound))


def picture(clip: Clip, row: int) -> Path:
    assert clip.track is not None
    return clip.track.pictures[row - 1]


def test_a_track_gives_its_pictures_in_grey_with_their_times_and_its_sound(clip: Clip) -> None:
    media = read(clip)
    assert media.track is not None and media.waveform is not None
    found = media.track.pictures[WHOLE]
    assert found.shape == (6, 112, 112) and found.dtype == np.uint8
    for row in range(1, 7):
        expected = Image.open(picture(clip, row)).convert("L").resize((112, 112), Image.Resampling.BILINEAR)
        np.testing.assert_allclose(found[row - 1].astype(int), np.asarray(expected).astype(int), atol=8)
    np.testing.assert_allclose(media.track.times[:, 0], np.arange(6) / 25, atol=1e-6)
    np.testing.assert_allclose(media.track.times[:, 1], np.arange(1, 7) / 25, atol=1e-6)
    np.testing.assert_allclose(media.waveform, tone(0.24, 200), atol=1e-4)
    assert media.duration_seconds == pytest.approx(0.24)


def test_the_middle_half_is_that_of_the_picture_at_twice_the_size(clip: Clip) -> None:
    half = PictureRequest(224, 112)
    found = read(clip, WHOLE, half).track
    assert found is not None and found.pictures[half].shape == (6, 112, 112)
    doubled = np.asarray(Image.open(picture(clip, 1)).convert("L").resize((224, 224), Image.Resampling.BILINEAR))
    np.testing.assert_allclose(found.pictures[half][0].astype(int), doubled[56:168, 56:168].astype(int), atol=8)
    alone = read(clip, half).track
    assert alone is not None
    np.testing.assert_array_equal(found.pictures[half], alone.pictures[half])


@pytest.mark.parametrize(("form", "mode", "size"), [
    ("JPEG", "RGB", (31, 47)), ("JPEG", "L", (112, 112)), ("JPEG", "CMYK", (300, 200)), ("JPEG", "RGB", (900, 700)),
    ("PNG", "RGB", (60, 60)), ("PNG", "L", (500, 100)), ("PNG", "P", (90, 90)), ("PNG", "RGBA", (1, 1))])
def test_pictures_of_any_size_in_grey_or_colour_are_read(form: str, mode: str, size: tuple[int, int]) -> None:
    whole = Image.fromarray(astronaut()[0:240, 130:370]).resize(size)
    buffer = io.BytesIO()
    (whole.quantize() if mode == "P" else whole.convert(mode)).save(buffer, form)
    found = grey_picture(buffer.getvalue(), WHOLE, max_pixels=10 ** 6)
    expected = np.asarray(whole.convert("L").resize((112, 112), Image.Resampling.BILINEAR))
    assert np.abs(found.astype(int) - expected.astype(int)).mean() < 6, "a JPEG may be made smaller in another way"


@pytest.mark.parametrize(("damage", "message"), [
    (b"", r"row 3 of 6, 7\.08\.jpg, is empty \(0 bytes\); expected a whole picture"),
    (b"GIF89a and more", r"row 3 of 6, 7\.08\.jpg, is neither JPEG nor PNG"),
    (b"version https://git-lfs.github.com/spec/v1\n", r"row 3 of 6, .* is neither JPEG nor PNG"),
    (b"\xff\xd8\xff\xe0nonsense", r"row 3 of 6, .* is cut off or damaged"),
    (b"\x89PNG\r\n\x1a\n", r"row 3 of 6, .* is cut off or damaged")])
def test_a_file_that_is_no_picture_is_named_with_its_row(clip: Clip, damage: bytes, message: str) -> None:
    picture(clip, 3).write_bytes(damage)
    with pytest.raises(ClipError, match=message) as caught:
        read(clip)
    assert caught.value.kind == "permanent" and caught.value.stage == "decode"


@pytest.mark.parametrize("share", [0.3, 0.6, 0.9])
@pytest.mark.parametrize("form", ["JPEG", "PNG"])
def test_a_picture_that_is_cut_off_is_never_filled_up(clip: Clip, share: float, form: str) -> None:
    path = picture(clip, 6)
    Image.open(path).save(path, form)
    whole = path.read_bytes()
    path.write_bytes(whole[:int(share * len(whole))])
    with pytest.raises(ClipError, match=r"row 6 of 6, 7\.20\.jpg, is cut off or damaged"):
        read(clip)


def test_a_bomb_and_a_picture_of_sixteen_bits_are_refused(clip: Clip) -> None:
    Image.new("L", (3000, 3000)).save(picture(clip, 1), "PNG")
    with pytest.raises(ClipError, match="row 1 of 6, .* has 9,000,000 pixels, over the limit of 1,000,000"):
        read(clip, max_frame_pixels=10 ** 6)
    Image.fromarray(np.full((9, 9), 40_000, np.uint16)).save(picture(clip, 1), "PNG")
    with pytest.raises(ClipError, match="row 1 of 6, .* has more than eight bits a channel"):
        read(clip)


def test_a_picture_that_is_not_there_is_named_with_its_row(clip: Clip) -> None:
    picture(clip, 4).unlink()
    with pytest.raises(ClipError, match=r"row 4 of 6 has no picture: .*7\.12\.jpg; put it there"):
        read(clip)


def test_what_is_no_file_is_not_waited_for(clip: Clip) -> None:
    picture(clip, 2).unlink()
    os.mkfifo(picture(clip, 2))
    with pytest.raises(ClipError, match="row 2 of 6 is no picture: .* is no file"):
        read(clip)


def test_a_picture_that_cannot_be_read_may_be_there_later(clip: Clip) -> None:
    path = picture(clip, 2)
    path.unlink()
    path.symlink_to(path)
    with pytest.raises(ClipError, match="row 2 of 6 cannot be read") as caught:
        read(clip)
    assert caught.value.kind == "passing"


def test_files_beyond_the_memory_for_a_clip_are_refused(clip: Clip) -> None:
    with pytest.raises(ClipError, match="the files of the track have 0 MiB, over the limit of 0; --set decode.memory"):
        read(clip, memory_bytes=1000)


def test_sound_that_is_not_there_is_a_failure_and_never_silence(clip: Clip, tmp_path: Path) -> None:
    with pytest.raises(ClipError, match=r"the sound is not there: .*elsewhere\.wav; put it there"):
        read(with_sound(clip, tmp_path / "elsewhere.wav"))


def test_sound_that_ends_long_before_the_last_picture_is_a_failure(tmp_path: Path) -> None:
    clip = make_track(tmp_path, "short", num_frames=25, sound_seconds=0.5)
    with pytest.raises(ClipError, match=r"short\.wav lasts 0\.50 s, and the last of the track's 25 pictures is shown at"
                                        r" 0\.96 s; expected sound for all of them"):
        read(clip)


@pytest.mark.parametrize(("seconds", "expected"), [(0.87, 0.87), (0.96, 0.96), (1.0, 1.0), (1.7, 1.0)])
def test_sound_a_little_short_stays_as_it_is_and_longer_is_cut(tmp_path: Path, seconds: float,
                                                               expected: float) -> None:
    sound = read(make_track(tmp_path, "a", num_frames=25, sound_seconds=seconds)).waveform
    assert sound is not None and len(sound) == round(expected * 16_000)
    np.testing.assert_allclose(sound, tone(expected, 200), atol=1e-4)


def test_damaged_sound_is_a_failure(clip: Clip, tmp_path: Path) -> None:
    (tmp_path / "bad.wav").write_bytes(b"RIFF")
    with pytest.raises(ClipError, match=r"bad\.wav"):
        read(with_sound(clip, tmp_path / "bad.wav"))


def test_a_corpus_without_sound_gives_none(clip: Clip) -> None:
    sound = read(with_sound(clip, None)).waveform
    assert sound is not None and len(sound) == 0
    assert read(clip, waveform=False).waveform is None


def test_plain_wav_files_are_read_as_ffmpeg_reads_them(tmp_path: Path) -> None:
    path = write_wav(tmp_path / "a.wav", np.random.default_rng(0).uniform(-1, 1, 5000))
    by_ffmpeg = read_media(Clip("a", source=path), (), waveform=True).waveform
    samples = plain_samples(path.read_bytes())
    assert samples is not None and by_ffmpeg is not None
    np.testing.assert_array_equal(samples, by_ffmpeg)


def test_sound_in_other_forms_goes_through_ffmpeg(clip: Clip, tmp_path: Path) -> None:
    high = np.repeat(tone(0.24), 3)  # 48 kHz
    stereo = write_wav(tmp_path / "s.wav", np.repeat(high, 2), rate_hz=48_000, channels=2)
    assert plain_samples(stereo.read_bytes()) is None
    sound = read(with_sound(clip, stereo)).waveform
    assert sound is not None and len(sound) == pytest.approx(0.24 * 16_000, abs=2)
    assert np.abs(sound).max() == pytest.approx(0.5, abs=0.1)


def test_wav_files_that_end_before_they_say_are_not_taken_for_whole(tmp_path: Path) -> None:
    content = write_wav(tmp_path / "a.wav", tone(0.5)).read_bytes()
    assert plain_samples(content[:-1000]) is None
    assert [plain_samples(content[:length]) for length in (0, 3, 11, 30, 43)] == [None] * 5


def test_the_digest_is_of_the_bytes_and_not_of_names_or_times(clip: Clip, tmp_path: Path) -> None:
    assert clip.track is not None
    first = track_record(clip.track)
    for path in clip.track.pictures:
        os.utime(path, (1, 1))
    touched = track_record(clip.track, first)
    assert touched.digest == first.digest and touched.mtime_ns != first.mtime_ns
    moved = clip.track.pictures[0].parent.rename(tmp_path / "moved")
    there = replace(clip.track, pictures=tuple(moved / path.name for path in clip.track.pictures))
    assert track_record(there, touched) == touched
    (moved / "7.08.jpg").write_bytes((moved / "7.12.jpg").read_bytes())
    assert track_record(there, touched).digest != first.digest
    swapped = replace(there, pictures=there.pictures[1::-1] + there.pictures[2:])
    assert track_record(swapped).digest != track_record(there).digest


def test_files_are_not_read_again_where_sizes_and_times_are_known(clip: Clip, monkeypatch: pytest.MonkeyPatch) -> None:
    assert clip.track is not None
    known = track_record(clip.track)
    content = picture(clip, 5).read_bytes()

    def refuse(path: Path) -> bytes:
        raise AssertionError(f"{path} is read again")

    with monkeypatch.context() as patch:
        patch.setattr(Path, "read_bytes", refuse)
        assert track_record(clip.track, known) is known
    status = picture(clip, 5).stat()
    picture(clip, 5).write_bytes(content[:-2] + b"xx")
    os.utime(picture(clip, 5), ns=(status.st_atime_ns, status.st_mtime_ns + 1))
    assert track_record(clip.track, known).digest != known.digest


def test_a_track_without_frames_has_none(clip: Clip) -> None:
    assert clip.track is not None
    empty = replace(clip, track=replace(clip.track, pictures=(), times=np.zeros(0)))
    media = read(empty)
    assert media.track is not None and media.track.pictures[WHOLE].shape == (0, 112, 112)
    assert media.track.times.shape == (0, 2) and media.waveform is not None and len(media.waveform) == 0
