"""Plots: words stay words, colours are the page's, and the same data give the same bytes."""

from __future__ import annotations

import re
from xml.etree import ElementTree

import matplotlib
import numpy as np
import pytest

from pipeline.pages.figures import INKS, MOST_POINTS, Bar, Line, curve_plot, scatter_plot, score_plot

PLOTS = {
    "score": lambda: score_plot([Bar("chance", 20.0), Bar("model", 60.0, (58.0, 62.0), (50.0, 70.0), True)],
                                unit="weighted F1, %", title="scores"),
    "curve": lambda: curve_plot({"train": [Line([1, 2, 3], [3.0, 2.0, 1.0], 2)], "dev": [Line([1], [2.0])]},
                                unit="loss", title="curves"),
    "scatter": lambda: scatter_plot(np.linspace(0, 1, 20), np.linspace(1, 0, 20), name="valence", title="values"),
}


@pytest.mark.parametrize("name", PLOTS)
def test_same_data_give_the_same_bytes(name: str) -> None:
    assert PLOTS[name]() == PLOTS[name]()


@pytest.mark.parametrize("name", PLOTS)
def test_every_colour_is_a_custom_property_of_the_page(name: str) -> None:
    svg = PLOTS[name]()
    used = {colour for style in re.findall(r'style="([^"]*)"', svg)
            for colour in re.findall(r"(?:fill|stroke): ([^;]+)", style)}
    assert used <= {"none", *(f"var(--{name})" for name in INKS)} and len(used) > 2


@pytest.mark.parametrize("name", PLOTS)
def test_a_plot_brings_no_style_sheet_no_metadata_and_no_address(name: str) -> None:
    svg = PLOTS[name]()
    assert not re.search(r"<style|<metadata|font-family|http", svg)


def test_ids_of_different_plots_differ_and_every_reference_is_met() -> None:
    ids = {name: set(re.findall(r' id="([^"]+)"', plot())) for name, plot in PLOTS.items()}
    assert not ids["score"] & ids["curve"] and not ids["curve"] & ids["scatter"]
    for name, plot in PLOTS.items():
        assert set(re.findall(r'(?:href="#|url\(#)([^")]+)', plot())) <= ids[name]


def test_hostile_and_mathematical_names_are_drawn_as_they_are() -> None:
    name = "<script>alert(1)</script> $x_1$ & \"q\""
    root = ElementTree.fromstring(score_plot([Bar(name, 1.0)], unit="u", title=name))
    assert name in [text.text for text in root.iter("text")]
    assert root.attrib["aria-label"] == name
    assert not list(root.iter("script"))


def test_drawing_leaves_the_settings_of_matplotlib_as_they_were() -> None:
    before = dict(matplotlib.rcParams)
    PLOTS["score"]()
    assert dict(matplotlib.rcParams) == before


def test_a_large_scatter_plot_is_thinned_evenly() -> None:
    values = np.random.default_rng(0).random(5 * MOST_POINTS)
    svg = scatter_plot(values, values, name="valence", title="many")
    assert MOST_POINTS <= svg.count("<use") < MOST_POINTS + 50


@pytest.mark.parametrize("name", PLOTS)
def test_a_plot_stays_in_its_frame_and_scales(name: str) -> None:
    root = ElementTree.fromstring(PLOTS[name]())
    assert "width" not in root.attrib and root.attrib["viewBox"].startswith("0 0 360 ")
