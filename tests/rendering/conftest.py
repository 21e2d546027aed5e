from __future__ import annotations

from pathlib import Path

import pytest

from pipeline.rendering.corpus import render_corpus


@pytest.fixture(scope="session")
def small_corpus(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A corpus of three clips, one in each split, made in this process."""
    return render_corpus(tmp_path_factory.mktemp("rendered") / "sample", num_clips=3, seed=5, jobs=1)
