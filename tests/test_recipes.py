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
        choose_extractors([name], {}, weights=None, device=CPU)


def test_variants_stand_side_by_side_with_settings_of_their_own() -> None:
    settings = {"audio_logmel@long-1.5": {"preset": "meld_joint"}}
    chosen = choose_extractors(["audio_logmel", "audio_logmel@long-1.5"], settings, weights=None, device=CPU)
    assert list(chosen) == ["audio_logmel", "audio_logmel@long-1.5"]
    assert [extractor.config.preset for extractor in chosen.values()] == ["speech", "meld_joint"]
