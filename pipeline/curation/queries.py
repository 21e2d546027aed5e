"""A question about clips, asked in pandas' words and checked before pandas sees it.

A query may compare columns, do sums and look into text; it cannot reach anything else. ``DataFrame.query`` by itself
can: it follows attributes, calls methods and reads variables of the program.
"""

from __future__ import annotations

import ast
import keyword
import re
import warnings
from collections.abc import Mapping
from typing import Literal

import numpy as np
import pandas as pd

from pipeline.errors import UsageError, unknown_name

MOST_CHARACTERS = 10_000
MOST_DEPTH = 40
WORDS = {"&": " and ", "|": " or ", "~": " not "}
# What may be asked of a text, with what it gives and how many texts it is given.
TEXT_METHODS: dict[str, tuple[Literal["text", "number", "truth"], int]] = {
    "contains": ("truth", 1), "startswith": ("truth", 1), "endswith": ("truth", 1), "lower": ("text", 0),
    "upper": ("text", 0), "strip": ("text", 0), "len": ("number", 0)}
ALLOWED = ("names of columns, text, numbers, == != < <= > >=, in, not in, and, or, not, + - * / %, and after a text"
           f" .str.{', .str.'.join(TEXT_METHODS)}")
A_KIND = {"text": "text", "number": "a number", "truth": "true or false"}
SUMS = (ast.Add, ast.Sub, ast.Mult, ast.Div, ast.Mod)

TOKENS = re.compile(r"""(?P<text>'(?:\\.|[^'\\])*'|"(?:\\.|[^"\\])*")|`(?P<column>[^`]*)`|(?P<word>[&|~])""")

Kind = Literal["text", "number", "truth"]


def find(table: pd.DataFrame, query: str) -> np.ndarray:
    """Rows of a table that a query holds for.

    Args:
        table: columns of text (object) and numbers. A column of text whose values are all whole numbers, or empty,
            counts as one of numbers.
        query: for instance ``dialogue < 80 and split == 'train'``; a name that is no Python name stands in backticks.

    Returns:
        Places of the rows, int64, rising.

    Raises:
        UsageError: an unknown column, or anything that is not of :data:`ALLOWED`.

    >>> find(pd.DataFrame({"dialogue": ["7", "80"], "split": ["train", "dev"]}, dtype=object), "dialogue < 80").tolist()
    [0]
    """
    asked = {name: _as_numbers(table[name]) for name in table.columns}
    longest = "_" * (1 + max(map(len, asked)))
    names = {name: name if name.isidentifier() and not keyword.iskeyword(name) else f"{longest}{place}"
             for place, name in enumerate(asked)}
    tree = _parse(query, names)
    checker = _Checker(query, {names[name]: _kind(column) for name, column in asked.items()}, names)
    if checker.kind(tree.body) != "truth":
        raise checker.refuse("it asks nothing that is true or false of a clip; expected for instance split == 'train'")
    places = {name: f"column_{place}" for place, name in enumerate(names.values())}  # whatever pandas calls its own
    for node in ast.walk(tree):
        if isinstance(node, ast.Name):
            node.id = places[node.id]
    columns = pd.DataFrame({places[names[name]]: column for name, column in asked.items()}).reset_index(drop=True)
    try:
        found = columns.query(ast.unparse(tree), engine="python", local_dict={}, global_dict={})
    except RecursionError as error:
        raise checker.refuse("it has too many parts; write column in [one, another], or use --clips FILE") from error
    except (ZeroDivisionError, OverflowError) as error:
        raise checker.refuse(f"it cannot be worked out ({error})") from error
    return np.asarray(found.index.to_numpy(np.int64))


def _as_numbers(column: pd.Series) -> pd.Series:
    if column.dtype != object:
        return column
    texts = column.tolist()
    whole = [re.fullmatch(r"-?[0-9]{1,15}", text) for text in texts]
    if any(whole) and all(match or not text for match, text in zip(whole, texts, strict=True)):
        return pd.Series([float(text) if text else np.nan for text in texts], index=column.index)
    return column


def _kind(column: pd.Series) -> Kind:
    return "text" if column.dtype == object else "number"


def _parse(query: str, names: Mapping[str, str]) -> ast.Expression:
    """Python's tree of a query, in which ``&``, ``|`` and ``~`` are words, as in pandas, and names are plain."""
    def plain(match: re.Match[str]) -> str:
        if match["column"] is not None:
            if match["column"] not in names:
                raise unknown_name("column", match["column"], names)
            return f" {names[match['column']]} "
        return match["text"] or WORDS[match["word"]]
    if len(query) > MOST_CHARACTERS:
        raise UsageError(f"the query is {len(query)} characters long; expected at most {MOST_CHARACTERS}; name the"
                         " clips in a file instead: --clips FILE")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error", SyntaxWarning)  # "\\d" is no escape: say so rather than read it somehow
            return ast.parse(TOKENS.sub(plain, query).strip(), mode="eval")
    except (SyntaxError, ValueError, MemoryError, RecursionError) as error:
        reason = error.msg if isinstance(error, SyntaxError) else str(error) or "it is too deep"
        raise UsageError(f"the query {_short(query)!r} cannot be read ({reason}); expected for instance: dialogue < 80"
                         " and split == 'train'") from error


def _short(text: str, most: int = 200) -> str:
    return text if len(text) <= most else f"{text[:most]}…"


class _Checker:
    """Follows a query's tree and says what kind of value each part has; everything unknown is refused."""

    def __init__(self, query: str, kinds: Mapping[str, Kind], names: Mapping[str, str]) -> None:
        self.query, self.kinds, self.depth = query, kinds, 0
        self.names = {short: name for name, short in names.items()}

    def refuse(self, why: str) -> UsageError:
        return UsageError(f"the query {_short(self.query)!r} is refused: {why}")

    def kind(self, node: ast.expr) -> Kind:
        """What a part of the query gives for each clip."""
        self.depth += 1
        if self.depth > MOST_DEPTH:
            raise self.refuse("it is too deep")
        try:
            if isinstance(node, ast.Name):
                return self._column(node)
            if isinstance(node, ast.Constant):
                return self._constant(node)
            if isinstance(node, ast.Compare):
                return self._comparison(node)
            if isinstance(node, ast.BoolOp):
                return self._all_of("truth", node.values, "and/or join comparisons")
            if isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.Not):
                return self._all_of("truth", [node.operand], "not stands before a comparison")
            if isinstance(node, ast.UnaryOp) and isinstance(node.op, (ast.USub, ast.UAdd)):
                return self._all_of("number", [node.operand], "a sign stands before a number")
            if isinstance(node, ast.BinOp) and isinstance(node.op, SUMS):
                return self._all_of("number", [node.left, node.right], "sums are of numbers")
            if isinstance(node, ast.Call):
                return self._text_method(node)
        finally:
            self.depth -= 1
        raise self.refuse(f"{self._shown(node)} is not allowed; what is: {ALLOWED}")

    def _shown(self, node: ast.AST) -> str:
        text = ast.unparse(node)
        for short, name in self.names.items():
            text = text.replace(short, f"`{name}`") if short != name else text
        return _short(text, 60)

    def _column(self, node: ast.Name) -> Kind:
        if node.id not in self.kinds:
            raise unknown_name("column", node.id, self.names.values())
        return self.kinds[node.id]

    def _constant(self, node: ast.Constant) -> Kind:
        if isinstance(node.value, str):
            return "text"
        if isinstance(node.value, (int, float)) and not isinstance(node.value, bool) and abs(node.value) < 2 ** 62:
            return "number"
        raise self.refuse(f"{self._shown(node)} is no text and no number of usual size")

    def _all_of(self, kind: Kind, nodes: list[ast.expr], rule: str) -> Kind:
        for node in nodes:
            if (found := self.kind(node)) != kind:
                raise self.refuse(f"{self._shown(node)} is {A_KIND[found]}; {rule}")
        return kind

    def _comparison(self, node: ast.Compare) -> Kind:
        if not any(isinstance(part, ast.Name) for part in ast.walk(node)):
            raise self.refuse(f"{self._shown(node)} is about no column")
        left = self.kind(node.left)
        for operator, right in zip(node.ops, node.comparators, strict=True):
            if isinstance(operator, (ast.In, ast.NotIn)):
                if len(node.ops) > 1 or not isinstance(right, (ast.List, ast.Tuple)) or not all(
                        isinstance(item, (ast.Constant, ast.UnaryOp)) for item in right.elts) or not isinstance(
                        node.left, ast.Name):
                    raise self.refuse("in stands between a column and a list, as in split in ['train', 'dev']")
                others = right.elts
            elif isinstance(operator, (ast.Is, ast.IsNot)):
                raise self.refuse("is means nothing here; write ==")
            else:
                others = [right]
            for other in others:
                self._same_kind(node.left, left, other)
        return "truth"

    def _same_kind(self, left: ast.expr, kind: Kind, right: ast.expr) -> None:
        found = self.kind(right)
        if found != kind or kind == "truth":
            hint = {("number", "text"): "; a column of whole numbers counts as numbers: write 80, not '80'",
                    ("text", "number"): "; a text stands in quotes: write '80', not 80"}.get((kind, found), "")
            raise self.refuse(f"{self._shown(left)} is {A_KIND[kind]} and {self._shown(right)} is {A_KIND[found]},"
                              f" which do not compare{hint}")

    def _text_method(self, node: ast.Call) -> Kind:
        method = node.func
        if not (isinstance(method, ast.Attribute) and isinstance(method.value, ast.Attribute)
                and method.value.attr == "str" and method.attr in TEXT_METHODS):
            raise self.refuse(f"{self._shown(node)} is not allowed; what is: {ALLOWED}")
        self._all_of("text", [method.value.value], "and .str. follows a text")
        gives, expected = TEXT_METHODS[method.attr]
        if node.keywords or len(node.args) != expected or not all(
                isinstance(part, ast.Constant) and isinstance(part.value, str) for part in node.args):
            raise self.refuse(f".str.{method.attr} takes {'one text' if expected else 'nothing'}")
        if isinstance(method.value.value, ast.Constant):
            raise self.refuse(f"{self._shown(node)} is about no column")
        if method.attr == "contains":  # as it stands: a pattern could be made to take for ever
            node.keywords.append(ast.keyword("regex", ast.Constant(False)))
        return gives
