"""Inputs that mean harm: each gives the right result or one clear error, and nothing else is opened or run."""

from __future__ import annotations

import re
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch

from pipeline.clip import Clip
from pipeline.datasets.manifest import Manifest
from pipeline.decode import read_media
from pipeline.errors import PipelineError, TrainingError
from pipeline.extraction import ExtractConfig, extract
from pipeline.learning.train_config import TrainConfig
from pipeline.report import write_report
from pipeline.runs import Checkpoint, append_history, read_history, seed_folders
from pipeline.training import train
from tests import hostile_files, hostile_media
from tests.hostile_media import Bait, Trial, bait, is_one_line
from tests.makers import make_video, write_manifest
from tests.html_pages import assert_inert, open_browser, parse, visit


@pytest.fixture(scope="module")
def laid(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bait]:
    with bait(tmp_path_factory.mktemp("bait")) as found:
        yield found


def test_bait_that_is_taken_is_told(laid: Bait) -> None:
    laid.taken()
    read_media(Clip("all/x", laid.file), (), waveform=True)
    socket.create_connection(("127.0.0.1", laid.port)).close()
    assert laid.taken() == ["file", "address"] and laid.taken() == []


@pytest.mark.parametrize("trial", hostile_media.MEDIA, ids=lambda trial: trial.name)
def test_hostile_media_give_features_or_one_reason_and_open_nothing_else(laid: Bait, tmp_path: Path,
                                                                         monkeypatch: pytest.MonkeyPatch,
                                                                         trial: Trial) -> None:
    monkeypatch.chdir(tmp_path)
    folder = tmp_path / "folder"
    folder.mkdir()
    path = trial.make(folder, laid)
    laid.taken()
    said = hostile_media.attempt_media(path, trial.limits)
    assert laid.taken() == []
    if trial.outcome:
        assert re.search(trial.outcome, said) and is_one_line(said), said
    else:
        assert said == hostile_media.WHOLE


def test_a_header_that_promises_millions_of_packets_takes_no_memory(tmp_path: Path) -> None:
    (tmp_path / "bomb.mov").write_bytes(hostile_media.movie(40_000_000))
    code = ("import resource, sys; from pathlib import Path;"
            " from tests.hostile_media import DecodeLimits, attempt_media;"
            " print(attempt_media(Path(sys.argv[1]), DecodeLimits(process_bytes=2 ** 28)));"
            " print(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss // 1024)")
    said = subprocess.run([sys.executable, "-c", code, str(tmp_path / "bomb.mov")], capture_output=True, check=True,
                          text=True).stdout.splitlines()
    assert "bomb.mov" in said[0] and int(said[1]) < 400  # unlimited it would be 1,400 MB


@pytest.mark.parametrize(("name", "data", "outcome"), hostile_files.MANIFESTS, ids=lambda value: str(value)[:40])
def test_a_hostile_manifest_is_read_as_text_or_is_one_error_that_names_the_place(tmp_path: Path, name: str, data: bytes,
                                                                                 outcome: str) -> None:
    said = hostile_files.attempt_manifest(tmp_path, data)
    assert is_one_line(said) and len(said) < 600
    assert re.search(f"clips.csv.*{outcome}" if outcome else "used as text: ", said), said


def test_html_of_a_manifest_comes_out_of_the_report_as_text_and_runs_nothing(tmp_path: Path) -> None:
    evil = "<script>alert(1)</script><img src=x onerror=alert(2)>{{7*7}}"
    video = make_video(tmp_path / "clip.mp4")
    rows = [{"path": video.name, "id": f"{evil.replace('</', '<')}{number}", "start": number / 20, "text": evil,
             "split": "train" if number < 8 else "dev" if number < 12 else "test", "speaker": evil,
             "group": f"{evil}{number}", "<b>mood": f"{evil}{number % 2}"} for number in range(16)]
    manifest = Manifest(Manifest.Config(manifest=write_manifest(tmp_path / "clips.csv", rows)))
    store = extract(manifest, tmp_path / "evil.h5", extractors=["audio_logmel", "faces"],
                    config=ExtractConfig(jobs=1, device="cpu")).store
    run = train(store, config=TrainConfig(epochs=2, device="cpu"), out=tmp_path / "run")
    page = parse(write_report(run, thumbnails=True))
    assert_inert(page)
    assert page.text.count(evil) > 20 and len(page.all("img")) > 0
    with open_browser() as browser:
        seen = visit(browser, run / "report.html", width=800, scheme="light")
    assert seen["dialogs"] == [] and seen["console"] == [] and seen["requests"] == []


def test_a_line_without_an_end_is_refused_before_it_fills_memory(tmp_path: Path) -> None:
    (tmp_path / "home").mkdir()
    with (tmp_path / "home" / "clips.csv").open("wb") as file:
        file.truncate(2 ** 30)  # a gigabyte of NULs that takes no room on the disk
    with pytest.raises(PipelineError, match="is larger than 256 MiB; expected a table of clips"):
        list(Manifest(Manifest.Config(manifest=tmp_path / "home" / "clips.csv")).clips())


@pytest.mark.parametrize(("name", "make", "outcome"), hostile_files.CHECKPOINTS,
                         ids=lambda value: value[:50] if isinstance(value, str) else "file")
def test_a_hostile_checkpoint_is_one_error_and_its_payload_never_runs(tmp_path: Path, name: str, make: Any,
                                                                      outcome: str) -> None:
    mark, folder = tmp_path / "broken in", tmp_path / "run" / "seed0"
    folder.mkdir(parents=True)
    make(folder / "best.pt", mark)
    said = hostile_files.attempt_checkpoint(tmp_path / "run")
    assert re.search(outcome, said) and "\n" not in said, said
    assert not mark.exists()


def test_a_whole_checkpoint_loads(tmp_path: Path) -> None:
    (tmp_path / "seed0").mkdir()
    torch.save(hostile_files.checkpoint_values(), tmp_path / "seed0" / "best.pt")
    assert hostile_files.attempt_checkpoint(tmp_path) == "loaded"


def test_a_checkpoint_with_any_byte_changed_loads_or_is_one_error(tmp_path: Path) -> None:
    torch.save(hostile_files.checkpoint_values(), tmp_path / "best.pt")
    whole = (tmp_path / "best.pt").read_bytes()
    refused = 0
    for place in range(0, len(whole), len(whole) // 150):
        changed = bytearray(whole)
        changed[place] ^= 0xFF
        (tmp_path / "changed.pt").write_bytes(changed)
        try:
            Checkpoint.load(tmp_path / "changed.pt").network()
        except PipelineError as error:
            refused += 1
            assert "\n" not in str(error)
    assert refused > 20


@pytest.mark.parametrize(("name", "text", "outcome"), hostile_files.CONFIGS, ids=lambda value: str(value)[:40])
def test_hostile_settings_of_a_run_are_one_error(tmp_path: Path, name: str, text: str, outcome: str) -> None:
    said = hostile_files.attempt_config(tmp_path, text)
    assert re.search(outcome, said) and is_one_line(said) and len(said) < 600


def test_folders_that_only_look_like_seeds_are_passed_over(tmp_path: Path) -> None:
    for name in ("seed0", "seed-1", "seedX", "seed" + "9" * 40):
        (tmp_path / name).mkdir()
        (tmp_path / name / "best.pt").touch()
    assert seed_folders(tmp_path) == [tmp_path / "seed0"]


def test_a_history_that_is_a_link_is_not_written_through(tmp_path: Path) -> None:
    (tmp_path / "profile").write_text("mine\n")
    (tmp_path / "history.jsonl").symlink_to(tmp_path / "profile")
    with pytest.raises(TrainingError, match="history.jsonl is a link; expected a file of the run"):
        append_history(tmp_path, {"epoch": 1})
    assert (tmp_path / "profile").read_text() == "mine\n"
    (tmp_path / "profile").write_text("{no JSON}\n")
    with pytest.raises(TrainingError, match="history.jsonl cannot be read"):
        read_history(tmp_path)
