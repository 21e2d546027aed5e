"""Runs for a paper: a table of their scores, paragraphs on methods, and what must be cited, from what they recorded.

Nothing is claimed that was not tested: the best run of a column is bold only where it differs from every other one by a
paired bootstrap over groups, and no baseline has a better figure.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pipeline
from pipeline import plugins
from pipeline.audit import known_leaks, statements
from pipeline.clip import Corpus, Task
from pipeline.comparison import compare
from pipeline.errors import TrainingError, UsageError
from pipeline.joined import JoinedStores, open_stores
from pipeline.learning.folds import TEST
from pipeline.metrics import LOWER_IS_BETTER, SHARES
from pipeline.pages.latex import escaped, mathematical, table
from pipeline.pages.prose import DIGITS, describe_feature, describe_training, listing
from pipeline.pages.tables import BASELINES, MEAN_BASELINE, METRIC_TITLES, printed
from pipeline.runs import read_json, write_text

LEVEL = 0.05                    # of the two-sided p-value below which two runs differ
REDISTRIBUTION = {"no": "nothing made from it may be passed on",
                  "non-commercial": "what is made from it may be passed on for non-commercial use",
                  "yes": "what is made from it may be passed on"}


@dataclass(frozen=True)
class Paper:
    """What goes into a paper.

    Args:
        table: LaTeX, the environment ``table``.
        methods: LaTeX, paragraphs.
        references: plain text, a line for each corpus, network and program.
    """

    table: str
    methods: str
    references: str

    def write(self, folder: Path) -> tuple[Path, ...]:
        """Write ``table.tex``, ``methods.tex`` and ``references.txt``; what stands there is replaced."""
        files = {"table.tex": self.table, "methods.tex": self.methods, "references.txt": self.references}
        for name, text in files.items():
            write_text(folder / name, text)
        return tuple(folder / name for name in files)


@dataclass(frozen=True)
class _Run:
    """A finished run: folder, ``config.json``, ``metrics.json``, stores, and the name of its row."""

    folder: Path
    config: Mapping[str, Any]
    metrics: Mapping[str, Any]
    stores: JoinedStores
    name: str

    @property
    def split(self) -> str:
        """The split that is shown: test, or dev where test was not scored."""
        test = TEST if "folds" in self.config else self.config["splits"]["test"]
        return str(test if test in self.metrics else self.config["splits"]["dev"])

    def figure(self, task: str, metric: str) -> Mapping[str, Any] | None:
        """``{"mean", "sd", "seeds"}``; None where the run has it not."""
        found: Mapping[str, Any] | None = self.metrics[self.split].get(task, {}).get(metric)
        return None if found is None or found["mean"] is None else found

    def interval(self, task: str, metric: str) -> tuple[float, float] | None:
        """95 % interval over groups."""
        found = self.metrics["intervals"][self.split].get(task, {}).get("by_metric", {}).get(metric)
        return (found["low"], found["high"]) if found else None


def paper(runs: Sequence[Path], *, intervals: bool = False) -> Paper:
    """Write up runs on one corpus.

    Args:
        runs: folders of finished runs; baselines are those of the first that has some.
        intervals: also print each figure's 95 % interval over groups.

    Raises:
        UsageError: no run, a run twice, or runs on several corpora or splits, or without a common task.
        TrainingError: a folder holds no finished run, or the runs give a clip other labels.
        StoreError: a store cannot be read.
    """
    found = _load(runs)
    tasks = [found[0].stores.tasks[name] for name in found[0].config["tasks"]
             if all(name in run.metrics[run.split] and name in run.stores.tasks for run in found)]
    if not tasks:
        raise UsageError("the runs answer no task in common; give runs that share one")
    columns = [(task, metric) for task in tasks for metric in _metrics(found[0], task)]
    bold = _best(found, columns)
    return Paper(_table(found, columns, bold, intervals), _methods(found, tasks, bool(bold)), _references(found))


def _load(folders: Sequence[Path]) -> list[_Run]:
    if not folders or len({folder.resolve() for folder in folders}) < len(folders):
        raise UsageError("give the folders of one run or several, each once")
    parts = []
    for folder in folders:
        config, metrics = read_json(folder / "config.json"), read_json(folder / "metrics.json")
        parts.append((folder, config, metrics, open_stores([Path(path) for path in config["features"]])))
    names = _names([(folder, config) for folder, config, *_ in parts])
    found = [_Run(*part, name) for part, name in zip(parts, names, strict=True)]
    for run in found:
        try:
            if run.metrics["smoke"]:
                raise UsageError(f"{run.folder} is a smoke test, whose scores mean nothing; train it in full")
            where = [(run.config["dataset"], run.split, run.config.get("folds", {}).get("protocol")) for run in found]
            run.metrics[run.split], run.metrics["intervals"][run.split], run.metrics["num_parameters"].items()
        except (KeyError, TypeError, AttributeError) as error:
            raise TrainingError(f"{run.folder} has not the layout of a finished run ({error!r}); train"
                                " again") from error
    if len(set(where)) > 1:
        told = " and ".join(dict.fromkeys(f"{name}, {split}{f' by {folds}' if folds else ''}"
                                          for name, split, folds in where))
        raise UsageError(f"the runs are on {told}; make a table of each")
    return found


def _names(runs: Sequence[tuple[Path, Mapping[str, Any]]]) -> list[str]:
    """Rows are named by model, by inputs where models are the same, by folder where these are too."""
    several = len({tuple(config["inputs"]) for _, config in runs}) > 1
    names = [f"{config['model']}{f' on ' + listing(config['inputs']) if several else ''}" for _, config in runs]
    return [f"{name} ({folder.name})" if names.count(name) > 1 else name
            for name, (folder, _) in zip(names, runs, strict=True)]


def _metrics(run: _Run, task: Task) -> list[str]:
    """The score with the interval first, then those that a reader looks for."""
    first = str(run.metrics["intervals"][run.split][task.name]["metric"])
    others = ("weighted_f1", "macro_f1", "accuracy") if task.classes else ("ccc", "mae")
    return [first, *(name for name in others if name != first)]


def _best(runs: Sequence[_Run], columns: Sequence[tuple[Task, str]]) -> dict[tuple[str, str], str]:
    """By task and metric the name of the run that is better than all others, where one is."""
    found: dict[tuple[str, str], str] = {}
    compared: dict[tuple[str, str], dict[str, Any]] = {}
    for task, metric in columns if len(runs) > 1 else ():
        sign = -1 if metric in LOWER_IS_BETTER else 1
        figures = [(sign * figure["mean"], run) for run in runs if (figure := run.figure(task.name, metric))]
        if len(figures) < len(runs):
            continue
        value, best = max(figures, key=lambda pair: pair[0])
        rivals = [scores[best.split][task.name][metric]["mean"] for scores in _baselines(runs)[1].values()
                  if metric in scores.get(best.split, {}).get(task.name, {})]
        if any(sign * rival >= value for rival in rivals):
            continue
        p_values = []
        for other in runs:
            if other is not best:
                pair = (best.name, other.name)
                if pair not in compared:
                    compared[pair] = compare(other.folder, best.folder, split=best.split)["tasks"]
                p_values.append(compared[pair][task.name]["metrics"][metric]["p_value"])
        if max(p_values) < LEVEL:
            found[task.name, metric] = best.name
    return found


def _baselines(runs: Sequence[_Run]) -> tuple[_Run | None, Mapping[str, Any]]:
    """Baselines of the first run that has some, and which run that is."""
    for run in runs:
        if run.metrics.get("baselines"):
            return run, run.metrics["baselines"]
    return None, {}


def _table(runs: Sequence[_Run], columns: Sequence[tuple[Task, str]], bold: Mapping[tuple[str, str], str],
           intervals: bool) -> str:
    owner, baselines = _baselines(runs)
    several = len({tuple(run.config["inputs"]) for run in runs}) > 1
    first = []
    for name, scores in baselines.items():
        values_only = not any(task.classes for task, _ in columns)
        title = MEAN_BASELINE if name == "majority" and values_only else BASELINES.get(name, name)
        if several and owner is not None and name in ("logistic_regression", "ridge"):
            title += f" on {listing(owner.config['inputs'])}"
        own = scores.get(runs[0].split, {})
        cells = [_cell(own.get(task.name, {}).get(metric), metric) for task, metric in columns]
        if set(cells) != {"--"}:
            first.append([escaped(title), *cells])
    second = [[escaped(run.name), *(_cell(
        run.figure(task.name, metric), metric, bold=bold.get((task.name, metric)) == run.name,
        interval=run.interval(task.name, metric) if intervals else None) for task, metric in columns)] for run in runs]
    tasks = list(dict.fromkeys(task.name for task, _ in columns))
    over = [(escaped(name), sum(task.name == name for task, _ in columns)) for name in tasks]
    heads = ["", *(escaped(METRIC_TITLES[metric]) + (r", \%" if metric in SHARES else "") for _, metric in columns)]
    return table(heads, [first, second], over=over, caption=_caption(runs, bold, intervals))


def _cell(figure: Mapping[str, Any] | None, metric: str, *, bold: bool = False,
          interval: tuple[float, float] | None = None) -> str:
    if figure is None or figure["mean"] is None:
        return "--"
    spread = printed(metric, figure["sd"]) if len(figure["seeds"]) > 1 else ""
    text = mathematical(printed(metric, figure["mean"]), spread, bold=bold)
    if interval is None:
        return text
    low, high = (printed(metric, value).replace("−", "-") for value in interval)
    return f"{text} {{\\scriptsize $({low}, {high})$}}"


def _caption(runs: Sequence[_Run], bold: Mapping[tuple[str, str], str], intervals: bool) -> str:
    run = runs[0]
    where = f"test clips of all folds of {run.config['folds']['protocol']}" if "folds" in run.config \
        else f"split {run.split}"
    seeds = sorted({len(part.config["seeds"]) for part in runs})
    said = [f"{run.config['dataset']}, {where}"]
    if seeds != [1]:
        said.append(f"mean ± standard deviation over {listing(list(map(str, seeds)), 'or')} seeds")
    if intervals:
        said.append("in brackets: 95 % interval by bootstrap over groups")
    beside = " and than all baselines" if _baselines(runs)[1] else ""
    if bold:
        said.append(f"bold: better than every other run, p < {LEVEL:g} by a paired bootstrap over groups,{beside}"
                    .rstrip(","))
    elif len(runs) > 1:
        said.append(f"no run is better than every other one (p < {LEVEL:g}){beside}, so none is bold")
    return escaped(f"{'; '.join(said)}.")


def _methods(runs: Sequence[_Run], tasks: Sequence[Task], is_bold: bool) -> str:
    """Paragraphs on data, features, each run's training, and statistics."""
    parts = [_paragraph("Data", [_data(runs[0], tasks)])]
    features = {}
    for run in runs:
        for name in run.config["inputs"]:
            features[name] = describe_feature(name, run.stores.owner(name).head(name)).text
    parts.append(_paragraph("Features", [f"{name}: {text}" for name, text in features.items()]))
    for run in runs:
        known = [run.stores.tasks[name] for name in run.config["tasks"] if name in run.stores.tasks]
        parts.append(_paragraph(f"Training of {run.name}", describe_training(
            run.config, has_classes=any(task.classes for task in known),
            has_values=any(not task.classes for task in known),
            pixels=[name for name in run.config["inputs"] if run.stores.owner(name).head(name)["dtype"] == "uint8"])))
    parts.append(_paragraph("Statistics", list(_statistics(runs, is_bold))))
    return "\n".join(parts)


def _paragraph(head: str, texts: Sequence[str]) -> str:
    return f"\\paragraph{{{escaped(head)}.}}\n" + "\n\n".join(map(escaped, texts)) + "\n"


def _data(run: _Run, tasks: Sequence[Task]) -> str:
    sizes = run.stores.clips["split"].value_counts(sort=False)
    clips = listing([f"{number} clips of {split}" for split, number in sizes.items()])
    said = [f"The corpus is {run.config['dataset']} [1], here {clips}."]
    for task in tasks:
        kind = f"one of {len(task.classes)} classes ({', '.join(task.classes)})" if task.classes else "a value"
        said.append(f"The task {task.name} is {kind}.")
    said += [f"Known of its official splits: {leak}." for leak in known_leaks([run.config["dataset"]]).values()]
    said += [f"{line[0].upper()}{line[1:]}." for line in statements(run.metrics.get("shared_with_train", {}))]
    return " ".join(said)


def _statistics(runs: Sequence[_Run], is_bold: bool) -> Iterator[str]:
    text = "Scores of several seeds are means ± standard deviations over seeds (N − 1). Intervals are 95 % percentile" \
           " intervals of 1000 bootstrap samples of groups (dialogues, actors), the same for all seeds."
    if len(runs) > 1:
        text += " Runs are compared by a two-sided paired bootstrap over groups with 2000 samples"
        text += f"; bold marks a run that differs from each other run with p < {LEVEL:g}." if is_bold else "."
    yield text
    for run in runs:
        notes = [note for note in run.metrics.get("notes", ())
                 if not any(note.startswith(f"{name}: ") for name in known_leaks([run.config["dataset"]]))]
        reads = [f"the test split of {Path(path).name} had been scored"
                 f" {'an unknown number of' if times is None else times} {'time' if times == 1 else 'times'} when this"
                 " run ended"
                 for path, times in run.metrics.get("test_reads", {}).items()]
        if notes or reads:
            yield f"To be known of {run.name}: {'; '.join([*notes, *reads])}."


def _references(runs: Sequence[_Run]) -> str:
    """Numbered lines: corpora first, as the methods' [1] says, then networks by what made the features."""
    lines: dict[str, None] = {}
    for run in runs:
        for store in run.stores.stores:
            lines[_corpus_line(store.corpus)] = None
    for run in runs:
        names = list(run.config["inputs"])
        for name in names:
            recipe = run.stores.owner(name).recipe(name)
            names += [other for other in recipe.get("upstream", {}) if other in run.stores.features
                      and other not in names]
            for record in recipe.get("weights", ()):
                lines[_network_line(recipe.get("extractor"), record)] = None
            made = ", ".join(f"{library} {version}" for library, version in recipe.get("made_with", {}).items())
            if made:
                lines[f"Feature {name}, made with {made}."] = None
    lines[f"affect-pipeline {pipeline.__version__}. Licence: MIT."] = None
    return "".join(f"[{number}] {' '.join(line.split())}\n" for number, line in enumerate(lines, 1))


def _corpus_line(corpus: Corpus) -> str:
    terms = f" Terms: {corpus.terms_url}." if corpus.terms_url else ""
    cited = corpus.citation or f"{corpus.name}: its store names nothing to cite."
    return f"{cited} Licence: {corpus.licence}; {REDISTRIBUTION[corpus.redistribute]}.{terms}"


def _network_line(extractor: str | None, record: Mapping[str, Any]) -> str:
    name, digest = str(record.get("name", "")), str(record.get("digest", ""))
    if record.get("source") == "random":
        return f"{record.get('network')}: random weights ({name}), which never learnt; nothing to cite."
    what = f"{record.get('network')}: weights {name} (SHA-256 {digest[:DIGITS]}…)"
    sources: Sequence[Any] = plugins.plugin_class("extractor", extractor)().sources \
        if extractor in plugins.names("extractor") else ()
    for source in sources:
        stated = dict(source.stated())
        if source.name in (name, name.partition("/")[0]) or any(
                digest and value.startswith(digest[:len(value)]) for value in stated.values()):
            return f"{what}: {source.about}, from {source.origin}. Licence: {source.licence}."
    return f"{what}: a file of the user's; cite its publisher and keep to its licence, which are not recorded."
