"""A query finds the rows it holds for, and reaches nothing else."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest

from pipeline.curation.queries import find
from pipeline.errors import UsageError

TABLE = pd.DataFrame({
    name: pd.Series(values, dtype=object if isinstance(values[0], str) else None) for name, values in {
        "clip_id": ["a", "b\udce9", "c"], "split": ["train", "dev", "train"], "dialogue": ["3", "80", ""],
        "turn": [0, 1, -1], "text": ["Oh no", "yes (a|b)", ""], "labels/text": ["x", "", "y"], "class": ["p", "q", "r"],
        "level": [0.5, float("nan"), 1.0], "column_0": ["k", "l", "m"]}.items()})


@pytest.mark.parametrize(("query", "rows"), [
    ("dialogue < 80 and split == 'train'", [0]), ("split == 'train'", [0, 2]), ("'train' == split", [0, 2]),
    ("turn > 0 | split == 'train' & turn == -1", [1, 2]), ("~(split == 'train')", [1]), ("not turn == 1", [0, 2]),
    ("`labels/text` == 'x'", [0]), ("`class` == 'q' or `split` == 'dev'", [1]), ("column_0 == 'm'", [2]),
    ("split in ['dev']", [1]), ("split not in ('dev', 'x')", [0, 2]), ("turn in [-1, 1]", [1, 2]),
    ("0 <= turn < 1", [0]), ("turn + 1 > 1", [1]), ("turn * 2 - 1 == 1", [1]), ("turn % 2 == 1", [1, 2]),
    ("turn / 2 == 0.5", [1]), ("level > 0.4", [0, 2]), ("level != level", [1]), ("dialogue != 3", [1, 2]),
    ("split == text", []), ("clip_id >= 'b'", [1, 2]), ("text == ''", [2]), ("text == 'a & b | ~c `x`'", []),
    ("text.str.contains('(a|b)')", [1]), ("text.str.contains('.')", []), ("text.str.lower().str.startswith('oh')", [0]),
    ("not text.str.endswith('no')", [1, 2]), ("text.str.len() > 3", [0, 1]), ("split.str.upper() == 'DEV'", [1]),
    ("text.str.strip() == ''", [2]),
])
def test_a_query_finds_its_rows(query: str, rows: list[int]) -> None:
    assert find(TABLE, query).tolist() == rows


NOT_ALLOWED = "is not allowed; what is: names of columns"


@pytest.mark.parametrize(("query", "said"), [
    ("@__import__('os')", "cannot be read"), ("@split == 1", "cannot be read"), ("split.__class__", NOT_ALLOWED),
    ("index.to_pickle('x')", NOT_ALLOWED), ("split.to_pickle('x') == 1", NOT_ALLOWED),
    ("text.str.__class__.__mro__", NOT_ALLOWED), ("text.str.replace('a', 'b') == 'x'", NOT_ALLOWED),
    ("text.str.contains.__globals__", NOT_ALLOWED), ("__import__('os').system('x')", NOT_ALLOWED),
    ("print(split)", NOT_ALLOWED), ("(lambda: 1)()", NOT_ALLOWED), ("[x for x in split]", NOT_ALLOWED),
    ("split[0] == 'a'", NOT_ALLOWED), ("f'{split}' == 'a'", NOT_ALLOWED), ("turn if turn else turn", NOT_ALLOWED),
    ("turn == 10 ** 10", NOT_ALLOWED), ("turn == 1 << 40", NOT_ALLOWED), ("split == ('a', 'b')", NOT_ALLOWED),
    ("{split}", NOT_ALLOWED), ("(yield)", NOT_ALLOWED), ("(x := split)", NOT_ALLOWED), ("*split", "cannot be read"),
    ("split == 'train'; import os", "cannot be read"), ("turn\n> 0", "cannot be read"), ("", "cannot be read"),
    ("split == 'tr\x00ain'", "cannot be read"), ("split == '\\d'", "cannot be read"), ("(" * 300, "cannot be read"),
    ("not " * 300 + "split == 'a'", "too deep"), ("-" * 3000 + "1 == turn", "cannot be read"),
    ("split == 'a' or " * 2000 + "turn == 1", "32009 characters long; expected at most 10000.*--clips FILE"),
    ("__builtins__ == 1", "no column named '__builtins__'"), ("index == 1", "no column named 'index'"),
    ("spilt == 'train'", "no column named 'spilt'; did you mean 'split'"), ("`nope` == 1", "no column named 'nope'"),
    ("split", "asks nothing that is true or false"), ("turn", "asks nothing"), ("'train'", "asks nothing"),
    ("1 == 1", "1 == 1 is about no column"), ("'x'.str.len() > turn", "'x'.str.len.. is about no column"),
    ("split == 3", "split is text and 3 is a number.*a text stands in quotes"),
    ("dialogue == '3'", "dialogue is a number and '3' is text.*a column of whole numbers counts as numbers"),
    ("(turn > 1) == (turn > 2)", "do not compare"), ("split in ['a', 3]", "do not compare"),
    ("turn in split", "in stands between a column and a list"), ("'a' in ['a'] and turn == 1", "about no column"),
    ("split in [text]", "in stands between"), ("split is 'train'", "write =="),
    ("turn == True", "no text and no number"),
    ("turn == None", "no text and no number"), ("turn < 99999999999999999999", "no number of usual size"),
    ("turn == 1e999", "no number of usual size"), ("turn == 1j", "no text and no number"),
    ("split == b'a'", "no text and no number"), ("text * 1000000000 == 'a'", "text is text; sums are of numbers"),
    ("'a' * 1000000000 == text", "sums are of numbers"), ("-split == 'a'", "a sign stands before a number"),
    ("not turn", "not stands before a comparison"), ("turn and split == 'a'", "and/or join comparisons"),
    ("1 / 0 < turn", "cannot be worked out .division by zero"), ("turn.str.len() > 1", ".str. follows a text"),
    ("text.str.contains(text)", "takes one text"), ("text.str.contains('x', regex=True)", "takes one text"),
    ("text.str.contains(*['x'])", "takes one text"), ("text.str.len(**{'a': 1}) > 1", "takes nothing"),
])
def test_anything_else_is_refused_with_what_is_allowed(query: str, said: str, tmp_path: Path,
                                                       monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UsageError, match=said):
        find(TABLE, query)
    assert list(tmp_path.iterdir()) == []


def test_a_long_query_is_worked_out() -> None:
    assert find(TABLE, " or ".join(f"turn == {number}" for number in range(1, 80))).tolist() == [1]
    with pytest.raises(UsageError, match=r"it has too many parts; write column in \[one, another\]"):
        find(TABLE, " or ".join(f"turn == {number}" for number in range(1, 600)))


def test_a_pattern_that_would_take_for_ever_is_plain_text() -> None:
    table = pd.DataFrame({"text": pd.Series(["a" * 200 + "!", "(a+)+$"], dtype=object)})
    assert find(table, "text.str.contains('(a+)+$')").tolist() == [1]
