"""The report as readers get it: parsed, compared with metrics.json, attacked, and opened in a real browser."""

from __future__ import annotations

import dataclasses
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from pipeline.clip import Clip, Corpus, Fold, Protocol, Task
from pipeline.errors import StoreError, TrainingError
from pipeline.faces import COLUMNS
from pipeline.faces.alignment import FIVE_POINTS
from pipeline.learning.train_config import TrainConfig
from pipeline.media import FeatureSequence
from pipeline.report import write_report
from pipeline.storage.packing import Cell, Failure, FeatureData, write_store
from pipeline.training import train
from tests.makers import make_video
from tests.html_pages import Page, assert_inert, brightness, open_browser, parse, visit
from tests.training_stores import TASKS, make_actors, make_clips, make_protocol, make_store, rows_of

QUICK = TrainConfig(epochs=2, device="cpu")
EVIL = "<img src=x onerror=alert(1)>\"'&amp;{{7*7}}"
FACE_WEIGHTS = [{"network": "pnet", "source": "pretrained", "name": "pnet.pt", "digest": "ab" * 16}]
FACE_ROW = np.array([[0, 20, 10, 90, 90, 0.99, *(FIVE_POINTS * 80 + (15, 8)).ravel()]], np.float32)


def metrics_of(run: Path) -> dict[str, Any]:
    return dict(json.loads((run / "metrics.json").read_text()))


def rich_store(path: Path, source: Path | None, *, redistribute: Any = "yes", name: str = "made-up",
               protocols: tuple[Protocol, ...] = ()) -> Path:
    """Text and faces of forty clips of one video, with one failure."""
    clips = [dataclasses.replace(clip, source=source, start_seconds=place / 100)
             for place, clip in enumerate(make_clips({"train": 24, "dev": 8, "test": 8}))]
    faces = {clip.clip_id: FeatureSequence(FACE_ROW, np.array([[0.2, 0.2667]], np.float32)) for clip in clips[1:]}
    failed = {clips[0].clip_id: Cell.failed(Failure("decode", "permanent", "half the file is gone"))}
    features = {
        "text_bert": FeatureData("text", (6,), {"extractor": "text_bert", "weights": [
            {"network": "bert", "source": "random", "name": "seed 0", "digest": "cd" * 16}]},
            {clip.clip_id: rows_of(clip, "text_bert", seed=place) for place, clip in enumerate(clips)}),
        "faces": FeatureData("face", (len(COLUMNS),), {"extractor": "faces", "weights": FACE_WEIGHTS}, faces, failed,
                             columns=COLUMNS, is_input=False)}
    corpus = Corpus(name, TASKS, "CC BY 4.0", "https://example.org/terms", redistribute, "Doe (2024). A corpus.",
                    protocols)
    return write_store(path, corpus=corpus, clips=clips, features=features)


@pytest.fixture(scope="module")
def rich_run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three seeds on two tasks, with faces, a failure and random weights."""
    folder = tmp_path_factory.mktemp("rich")
    store = rich_store(folder / "made-up.h5", make_video(folder / "clip.mp4"))
    return train(store, config=TrainConfig(epochs=2, seeds=3, device="cpu"), out=folder / "run")


@pytest.fixture(scope="module")
def rich_page(rich_run: Path) -> Page:
    return parse(write_report(rich_run))


def test_the_page_lies_in_the_run_and_has_its_sections_in_order(rich_run: Path, rich_page: Page) -> None:
    assert (rich_run / "report.html").is_file()
    assert [part["id"] for part in rich_page.all("section")] \
        == ["scores", "recipe", "curves", "classes", "audit", "gaps", "parameters", "faces", "use"]


def test_scores_are_exactly_those_of_metrics_json(rich_run: Path, rich_page: Page) -> None:
    metrics = metrics_of(rich_run)
    shown = {data["value"] for data in rich_page.all("data")}
    systems = [metrics, *metrics["baselines"].values()]
    wanted = {str(score["mean"]) for scores in systems for task in scores["test"].values() for score in task.values()}
    assert wanted <= shown and len(wanted) > 15
    for low, high in [(part["low"], part["high"]) for part in metrics["intervals"]["test"].values()][:1]:
        assert f"[{low * 100:.1f}, {high * 100:.1f}]" in rich_page.words


def test_several_seeds_are_given_with_their_spread(rich_run: Path, rich_page: Page) -> None:
    score = metrics_of(rich_run)["test"]["emotion"]["weighted_f1"]
    assert f"{score['mean'] * 100:.1f} ± {score['sd'] * 100:.1f}" in rich_page.words
    assert "mean ± standard deviation over 3 seeds" in rich_page.words and "One seed" not in rich_page.words


def test_confusion_rows_sum_to_the_labels_and_parameters_to_their_total(rich_run: Path, rich_page: Page) -> None:
    metrics = metrics_of(rich_run)
    table = rich_page.words.partition("What is told apart")[2]
    assert f"emotion, {metrics['num_clips']['test']['scored']['emotion']} clips of test" in table
    assert f"{sum(metrics['num_parameters'].values()):,}" in rich_page.words
    for name in metrics["num_parameters"]:
        assert name in rich_page.words


def test_a_regression_has_its_scatter_plot_and_concordance(rich_run: Path, rich_page: Page) -> None:
    assert f"CCC {metrics_of(rich_run)['test']['arousal']['ccc']['mean']:.3f}".replace("-", "−") in rich_page.words
    assert "Predicted against labelled arousal" in [plot["aria-label"] for plot in rich_page.all("svg")]


def test_learning_curves_show_loss_and_the_score_of_every_task(rich_page: Page) -> None:
    labels = [str(plot["aria-label"]) for plot in rich_page.all("svg")]
    assert "Loss by epoch" in labels and sum(label.endswith("on dev by epoch") for label in labels) == 2


def test_what_weakens_the_scores_stands_before_them(rich_page: Page) -> None:
    before = rich_page.words.partition("Scores on test")[0]
    assert "Random weights: text_bert was made by networks that never learnt" in before
    assert "Few clips: " in before and "has been read once" in before


def test_failures_and_clips_left_out_are_listed(rich_run: Path, rich_page: Page) -> None:
    assert "train/clip0 faces decode permanent half the file is gone" in rich_page.words
    left_out = re.search(r"(\d+) clips of train left out of training", rich_page.words)
    used = json.loads((rich_run / "config.json").read_text())["splits"]["used_clips"]["train"]
    assert left_out is not None and int(left_out[1]) == 24 - used > 0


def test_faces_come_with_clip_label_and_words(rich_page: Page) -> None:
    pictures = rich_page.all("img")
    assert len(pictures) == 24 and all(str(part["src"]).startswith("data:image/jpeg;base64,") for part in pictures)
    assert "Face in clip test/" in str(pictures[-1]["alt"]) and "taken for" in rich_page.words


def test_use_privacy_licence_and_citation_are_told(rich_page: Page) -> None:
    for words in ("how much a clip resembles clips that annotators labelled so", "Article 5(1)(f)",
                  "at work or in education", "CC BY 4.0", "https://example.org/terms", "Doe (2024). A corpus.",
                  "biometric"):
        assert words in rich_page.words


def test_nothing_is_loaded_and_nothing_runs(rich_run: Path, rich_page: Page) -> None:
    assert_inert(rich_page)
    policy = next(meta["content"] for meta in rich_page.all("meta") if "http-equiv" in meta)
    assert str(policy).startswith("default-src 'none';") and "script-src" not in str(policy)
    style = (rich_run / "report.html").read_text().partition("<style>")[2].partition("</style>")[0]
    assert "url(" not in style and "@import" not in style


@pytest.fixture(scope="module")
def hostile_run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Every text that comes from outside is an attack."""
    folder = tmp_path_factory.mktemp("hostile")
    source, task = make_video(folder / "clip.mp4"), Task(EVIL, (f"a{EVIL}", f"b{EVIL}"))
    clips = [Clip(f"{split}/{EVIL}{number}", source, start + number / 100, text=f"{EVIL} {number % 2}", split=split,
                  speaker=EVIL, group=f"{split}{number}", labels={EVIL: task.classes[number % 2]})
             for split, count, start in (("train", 8, 0.0), ("dev", 4, 0.2), ("test", 4, 0.4))
             for number in range(count)]
    rows = {clip.clip_id: rows_of(clip, "text_bert", seed=7 * place) for place, clip in enumerate(clips)}
    recipe = {"extractor": EVIL, "version": EVIL, "settings": {EVIL: EVIL}, "made_with": {EVIL: EVIL},
              "weights": [{"network": EVIL, "source": EVIL, "name": EVIL, "digest": EVIL}]}
    box = FeatureSequence(FACE_ROW, np.zeros((1, 2), np.float32))
    failed = {clips[0].clip_id: Cell.failed(Failure(EVIL, EVIL, EVIL))}
    store = write_store(folder / "evil.h5", clips=clips, corpus=Corpus(
        EVIL, (task,), EVIL, "javascript:alert(1)", "yes", EVIL), features={
            "text_bert": FeatureData("text", (6,), recipe, rows),
            "faces": FeatureData("face", (16,), recipe, {clip.clip_id: box for clip in clips[1:]}, failed,
                                 columns=COLUMNS, is_input=False)})
    run = train(store, config=QUICK, out=folder / "run")
    write_report(run)
    return run


def test_hostile_text_comes_out_as_text(hostile_run: Path) -> None:
    page = parse(hostile_run / "report.html")
    assert_inert(page)
    assert page.text.count(EVIL) > 40
    assert len(page.all("img")) == 15
    assert all(set(part) == {"src", "alt", "width", "height"} for part in page.all("img"))


def made_run(folder: Path, *, config: TrainConfig = QUICK, **store: Any) -> Path:
    return train(make_store(folder / "store.h5", **store), config=config, out=folder / "run")


def test_without_faces_and_without_a_test_split_the_page_says_so(tmp_path: Path) -> None:
    run = made_run(tmp_path, sizes={"train": 40, "dev": 16}, features=("text_bert",), tasks=TASKS[:1])
    page = parse(write_report(run))
    assert "No store of this run holds face boxes" in page.words and not page.all("img")
    assert "Scores on dev" in page.words and "No split 'test'" in page.words
    assert str(metrics_of(run)["dev"]["emotion"]["uar"]["mean"]) in {data["value"] for data in page.all("data")}


def test_a_corpus_without_splits_is_reported_on_the_carved_dev(tmp_path: Path) -> None:
    page = parse(write_report(made_run(tmp_path, sizes={"all": 60}, features=("text_bert",))))
    assert "carved by group from train" in page.words and "Scores on dev" in page.words


def test_a_regression_alone_is_reported(tmp_path: Path) -> None:
    page = parse(write_report(made_run(tmp_path, sizes={"train": 40, "dev": 16, "test": 16}, tasks=TASKS[1:])))
    assert "ridge regression" in page.words and "the mean value" in page.words and "precision" not in page.words


@pytest.mark.parametrize(("config", "words"), [
    (TrainConfig(epochs=1, dev_is_test=True, device="cpu"), "The epoch was chosen on the test split"),
    (TrainConfig(epochs=1, allow_leaks=True, device="cpu"), "Leaks between splits were allowed"),
    (TrainConfig(smoke=True, device="cpu"), "A smoke test"),
    (TrainConfig(epochs=1, device="cpu"), "One seed"),
], ids=["dev is test", "leaks", "smoke", "one seed"])
def test_a_doubtful_run_is_stamped(tmp_path: Path, config: TrainConfig, words: str) -> None:
    run = made_run(tmp_path, config=config, sizes={"train": 24, "dev": 8, "test": 8}, features=("text_bert",))
    assert words in parse(write_report(run)).words.partition("Scores on")[0]


def test_every_reading_of_test_is_told(tmp_path: Path) -> None:
    store = make_store(tmp_path / "store.h5", sizes={"train": 24, "dev": 8, "test": 8}, features=("text_bert",))
    train(store, config=QUICK, out=tmp_path / "first")
    page = parse(write_report(train(store, config=QUICK, out=tmp_path / "second")))
    assert "test split of store.h5 has been read 2 times" in page.words


@pytest.fixture(scope="module")
def restricted(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """A run on a corpus whose pictures must not be passed on, and its video."""
    folder = tmp_path_factory.mktemp("restricted")
    video = make_video(folder / "clip.mp4")
    store = rich_store(folder / "secret.h5", video, redistribute="no")
    return train(store, config=QUICK, out=folder / "run"), video


def test_faces_of_a_restricted_corpus_are_shown_only_when_asked_for(restricted: tuple[Path, Path]) -> None:
    page = parse(write_report(restricted[0]))
    assert not page.all("img") and "--thumbnails" in page.words and "happy sunny party" not in page.words
    page = parse(write_report(restricted[0], thumbnails=True))
    assert len(page.all("img")) == 24 and "keep this page to yourself" in page.words


def test_clips_whose_file_is_gone_are_counted(restricted: tuple[Path, Path]) -> None:
    run, video = restricted
    away = video.rename(video.with_suffix(".away"))
    try:
        page = parse(write_report(run, thumbnails=True))
    finally:
        away.rename(video)
    assert not page.all("img") and "24 clips have no picture: its file is no longer there" in page.words


def test_stores_that_moved_are_named(tmp_path: Path) -> None:
    run = made_run(tmp_path, sizes={"train": 24, "dev": 8}, features=("text_bert",))
    moved = (tmp_path / "store.h5").rename(tmp_path / "elsewhere.h5")
    with pytest.raises(StoreError, match="there is no store"):
        write_report(run)
    assert "elsewhere.h5" in parse(write_report(run, features=[moved])).words


def test_a_folder_without_a_finished_run_is_refused(tmp_path: Path) -> None:
    with pytest.raises(TrainingError, match="config.json cannot be read"):
        write_report(tmp_path)
    run = made_run(tmp_path, sizes={"train": 24, "dev": 8}, features=("text_bert",))
    (run / "predictions.csv").write_text("nothing\n")
    with pytest.raises(TrainingError, match="predictions.csv cannot be read"):
        write_report(run)


def test_a_store_of_another_corpus_is_refused(tmp_path: Path) -> None:
    run = made_run(tmp_path, sizes={"train": 24, "dev": 8}, features=("text_bert",))
    other = make_store(tmp_path / "other.h5", sizes={"train": 4}, features=("text_bert",), tasks=())
    with pytest.raises(StoreError, match="has no task 'emotion'"):
        write_report(run, features=[other])


@pytest.fixture(scope="module")
def folds_run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two seeds on four folds of two tasks, one of which lacks an actor."""
    folder = tmp_path_factory.mktemp("folds")
    store = make_store(folder / "actors.h5", clips=make_actors(7), features=("text_bert",),
                       protocols=[make_protocol(8, 2, name=f"folds {EVIL}", warning=f"dev {EVIL} is small")])
    run = train(store, config=TrainConfig(epochs=2, seeds=2, device="cpu", folds=f"folds {EVIL}", normalise="speaker"),
                out=folder / "run")
    write_report(run)
    return run


def test_folds_are_shown_one_by_one_and_together_and_stamped(folds_run: Path) -> None:
    page, metrics = parse(folds_run / "report.html"), metrics_of(folds_run)
    assert_inert(page)
    shown = {data["value"] for data in page.all("data")}
    for fold in metrics["folds"].values():
        assert {str(fold["test"]["emotion"][metric]["mean"]) for metric in ("accuracy", "uar")} <= shown
        assert ", ".join(fold["test_groups"]) in page.words
    interval = metrics["intervals"]["test"]["emotion"]["by_metric"]["uar"]
    assert f"[{interval['low'] * 100:.1f}, {interval['high'] * 100:.1f}]" in page.words
    before = page.words.partition("Scores on the test clips of all folds")[0]
    for words in (f"dev {EVIL} is small", "Transductive: every speaker", "the stores lack: actor8",
                  "test clips of the folds of actors.h5 have been read once", "77 test clips of 4 folds together"):
        assert words in before, words
    for words in ("Doe (2020), table 2", "A line for each fold and seed", "test clips of all folds",
                  "all clips of the same speaker", "clips of the folds left out of training"):
        assert words in page.words, words


def test_curves_have_a_line_for_each_fold_and_seed(folds_run: Path) -> None:
    from pipeline.pages.finished_run import FinishedRun
    run = FinishedRun.load(folds_run)
    assert {(line["fold"], line["seed"]) for line in run.history} == {(str(fold), seed) for fold in (1, 2, 3, 4)
                                                                      for seed in (0, 1)}


def test_one_fold_has_a_report_of_its_own(folds_run: Path) -> None:
    page = parse(write_report(folds_run / "fold-4"))
    assert "One fold of folds" in page.words and "Transductive" in page.words and "Fold by fold" not in page.words


def test_faces_of_a_run_by_a_file_of_folds_are_shown_and_no_path_is(tmp_path: Path) -> None:
    store = rich_store(tmp_path / "made-up.h5", make_video(tmp_path / "clip.mp4"))
    (tmp_path / "folds.csv").write_text("group,fold\ntrain-dialogue0,a\ntrain-dialogue1,b\n")
    config = TrainConfig(epochs=1, device="cpu", folds=str(tmp_path / "folds.csv"))
    page = parse(write_report(train(store, config=config, out=tmp_path / "run")))
    assert len(page.all("img")) == 7 and "folds.csv" in page.words and str(tmp_path) not in page.words


def test_a_clip_that_two_folds_test_is_shown_once(tmp_path: Path) -> None:
    dialogues = [f"train-dialogue{number}" for number in range(3)]
    twice = Protocol("twice", tuple(Fold(name, (dialogues[0],), (dev,)) for name, dev in zip("ab", dialogues[1:])))
    store = rich_store(tmp_path / "made-up.h5", make_video(tmp_path / "clip.mp4"), protocols=(twice,))
    page = parse(write_report(train(store, config=TrainConfig(epochs=1, device="cpu", folds="twice"),
                                    out=tmp_path / "run")))
    assert len(page.all("img")) == 3 and "4 clips are tested by several folds" in page.words


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    with open_browser() as running:
        yield running


@pytest.mark.parametrize("width", [1200, 390, 320])
def test_the_page_fits_the_screen_and_is_quiet_in_a_browser(browser: Any, rich_run: Path, rich_page: Page,
                                                            width: int) -> None:
    seen = visit(browser, rich_run / "report.html", width=width, scheme="light")
    assert seen["overflow"] <= 0 and seen["broken"] == 0
    assert seen["console"] == [] and seen["requests"] == [] and seen["dialogs"] == []


def test_dark_readers_get_a_dark_page_with_light_plots(browser: Any, rich_run: Path, rich_page: Page) -> None:
    light, dark = (visit(browser, rich_run / "report.html", width=800, scheme=scheme) for scheme in ("light", "dark"))
    assert brightness(light["background"]) > 200 > 60 > brightness(dark["background"])
    assert brightness(light["ink"]) < 128 < brightness(dark["ink"])


@pytest.mark.parametrize("width", [1000, 320])
def test_the_page_of_folds_fits_the_screen(browser: Any, folds_run: Path, width: int) -> None:
    seen = visit(browser, folds_run / "report.html", width=width, scheme="light")
    assert seen["overflow"] <= 0 and seen["console"] == [] and seen["dialogs"] == [] and seen["requests"] == []


def test_hostile_text_does_nothing_in_a_browser(browser: Any, hostile_run: Path) -> None:
    seen = visit(browser, hostile_run / "report.html", width=390, scheme="light")
    assert seen["dialogs"] == [] and seen["console"] == [] and seen["broken"] == 0 and seen["overflow"] <= 0
