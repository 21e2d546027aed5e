"""Known answers from media made by ffmpeg itself, real files, damaged copies and hostile ones."""

from __future__ import annotations

import gc
import os
import stat
import subprocess
from pathlib import Path

import numpy as np
import pytest

from pipeline.clip import Clip
from pipeline.decode import (DecodeLimits, ffmpeg_path, ffmpeg_version, frame_count, output_size, picture_size, probe,
                             read_media, selection, view_box)
from pipeline.decoding.frame_files import FrameBuffer, FrameFile
from pipeline.errors import ClipError, PipelineError
from pipeline.media import FrameRequest, Media
from pipeline.windows import Snippets

DATA = Path(__file__).resolve().parent.parent.parent / "shared" / "data"
ALL = FrameRequest(rate_hz=15, lines=48)
# Frame n is grey of level 4 n: its number can be read from any pixel.
COUNTING = "color=gray:size=64x48:rate={rate}:duration={seconds},format=gray,geq=lum='4*N'"


def make(path: Path, *arguments: str) -> Path:
    """A file made by ffmpeg from its arguments."""
    subprocess.run([ffmpeg_path(), "-hide_banner", "-loglevel", "error", "-nostdin", "-y", *arguments, f"file:{path}"],
                   check=True)
    return path


def counting(path: Path, *, rate: str = "30", seconds: float = 2.0, extra: tuple[str, ...] = ()) -> Path:
    """A lossless video whose frame n is grey of level 4 n."""
    return make(path, "-f", "lavfi", "-i", COUNTING.format(rate=rate, seconds=seconds), *extra, "-c:v", "ffv1",
                "-pix_fmt", "gray")


def read(path: Path, *requests: FrameRequest, start: float = 0.0, stop: float | None = None, sound: bool = True,
         **options: object) -> Media:
    return read_media(Clip("all/x", path, start_seconds=start, stop_seconds=stop), requests, waveform=sound,
                      **options)  # type: ignore[arg-type]


def numbers(media: Media, request: FrameRequest = ALL) -> list[int]:
    """The numbers that the frames of a counting video carry."""
    frames = media.frames[request].take(slice(None))
    return [round(float(frame.mean()) / 4) for frame in frames]


@pytest.fixture(scope="module")
def talk(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Four seconds of moving test picture at 25 frames a second with noise, in MP4."""
    return make(tmp_path_factory.mktemp("talk") / "talk.mp4", "-f", "lavfi", "-i",
                "testsrc=size=160x120:rate=25:duration=4", "-f", "lavfi", "-i",
                "anoisesrc=duration=4:sample_rate=48000:color=brown:seed=1", "-c:v", "libx264", "-g", "100",
                "-c:a", "aac", "-b:a", "128k", "-movflags", "+faststart")


@pytest.fixture
def shared_video() -> Path:
    if not (DATA / "video").is_dir():
        pytest.skip("no ../shared/data/video beside the checkout")
    return DATA / "video"


@pytest.fixture
def shared_odd() -> Path:
    if not (DATA / "odd").is_dir():
        pytest.skip("no ../shared/data/odd beside the checkout")
    return DATA / "odd"


class TestTimes:
    @pytest.mark.parametrize("rate", ["30", "25", "12", "24000/1001", "60000/1001"])
    def test_frame_k_shows_the_picture_on_screen_at_k_over_rate(self, tmp_path: Path, rate: str) -> None:
        top, _, bottom = rate.partition("/")
        media = read(counting(tmp_path / "n.mkv", rate=rate, seconds=1.0), ALL)
        step = float(top) / float(bottom or 1)
        assert numbers(media) == [int((k + 0.1) / 15 * step + 1e-3) for k in range(15)]
        np.testing.assert_allclose(media.frames[ALL].times[:, 0], np.arange(15) / 15, atol=1e-6)

    def test_variable_frame_rate_is_resampled_by_time(self, tmp_path: Path) -> None:
        path = counting(tmp_path / "n.mkv", rate="20", seconds=1.5,
                        extra=("-vf", "select='lt(n,10)+not(mod(n,5))'", "-fps_mode", "vfr"))
        shown = numbers(read(path, FrameRequest(rate_hz=20, lines=48)), FrameRequest(rate_hz=20, lines=48))
        assert shown[:26] == [*range(10), *[10] * 5, *[15] * 5, *[20] * 5, 25]

    def test_picture_that_starts_late_is_held_back_to_zero_and_noted(self, tmp_path: Path) -> None:
        path = make(tmp_path / "n.mkv", "-f", "lavfi", "-i", "sine=1000:duration=2", "-itsoffset", "1", "-f", "lavfi",
                    "-i", COUNTING.format(rate=15, seconds=1), "-c:v", "ffv1", "-c:a", "flac")
        media = read(path, ALL)
        assert numbers(media) == [*[0] * 15, *range(15)]
        assert media.notes == ("the picture starts at 1.00 s; its first frame is held before",)

    def test_sound_that_starts_late_stays_in_step_with_the_picture(self, tmp_path: Path) -> None:
        path = make(tmp_path / "n.mkv", "-f", "lavfi", "-i", COUNTING.format(rate=15, seconds=2), "-itsoffset", "1",
                    "-f", "lavfi", "-i", "sine=1000:duration=1", "-c:v", "ffv1", "-c:a", "flac")
        sound = read(path).waveform
        assert sound is not None and abs(len(sound) - 32_000) < 50
        assert np.abs(sound[:15_900]).max() < 1e-3 and np.abs(sound[16_100:17_000]).max() > 0.05

    def test_frames_are_one_where_a_clip_is_shorter_than_a_step(self, tmp_path: Path) -> None:
        media = read(counting(tmp_path / "n.mkv", rate="50", seconds=0.02), ALL)
        assert media.frames[ALL].num_frames == len(media.frames[ALL]) == 1

    @pytest.mark.parametrize("end, rate, expected", [(2.0, 15, 30), (2.01, 15, 31), (2.005, 15, 30), (0.0, 15, 0)])
    def test_frame_count_forgives_a_tenth_of_a_step(self, end: float, rate: float, expected: int) -> None:
        assert frame_count(end, rate) == expected


class TestCuts:
    @pytest.mark.parametrize("ending", ["mkv", "mp4", "ts"])
    def test_cut_shows_the_frames_of_the_whole_file(self, talk: Path, tmp_path: Path, ending: str) -> None:
        path = make(tmp_path / f"t.{ending}", "-i", str(talk), "-c", "copy", *(("-an",) if ending == "ts" else ()))
        request = FrameRequest(rate_hz=25, lines=60)
        whole = read(path, request, sound=False).frames[request].take(slice(None))
        cut = read(path, request, start=2.2, stop=3.0, sound=False).frames[request].take(slice(None))
        assert len(cut) == 20
        np.testing.assert_array_equal(cut, whole[55:75])

    def test_cut_starts_with_the_picture_still_on_screen(self, tmp_path: Path) -> None:
        assert numbers(read(counting(tmp_path / "n.mkv", rate="2", seconds=4), ALL, start=1.25, stop=1.75)) == [
            2, 2, 2, 2, 3, 3, 3, 3]

    @pytest.mark.parametrize("ending, codec", [("wav", "pcm_s16le"), ("flac", "flac"), ("m4a", "aac"),
                                               ("mp3", "libmp3lame"), ("ogg", "libvorbis")])
    def test_cut_of_sound_is_the_same_stretch_of_the_whole(self, tmp_path: Path, ending: str, codec: str) -> None:
        # A pulse at 2.5 s, well inside the cut: its place shows the cut's accuracy to the sample.
        path = make(tmp_path / f"t.{ending}", "-f", "lavfi", "-i",
                    "aevalsrc='0.8*exp(-4e5*(t-2.5)^2)*cos(6283*(t-2.5))':d=4:s=48000", "-c:a", codec)
        whole, cut = read(path).waveform, read(path, start=2.0, stop=3.0).waveform
        assert whole is not None and cut is not None
        assert len(cut) == 16_000
        assert abs(int(np.abs(whole).argmax()) - 40_000) <= 1
        assert int(np.abs(cut).argmax()) == int(np.abs(whole).argmax()) - 32_000

    def test_sound_has_settled_where_a_cut_starts(self, tmp_path: Path) -> None:
        path = make(tmp_path / "t.m4a", "-f", "lavfi", "-i", "aevalsrc=0.5*sin(2*PI*1000*t):d=4:s=48000", "-c:a", "aac")
        cut = read(path, start=2.0, stop=2.5).waveform
        assert cut is not None
        # A tone's level is the root of two times its power; a decoder that starts here would rise from silence.
        assert np.sqrt(2 * np.mean(cut[:160] ** 2)) == pytest.approx(0.5, rel=0.03)

    def test_stop_behind_the_end_gives_what_there_is(self, talk: Path) -> None:
        media = read(talk, ALL, start=3.0, stop=9.0, on_damage="partial")
        assert len(media.frames[ALL]) == 15 and media.duration_seconds == pytest.approx(1.0, abs=0.05)

    def test_start_behind_the_end_is_an_error(self, talk: Path) -> None:
        with pytest.raises(ClipError, match=r"talk.mp4 has nothing from 50 s on, where clip all/x starts"):
            read(talk, ALL, start=50.0)


class TestPixels:
    REQUESTS = (ALL, FrameRequest(size=(56, 56), snippets=Snippets()), FrameRequest(rate_hz=25, lines=30),
                FrameRequest(lines=720, snippets=Snippets("spread", size=4, most=3)))

    def test_requests_together_give_the_bytes_of_each_alone(self, talk: Path) -> None:
        together = read(talk, *self.REQUESTS)
        for request in self.REQUESTS:
            alone = read(talk, request, sound=False).frames[request]
            np.testing.assert_array_equal(together.frames[request].take(slice(None)), alone.take(slice(None)))

    def test_frames_of_snippets_are_those_of_the_full_read(self, talk: Path) -> None:
        full, part = FrameRequest(lines=120), FrameRequest(lines=120, snippets=Snippets("spread", size=4, most=3))
        media = read(talk, full, part)
        whole, some = media.frames[full], media.frames[part]
        assert whole.num_frames == some.num_frames == 60 and some.indices.tolist() == [
            *range(4), *range(28, 32), *range(56, 60)]
        np.testing.assert_array_equal(some.take(slice(None)), whole.take(some.indices))

    def test_crop_is_cut_from_the_middle(self, talk: Path) -> None:
        scaled, cropped = FrameRequest(size=(51, 61)), FrameRequest(size=(51, 61), crop=(20, 30))
        media = read(talk, scaled, cropped)
        np.testing.assert_array_equal(media.frames[cropped].take(slice(None)),
                                      media.frames[scaled].take(slice(None))[:, 15:35, 15:45])

    @pytest.mark.parametrize("view, place", [
        ((0, 0, .5, 1), (slice(None), slice(None, 80))), ((.5, 0, 1, 1), (slice(None), slice(80, None))),
        ((.2501, .2, .75, .8), (slice(24, 96), slice(40, 120)))])
    def test_view_is_that_part_of_the_picture_alone(self, talk: Path, view: tuple[float, float, float, float],
                                                    place: tuple[slice, slice]) -> None:
        request, small = FrameRequest(lines=120), FrameRequest(size=(20, 20), snippets=Snippets())
        whole = read(talk, request).frames[request]
        media = read_media(Clip("all/x", talk, view=view), (request, small), waveform=True)
        part = media.frames[request]
        expected = whole.take(slice(None))[:, place[0], place[1]]
        # Lines of colour are shared by two lines of pixels, and blurred across the view's edge in the whole picture.
        inside = part.take(slice(None))[:, 2:-2, 2:-2].astype(int) - expected[:, 2:-2, 2:-2]
        assert part.shape == expected.shape and part.source_size == expected.shape[1:3] and np.abs(inside).max() <= 2
        assert media.frames[small].shape[1:3] == (20, 20) and media.frames[small].source_size == part.source_size
        np.testing.assert_array_equal(media.waveform, read(talk).waveform)

    def test_view_of_a_cut_is_the_view_of_the_same_frames(self, talk: Path) -> None:
        request = FrameRequest(lines=120)
        clips = [Clip("all/x", talk, start_seconds=start, view=(.5, 0, 1, 1)) for start in (0.0, 2.0)]
        whole, late = (read_media(clip, (request,), waveform=False).frames[request] for clip in clips)
        np.testing.assert_array_equal(late.take(slice(None)), whole.take(slice(30, None)))

    def test_view_of_wide_pixels_and_of_a_turned_picture_is_of_what_is_seen(self, tmp_path: Path) -> None:
        halves = "color=red:size=72x60:duration=0.2,drawbox=36:0:36:60:blue:fill,setsar=4/3"
        wide = make(tmp_path / "wide.mp4", "-f", "lavfi", "-i", halves, "-c:v", "libx264")
        turned = make(tmp_path / "turned.mp4", "-display_rotation", "90", "-i", str(wide), "-c", "copy")
        request = FrameRequest(lines=200)
        for path, view, size in ((wide, (.5, 0, 1, 1), (60, 48)), (turned, (0, 0, 1, .5), (48, 60))):
            frames = read_media(Clip("all/x", path, view=view), (request,), waveform=False).frames[request]
            picture = frames.take(slice(None))[0].astype(int)
            assert frames.source_size == size and picture[4:-4, 4:-4, 2].min() > 200 > 60 > picture[4:-4, 4:-4, 0].max()

    def test_change_of_size_midway_keeps_the_view(self, tmp_path: Path) -> None:
        for number, size in enumerate(("64x48", "32x24", "96x72")):
            make(tmp_path / f"{number}.ts", "-f", "lavfi", "-i", f"color=red:size={size}:rate=25:duration=0.4,drawbox="
                 "iw/2:0:iw/2:ih:blue:fill", "-c:v", "libx264", "-f", "mpegts", "-output_ts_offset", f"{.4 * number}")
        path = tmp_path / "all.ts"
        path.write_bytes(b"".join((tmp_path / f"{number}.ts").read_bytes() for number in range(3)))
        media = read_media(Clip("all/x", path, view=(.5, 0, 1, 1)), (ALL,), waveform=False, on_damage="partial")
        frames = media.frames[ALL].take(slice(None)).astype(int)
        assert frames.shape[1:3] == (48, 32) and frames[:, 8:-8, 8:-8, 2].min() > 200
        assert frames[:, 8:-8, 8:-8, 0].max() < 60

    def test_view_that_holds_no_pixel_is_an_error(self, tmp_path: Path) -> None:
        path = make(tmp_path / "tiny.mkv", "-f", "lavfi", "-i", "color=red:size=8x8:duration=0.2", "-c:v", "ffv1")
        with pytest.raises(ClipError, match="of which the view .* of clip all/x leaves none; expected a larger"):
            read_media(Clip("all/x", path, view=(.5, 0, .55, 1)), (ALL,), waveform=False)
        assert view_box((.5, 0, .55, 1), (8, 8))[3] == 0

    def test_rotated_video_comes_out_upright(self, tmp_path: Path) -> None:
        flat = make(tmp_path / "flat.mp4", "-f", "lavfi", "-i", "color=red:size=64x32:duration=0.2,drawbox=0:0:32:32:"
                    "blue:fill", "-c:v", "libx264")
        turned = make(tmp_path / "turned.mp4", "-display_rotation", "90", "-i", str(flat), "-c", "copy")
        frames = read(turned, ALL).frames[ALL]
        assert frames.shape[1:3] == (48, 24) and frames.source_size == (64, 32)
        picture = frames.take(slice(None))[0].astype(int)
        # Turned to the left: what was at the left (blue) is at the bottom.
        assert picture[:20, :, 0].min() > 200 and picture[28:, :, 2].min() > 200

    def test_pixels_that_are_not_square_are_made_square(self, tmp_path: Path) -> None:
        path = make(tmp_path / "wide.mp4", "-f", "lavfi", "-i", "color=red:size=72x60:duration=0.2,setsar=4/3",
                    "-c:v", "libx264")
        assert read(path, ALL).frames[ALL].shape[1:3] == (48, 77)

    @pytest.mark.parametrize("width, height", [(1, 1), (3, 5), (7, 2)])
    def test_tiny_pictures_keep_their_size(self, tmp_path: Path, width: int, height: int) -> None:
        path = make(tmp_path / "tiny.mkv", "-f", "lavfi", "-i", f"color=red:size={width}x{height}:duration=0.2",
                    "-c:v", "ffv1", "-pix_fmt", "bgr0")
        frames = read(path, ALL).frames[ALL]
        assert frames.shape == (3, height, width, 3) and frames.take(slice(None))[0][0, 0, 0] > 250

    def test_change_of_size_midway_keeps_grid_and_shape(self, tmp_path: Path) -> None:
        parts = [make(tmp_path / f"{i}.ts", "-f", "lavfi", "-i", f"color={colour}:size={size}:rate=25:duration=1",
                      "-output_ts_offset", str(i), "-c:v", "mpeg2video", "-q:v", "2")
                 for i, (colour, size) in enumerate([("red", "160x96"), ("blue", "96x96")])]
        both = tmp_path / "both.ts"
        both.write_bytes(b"".join(part.read_bytes() for part in parts))
        frames = read(both, ALL, on_damage="partial").frames[ALL]
        blue = frames.take(slice(None))[:, 20, 20, 2] > 128
        assert frames.shape == (30, 48, 80, 3) and np.flatnonzero(blue).tolist() == list(range(15, 30))

    def test_frames_beyond_the_memory_limit_go_to_a_file_with_the_same_bytes(self, talk: Path) -> None:
        inside, outside = read(talk, ALL), read(talk, ALL, limits=DecodeLimits(memory_bytes=1000))
        assert [isinstance(media.frames[ALL]._values, FrameFile) for media in (inside, outside)] == [False, True]
        np.testing.assert_array_equal(inside.frames[ALL].take(slice(None)), outside.frames[ALL].take(slice(None)))

    @pytest.mark.parametrize("request_, source, scaled, out", [
        (FrameRequest(lines=180), (360, 640), (180, 320), (180, 320)),
        (FrameRequest(lines=180), (90, 160), (90, 160), (90, 160)),
        (FrameRequest(lines=180, crop=(200, 100)), (360, 640), (180, 320), (180, 100)),
        (FrameRequest(size=(128, 171), crop=(112, 112)), (5, 3), (128, 171), (112, 112)),
        (FrameRequest(lines=1), (900, 2), (1, 1), (1, 1))])
    def test_sizes_follow_the_request(self, request_: FrameRequest, source: tuple[int, int], scaled: tuple[int, int],
                                      out: tuple[int, int]) -> None:
        assert picture_size(request_, source) == scaled and output_size(request_, source) == out

    def test_selection_names_runs_of_frames(self) -> None:
        assert selection(np.array([0, 3, 4, 9])) == "between(n,0,0)+between(n,3,4)+between(n,9,9)"


class TestSound:
    def test_tone_keeps_its_pitch_and_two_equal_channels_their_level(self, tmp_path: Path) -> None:
        path = make(tmp_path / "tone.flac", "-f", "lavfi", "-i", "aevalsrc=0.9*sin(2*PI*1000*t)|0.9*sin(2*PI*1000*t):"
                    "d=1:s=44100")
        sound = read(path).waveform
        assert sound is not None and sound.dtype == np.float32 and len(sound) == 16_000
        assert np.abs(np.fft.rfft(sound)).argmax() == 1000
        assert np.abs(sound[1000:-1000]).max() == pytest.approx(0.9, abs=0.01)

    def test_video_without_sound_gives_no_samples(self, tmp_path: Path) -> None:
        media = read(counting(tmp_path / "n.mkv"), ALL)
        assert media.waveform is not None and media.waveform.shape == (0,) and len(media.frames[ALL]) == 30

    def test_sound_without_video_gives_no_frames_of_the_right_shape(self, tmp_path: Path) -> None:
        fixed = FrameRequest(size=(128, 171), crop=(112, 112))
        media = read(make(tmp_path / "a.wav", "-f", "lavfi", "-i", "sine=440:duration=1"), ALL, fixed)
        assert media.frames[ALL].shape == (0, 48, 48, 3) and media.frames[fixed].shape == (0, 112, 112, 3)
        assert media.frames[fixed].num_frames == 0 and media.waveform is not None and len(media.waveform) == 16_000

    def test_cover_art_is_no_video(self, tmp_path: Path) -> None:
        cover = make(tmp_path / "c.png", "-f", "lavfi", "-i", "color=red:size=32x32", "-frames:v", "1")
        song = make(tmp_path / "s.mp3", "-f", "lavfi", "-i", "sine=440:duration=1", "-i", str(cover), "-map", "0:a",
                    "-map", "1:v", "-c:v", "copy", "-disposition:v", "attached_pic")
        media = read(song, ALL)
        assert probe(song).video_stream is None and len(media.frames[ALL]) == 0 and media.waveform is not None

    def test_waveform_is_none_when_nobody_asks(self, talk: Path) -> None:
        assert read(talk, ALL, sound=False).waveform is None

    def test_duration_does_not_depend_on_what_is_asked_for(self, talk: Path) -> None:
        assert read(talk, ALL, sound=False).duration_seconds == read(talk).duration_seconds == pytest.approx(4, abs=.05)

    def test_clip_without_a_file_gives_nothing(self) -> None:
        media = read_media(Clip("all/x", text="hello"), (ALL,), waveform=True)
        assert len(media.frames[ALL]) == 0 and media.waveform is not None and media.text == "hello"


class TestPictures:
    @pytest.mark.parametrize("name", ["still.jpg", "still.png", "still.bmp", "still.webp", "100%03d.jpg"])
    def test_still_picture_is_a_clip_of_one_frame(self, tmp_path: Path, name: str) -> None:
        other = make(tmp_path / "s.png", "-f", "lavfi", "-i", "color=red:size=40x20", "-frames:v", "1")
        path = tmp_path / name
        path.write_bytes(make(tmp_path / f"a{path.suffix}", "-i", str(other)).read_bytes())
        frames = read(path, ALL).frames[ALL]
        assert frames.shape == (1, 20, 40, 3) and frames.num_frames == 1
        assert frames.take(slice(None))[0][10, 20, 0] > 230

    def test_exif_turns_a_photograph(self, tmp_path: Path) -> None:
        image = pytest.importorskip("PIL.Image", reason="needs Pillow to write EXIF")
        exif = image.Exif()
        exif[0x112] = 6  # the camera was turned: show rotated by 90 degrees clockwise
        image.new("RGB", (40, 20), (255, 0, 0)).save(tmp_path / "e.jpg", exif=exif)
        frames = read(tmp_path / "e.jpg", ALL).frames[ALL]
        assert frames.shape == (1, *frames.source_size, 3) and frames.source_size in ((40, 20), (20, 40))
        if int(ffmpeg_version().lstrip("n").split(".")[0]) >= 8:
            assert frames.source_size == (40, 20)


class TestRealFiles:
    SIZES = {"WolfgangLanger_Pexels.mp4": 296, "face_noface.mov": 96, "no_face.mp4": 61, "obama_speech.mp4": 132,
             "short_hamilton_clip.mp4": 151, "shot_change.mp4": 74, "single_face.mp4": 36, "small.mp4": 83}

    @pytest.mark.parametrize("name, count", SIZES.items())
    def test_real_video_passes_with_defaults(self, shared_video: Path, name: str, count: int) -> None:
        request = FrameRequest(lines=90)
        media = read(shared_video / name, request)
        assert media.frames[request].num_frames == len(media.frames[request]) == count
        assert media.waveform is not None and np.abs(media.waveform).max() <= 1
        assert abs(len(media.waveform) / 16_000 - media.duration_seconds) < 0.1

    @pytest.mark.parametrize("name, shape, samples", [
        ("-video-with-dash-.mp4", (75, 1, 1, 3), 0), ("av1_video.mkv", (75, 90, 160, 3), 0),
        ("fire2.mp4", (36, 90, 160, 3), 38_664), ("h264_10bits.mp4", (15, 90, 90, 3), 0),
        ("nasa_13013.mp4", (195, 90, 160, 3), 208_896), ("no_duration.webm", (74, 90, 160, 3), 78_000),
        ("unordered.mov", (2, 50, 50, 3), 0), ("video_90.mov", (2, 90, 51, 3), 0), ("short.wav", (0, 90, 90, 3), 16),
        ("silence.wav", (0, 90, 90, 3), 32_000), ("test-44100Hz-le-1ch-4bytes-rf64.wav", (0, 90, 90, 3), 1_600),
        ("test-8000Hz-le-3ch-5S-24bit.wav", (0, 90, 90, 3), 10), ("test2_8000.mkv", (0, 90, 90, 3), 483_840)])
    def test_odd_but_whole_file_passes(self, shared_odd: Path, name: str, shape: tuple[int, ...], samples: int) -> None:
        request = FrameRequest(lines=90)
        media = read(shared_odd / name, request)
        assert media.frames[request].shape == shape
        assert media.waveform is not None and abs(len(media.waveform) - samples) <= 40

    @pytest.mark.parametrize("name, words", [
        ("1001_DFA_ANG_XX.wav", "is a git-LFS pointer"), ("corrupted.mp4", "is damaged: .*Invalid NAL unit size"),
        ("cut_in_half.mp4", "moov atom not found"), ("empty.wav", "not one packet of picture or sound"),
        ("result.webm", r"is empty \(0 bytes\)"), ("test-44100Hz-le-1ch-4bytes-early-eof.wav", "corrupt"),
        ("test-44100Hz-le-1ch-4bytes-incomplete-chunk.wav", "is no video, sound or picture")])
    def test_broken_file_is_one_clear_error(self, shared_odd: Path, name: str, words: str) -> None:
        with pytest.raises(ClipError, match=words) as caught:
            read(shared_odd / name, ALL)
        assert caught.value.stage == "decode" and caught.value.kind == "permanent" and "\n" not in str(caught.value)


def child_processes() -> set[str]:
    """Ids of this process's children, ended ones that nobody waited for included."""
    return {child for task in Path("/proc/self/task").iterdir() for child in (task / "children").read_text().split()}


class TestDamage:
    @pytest.mark.parametrize("ending", ["mp4", "mkv"])
    def test_truncated_file_is_an_error_or_a_note(self, talk: Path, tmp_path: Path, ending: str) -> None:
        whole = make(tmp_path / f"w.{ending}", "-i", str(talk), "-c", "copy", "-movflags", "+faststart").read_bytes()
        path = tmp_path / f"half.{ending}"
        path.write_bytes(whole[:len(whole) // 2])
        with pytest.raises(ClipError, match=r"is damaged: it states 4\.\d+ s and holds [12]\.\d+ s; ffmpeg says"):
            read(path, ALL)
        with pytest.raises(ClipError, match="is damaged"):
            read(path, ALL, on_damage="fail")
        media = read(path, ALL, on_damage="partial")
        assert 10 < len(media.frames[ALL]) < 45 and "it states" in media.notes[0]

    def test_flipped_bytes_are_found_though_ffmpeg_ends_with_success(self, talk: Path, tmp_path: Path) -> None:
        data = bytearray(talk.read_bytes())
        middle = len(data) // 2
        data[middle:middle + 400] = bytes(byte ^ 0xFF for byte in data[middle:middle + 400])
        path = tmp_path / "flipped.mp4"
        path.write_bytes(data)
        with pytest.raises(ClipError, match="is damaged"):
            read(path, ALL)
        assert len(read(path, ALL, on_damage="partial").frames[ALL]) == 60

    def test_undamaged_stretch_of_a_truncated_file_passes(self, talk: Path, tmp_path: Path) -> None:
        path = tmp_path / "half.mp4"
        path.write_bytes(talk.read_bytes()[:talk.stat().st_size * 2 // 3])
        assert len(read(path, ALL, start=0.2, stop=1.0).frames[ALL]) == 12

    def test_time_out_kills_ffmpeg_and_is_passing(self, talk: Path, tmp_path: Path,
                                                  monkeypatch: pytest.MonkeyPatch) -> None:
        slow = tmp_path / "ffmpeg"
        slow.write_text(f"#!/bin/sh\ncase \"$*\" in *framecrc*) exec {ffmpeg_path()} \"$@\";; esac\nexec sleep 60\n")
        slow.chmod(slow.stat().st_mode | stat.S_IXUSR)
        monkeypatch.setenv("PIPELINE_FFMPEG", str(slow))
        with pytest.raises(ClipError, match="gave no end within 1 s and was stopped") as caught:
            read(talk, ALL, limits=DecodeLimits(timeout_seconds=1))
        assert caught.value.kind == "passing"

    def test_full_disk_is_passing(self, talk: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        def refuse(*_: object) -> None:
            raise OSError(28, "No space left on device")
        monkeypatch.setattr(os, "posix_fallocate", refuse)
        with pytest.raises(ClipError, match=r"No space left on device .*TMPDIR") as caught:
            read(talk, ALL, limits=DecodeLimits(memory_bytes=1000))
        assert caught.value.kind == "passing"

    def test_no_descriptor_and_no_child_is_left(self, talk: Path, tmp_path: Path) -> None:
        half = tmp_path / "half.mp4"
        half.write_bytes(talk.read_bytes()[:talk.stat().st_size // 2])
        gc.collect()  # frames of other tests may lie in open files
        before = set(os.listdir("/proc/self/fd")) if Path("/proc/self/fd").is_dir() else pytest.skip("needs /proc")
        children = child_processes()
        for path in (talk, half):
            read(path, ALL, on_damage="partial")
        assert set(os.listdir("/proc/self/fd")) == before
        assert child_processes() <= children

    @pytest.mark.parametrize("limits, words", [
        (DecodeLimits(max_duration_seconds=1), r"lasts longer than the limit of 1 s"),
        (DecodeLimits(max_frame_pixels=160 * 120 - 1), r"pixels|no video"),
        (DecodeLimits(max_bytes=1000), r"GiB of frames, over the limit")])
    def test_clip_over_a_limit_is_refused(self, talk: Path, limits: DecodeLimits, words: str) -> None:
        with pytest.raises(ClipError, match=words):
            read(talk, ALL, limits=limits)


class TestHostile:
    @pytest.mark.parametrize("text", [
        "ffconcat version 1.0\nfile '{victim}'\n", "#EXTM3U\n#EXT-X-TARGETDURATION:4\n#EXTINF:4,\n{victim}\n"
        "#EXT-X-ENDLIST\n", "just some words\n" * 50, "<svg xmlns='http://www.w3.org/2000/svg'><image href='{victim}'/>"
        "</svg>", "<?xml version='1.0'?><MPD><BaseURL>{victim}</BaseURL></MPD>"])
    @pytest.mark.parametrize("name", ["list.mp4", "list.png", "list.txt"])
    def test_scripts_under_any_name_open_nothing(self, talk: Path, tmp_path: Path, text: str, name: str) -> None:
        path = tmp_path / name
        path.write_text(text.format(victim=talk))
        with pytest.raises(ClipError, match=f"{name} is no video, sound or picture that can be read: "):
            read(path, ALL)

    @pytest.mark.parametrize("name", ["-i.mp4", "a%03d.mp4", "line\nbreak.mp4", "pipe:0", "http:x.mp4",
                                      "concat:a|b.mp4", "ein Umlaut ü '\"[x],;.mp4"])
    def test_names_are_never_read_as_options_patterns_or_protocols(self, talk: Path, tmp_path: Path, name: str,
                                                                   monkeypatch: pytest.MonkeyPatch) -> None:
        (tmp_path / name).write_bytes(talk.read_bytes())
        monkeypatch.chdir(tmp_path)
        assert len(read(Path(name), ALL).frames[ALL]) == 60

    def test_name_with_a_line_break_stays_on_one_line_of_a_message(self, tmp_path: Path) -> None:
        with pytest.raises(ClipError, match=r"'line\\nbreak.mp4' is not there"):
            read(tmp_path / "line\nbreak.mp4", ALL)

    def test_folder_missing_file_and_pipe_are_errors(self, tmp_path: Path) -> None:
        os.mkfifo(tmp_path / "fifo.mp4")
        for name, words in (("", "is a folder"), ("gone.mp4", "is not there"), ("fifo.mp4", "is not an ordinary file")):
            with pytest.raises(ClipError, match=words):
                read(tmp_path / name, ALL)

    def test_file_that_cannot_be_read_is_passing(self, talk: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        def refuse(*_: object, **__: object) -> None:
            raise PermissionError(13, "Permission denied")
        monkeypatch.setattr(Path, "open", refuse)
        with pytest.raises(ClipError, match="cannot be read: Permission denied") as caught:
            read(talk, ALL)
        assert caught.value.kind == "passing"


class TestBinary:
    def test_version_is_told(self) -> None:
        assert any(character.isdigit() for character in ffmpeg_version())

    def test_setting_names_the_binary(self, monkeypatch: pytest.MonkeyPatch) -> None:
        usual = ffmpeg_path()
        monkeypatch.setenv("PIPELINE_FFMPEG", usual)
        monkeypatch.setenv("PATH", "")
        assert ffmpeg_path() == usual

    def test_setting_that_names_nothing_is_an_error(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("PIPELINE_FFMPEG", "/nowhere/ffmpeg")
        with pytest.raises(PipelineError, match="PIPELINE_FFMPEG=/nowhere/ffmpeg is not a program"):
            ffmpeg_path()

    def test_setting_that_names_another_program_is_an_error(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("PIPELINE_FFMPEG", "/bin/true")
        with pytest.raises(PipelineError, match="does not answer as ffmpeg does"):
            ffmpeg_version()

    def test_imageio_serves_where_path_has_none(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.delenv("PIPELINE_FFMPEG", raising=False)
        monkeypatch.setenv("PATH", "")
        assert "imageio_ffmpeg" in ffmpeg_path()


def test_frame_buffer_counts_whole_frames_only() -> None:
    buffer = FrameBuffer(3, 2, 2, memory_bytes=100)
    buffer.room()[:30] = bytes(range(30))
    buffer.advance(30)
    assert buffer.finish().shape == (2, 2, 2, 3) and len(buffer.room()) == 6


def test_sound_that_is_no_number_is_refused(tmp_path: Path) -> None:
    from scipy.io import wavfile
    samples = np.zeros(16_000, np.float32)
    samples[100] = np.nan
    wavfile.write(tmp_path / "nan.wav", 16_000, samples)
    with pytest.raises(ClipError, match="holds samples that are no numbers"):
        read_media(Clip("all/nan", tmp_path / "nan.wav"), (), waveform=True)
