"""Text and tables for LaTeX: whatever is put in comes out as it reads, and never as a command."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Mapping, Sequence
from types import MappingProxyType

# Brackets and stars are what a line break (two backslashes) takes for its own where a row begins with them; "<" and its
# like come out as other signs in LaTeX's old encoding of fonts, where a straight quotation mark has no name.
SPECIAL: Mapping[str, str] = MappingProxyType({
    "\\": r"\textbackslash{}", "{": r"\{", "}": r"\}", "&": r"\&", "%": r"\%", "$": r"\$", "#": r"\#", "_": r"\_",
    "~": r"\textasciitilde{}", "^": r"\textasciicircum{}", "<": r"\textless{}", ">": r"\textgreater{}",
    "|": r"\textbar{}", "[": "{[}", "]": "{]}", "*": "{*}", '"': r"{\char34}", "`": r"\textasciigrave{}",
    "−": "$-$", "±": r"$\pm$", "×": r"$\times$", "–": "--", "—": "---", "’": "'", "‘": "`", "“": "``",
    "”": "''", "…": r"\ldots{}", "√": r"$\surd$", "°": r"$^\circ$", "²": "$^2$", "≤": r"$\leq$", "≥": r"$\geq$",
    "→": r"$\rightarrow$"})
_LAST_LETTER = "ž"              # beyond it LaTeX's usual fonts have no letters …
_OTHERS = "ÐðÞþĐđŊŋĦħŦŧĸŉĿŀſĲĳĄąĘęĮįŲų"  # … and before it not these, in the old encoding


def escaped(text: str) -> str:
    """Any text so that LaTeX prints it; signs that its fonts lack as their number, and control characters as spaces.

    >>> escaped("50 % of a_b & {c}")
    '50 \\\\% of a\\\\_b \\\\& \\\\{c\\\\}'
    """
    clean = re.sub(r"[\x00-\x1f\x7f-\x9f\u2028\u2029]+", " ", text)
    return "-{}-".join("-".join("".join(map(_sign, part)) for part in run.split("-")) for run in clean.split("--"))


def _sign(sign: str) -> str:
    if sign in SPECIAL:
        return SPECIAL[sign]
    if sign.isascii() or (sign.isalpha() and sign <= _LAST_LETTER and sign not in _OTHERS):
        return sign
    plain = "".join(part for part in unicodedata.normalize("NFKD", sign) if part.isascii())
    return "".join(SPECIAL.get(part, part) for part in plain) or f"(U+{ord(sign):04X})"


def mathematical(value: str, spread: str = "", *, bold: bool = False) -> str:
    """A number as printed, with its spread, in LaTeX.

    >>> mathematical("57.3", "0.4")
    '$57.3 \\\\pm 0.4$'
    """
    number = value.replace("−", "-")
    number = rf"\mathbf{{{number}}}" if bold else number
    return f"${number} \\pm {spread.replace('−', '-')}$" if spread else f"${number}$"


def table(columns: Sequence[str], parts: Sequence[Sequence[Sequence[str]]], *, over: Sequence[tuple[str, int]],
          caption: str) -> str:
    """A table in the style of the package booktabs.

    Args:
        columns: heads, in LaTeX; the first column stands to the left, the others in the middle.
        parts: rows of cells in LaTeX, in parts that a rule divides; empty parts are left out.
        over: heads that span columns, in LaTeX, with how many; the first stands over the second column.
        caption: in LaTeX.

    Returns:
        The environment ``table``, with a line that says what it needs.
    """
    spans = " & ".join(rf"\multicolumn{{{width}}}{{c}}{{{head}}}" for head, width in over)
    rules, first = [], 2
    for _, width in over:
        rules.append(rf"\cmidrule(lr){{{first}-{first + width - 1}}}")
        first += width
    body = "\n\\midrule\n".join("\n".join(f"{' & '.join(row)} \\\\" for row in part) for part in parts if part)
    return "\n".join([
        "% needs \\usepackage{booktabs}", r"\begin{table}", r"\centering", rf"\caption{{{caption}}}",
        rf"\begin{{tabular}}{{l{'c' * (len(columns) - 1)}}}", r"\toprule", f" & {spans} \\\\", *rules,
        f"{' & '.join(columns)} \\\\", r"\midrule", body, r"\bottomrule", r"\end{tabular}", r"\end{table}", ""])
