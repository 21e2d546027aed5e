"""UniTalk: at Hugging Face, an archive of pictures, one of sound and a table of labels for each video.

The lists of its videos and of its sub-categories are in its authors' repository of code.
"""

from __future__ import annotations

from pipeline.datasets.unitalk import CATEGORIES, Unitalk
from pipeline.downloads import Distribution, Part, PerVideo, RemoteFile

HOSTS = ("https://huggingface.co/datasets/plnguyen2908/UniTalk-ASD/resolve/main",)
REPOSITORY = ("https://raw.githubusercontent.com/plnguyen2908/UniTalk-ASD-code/main",)
VIDEOS = {published: RemoteFile(f"video_list/{published}.csv", REPOSITORY) for published in ("train", "val")}
LISTS = (*VIDEOS.values(), *(RemoteFile(f"sub_categories/test_{name}.csv", REPOSITORY) for name in CATEGORIES))


def _media(kind: str, folder: str, about: str) -> tuple[Part, ...]:
    return tuple(Part(f"{kind}-{split}", about, expected=(f"{folder}/{published}",), per_video=(
        PerVideo(VIDEOS[published], f"{folder}/{published}/{{}}.zip", HOSTS, into=f"{folder}/{published}"),))
                 for split, published in (("test", "val"), ("train", "train")))


DISTRIBUTION = Distribution(
    corpus=Unitalk().corpus, root=Unitalk.default_root,
    about="who is speaking: 48,693 face tracks of web videos, four million pictures, 100–200 GB",
    parts=(
        Part("lists", "videos of each split and of each sub-category", files=LISTS,
             expected=("video_list", "sub_categories")),
        Part("labels", "who speaks in each frame", expected=("csv/train", "csv/val"), per_video=tuple(
            PerVideo(index, f"csv/{published}/{{}}.csv", HOSTS) for published, index in VIDEOS.items())),
        *_media("sound", "clips_audios", "the sound of each track"),
        *_media("pictures", "clips_videos", "the faces of each track")))
