"""UniTalk: its authors publish it where terms are agreed to by hand; it is too large to take by accident."""

from __future__ import annotations

from pathlib import Path

from pipeline.clip import Corpus
from pipeline.downloads import Distribution

PAGE = "https://huggingface.co/datasets/plnguyen2908/UniTalk-ASD"

DISTRIBUTION = Distribution(
    corpus=Corpus(name="unitalk", licence="see its page; the videos belong to their makers", terms_url=PAGE),
    about="who is speaking: 48,693 face tracks of web videos, 100–200 GB", root=Path("data/UniTalk"),
    ask=f"its videos belong to many makers and it takes 100–200 GB: read its terms at {PAGE}, take what you need from"
        " there, and put csv, clips_audios and clips_videos into data/UniTalk")
