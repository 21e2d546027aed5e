"""The notebooks run as they stand, in a folder that holds nothing, and carry no outputs and no places of a machine."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import click
import pytest

from tests.test_guides import ROOT, check_command, shown_commands

nbformat = pytest.importorskip("nbformat")
nbclient = pytest.importorskip("nbclient")
NOTEBOOKS = sorted((ROOT / "examples").glob("*.ipynb"))
NAMES = [path.stem for path in NOTEBOOKS]


def cells(path: Path, kind: str) -> list[Any]:
    return [cell for cell in nbformat.read(path, as_version=4).cells if cell.cell_type == kind]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the notebooks work, one after the other: the sample is rendered once."""
    return tmp_path_factory.mktemp("examples")


@pytest.mark.parametrize("path", NOTEBOOKS, ids=NAMES)
def test_a_notebook_runs_from_its_first_cell_to_its_last(path: Path, folder: Path,
                                                         monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("IPYTHONDIR", "JUPYTER_RUNTIME_DIR", "JUPYTER_CONFIG_DIR"):
        monkeypatch.setenv(name, str(folder / "jupyter"))
    monkeypatch.setenv("PIPELINE_OFFLINE", "1")
    book = nbformat.read(path, as_version=4)
    nbclient.NotebookClient(book, timeout=600, kernel_name="python3",
                            resources={"metadata": {"path": str(folder)}}).execute()
    outputs = [output for cell in book.cells if cell.cell_type == "code" for output in cell.outputs]
    assert outputs and not [output for output in outputs if output.output_type == "error"]
    assert (folder / "cache/sample-small.h5").is_file()


def test_the_issues_four_are_there() -> None:
    assert set(NAMES) >= {"store_tour", "time_alignment", "face_clusters", "own_fusion"}


@pytest.mark.parametrize("path", NOTEBOOKS, ids=NAMES)
def test_a_notebook_is_small_and_carries_neither_outputs_nor_places_of_a_machine(path: Path) -> None:
    book = nbformat.read(path, as_version=4)
    nbformat.validate(book)
    assert path.stat().st_size < 20_000
    for cell in book.cells:
        if cell.cell_type == "code":
            assert cell.outputs == [] and cell.execution_count is None
        assert not re.search(r"""["'(= ](/(home|root|usr|tmp|content|Users)|[A-Z]:\\)""", cell.source)


def test_all_notebooks_are_set_up_in_the_same_way() -> None:
    setups = {cells(path, "code")[0].source for path in NOTEBOOKS}
    assert len(setups) == 1 and "%pip install" in setups.pop()


@pytest.mark.parametrize("path", NOTEBOOKS, ids=NAMES)
def test_commands_that_a_notebook_mentions_exist(path: Path) -> None:
    for line in shown_commands("\n\n".join(cell.source for cell in cells(path, "markdown"))):
        try:
            check_command(line)
        except click.UsageError as error:
            pytest.fail(f"{line}: {error.format_message()}")
