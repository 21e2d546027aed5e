"""What a search for settings may try: ranges of numbers and lists of values, as they are typed."""

from __future__ import annotations

import dataclasses
import typing
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from pipeline.errors import UsageError
from pipeline.learning.train_config import TrainConfig
from pipeline.runs import model_class
from pipeline.training import settings_for

DIGITS = 4                      # of a number that is tried; more would be noise that has to be typed
USUAL = {"lr": "1e-4:1e-2:log", "weight_decay": "0.01:10:log", "dropout": "0.1:0.7", "hidden": "64,128,256"}
# Who is compared with whom, and on what, is no setting to search for.
FIXED = ("train_split", "dev_split", "test_split", "dev_is_test", "folds", "smoke", "baselines", "seeds", "seed",
         "select_by", "dev_fraction", "allow_leaks", "threads", "device", "level", "clock", "init", "train_hours",
         "normalise")
LEFT_OUT = ("folds", "smoke", "dev_is_test", "test_split", "baselines")


@dataclass(frozen=True)
class Range:
    """Values of a field that are tried.

    Args:
        field: of the model's Config or of :class:`pipeline.learning.train_config.TrainConfig`.
        low, high: of a number; both belong to it.
        whole: are the numbers whole?
        log: are they spread evenly by their logarithm?
        choices: the values, as typed, of anything else; low and high then say nothing.
    """

    field: str
    low: float = 0.0
    high: float = 0.0
    whole: bool = False
    log: bool = False
    choices: tuple[str, ...] = ()

    @property
    def ends(self) -> tuple[str, ...]:
        """Values, as typed, that the field must be able to have."""
        return self.choices or (self.text(self.low), self.text(self.high))

    def text(self, value: Any) -> str:
        """A value as typed after ``--set``."""
        if self.choices:
            return str(value)
        return str(int(value)) if self.whole else f"{value:.{DIGITS}g}"


def parse_range(text: str, kinds: Mapping[str, Any]) -> Range:
    """What is typed after ``--over``.

    Args:
        text: ``"FIELD=LOW:HIGH"``, ``"FIELD=LOW:HIGH:log"`` or ``"FIELD=A,B"`` (values with commas are divided by ;).
        kinds: type of each field.

    Raises:
        UsageError: neither form, a range of what is no number, or one that does not rise.

    >>> parse_range("hidden=64,128", {"hidden": int}).choices
    ('64', '128')
    >>> parse_range("lr=1e-4:1e-2:log", {"lr": float})
    Range(field='lr', low=0.0001, high=0.01, whole=False, log=True, choices=())
    """
    field, equals, values = (part.strip() for part in text.partition("="))
    wrong = UsageError(f"--over {text}: expected FIELD=LOW:HIGH, FIELD=LOW:HIGH:log or FIELD=A,B with two values or"
                       " more that differ")
    kind = kinds.get(field)
    if not equals or not field or not values:
        raise wrong
    if ":" not in values or kind not in (int, float, None):
        choices = tuple(part.strip() for part in values.split(";" if ";" in values else ","))
        if len(set(choices)) < max(2, len(choices)) or "" in choices:
            raise wrong
        return Range(field, choices=choices)
    low, high, *rest = values.split(":")
    try:
        ends = [float(int(end)) if kind is int else float(end) for end in (low, high)]
    except ValueError as error:
        raise wrong from error
    if rest not in ([], ["log"]) or not ends[0] < ends[1] < float("inf") or (rest and ends[0] <= 0):
        raise UsageError(f"--over {text}: LOW lies below HIGH, and above 0 with :log; nothing else may follow")
    return Range(field, ends[0], ends[1], whole=kind is int, log=bool(rest))


def ranges_of(model: str, over: Sequence[str], settings: Mapping[str, str], config: TrainConfig) -> list[Range]:
    """What a search is over, each end of each range tried on the settings.

    Args:
        model: its name.
        over: as typed; empty: learning rate and weight decay, dropout and hidden units where the model has them.
        settings: text by field that stays as it is.
        config: how to train, before them.

    Raises:
        UsageError: no such field, one that is not for searching or is set already, or a value that it cannot have.
    """
    kinds = {**typing.get_type_hints(TrainConfig), **typing.get_type_hints(model_class(model).Config)}
    known = {field.name for part in (TrainConfig, model_class(model).Config) for field in dataclasses.fields(part)}
    texts = list(over) or [f"{name}={values}" for name, values in USUAL.items()
                           if name in known and name not in settings]
    found = [parse_range(text, kinds) for text in texts]
    for name in LEFT_OUT:
        if name in settings:
            raise UsageError(f"--set {name}: the search trains on train, chooses on dev and never reads test; leave"
                             " it out")
    for part in found:
        if part.field in FIXED:
            raise UsageError(f"--over {part.field}: this says what is compared, and is not searched for; fix it with"
                             f" --set {part.field}=VALUE where that is allowed")
        if part.field in settings:
            raise UsageError(f"--over {part.field}: it is also set to {settings[part.field]}; leave one of them out")
        for value in part.ends:
            settings_for(model, {**settings, part.field: value}, config)
    if not found or len({part.field for part in found}) < len(found):
        raise UsageError("nothing to search over, or a field twice; name each once with --over FIELD=LOW:HIGH")
    return found
