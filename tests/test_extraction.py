"""Extraction: complete, resumable, the same to the byte however it is cut up, and never stopped by one bad clip."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from pipeline.datasets.manifest import Manifest
from pipeline.errors import DatasetError, PipelineError, StoreError, UsageError
from pipeline.extraction import ExtractConfig, ExtractionReport, Quiet, extract
from pipeline.running.worker import ChunkReport
from pipeline.store import FeatureStore
from tests.makers import make_bert, make_video, write_manifest

FEATURES = ("text_bert", "audio_logmel", "faces")
TEXTS = ("Oh no!", "Well, you know what?", "", "Yes.", "What?", "You know, yes!")


@pytest.fixture(scope="module")
def originals(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Six clips with a manifest, and a tiny BERT."""
    folder = tmp_path_factory.mktemp("originals")
    make_bert(folder / "bert")
    for number in range(6):
        make_video(folder / f"clip{number}.mp4", seconds=0.6 + 0.1 * number, face=number != 1, sound=number != 3,
                   tone_hz=200.0 + 50 * number)
    write_manifest(folder / "clips.csv", [
        {"path": f"clip{number}.mp4", "text": TEXTS[number], "split": "train", "emotion": "ab"[number % 2]}
        for number in range(6)])
    return folder


@pytest.fixture()
def corpus(originals: Path, tmp_path: Path) -> Path:
    """A copy to change."""
    return shutil.copytree(originals, tmp_path / "corpus")


def run(corpus: Path, out: Path, *, features: tuple[str, ...] = FEATURES, progress: Quiet = Quiet(),
        settings: dict[str, dict[str, str]] | None = None, jobs: int = 1, **config: object) -> ExtractionReport:
    given = {"text_bert": {"model": str(corpus / "bert")}} if "text_bert" in features else {}
    return extract(Manifest(Manifest.Config(manifest=corpus / "clips.csv")), out, extractors=features,
                   settings={**given, **(settings or {})}, config=ExtractConfig(jobs=jobs, **config),  # type: ignore
                   progress=progress)


def digests(out: Path) -> dict[str, str]:
    store = FeatureStore(out)
    return {name: store.digest(name) for name in store.features}


@pytest.fixture(scope="module")
def expected(originals: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """Digests of a run that nothing disturbed."""
    out = tmp_path_factory.mktemp("expected") / "store.h5"
    run(originals, out)
    return digests(out)


class StopAfter(Quiet):
    """Presses Ctrl-C after some chunks."""

    def __init__(self, chunks: int) -> None:
        self.left = chunks
        self.worked_on = 0

    def advanced(self, report: ChunkReport, cost: float) -> None:
        self.worked_on += report.num_clips
        self.left -= 1
        if self.left == 0:
            raise KeyboardInterrupt


def test_what_is_there_becomes_rows_and_what_is_not_becomes_zero_rows(corpus: Path, tmp_path: Path) -> None:
    report = run(corpus, tmp_path / "store.h5")
    store = FeatureStore(report.store)
    assert report.failures == () and report.num_done == 6
    assert store.status("audio_logmel").tolist() == ["done", "done", "done", "empty", "done", "done"]
    assert store.status("faces").tolist() == ["done", "empty", "done", "done", "done", "done"]
    assert store.status("text_bert").tolist() == ["done", "done", "empty", "done", "done", "done"]
    assert store.labels("emotion").tolist() == [0, 1, 0, 1, 0, 1]
    assert store.clips["text"].tolist() == list(TEXTS)


def test_a_second_run_has_nothing_to_do_and_leaves_the_file_alone(corpus: Path, tmp_path: Path) -> None:
    out = run(corpus, tmp_path / "store.h5").store
    before = out.stat()
    assert run(corpus, out).num_done == 0
    assert (out.stat().st_mtime_ns, out.stat().st_ino) == (before.st_mtime_ns, before.st_ino)


def test_two_workers_give_the_same_bytes_as_one(corpus: Path, tmp_path: Path, expected: dict[str, str]) -> None:
    run(corpus, tmp_path / "store.h5", jobs=2)
    assert digests(tmp_path / "store.h5") == expected


def test_stopped_and_resumed_gives_the_same_bytes(corpus: Path, tmp_path: Path, expected: dict[str, str]) -> None:
    out, stop = tmp_path / "store.h5", StopAfter(2)
    with pytest.raises(KeyboardInterrupt):
        run(corpus, out, progress=stop)
    assert 0 < stop.worked_on < 6
    assert run(corpus, out).num_done == 6 - stop.worked_on
    assert digests(out) == expected
    assert sorted(path.name for path in tmp_path.iterdir()) == ["corpus", "store.h5"]


def test_killed_and_resumed_gives_the_same_bytes(corpus: Path, tmp_path: Path, expected: dict[str, str]) -> None:
    out = tmp_path / "store.h5"
    command = [sys.executable, "-m", "pipeline", "extract", "--dataset", "manifest", "--manifest",
               str(corpus / "clips.csv"), "--out", str(out), "--extractors", ",".join(FEATURES), "--jobs", "2",
               "--set", f"text_bert.model={corpus / 'bert'}"]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True)
    shards = tmp_path / "store.h5.shards"
    deadline = time.monotonic() + 60
    while not list(shards.glob("*.h5")) and process.poll() is None and time.monotonic() < deadline:
        time.sleep(0.005)
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    report = run(corpus, out)
    assert report.num_done < 6
    assert digests(out) == expected


def test_a_bad_clip_is_recorded_and_the_others_are_as_without_it(corpus: Path, tmp_path: Path,
                                                                 expected: dict[str, str]) -> None:
    rows = [{"path": f"clip{number}.mp4", "text": TEXTS[number], "split": "train", "emotion": "ab"[number % 2]}
            for number in range(6)]
    (corpus / "broken.mp4").write_bytes(b"this is no video")
    write_manifest(corpus / "clips.csv", [*rows, {**rows[0], "path": "broken.mp4"}, {**rows[0], "path": "gone.mp4"}])
    report = run(corpus, tmp_path / "store.h5")
    store = FeatureStore(report.store)
    assert {clip_id for clip_id, _, _ in report.failures} == {"train/broken", "train/gone"}
    assert store.status("faces").tolist()[6:] == ["failed", "failed"]
    assert store.status("text_bert").tolist()[6:] == ["done", "done"]
    assert "does not exist" in store.failures.query("clip_id == 'train/gone'")["message"].iloc[0]
    reference = tmp_path / "good.h5"
    write_manifest(corpus / "clips.csv", rows)
    run(corpus, reference)
    assert digests(reference) == expected
    good = FeatureStore(reference)
    for name in FEATURES:
        assert store.cell_digests(name)[:6].tolist() == good.cell_digests(name).tolist()


def test_a_clip_that_failed_is_left_alone_until_asked_for(corpus: Path, tmp_path: Path,
                                                          expected: dict[str, str]) -> None:
    hidden = (corpus / "clip2.mp4").rename(tmp_path / "elsewhere.mp4")
    assert {clip_id for clip_id, _, _ in run(corpus, tmp_path / "store.h5").failures} == {"train/clip2"}
    assert run(corpus, tmp_path / "store.h5").num_done == 0
    hidden.rename(corpus / "clip2.mp4")
    assert run(corpus, tmp_path / "store.h5", retry_failed=True).num_done == 1
    assert digests(tmp_path / "store.h5") == expected


def test_fail_on_damage_stops_and_keeps_what_was_finished(corpus: Path, tmp_path: Path) -> None:
    (corpus / "clip4.mp4").write_bytes(b"this is no video")
    with pytest.raises(PipelineError, match="train/clip4.*--on-damage fail stops here"):
        run(corpus, tmp_path / "store.h5", on_damage="fail")
    assert "done" in FeatureStore(tmp_path / "store.h5").status("audio_logmel").tolist()


def test_another_setting_is_refused_with_the_difference_and_replaced_on_request(corpus: Path, tmp_path: Path) -> None:
    out = run(corpus, tmp_path / "store.h5").store
    other = {"faces": {"stride": "2"}}
    with pytest.raises(StoreError, match="settings.stride: 8 in the store, 2 now.*--replace"):
        run(corpus, out, settings=other)
    before = digests(out)
    report = run(corpus, out, settings=other, replace=True)
    assert FeatureStore(out).recipe("faces")["settings"]["stride"] == 2
    assert "faces" in report.seconds and "text_bert" not in report.seconds
    assert digests(out)["text_bert"] == before["text_bert"]


def test_variants_live_side_by_side(corpus: Path, tmp_path: Path) -> None:
    model = str(corpus / "bert")
    run(corpus, tmp_path / "store.h5", features=("text_bert", "text_bert@cls"),
        settings={"text_bert@cls": {"model": model, "rows": "cls"}})
    store = FeatureStore(tmp_path / "store.h5")
    assert store.features == ("text_bert", "text_bert@cls")
    assert len(store.read("train/clip1", "text_bert").values) == 6
    assert len(store.read("train/clip1", "text_bert@cls").values) == 1


def test_touching_a_file_redoes_nothing_and_new_bytes_redo_that_clip(corpus: Path, tmp_path: Path) -> None:
    out = run(corpus, tmp_path / "store.h5").store
    os.utime(corpus / "clip0.mp4", (1, 1))
    moved = corpus.rename(tmp_path / "moved")
    assert run(moved, out).num_done == 0
    before = FeatureStore(out).cell_digests("audio_logmel").tolist()
    make_video(moved / "clip0.mp4", seconds=0.8, tone_hz=900.0)
    report = run(moved, out)
    after = FeatureStore(out).cell_digests("audio_logmel").tolist()
    assert report.num_done == 1
    assert before[0] != after[0] and before[1:] == after[1:]


def test_a_corrected_text_or_label_reaches_the_store(corpus: Path, tmp_path: Path) -> None:
    out = run(corpus, tmp_path / "store.h5").store
    table = (corpus / "clips.csv").read_text()
    (corpus / "clips.csv").write_text(table.replace("Oh no!", "Oh yes!"))
    report = run(corpus, out)
    assert report.num_done == 1 and "faces" not in report.seconds
    (corpus / "clips.csv").write_text(table.replace("clip5.mp4,You know, yes!", "").replace("train,b", "train,a", 1))
    assert run(corpus, out).store == out
    assert FeatureStore(out).labels("emotion").tolist()[1] == 0


def test_a_feature_added_later_reads_what_is_stored(corpus: Path, tmp_path: Path) -> None:
    out = tmp_path / "store.h5"
    settings = {"face_r3d18": {"weights": "random"}}
    keep = write_manifest(corpus / "clips.csv", [{"path": "clip0.mp4", "emotion": "a"},
                                                 {"path": "clip1.mp4", "emotion": "b"}])
    assert keep.exists()
    run(corpus, out, features=("faces",))
    report = run(corpus, out, features=("face_r3d18",), settings=settings)
    assert "face_r3d18" in report.seconds and "faces" not in report.seconds
    later = FeatureStore(out).cell_digests("face_r3d18").tolist()
    run(corpus, tmp_path / "at_once.h5", features=("face_r3d18",), settings=settings)
    assert later == FeatureStore(tmp_path / "at_once.h5").cell_digests("face_r3d18").tolist()
    assert FeatureStore(out).status("face_r3d18").tolist() == ["done", "empty"]


def test_annotations_alone_serve_text_and_are_refused_for_media(corpus: Path, tmp_path: Path) -> None:
    write_manifest(corpus / "clips.csv", [{"path": "", "id": "one", "text": "Oh no!"}])
    assert run(corpus, tmp_path / "store.h5", features=("text_bert",)).num_done == 1
    with pytest.raises(DatasetError, match="no media files, which faces need"):
        run(corpus, tmp_path / "media.h5", features=("faces",))


def test_another_corpus_s_store_and_wrong_names_are_refused(corpus: Path, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="did you mean 'faces'"):
        run(corpus, tmp_path / "store.h5", features=("face",))
    with pytest.raises(UsageError, match="no setting of faces named 'strid'; did you mean 'stride'"):
        run(corpus, tmp_path / "store.h5", settings={"faces": {"strid": "2"}})
    with pytest.raises(UsageError, match="video_r3d18 is not among the features"):
        run(corpus, tmp_path / "store.h5", settings={"video_r3d18": {"weights": "random"}})
    with pytest.raises(UsageError, match="a feature is named twice"):
        run(corpus, tmp_path / "store.h5", features=("faces", "faces"))
    (tmp_path / "text.h5").write_text("no store")
    with pytest.raises(StoreError, match="not a readable HDF5 file"):
        run(corpus, tmp_path / "text.h5")
