"""The marked-up video: who speaks is marked, others can be blurred, nothing is left out."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from pipeline.clip import Clip, Task
from pipeline.decode import read_media
from pipeline.decoding.probe import probe
from pipeline.errors import ClipError
from pipeline.media import FrameRequest
from pipeline.predicting import marking
from pipeline.predicting.findings import Prediction
from pipeline.predicting.marking import SPEAKER, _Marker, write_marked
from pipeline.predicting.strips import GROUND, MARK, Panel, clipped, font, nearest, shades
from tests.makers import make_video
from tests.predicting.runs import hostile, made_up


def mark(found: Prediction, seconds: float, *, blur_others: bool = False) -> np.ndarray:
    noise = np.random.default_rng(0).integers(0, 256, (96, 128, 3), np.uint8)
    return _Marker(found.faces, 1.0, 1.0, blur_others=blur_others).mark(noise, seconds)


def test_the_speaking_face_is_marked_only_while_it_speaks() -> None:
    found = made_up()
    for seconds, speaks in ((0.5, False), (3.0, True)):
        colours = mark(found, seconds)[10:50, 9:12].reshape(-1, 3).tolist()
        assert (list(SPEAKER) in colours) == speaks


def test_others_are_blurred_and_everybody_where_nobody_speaks() -> None:
    found = made_up()

    def detail(picture: np.ndarray) -> list[float]:
        """How much neighbours differ inside each face."""
        return [float(np.abs(np.diff(picture[18:42, left:left + 16].astype(int), axis=1)).mean()) for left in (18, 60)]
    sharp, silent, spoken = (detail(mark(found, seconds, blur_others=blur))
                             for seconds, blur in ((3.0, False), (0.5, True), (3.0, True)))
    assert min(sharp) > 60 and max(silent) < 20
    assert spoken[0] > 60 and spoken[1] < 20
    missed = replace(found, faces=replace(found.faces, times=found.faces.times + np.float32(2 / 15)))  # type: ignore
    assert max(detail(mark(missed, 0.0, blur_others=True))) < 20


def test_a_video_has_every_frame_the_panel_and_the_sound(tmp_path: Path) -> None:
    source = make_video(tmp_path / "talk.mp4", seconds=4.0, fps=15)
    held = probe(source)
    found = made_up(source=source)
    found = replace(found, recording=replace(found.recording, audio_stream=held.audio_stream))
    steps: list[tuple[int, int]] = []
    assert write_marked(found, tmp_path / "out.mp4", blur_others=False,
                        progress=lambda done, total: steps.append((done, total))) == ()
    assert steps[-1] == (60, 60)
    panel = Panel(found, 640)
    written = probe(tmp_path / "out.mp4")
    assert written.size == (480 + panel.height, 640) and written.fps == 15.0
    assert written.audio_span[1] == pytest.approx(4.0, abs=0.1)
    request = FrameRequest(15.0, lines=written.size[0])
    media = read_media(Clip("all/a", tmp_path / "out.mp4"), (request,), waveform=False)
    last = media.frames[request].take(slice(45, 46))[0]
    assert np.abs(last[480:].astype(int) - panel.draw(3.0)).mean() < 6
    assert sorted(path.name for path in tmp_path.iterdir()) == ["out.mp4", "talk.mp4"]


def test_long_recordings_are_decoded_in_blocks_that_join(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    source = make_video(tmp_path / "talk.mp4", seconds=3.0, fps=15)
    found = made_up(source=source, duration=3.0, faces=False)
    videos = []
    for seconds in (10.0, 0.7):
        monkeypatch.setattr(marking, "BLOCK_SECONDS", seconds)
        notes: list[str] = []
        videos.append(np.stack(list(marking._pictures(found.recording, (96, 128), 15.0, 45, notes))))
        assert notes == []
    assert len(videos[1]) == 45 and (videos[0] == videos[1]).all()


def test_what_cannot_be_decoded_stands_still_and_is_said(tmp_path: Path) -> None:
    source = make_video(tmp_path / "talk.mp4", seconds=2.0)
    recording = replace(made_up(source=source).recording, duration_seconds=12.0)
    notes: list[str] = []
    frames = list(marking._pictures(recording, (96, 128), 15.0, 180, notes))
    assert len(frames) == 180 and (frames[30] == frames[179]).all() and "stands still from 10.0 s" in notes[0]
    (tmp_path / "talk.mp4").write_bytes(b"gone")
    with pytest.raises(ClipError, match="is no video"):
        list(marking._pictures(replace(recording, duration_seconds=1.0), (96, 128), 15.0, 15, notes))


def test_the_panel_shows_time_labels_and_probabilities() -> None:
    found = made_up()
    panel = Panel(found, 640)
    early, late = panel.draw(0.2), panel.draw(3.8)
    assert early.shape == (panel.height, 640, 3) and panel.height % 2 == 0
    heads = [np.flatnonzero((picture == MARK).all(2).any(0)).mean() for picture in (early, late)]
    assert heads[0] < 160 < 540 < heads[1]
    assert (early[0] == GROUND).all()
    assert panel.page(3.0) == (0.0, 4.0) and Panel(made_up(duration=100.0), 640).page(95.0) == (90.0, 120.0)


def test_probabilities_are_the_lighter_the_greater() -> None:
    assert (np.diff(shades(np.linspace(0, 1, 9)).sum(1)) > 0).all()


def test_the_nearest_window_answers() -> None:
    assert nearest(made_up(), np.array([0.0, 2.0, 4.0])).tolist() == [2, 3, 4]


def test_words_are_cut_to_the_room_there_is() -> None:
    assert clipped("short", 500, 11) == "short"
    cut = clipped("long words " * 1000, 100, 11)
    assert cut.endswith("…") and font(11).getlength(cut) <= 100 and clipped("word", 0, 11) == "…"


def test_any_words_and_many_classes_can_be_drawn() -> None:
    for text in ("日本語 👋 العربية", "\u202e\u0000x" * 50, ""):
        assert Panel(hostile(text or "a"), 480).draw(1.0).shape[1] == 480
    many = made_up(tasks=(Task("word", tuple(f"class{number}" for number in range(40))),))
    assert Panel(many, 480).height < 400
