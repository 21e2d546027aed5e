"""MELD: one archive of three archives, and the annotations in its authors' repository."""

from __future__ import annotations

from pipeline.datasets.meld import ANNOTATIONS, VIDEO_FOLDERS, Meld
from pipeline.downloads import Archive, Distribution, Part, RemoteFile

# Size and SHA-256 are those that the authors' dataset page states for the file; the older address serves as many bytes.
RAW = RemoteFile(
    "MELD.Raw.tar.gz", ("https://huggingface.co/datasets/declare-lab/MELD/resolve/main",
                        "https://web.eecs.umich.edu/~mihalcea/downloads"),
    size=10_878_146_150, digest="sha256:a56b4407d574195cbce470d86f9c9d72fcfea59b0e34502ecd4babee4a5c613e")
REPOSITORY = "https://raw.githubusercontent.com/declare-lab/MELD/master/data/MELD"

DISTRIBUTION = Distribution(
    corpus=Meld().corpus, about="13,708 utterances of the series Friends", root=Meld.default_root,
    parts=(
        Part("videos", "all clips with their annotations", expected=tuple(VIDEO_FOLDERS.values()),
             archives=(Archive(RAW, strip=1, growth=1.1, most_bytes=40 << 30),)),
        Part("annotations", "the CSVs alone, enough for text features", default=False,
             files=tuple(RemoteFile(name, (REPOSITORY,)) for name in ANNOTATIONS.values()),
             expected=tuple(ANNOTATIONS.values())),
    ))
