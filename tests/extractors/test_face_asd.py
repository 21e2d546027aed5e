"""Faces in numbers by a trained network's eyes: its own encoder's rows, on the clock of the stored pictures."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from tests.face_tracks import TrackCorpus, make_track
from tests.frame_stores import grid
from tests.speaker_runs import SETTINGS, VERSIONS, make_speaker_run
from tests.speaking.test_published_speakers import pictures

from models.active_speaker import ActiveSpeaker
from pipeline.cli import main
from pipeline.config import to_json
from pipeline.devices import torch_threads
from pipeline.errors import UsageError, WeightsError
from pipeline.extraction import ExtractConfig, extract
from pipeline.extractors import face_asd
from pipeline.extractors.face_asd import FaceAsd
from pipeline.faces import COLUMNS
from pipeline.faces.retiming import retime
from pipeline.media import FeatureSequence, Media
from pipeline.runs import Checkpoint, read_json
from pipeline.speaking.published_speakers import import_speaker
from pipeline.store import FeatureStore

RECIPE = {"version": VERSIONS["asd_faces"], "settings": SETTINGS["asd_faces"]}


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    with torch_threads(1):
        yield


def pixels(num_rows: int) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (num_rows, 112, 112)).astype(np.uint8)


def track(num_rows: int) -> Media:
    return Media("a", features={"asd_faces": FeatureSequence(pixels(num_rows), grid(num_rows))})


def loconet(path: Path) -> Path:
    """A file as its publisher gives it."""
    torch.save(pictures(), path)
    return path


def describe(media: Media, weights: object, *, clips: str = "tracks") -> FeatureSequence:
    [found] = FaceAsd(FaceAsd.Config(clips=clips, weights=str(weights))).extract([media])  # type: ignore[arg-type]
    return found


def make_run(path: Path, variant: str) -> tuple[Path, ActiveSpeaker]:
    """A run with a network of random weights whose statistics are not those of a fresh one."""
    config = ActiveSpeaker.Config(variant=variant)  # type: ignore[arg-type]
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(3)
        network = ActiveSpeaker(config, {"asd_faces": (112, 112), "asd_audio": (4, 13)}, {"speaking": 2})
        for name, values in network.named_buffers():
            if name.endswith("running_mean"):
                values.normal_(0, 0.1)
    shape = {"asd_faces": (112, 112), "asd_audio": (4, 13)}
    scaler = {"asd_faces": {"mean": torch.zeros(112, 112), "sd": torch.full((112, 112), 255.0)},
              "asd_audio": {"mean": torch.zeros(4, 13), "sd": torch.ones(4, 13)}}
    inputs = {name: {"modality": "face", "row_shape": list(shape[name]), "fingerprint": "x",
                     "recipe": {"version": VERSIONS[name], "settings": SETTINGS[name]}} for name in shape}
    Checkpoint("active_speaker", to_json(config), inputs, shape, scaler, (face_asd._TASK,), {"speaking": (0.0, 1.0)},
               {}, 0, 1, 0.5, network.state_dict()).save(path / "seed0" / "best.pt")
    return path, network.eval()


@pytest.mark.parametrize(("variant", "num_rows"), [("compact", 90), ("light", 45), ("talknet", 30)])
def test_rows_are_those_of_the_networks_own_encoder_however_long_the_track(
        variant: str, num_rows: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run, network = make_run(tmp_path / "run", variant)
    media = track(num_rows)
    with torch.inference_mode():
        expected = network.seen["for_asd_faces"](torch.from_numpy(pixels(num_rows) / np.float32(255))[None],
                                                 torch.ones(1, num_rows, dtype=torch.bool))[0].numpy()
    assert np.abs(expected).max() > 0.01
    monkeypatch.setattr(face_asd, "PIECE", 20)
    found = describe(media, run)
    assert found.values.shape == (num_rows, 128) and found.values.dtype == np.float32
    np.testing.assert_allclose(found.values, expected, atol=1e-4 * np.abs(expected).max())
    np.testing.assert_array_equal(found.times, media.features["asd_faces"].times)


def two_faces() -> Media:
    """A video that is cut: when one face's track ends, another's begins; a third is seen beside both."""
    rows = np.zeros((60, len(COLUMNS)), np.float32)
    rows[:, 0] = np.repeat([0, 1, 2], [15, 15, 30])
    starts = np.concatenate([np.arange(15), np.arange(15, 30), np.arange(30)]) / 15
    times = np.stack([starts, starts + 1 / 15], axis=1).astype(np.float32)
    spans = [part.frames for part in retime(rows, times, 25.0)]
    frames = np.concatenate(spans)
    assert [len(part) for part in spans] == [25, 25, 50] and frames[24] + 1 == frames[25]
    faces = FeatureSequence(pixels(100), np.stack([frames, frames + 1], axis=1).astype(np.float32) / 25)
    return Media("a", features={"faces": FeatureSequence(rows, times), "asd_faces": faces}, duration_seconds=2.0)


def test_each_face_of_a_video_is_looked_at_by_itself(tmp_path: Path) -> None:
    media = two_faces()
    found = describe(media, "random", clips="videos")
    assert found.values.shape == (100, 128)
    for span in (slice(0, 25), slice(25, 50), slice(50, 100)):
        part = FeatureSequence(media.features["asd_faces"].values[span], media.features["asd_faces"].times[span])
        alone = describe(Media("a", features={"asd_faces": part}), "random")
        np.testing.assert_allclose(found.values[span], alone.values, atol=1e-5)
    as_one = describe(media, "random", clips="tracks").values
    assert not np.allclose(as_one[24:26], found.values[24:26], atol=1e-3), "as one track they see each other"


@pytest.mark.parametrize("clips", ["tracks", "videos"])
def test_a_clip_without_faces_has_no_rows(clips: str) -> None:
    found = describe(Media("a", features={"asd_faces": FeatureSequence.empty((112, 112), "uint8"),
                                          "faces": FeatureSequence.empty((len(COLUMNS),))}), "random", clips=clips)
    assert found.values.shape == (0, 128) and found.times.shape == (0, 2)


def test_the_record_holds_the_networks_digest_and_the_runs_name_and_no_place(tmp_path: Path) -> None:
    first, second = make_speaker_run(tmp_path / "first", seeds=2), make_speaker_run(tmp_path / "other", seeds=3)
    [record], [again] = (FaceAsd(FaceAsd.Config(weights=str(path))).weights for path in (first, second))
    assert record.source == "file" and (record.name, again.name) == ("first", "other")
    assert record.digest == again.digest, "the same first seed"
    [one] = FaceAsd(FaceAsd.Config(weights=str(first / "seed1" / "best.pt"))).weights
    assert one.digest != record.digest and one.name == "best.pt"
    assert FaceAsd(FaceAsd.Config(weights=str(first))).settings() == {"clips": "videos"}
    [chance] = FaceAsd(FaceAsd.Config(weights="random")).weights
    assert chance.source == "random"


def test_a_part_of_a_published_network_is_enough(tmp_path: Path) -> None:
    imported = import_speaker(loconet(tmp_path / "theirs.model"), "loconet", tmp_path / "start")
    rows = [describe(track(6), place).values for place in (imported.path, tmp_path / "start")]
    assert rows[0].shape == (6, 128) and np.isfinite(rows[0]).all()
    np.testing.assert_array_equal(*rows)


def test_without_a_run_the_error_says_what_to_give(tmp_path: Path) -> None:
    with pytest.raises(WeightsError, match="no published weights that could be fetched; name a run of .*--model"
                                           " active_speaker.*weights import --format .*--set face_asd.weights=RUN.*"
                                           "--weights random"):
        FaceAsd().weights
    with pytest.raises(WeightsError, match="holds no trained network .*; or name a run of"):
        FaceAsd(FaceAsd.Config(weights=str(tmp_path))).weights
    with pytest.raises(WeightsError, match="face_asd: there is no .*gone.pt"):
        FaceAsd(FaceAsd.Config(weights=str(tmp_path / "gone.pt"))).weights


def test_what_is_no_active_speaker_network_is_refused(tmp_path: Path) -> None:
    published = loconet(tmp_path / "theirs.model")
    with pytest.raises(WeightsError, match="is not a checkpoint .*weights import --format"):
        FaceAsd(FaceAsd.Config(weights=str(published))).weights
    deaf = make_speaker_run(tmp_path / "blind", inputs=("asd_audio",))
    with pytest.raises(WeightsError, match="of the model 'active_speaker', which looks at asd_audio; expected an"
                                           " active-speaker network that sees asd_faces"):
        FaceAsd(FaceAsd.Config(weights=str(deaf))).weights
    path = make_speaker_run(tmp_path / "run") / "seed0" / "best.pt"
    whole = Checkpoint.load(path)
    Checkpoint(**{**{name: getattr(whole, name) for name in whole.__dataclass_fields__},
                  "model_config": {**whole.model_config, "variant": "light"}}).save(path)
    with pytest.raises(WeightsError, match="does not fit the model 'active_speaker'"):
        describe(track(3), tmp_path / "run")


def test_pictures_cut_otherwise_than_the_network_learnt_are_refused(tmp_path: Path) -> None:
    extractor = FaceAsd(FaceAsd.Config(weights=str(make_speaker_run(tmp_path / "run"))))
    extractor.check_recipes({"asd_faces": {**RECIPE, "settings": {"clips": "videos", "part": "whole"}}})
    other = {"asd_faces": {**RECIPE, "settings": {"clips": "videos", "part": "middle"}}}
    with pytest.raises(UsageError, match=re.escape("learnt from another asd_faces: part was whole and is middle; say"
                                                   " --set asd_faces.part=whole")):
        extractor.check_recipes(other)
    FaceAsd(FaceAsd.Config(weights="random")).check_recipes(other)


def test_stored_pictures_are_read_and_not_cut_twice(tmp_path: Path) -> None:
    clips = [make_track(tmp_path / "corpus", f"video{place}", seed=place, num_frames=6 + place) for place in range(6)]
    run, store, config = make_speaker_run(tmp_path / "run"), tmp_path / "tracks.h5", ExtractConfig(jobs=1)
    assert not extract(TrackCorpus(clips), store, extractors=["asd_faces"], config=config).failures
    report = extract(TrackCorpus(clips), store, extractors=["face_asd"],
                     settings={"face_asd": {"weights": str(run)}}, config=config)
    assert not report.failures and "face_asd" in report.seconds and "asd_faces" not in report.seconds
    opened = FeatureStore(store)
    assert opened.recipe("face_asd")["upstream"] == {"asd_faces": opened.fingerprint("asd_faces")}
    assert opened.recipe("face_asd")["weights"][0]["name"] == "run"
    for place in range(6):
        faces, rows = opened.cell(place, "asd_faces"), opened.cell(place, "face_asd")
        assert len(rows.values) == 6 + place
        np.testing.assert_array_equal(rows.times, faces.times)


def test_an_active_speaker_learns_from_rows_of_faces_and_sound(tmp_path: Path) -> None:
    clips = [make_track(tmp_path / "corpus", f"video{place}", seed=place, num_frames=8) for place in range(8)]
    store, settings = tmp_path / "tracks.h5", {
        "face_asd": {"weights": "random"},
        "audio_resnet18": {"weights": "random", "patches": "frames", "side": "32", "patch_windows": "16"}}
    extract(TrackCorpus(clips), store, extractors=["face_asd", "audio_resnet18"], settings=settings,
            config=ExtractConfig(jobs=1))
    for model in ("active_speaker", "intermediate"):
        run = tmp_path / model
        assert main(["train", "--features", str(store), "--model", model, "--inputs", "face_asd,audio_resnet18",
                     "--set", "epochs=1", "--device", "cpu", "--no-report", "--out", str(run)]) == 0
        scores = read_json(run / "metrics.json")
        assert scores["level"] == "frame" and 0 <= scores["dev"]["speaking"]["average_precision"]["mean"] <= 1
