"""A run applied to new recordings, with real extractors, networks and ffmpeg."""

from __future__ import annotations

import csv
import json
import re
import wave
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from pipeline import prediction
from pipeline.cli import main
from pipeline.datasets.manifest import Manifest
from pipeline.decoding.probe import probe
from pipeline.errors import DatasetError, PipelineError, TrainingError, UsageError
from pipeline.extraction import extract
from pipeline.joined import open_stores
from pipeline.predicting.networks import SMOKE, Networks
from pipeline.predicting.recipes import settings_of
from pipeline.prediction import LONG_SECONDS, PredictConfig, find_sources, name_sources, predict
from pipeline.segmenting.turns import Turn, Turns
from pipeline.words.subtitles import read_cues
from tests.makers import make_video, write_manifest
from tests.html_pages import parse
from tests.predicting.runs import CONFIG, EXTRACTING, make_corpus, make_run

SRT = "1\n00:00:00,000 --> 00:00:01,000\noh no!\n\n2\n00:00:01,200 --> 00:00:09,000\nyes, you know.\n"
QUICK = PredictConfig(jobs=1, device="cpu", window_seconds=1.0)


@pytest.fixture(scope="module")
def workplace(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A trained run, its store, a video with a face and its subtitles."""
    folder = tmp_path_factory.mktemp("workplace")
    make_run(make_corpus(folder), folder / "run")
    make_video(folder / "talk.mp4", seconds=2.0)
    (folder / "talk.srt").write_text(SRT)
    return folder


def test_answers_are_those_of_the_networks_on_features_extracted_in_the_usual_way(workplace: Path) -> None:
    found, = predict(workplace / "run", [workplace / "talk.mp4"], text=workplace / "talk.srt", config=QUICK)
    utterance, window = found.of_kind("utterance")[1], found.of_kind("window")[1]
    write_manifest(workplace / "again.csv", [
        {"path": "talk.mp4", "id": place, "start": found.stretches[place].start_seconds,
         "end": found.stretches[place].stop_seconds, "text": found.stretches[place].text}
        for place in (utterance, window)])
    store = workplace / "again.h5"
    networks = Networks.load(workplace / "run")
    extract(Manifest(Manifest.Config(manifest=workplace / "again.csv")), store,
            extractors=["text_bert", "audio_logmel"], settings=settings_of(networks, device="cpu"), config=EXTRACTING)
    expected = networks.answer(open_stores(store), device="cpu")
    for task in ("mood", "power"):
        np.testing.assert_allclose(found.answers[task][[utterance, window]], expected.mean[task], rtol=0, atol=1e-6)
    assert found.answers["mood"].sum(1) == pytest.approx(np.ones(len(found.stretches)), abs=1e-5)


def test_all_seeds_answer_together_and_their_spread_is_given(workplace: Path) -> None:
    networks = Networks.load(workplace / "run")
    stores = open_stores(workplace / "store.h5")
    found = networks.answer(stores, device="cpu")
    alone = [Networks(networks.run, ((checkpoint,),), networks.config).answer(stores, device="cpu").mean["mood"]
             for checkpoint in networks.checkpoints[0]]
    assert networks.num_networks == 2 and not np.allclose(alone[0], alone[1])
    np.testing.assert_allclose(found.mean["mood"], np.mean(alone, axis=0), atol=1e-6)
    spread = found.spread["mood"]
    assert spread is not None
    np.testing.assert_allclose(spread, np.std(alone, axis=0, ddof=1), atol=1e-6)


def test_everything_is_written_and_agrees(workplace: Path, tmp_path: Path) -> None:
    found, = predict(workplace / "run", [workplace / "talk.mp4"], out=tmp_path, text=workplace / "talk.srt",
                     config=replace(QUICK, mark=True))
    assert sorted(path.name for path in tmp_path.iterdir()) \
        == [f"talk.{suffix}" for suffix in ("ass", "csv", "html", "json", "mp4", "vtt")]
    assert {path.name for path in found.files} == {path.name for path in tmp_path.iterdir()}
    told = json.loads((tmp_path / "talk.json").read_text())
    assert [(said["start_seconds"], said["stop_seconds"], said["text"]) for said in told["utterances"]] \
        == [(0.0, 1.0, "oh no!"), (1.2, 2.0, "yes, you know.")]
    assert [part["start_seconds"] for part in told["windows"]] == [0.0, 0.5, 1.0]
    assert [part["text"] for part in told["windows"]] == ["oh no!", "", "yes, you know."]
    assert told["missing_inputs"] == {"utterance": {}, "window": {"text_bert": 1}} and told["faces"]
    first = told["utterances"][0]["answers"]["mood"]
    assert first["prediction"] == max(first["probabilities"], key=first["probabilities"].get)
    assert first["spread"].keys() == first["probabilities"].keys() == {"calm", "glad", "angry"}
    rows = list(csv.DictReader((tmp_path / "talk.csv").read_text().splitlines()))
    assert [row["kind"] for row in rows] == ["utterance"] * 2 + ["window"] * 3
    assert float(rows[0]["mood_probability_calm"]) == first["probabilities"]["calm"]
    cues = read_cues(tmp_path / "talk.vtt")
    assert f"[{first['prediction']} {100 * first['probabilities'][first['prediction']]:.0f} %" in cues[0].text
    video = probe(tmp_path / "talk.mp4")
    assert video.audio_span[1] == pytest.approx(2.0, abs=0.1) and video.video_span[1] == pytest.approx(2.0, abs=0.1)
    assert "Article 5(1)(f)" in parse(tmp_path / "talk.html").words and "Article 5(1)(f)" in told["meaning"]


def test_without_text_that_is_said_and_the_rest_answers(workplace: Path, tmp_path: Path) -> None:
    found, = predict(workplace / "run", [workplace / "talk.mp4"], out=tmp_path, config=replace(QUICK, mark=False))
    assert found.missing("utterance") == {"text_bert": 1} and found.inputs[0] == ("audio_logmel",)
    assert found.stretches[0].text == "" and not (tmp_path / "talk.mp4").exists()
    assert "text_bert 1" in parse(tmp_path / "talk.html").words


def test_a_transcript_is_the_words_of_the_whole(workplace: Path, tmp_path: Path) -> None:
    (tmp_path / "talk.txt").write_text("Oh no,\nyou know!")
    found, = predict(workplace / "run", [workplace / "talk.mp4"], text=tmp_path, config=QUICK)
    assert [(part.kind, part.text) for part in found.stretches][:2] \
        == [("utterance", "Oh no, you know!"), ("window", "Oh no, you know!")]


def test_one_bad_file_among_several_is_recorded_and_the_others_are_done(
        workplace: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    media = tmp_path / "media"
    media.mkdir()
    (media / "bad.mp4").write_bytes(b"no video at all")
    (media / "notes.doc").write_text("not media")
    make_video(media / "good.mp4", seconds=1.0)
    command = ["predict", "--run", str(workplace / "run"), str(media), "--out", str(tmp_path / "out"), "--jobs", "1",
               "--window", "0", "--json"]
    assert main(command) == 3
    captured = capsys.readouterr()
    bad, good = json.loads(captured.out)
    assert "bad.mp4 is no video, sound or picture" in bad["problem"] and not bad["utterances"]
    assert good["problem"] == "" and len(good["utterances"]) == 1 and good["windows"] == []
    assert (tmp_path / "out/good.html").is_file() and (tmp_path / "out/bad.json").is_file()
    assert not (tmp_path / "out/bad.html").exists() and "bad.mp4 is no video" in captured.err
    assert json.loads((tmp_path / "out/bad.json").read_text()) == bad


def test_a_smoke_run_is_stamped_on_everything(workplace: Path, tmp_path: Path) -> None:
    run = make_run(workplace / "store.h5", tmp_path / "smoke", replace(CONFIG, smoke=True))
    found, = predict(run, [workplace / "talk.mp4"], out=tmp_path / "out", config=replace(QUICK, mark=False))
    assert found.stamps == (SMOKE,)
    for suffix in ("json", "csv", "vtt", "ass", "html"):
        assert SMOKE in (tmp_path / f"out/talk.{suffix}").read_text()


def test_the_folds_of_a_run_answer_together(workplace: Path, tmp_path: Path) -> None:
    run = make_run(workplace / "store.h5", tmp_path / "folds", replace(CONFIG, folds="3-group-folds", seeds=1))
    found, = predict(run, [workplace / "talk.mp4"], config=QUICK)
    assert found.num_networks == 3 and found.spread["mood"] is None
    networks = Networks.load(run)
    stores = open_stores(workplace / "store.h5")
    alone = []
    for fold, in networks.checkpoints:
        one = Networks(run, ((fold,),), networks.config)
        alone.append(one.answer(stores, device="cpu").mean["mood"])
    np.testing.assert_allclose(networks.answer(stores, device="cpu").mean["mood"], np.mean(alone, axis=0), atol=1e-6)


def test_sound_alone_is_answered_for_without_a_video(
        workplace: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with wave.open(str(tmp_path / "long.wav"), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(8000)
        file.writeframes(np.random.default_rng(0).integers(-3000, 3000, 8000 * 17, np.int16).tobytes())

    def turns(source: Path) -> Turns:
        return Turns("long", (Turn(1.0, 6.0, "A"), Turn(6.5, 99.0, "B")))
    monkeypatch.setattr(prediction, "segment", turns)
    found, = predict(workplace / "run", [tmp_path / "long.wav"], out=tmp_path / "out",
                     config=replace(QUICK, window_seconds=0))
    assert found.recording.duration_seconds > LONG_SECONDS and not (tmp_path / "out/long.mp4").exists()
    assert [(part.start_seconds, part.stop_seconds, part.speaker) for part in found.stretches] \
        == [(1.0, 6.0, "A"), (6.5, 17.0, "B")]
    assert "cut into 2 turns" in found.recording.notes[0]


def test_where_nobody_is_heard_the_whole_is_answered_for(
        workplace: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    make_video(tmp_path / "long.mp4", seconds=LONG_SECONDS + 1, fps=10)
    monkeypatch.setattr(prediction, "segment", lambda source: Turns("long", ()))
    found, = predict(workplace / "run", [tmp_path / "long.mp4"], config=replace(QUICK, window_seconds=0))
    assert len(found.stretches) == 1 and "nobody is heard" in found.recording.notes[0]


@pytest.mark.parametrize(("arguments", "code", "message"), [
    (["talk.mp4", "--text", "bad.srt"], 1, r"bad\.srt, line 1: expected the number of a cue"),
    (["talk.mp4", "--text", "talk.mp4"], 2, r"expected \.srt or \.vtt \(words with times\) or \.txt"),
    (["talk.mp4", "corpus.mp4", "--text", "talk.srt"], 2, "one file for several recordings; give a folder"),
    (["nowhere.mp4"], 2, "there is no .*nowhere.mp4"),
    (["bert"], 2, "holds no video and no sound"),
    (["talk.mp4", "--window", "-1"], 2, "a window lasts 0.1 to 3600 seconds"),
    (["talk.mp4", "--no-mark", "--blur-others"], 2, "blur_others says nothing without the marked-up video"),
    (["talk.mp4", "--set", "audio_logmel.side=3"], 2, "no setting of audio_logmel named 'side'"),
    (["talk.mp4", "--set", "audio_logmel.preset=meld_joint"], 1, "cannot be made in the same way here: audio_logmel"),
    (["talk.mp4", "--out", "."], 2, "is the recording itself and would be replaced")])
def test_what_cannot_be_is_refused_with_its_reason(workplace: Path, monkeypatch: pytest.MonkeyPatch,
                                                   arguments: list[str], code: int, message: str,
                                                   capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.chdir(workplace)
    (workplace / "bad.srt").write_text("Dear diary,")
    assert main(["predict", "--run", "run", "--jobs", "1", *arguments]) == code
    assert re.search(message, " ".join(capsys.readouterr().err.split())), message


def test_a_run_without_networks_is_refused(tmp_path: Path) -> None:
    with pytest.raises(TrainingError, match="holds no trained network"):
        predict(tmp_path, [tmp_path])


def test_a_file_of_words_is_read_before_any_work(workplace: Path, tmp_path: Path) -> None:
    (tmp_path / "talk.vtt").write_text("no")
    with pytest.raises(DatasetError, match="line 1: expected WEBVTT"):
        predict(workplace / "run", [workplace / "talk.mp4"], text=tmp_path / "talk.vtt", config=QUICK)


def test_subtitles_of_another_recording_are_a_problem_of_this_one(workplace: Path, tmp_path: Path) -> None:
    (tmp_path / "talk.srt").write_text("00:10:00,000 --> 00:10:01,000\noh\n")
    found, = predict(workplace / "run", [workplace / "talk.mp4"], text=tmp_path / "talk.srt", config=QUICK)
    assert "all 1 cues of its subtitles lie behind the end of talk.mp4" in found.problem


def test_a_folder_that_cannot_be_written_is_an_error(workplace: Path, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(PipelineError, match="cannot write to .*file.*; give another --out"):
        predict(workplace / "run", [workplace / "talk.mp4"], out=tmp_path / "file", config=replace(QUICK, mark=False))


def test_names_tell_recordings_apart(tmp_path: Path) -> None:
    for name in ("a.mp4", "a.wav", "b.mp4", ".hidden.mp4", "c.txt"):
        (tmp_path / name).write_bytes(b"")
    found = find_sources([tmp_path, tmp_path / "b.mp4"])
    assert list(name_sources(found).values()) == ["a.mp4", "a.wav", "b"]
    (tmp_path / "other").mkdir()
    (tmp_path / "other/b.mp4").write_bytes(b"")
    with pytest.raises(UsageError, match="have one name"):
        name_sources([tmp_path / "b.mp4", tmp_path / "other/b.mp4"])


def test_the_values_of_a_regression_are_in_its_own_units(workplace: Path) -> None:
    found, = predict(workplace / "run", [workplace / "talk.mp4"], config=QUICK)
    scale = Networks.load(workplace / "run").first.value_scale["power"]
    assert scale[0] == pytest.approx(0.5, abs=0.3) and (np.abs(found.answers["power"] - scale[0]) < 6 * scale[1]).all()
