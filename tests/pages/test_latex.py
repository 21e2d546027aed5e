"""LaTeX: hostile text comes out as it reads, and braces close."""

from __future__ import annotations

import doctest
import re

import pytest

from pipeline.pages import latex
from pipeline.pages.latex import escaped, mathematical, table


def balanced(text: str) -> bool:
    """Does every brace that is a brace close, none before it opens?"""
    depth = 0
    for sign in re.sub(r"\\[\\{}]", "", text):
        depth += (sign == "{") - (sign == "}")
        if depth < 0:
            return False
    return depth == 0


def test_the_examples_in_the_docstrings_hold() -> None:
    assert doctest.testmod(latex).failed == 0


@pytest.mark.parametrize(("text", "expected"), [
    ("a&b%c$d#e_f{g}", r"a\&b\%c\$d\#e\_f\{g\}"), ("~^\\", r"\textasciitilde{}\textasciicircum{}\textbackslash{}"),
    ("\\input{/etc/passwd}", r"\textbackslash{}input\{/etc/passwd\}"), ("[0.5ex] *", "{[}0.5ex{]} {*}"),
    ("a--b---c - d", "a-{}-b-{}--c - d"), ("“it’s” – 1 − 2", "``it's'' -- 1 $-$ 2"), ("naïve Łódź", "naïve Łódź"),
    ("x\n\n\x07y\u2028z", "x y z"), ("Ελ 😀 ﬁ ½", "(U+0395)(U+03BB) (U+1F600) fi 12"),
    ("<|>\"`", r"\textless{}\textbar{}\textgreater{}{\char34}\textasciigrave{}"), ("ąþ", "a(U+00FE)")])
def test_any_text_is_printed_and_never_a_command(text: str, expected: str) -> None:
    assert escaped(text) == expected and balanced(escaped(text))


def test_everything_that_can_be_typed_is_escaped() -> None:
    every = "".join(map(chr, range(0x3000)))
    found = escaped(every)
    assert balanced(found) and not re.search(r"(?<!\\)[%#&_~^]", found.replace(r"$^\circ$", "").replace("$^2$", ""))
    assert found.count("$") % 2 == 1, "one is escaped, all others come in pairs"


def test_numbers_stand_in_mathematics() -> None:
    assert mathematical("−0.5", "0.1", bold=True) == r"$\mathbf{-0.5} \pm 0.1$" and mathematical("3") == "$3$"


def test_a_table_has_as_many_cells_in_every_row() -> None:
    text = table(["", "a", "b", "c"], [[["x", "1", "2", "3"]], [], [["y", "4", "5", "6"]]],
                 over=[("first", 2), ("second", 1)], caption="All.")
    rows = [line for line in text.splitlines() if line.endswith("\\\\")]
    assert [line.count("&") for line in rows] == [2, 3, 3, 3] and balanced(text)
    assert text.count("\\midrule") == 2 and "\\cmidrule(lr){2-3}\n\\cmidrule(lr){4-4}" in text
    assert "\\begin{tabular}{lccc}" in text
