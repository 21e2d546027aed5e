"""What each part is worth: one model trained with every subset of its inputs, every value of a setting, or both.

::

    OUT/
      plan.json          what was asked for; a second call with the same wishes goes on from where the first stopped
      runs/NAME/         one run a variant (pipeline.runs)
      ablation.json      every figure: per variant scores and differences to the reference, mean, sd and per seed
      ablation.csv       the same as a table
      ablation.png       the same as a plot

The reference is the variant with all inputs and the first values. Differences are paired: seed by seed, as each seed
has the same chance and the same clips in every variant. Variants that answer for the rows of clips all do so for the
same rows; they are scored by these, and by whole clips besides, as others are, so that both levels stand in one table.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, replace
from itertools import combinations
from pathlib import Path
from typing import Any

import pandas as pd

from pipeline.config import to_json
from pipeline.errors import UsageError
from pipeline.joined import JoinedStores, choose_inputs, open_stores
from pipeline.learning.train_config import TrainConfig
from pipeline.learning.training_loop import Progress, Quiet
from pipeline.learning.units import settle_level
from pipeline.learning.wishes import settle_wishes
from pipeline.metrics import mean_and_sd
from pipeline.pages.ablation_plots import plot_ablation
from pipeline.runs import model_class, read_json, write_json, write_text
from pipeline.scores.dropping import scored_split, scores_without
from pipeline.storage.durable import replacing
from pipeline.training import resume, settings_for, train

MOST_INPUTS = 6                 # 63 subsets; more are more likely a mistake than a plan

Watch = Callable[[str, int, int], AbstractContextManager[Progress]]


@dataclass(frozen=True)
class Variant:
    """One of the runs.

    Args:
        name: of its folder: ``"audio_resnet18+text_bert"``, ``"metric_loss=triplet"``.
        inputs: features that it learns from.
        settings: text by field, as typed after ``--set``.
    """

    name: str
    inputs: tuple[str, ...]
    settings: Mapping[str, str]


def variants_of(over: Sequence[str], inputs: Sequence[str], settings: Mapping[str, str]) -> list[Variant]:
    """The runs that are compared, the reference first: every combination of all that differs.

    Args:
        over: each ``"inputs"``, or ``"FIELD=a,b,c"``; values that hold commas themselves are divided by ``;``.
        inputs: features of the reference.
        settings: that all share.

    Raises:
        UsageError: nothing differs, neither form, one thing twice, values that are equal or fewer than two, or too many
            inputs.

    >>> [variant.name for variant in variants_of(["inputs"], ["a", "b"], {})]
    ['a+b', 'a', 'b']
    >>> [variant.name for variant in variants_of(["lr=0.1,0.2", "seed=0,1"], ["a"], {})]
    ['lr=0.1,seed=0', 'lr=0.1,seed=1', 'lr=0.2,seed=0', 'lr=0.2,seed=1']
    """
    fields = [text.partition("=")[0].strip() for text in over]
    if not fields or len(set(fields)) != len(fields):
        raise UsageError(f"--over {' --over '.join(over)}: expected inputs, or a setting and its values, each once")
    found = [Variant("", tuple(inputs), dict(settings))]
    for text in over:
        choices = _subsets(inputs) if text == "inputs" else _values(text, inputs, settings)
        found = [Variant(",".join(filter(None, (variant.name, choice.name))),
                         choice.inputs if text == "inputs" else variant.inputs,
                         {**variant.settings, **choice.settings}) for variant in found for choice in choices]
    return found


def _subsets(inputs: Sequence[str]) -> list[Variant]:
    """One for every subset, the largest first."""
    if not 2 <= len(inputs) <= MOST_INPUTS:
        raise UsageError(f"--over inputs: subsets are of 2 to {MOST_INPUTS} inputs, found {len(inputs)}"
                         f" ({', '.join(inputs)}); name them with --inputs")
    return [Variant("+".join(subset), subset, {}) for size in range(len(inputs), 0, -1)
            for subset in combinations(inputs, size)]


def _values(over: str, inputs: Sequence[str], settings: Mapping[str, str]) -> list[Variant]:
    """One for every value of a setting, in the order given."""
    field, equals, text = over.partition("=")
    values = [value.strip() for value in text.split(";" if ";" in text else ",")]
    if not equals or not field.strip() or "" in values or len(set(values)) != len(values) or len(values) < 2:
        raise UsageError(f"--over {over}: expected inputs, or FIELD=A,B with two values or more that differ, for"
                         " instance metric_loss=none,triplet")
    if wrong := [value for value in values if "/" in value or value in (".", "..")]:
        raise UsageError(f"--over {over}: {wrong[0]!r} would not do as the name of a folder")
    if field in settings:
        raise UsageError(f"--over {over}: {field} is also set to {settings[field]}; leave one of them out")
    return [Variant(f"{field}={value}", tuple(inputs), {field: value}) for value in values]


def ablate(features: Path | Sequence[Path], out: Path, *, model: str = "intermediate",
           over: Sequence[str] = ("inputs",), inputs: Sequence[str] | None = None, tasks: Sequence[str] | None = None,
           settings: Mapping[str, str] | None = None, config: TrainConfig = TrainConfig(), drop: bool = False,
           watch: Watch = lambda name, number, total: nullcontext(Quiet())) -> dict[str, Any]:
    """Train all variants and compare them.

    Args:
        features: a store, or several that are joined by clip id.
        out: folder of the whole; a variant that is finished there is not trained again, one that was stopped goes on.
        model, tasks, config: as for :func:`pipeline.training.train`.
        over: what differs, as :func:`variants_of` takes it.
        inputs: of the reference; by default one for each of text, sound and picture.
        settings: that all variants share.
        drop: also score the reference with each of its inputs taken away, without training anew.
        watch: is called with a variant's name, its number from 1 and how many there are, and gives who is told of its
            training.

    Returns:
        What ``ablation.json`` holds; see :func:`compare`.

    Raises:
        UsageError: what is asked for cannot be: see :func:`variants_of` and :func:`pipeline.training.train`.
        StoreError, TrainingError: as for ``train``; or ``out`` holds another ablation.
    """
    stores = open_stores(features)
    chosen = choose_inputs(stores, inputs, model_class(model).preferred_inputs)
    variants = variants_of(over, chosen, settings or {})
    levels = [settings_for(model, variant.settings, config)[1].level for variant in variants]
    if drop and len(chosen) < 2:
        raise UsageError(f"--drop takes each input away in turn and leaves the others; {chosen[0]} is the only one")
    if drop and levels[0] == "frame":
        raise UsageError(f"--drop: the first variant, {variants[0].name}, answers for rows (level=frame), which a clip"
                         " without an input has not; leave --drop out, or name level=utterance first")
    variants = [_with_clock(variant, config, chosen, stores, tasks) if level == "frame" else variant
                for variant, level in zip(variants, levels, strict=True)]
    wishes = {"over": list(over), "model": model, "inputs": list(chosen), "tasks": tasks and list(tasks),
              "settings": dict(settings or {}), "training": to_json(config)}
    settle_wishes(out, stores, wishes, what="an ablation")
    for number, variant in enumerate(variants, 1):
        run = folder_of(out, variant)
        with watch(variant.name, number, len(variants)) as progress:
            if (run / "config.json").exists():
                resume(run, progress=progress)
            else:
                train(stores.paths, model=model, settings=variant.settings, inputs=variant.inputs, tasks=tasks,
                      config=config, out=run, progress=progress)
    lacking = {}
    for name in chosen if drop else ():
        reference = folder_of(out, variants[0])
        lacking[name] = scores_without(reference, stores, [name], device=config.device)
    table = compare(out, over, variants, lacking)
    table["notes"] = [*_notes(stores, chosen), *table["notes"]]
    if drop:
        table["notes"].append("reference without …: the first variant as it was trained, scored on clips lacking this")
    write_json(out / "ablation.json", table)
    write_text(out / "ablation.csv", as_frame(table).to_csv(index=False))
    with replacing(out / "ablation.png") as file:
        file.write(plot_ablation(table))
    return table


def _with_clock(variant: Variant, config: TrainConfig, chosen: Sequence[str], stores: JoinedStores,
                tasks: Sequence[str] | None) -> Variant:
    """The variant, answering for the rows that the reference answers for, whether or not it learns from them."""
    asked = [stores.tasks[name] for name in tasks or stores.tasks if name in stores.tasks]
    clock = settle_level("frame", config.clock, model_level="clip", tasks=asked, stores=stores, inputs=chosen)[1]
    return replace(variant, settings={"clock": clock, **variant.settings})


def folder_of(out: Path, variant: Variant) -> Path:
    """Where the run of a variant lies."""
    return out / "runs" / variant.name


def compare(out: Path, over: Sequence[str], variants: Sequence[Variant],
            lacking: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
    """Lay finished variants side by side.

    Args:
        out: folder of the whole.
        over: what differs.
        variants: the reference first.
        lacking: scores by task of the reference without an input, by its name.

    Returns:
        ``{"over", "split", "task", "metric", "reference", "rows": [{"variant", "answers", "inputs", "trained", "run",
        "scores", "difference"}], "notes"}``; scores and differences are ``{task: {metric: {"mean", "sd", "seeds"}}}``.
        ``answers`` says what is scored, ``"utterances"`` or ``"rows"``; a variant that was asked about rows has a row
        here for these, and one for each way to make of them an answer for the clip. A difference is to the first row of
        the same ``answers``, whose own is empty. ``task`` and ``metric`` are those that chose the epochs.
    """
    reference = folder_of(out, variants[0])
    plan, split = read_json(reference / "config.json"), scored_split(reference)
    rows, notes = [], []
    for variant in variants:
        run = folder_of(out, variant)
        metrics = read_json(run / "metrics.json")
        notes += [note for note in metrics["notes"] if note not in notes]
        rows += [{"variant": name, "answers": answers, "inputs": list(variant.inputs), "trained": True,
                  "run": str(run.relative_to(out)), "scores": scores}
                 for name, answers, scores in _answers(variant.name, metrics, split)]
    for name, scores in lacking.items():
        rows.append({"variant": f"reference without {name}", "answers": rows[0]["answers"], "trained": False,
                     "run": rows[0]["run"], "scores": scores,
                     "inputs": [feature for feature in variants[0].inputs if feature != name]})
    first: dict[str, dict[str, Any]] = {}
    for row in rows:
        row["difference"] = _apart(row["scores"], first[row["answers"]]["scores"]) if row["answers"] in first else {}
        first.setdefault(row["answers"], row)
    return {"over": list(over), "split": split, "task": plan["tasks"][0], "metric": plan["select_by"],
            "seeds": plan["seeds"], "protocol": plan.get("folds", {}).get("protocol", ""),
            "reference": variants[0].name, "rows": rows, "notes": notes}


def _answers(name: str, metrics: Mapping[str, Any], split: str) -> list[tuple[str, str, Any]]:
    """What a variant is scored by: name in the table, what is answered for, and scores by task."""
    if metrics.get("level") != "frame":
        return [(name, "utterances", metrics[split])]
    whole = metrics.get("utterances", {})
    return [(name, "rows", metrics[split])] + [
        (f"{name}, clips by {way.replace('_', ' ')}", "utterances", whole[way][split])
        for way in ("majority", "mean_probability") if split in whole.get(way, {})]


def as_frame(table: Mapping[str, Any]) -> pd.DataFrame:
    """One line for each row, task and metric: mean, sd, difference to the first of its kind and its sd; fractions."""
    rows = []
    for row in table["rows"]:
        for task, scores in row["scores"].items():
            for metric, values in scores.items():
                apart = row["difference"].get(task, {}).get(metric, {})
                rows.append({"variant": row["variant"], "answers": row["answers"], "trained": row["trained"],
                             "task": task, "metric": metric, "mean": values["mean"], "sd": values["sd"],
                             "difference": apart.get("mean"), "difference_sd": apart.get("sd"),
                             "num_seeds": len(values["seeds"])})
    found: pd.DataFrame = pd.DataFrame(rows)
    return found


def _apart(scores: Mapping[str, Any], reference: Mapping[str, Any]) -> dict[str, Any]:
    """Differences by task and metric, of what both have."""
    return {task: {metric: _paired(values, reference[task][metric]) for metric, values in part.items()
                   if metric in reference.get(task, {})} for task, part in scores.items()}


def _paired(values: Mapping[str, Any], reference: Mapping[str, Any]) -> dict[str, Any]:
    """Differences seed by seed, with mean and sd; unknown where either is."""
    pairs = list(zip(values["seeds"], reference["seeds"], strict=True))
    if any(None in pair for pair in pairs):
        return {"mean": None, "sd": None, "seeds": [None] * len(pairs)}
    apart = [mine - other for mine, other in pairs]
    mean, sd = mean_and_sd(apart)
    return {"mean": mean, "sd": sd, "seeds": apart}


def _notes(stores: JoinedStores, inputs: Sequence[str]) -> list[str]:
    """What a reader must know of the inputs."""
    random = [name for name in inputs if any(
        record.get("source") == "random" for record in stores.describe(name)["recipe"].get("weights", ()))]
    if not random:
        return []
    return [f"{' and '.join(random)} {'has' if len(random) == 1 else 'have'} random weights: the figures show that the"
            " parts work, and nothing of how good they are"]
