"""The command line: results on stdout, everything else on stderr, exit codes that scripts can rely on."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

from pipeline.cli import commands, main
from tests.makers import make_bert, make_video, write_manifest


@pytest.fixture()
def corpus(tmp_path: Path) -> Path:
    """Twelve texts with two labels in four groups; one has a video."""
    make_bert(tmp_path / "bert")
    make_video(tmp_path / "one.mp4", seconds=0.5)
    texts = ("Oh no!", "Yes, yes!")
    write_manifest(tmp_path / "clips.csv", [
        {"path": "one.mp4" if number == 0 else "", "id": f"c{number}", "text": texts[number % 2] + " you" * number,
         "split": ("train", "train", "dev", "test")[number % 4], "group": f"g{number}", "mood": "ab"[number // 4 % 2]}
        for number in range(24)])
    return tmp_path


def extract(corpus: Path, *more: str) -> int:
    return main(["extract", "--dataset", "manifest", "--manifest", str(corpus / "clips.csv"), "--out",
                 str(corpus / "store.h5"), "--jobs", "1", *more])


def extract_text(corpus: Path) -> int:
    return extract(corpus, "--extractors", "text_bert", "--set", f"text_bert.model={corpus / 'bert'}")


def test_the_main_job_from_clips_to_scores(corpus: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert extract_text(corpus) == 0
    assert capsys.readouterr().out.strip() == str(corpus / "store.h5")
    assert main(["inspect", str(corpus / "store.h5"), "--json"]) == 0
    counts = json.loads(capsys.readouterr().out)
    assert (counts["clips"], counts["features"]["text_bert"]["done"]) == (24, 24)
    run = corpus / "run"
    assert main(["train", "--features", str(corpus / "store.h5"), "--out", str(run), "--no-report", "--set", "epochs=2",
                 "--set", "hidden=16"]) == 0
    assert capsys.readouterr().out.strip() == str(run)
    assert main(["evaluate", "--run", str(run), "--features", str(corpus / "store.h5"), "--split", "test",
                 "--json"]) == 0
    scored = json.loads(capsys.readouterr().out)
    written = json.loads((run / "metrics.json").read_text())
    assert scored["test"]["mood"]["accuracy"] == written["test"]["mood"]["accuracy"]
    assert set(written["baselines"]) >= {"majority", "logistic_regression", "tfidf"}
    assert main(["count-parameters", "--run", str(run)]) == 0
    assert re.search(r"in all\W+[\d,]+", capsys.readouterr().out)


def test_failed_clips_give_exit_code_3_and_a_table(corpus: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (corpus / "one.mp4").write_bytes(b"no video")
    assert extract(corpus, "--extractors", "audio_logmel") == 3
    captured = capsys.readouterr()
    assert captured.out.strip() == str(corpus / "store.h5")
    assert "train/c0" in captured.err and "exit code 3" in captured.err
    assert main(["inspect", str(corpus / "store.h5"), "--json"]) == 0
    failures = json.loads(capsys.readouterr().out)["failures"]
    assert [(row["clip"], row["stage"], row["kind"]) for row in failures] == [("train/c0", "decode", "permanent")]
    assert main(["inspect", str(corpus / "store.h5")]) == 0
    assert "audio_logmel" in capsys.readouterr().out


@pytest.mark.parametrize(("arguments", "code", "message"), [
    (["extract", "--dataset", "medl"], 2, "no dataset named 'medl'; did you mean 'meld'"),
    (["extract", "--dataset", "meld", "--root", "nowhere"], 1, "nowhere"),
    (["extract", "--dataset", "meld", "--root", "."], 1, "train_sent_emo.csv"),
    (["extract", "--dataset", "manifest"], 2, "--manifest"),
    (["extract", "--dataset", "manifest", "--manifest", "no_path.csv"], 1, "path"),
    (["extract", "--dataset", "sample", "--manifest", "clips.csv"], 2, "--manifest is not for --dataset sample"),
    (["extract", "--dataset", "meld", "--set", "layers=last"], 2, "expected EXTRACTOR.FIELD=VALUE"),
    (["extract", "--dataset", "meld", "--set", "layers"], 2, "not of the form NAME=VALUE"),
    (["extract", "--dataset", "meld", "--device", "cuda:99"], 2, "cuda:99"),
    (["extract", "--dataset", "meld", "--device", "gpu"], 2, "gpu"),
    (["inspect", "nothing.h5"], 1, "there is no store nothing.h5"),
    (["inspect", "no_path.csv"], 1, "not a readable HDF5 file"),
    (["train", "--features", "nothing.h5"], 1, "there is no store nothing.h5"),
    (["train"], 2, "--features"),
    (["train", "--features", "nothing.h5", "--model", "intermediat"], 2, "did you mean 'intermediate'"),
    (["evaluate", "--run", "nothing", "--features", "nothing.h5"], 1, "nothing"),
    (["report", "nothing"], 1, "nothing"),
    (["count-parameters", "--run", "nothing"], 1, "nothing"),
    (["extrac"], 2, "No such command 'extrac'"),
])
def test_what_a_user_gets_wrong_first_is_one_clear_line(arguments: list[str], code: int, message: str, tmp_path: Path,
                                                        monkeypatch: pytest.MonkeyPatch,
                                                        capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "no_path.csv").write_text("file,label\na.mp4,x\n")
    (tmp_path / "clips.csv").write_text("path\na.mp4\n")
    assert main(arguments) == code
    captured = capsys.readouterr()
    assert message in captured.err and "Traceback" not in captured.err
    assert captured.out == ""
    assert len([line for line in captured.err.splitlines() if line.startswith("Error:")]) == 1


def test_pretrained_weights_without_a_network_are_an_error_that_says_what_to_do(
        corpus: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setenv("PIPELINE_OFFLINE", "1")
    monkeypatch.setenv("PIPELINE_WEIGHTS", str(corpus / "weights"))
    assert extract(corpus, "--extractors", "video_r3d18") == 1
    said = capsys.readouterr().err
    for part in ("r3d_18-b3b3357e.pth", "https://", str(corpus / "weights"), "--weights random"):
        assert part in said
    assert extract(corpus, "--extractors", "text_bert") == 1
    assert "bert-base-uncased" in capsys.readouterr().err


def test_a_feature_that_the_store_lacks_is_named_with_the_command_that_adds_it(
        corpus: Path, capsys: pytest.CaptureFixture[str]) -> None:
    extract_text(corpus)
    capsys.readouterr()
    assert main(["train", "--features", str(corpus / "store.h5"), "--inputs", "text_bert,face_r3d18"]) == 1
    said = capsys.readouterr().err
    assert "face_r3d18" in said and "extract" in said and "Traceback" not in said


def test_every_command_has_a_summary_and_an_example() -> None:
    for name, command in commands.commands.items():
        text = command.help or ""
        assert text.splitlines()[0].endswith("."), name
        assert f"python -m pipeline {name}" in text, name


def test_help_is_quick_because_it_loads_nothing_heavy() -> None:
    script = ("import sys; from pipeline.cli import main; main(['extract', '--help']);"
              "sys.exit(sorted({'torch', 'h5py', 'numpy', 'pandas', 'rich'} & set(sys.modules)) != [])")
    assert subprocess.run([sys.executable, "-c", script], stdout=subprocess.DEVNULL, check=False).returncode == 0


def test_the_list_names_every_plug_in_with_its_settings(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["list", "--settings"]) == 0
    shown = capsys.readouterr().out
    for name in ("sample", "meld", "manifest", "text_bert", "face_r3d18", "early", "late", "intermediate",
                 "--set faces.detection=balanced"):
        assert name in shown
