"""Tables, notes and bars: words from outside are shown as they are, and nothing moves where there is no terminal."""

from __future__ import annotations

import pytest

from pipeline.terminal import counting, note, show_table


def test_numbers_stand_to_the_right_and_markup_is_text(capsys: pytest.CaptureFixture[str]) -> None:
    show_table("What [bold]there is[/]", ("name", "number"), [("[red]a[/]", 1234), ("b", 5)])
    words = capsys.readouterr().err
    assert "[red]a[/]" in words and "1,234 │" in words and "     5 │" in words


def test_a_table_of_results_goes_to_stdout(capsys: pytest.CaptureFixture[str]) -> None:
    show_table("Results", ("name",), [("a",)], stdout=True)
    assert "Results" in (shown := capsys.readouterr()).out and not shown.err


def test_a_note_is_one_line_however_long(capsys: pytest.CaptureFixture[str]) -> None:
    note("[x] " + "word " * 60)
    assert capsys.readouterr().err.startswith("note [x] word") and not capsys.readouterr().out


@pytest.mark.parametrize("in_bytes", [False, True])
def test_a_bar_is_told_how_far_it_is_and_leaves_nothing_behind(in_bytes: bool,
                                                               capsys: pytest.CaptureFixture[str]) -> None:
    with counting("copying", in_bytes=in_bytes) as told:
        told(1, 2)
        told(2, 2)
    assert not capsys.readouterr().err.strip()
