"""AVA-ActiveSpeaker: Google publishes the labels; faces and sound are cut out of the films by whoever has these."""

from __future__ import annotations

from pipeline.datasets.ava import Ava
from pipeline.downloads import Archive, Distribution, Part, RemoteFile

HOSTS = ("https://research.google.com/ava/download",)


def _labels(published: str) -> Archive:
    return Archive(RemoteFile(f"ava_activespeaker_{published}_v1.0.tar.bz2", HOSTS), only=("*-activespeaker.csv",),
                   growth=10.0, into=f"csv/{published}")


DISTRIBUTION = Distribution(
    corpus=Ava().corpus, about="who is speaking: 37,738 face tracks of films", root=Ava.default_root,
    parts=(Part("labels", "who speaks in each frame; no pictures and no sound",
                archives=(_labels("train"), _labels("val")), expected=("csv/train", "csv/val")),))
