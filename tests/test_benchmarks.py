"""The command that makes BENCHMARKS.md: sections are replaced one by one, and each has its module."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from tests.benchmarks import __main__ as benchmarks

ROOT = Path(__file__).parents[1]


def test_every_benchmark_is_a_module_with_its_command_in_its_first_lines() -> None:
    for benchmark in benchmarks.BENCHMARKS:
        text = (ROOT / "tests" / "benchmarks" / f"{benchmark.name}.py").read_text(encoding="utf-8")
        assert f"    python -m tests.benchmarks.{benchmark.name}" in text.split('"""')[1]


def test_a_section_is_made_anew_and_the_others_stay(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    out = tmp_path / "BENCHMARKS.md"
    quick = benchmarks.Benchmark("alignment", "Words in time", ("--clips", "3"))
    monkeypatch.setattr(benchmarks, "BENCHMARKS", (benchmarks.Benchmark("training", "Training"), quick))
    out.write_text(benchmarks.HEAD + "".join(f"\n## {title}\n\n{text}\n" for title, text in (
        ("No longer made", "gone"), ("Words in time", "old"), ("Training", "as it was"))), encoding="utf-8")
    benchmarks.main(["alignment", "--out", str(out)])
    text = out.read_text(encoding="utf-8")
    assert text.startswith("# Benchmarks") and list(benchmarks.sections_of(text)) == ["Training", "Words in time"]
    assert "as it was" in text and "gone" not in text and "old\n" not in text
    assert "`python -m tests.benchmarks.alignment --clips 3`: 20" in text and "| overlap |" in text
    assert f"torch {torch.__version__}" in text


def test_what_needs_real_material_is_left_out_and_said(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    benchmarks.main(["faces", "--out", str(tmp_path / "B.md")])
    assert "faces is left out: it needs --data FOLDER" in capsys.readouterr().err
    assert not (tmp_path / "B.md").exists()
    with pytest.raises(SystemExit):
        benchmarks.main(["nonsense"])
    assert "no benchmark nonsense; there are extraction, faces" in capsys.readouterr().err


def test_patterns_become_the_files_that_match(tmp_path: Path) -> None:
    (tmp_path / "video").mkdir()
    for name in ("b.mp4", "a.mp4", "c.txt"):
        (tmp_path / "video" / name).touch()
    (extraction,) = [one for one in benchmarks.BENCHMARKS if one.name == "extraction"]
    assert benchmarks.command(extraction, tmp_path, gpu=False) == [
        "-m", "tests.benchmarks.extraction", str(tmp_path / "video" / "a.mp4"), str(tmp_path / "video" / "b.mp4")]
    (maps,) = [one for one in benchmarks.BENCHMARKS if one.name == "r3d101"]
    assert benchmarks.command(maps, None, gpu=True)[-2:] == ["--device", "cuda"]
