"""Cells of MELD's files: words, times and the names of speakers."""

from __future__ import annotations

import csv
import doctest
from pathlib import Path

import pytest

from pipeline.datasets import _meld_rows
from pipeline.datasets._meld_rows import decode_text, listed_names, parse_time, same_name


def test_the_examples_in_the_docstrings_hold() -> None:
    assert doctest.testmod(_meld_rows) == (0, 4)


def test_text_that_is_whole_is_left_as_it_stands() -> None:
    assert decode_text("  Hi —  ‘you’  é\r\n".encode()) == ("  Hi —  ‘you’  é\r\n", 0)


@pytest.mark.parametrize(("text", "seconds"), [
    ("00:16:16,059", 976.059), ("0:16:16,059", 976.059), ("1:00:00,000", 3600.0), ("0:5:2.5", 302.5), ("0:00:07", 7.0)])
def test_times_are_read_padded_or_not(text: str, seconds: float) -> None:
    assert parse_time(text) == pytest.approx(seconds, abs=1e-9)


def test_a_time_of_another_form_is_refused() -> None:
    with pytest.raises(ValueError, match="'16 minutes' is not a time; expected h:mm:ss,ms"):
        parse_time("16 minutes")


@pytest.mark.parametrize(("published", "name"), [
    ("Phoebe Sr", "Phoebe Sr."), ("Phoebe Sr.", "Phoebe Sr."), ("Ross and Joey", "Joey and Ross"),
    ("Dr. Leedbetter", "Dr. Ledbetter"), ("Richard’s Date", "Richard's Date"), ("Rachel/actress", "Rachel"),
    (" The  Guys ", "The Guys"), ("chandler bing", "Chandler"), ("#ALL#", "All")])
def test_one_person_has_one_name(published: str, name: str) -> None:
    assert same_name(published) == name == same_name(name)


@pytest.mark.parametrize(("one", "other"), [("Janine", "Jeannine"), ("Kristen", "Kristin"), ("Woman", "The Woman"),
                                            ("Marc", "Mark"), ("Nurse", "Nurse #1")])
def test_names_that_only_look_alike_stay_apart(one: str, other: str) -> None:
    assert same_name(one) != same_name(other)


def test_of_the_real_names_some_are_others_of_a_person_or_of_a_pair(shared_data: Path) -> None:
    with (shared_data / "meld" / "train_sent_emo.csv").open(encoding="utf-8", newline="") as file:
        published = {row["Speaker"].strip() for row in csv.DictReader(file)}
    assert len(published) == 260 and len({same_name(name) for name in published}) == 253


@pytest.mark.parametrize(("cell", "name"), [
    ("['Chandler Bing', 'Joey Tribbiani']", "Chandler Bing and Joey Tribbiani"), ('["Joey\'s Date"]', "Joey's Date"),
    ("Ross", "Ross"), ("[]", "")])
def test_lists_of_names_are_joined(cell: str, name: str) -> None:
    assert listed_names(cell) == name
