"""From names and settings to planned features."""

from __future__ import annotations

import pytest
import torch

from pipeline.errors import UsageError
from pipeline.recipes import choose_extractors

CPU = torch.device("cpu")


@pytest.mark.parametrize("name", ["audio_logmel@", "audio_logmel@a/b", "audio_logmel@.a", "../audio_logmel", "", "a b"])
def test_a_name_that_no_file_could_hold_is_refused(name: str) -> None:
    with pytest.raises(UsageError, match="no feature can be named .*; expected extractor or extractor@variant"):
        choose_extractors([name], {}, shared={}, device=CPU)


def test_variants_stand_side_by_side_with_settings_of_their_own() -> None:
    settings = {"audio_logmel@long-1.5": {"preset": "meld_joint"}}
    chosen = choose_extractors(["audio_logmel", "audio_logmel@long-1.5"], settings, shared={}, device=CPU)
    assert list(chosen) == ["audio_logmel", "audio_logmel@long-1.5"]
    assert [extractor.config.preset for extractor in chosen.values()] == ["speech", "meld_joint"]


def test_a_shared_setting_reaches_every_extractor_that_has_it_and_own_settings_win() -> None:
    names = ["audio_resnet18", "video_r3d18", "audio_logmel"]
    chosen = choose_extractors(names, {"video_r3d18": {"weights": "/there"}}, shared={"weights": "random"}, device=CPU)
    assert [getattr(extractor.config, "weights", None) for extractor in chosen.values()] == ["random", "/there", None]


def test_a_shared_setting_that_nothing_has_is_refused() -> None:
    with pytest.raises(UsageError, match=r"--speaking-run x says nothing to audio_logmel; leave it out"):
        choose_extractors(["audio_logmel"], {}, shared={"speaking_run": "x", "weights": "random"}, device=CPU)
