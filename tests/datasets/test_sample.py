from __future__ import annotations

from pathlib import Path

import pytest

from pipeline.config import with_settings
from pipeline.datasets.meld import Meld
from pipeline.datasets.sample import Sample
from pipeline.errors import UsageError


@pytest.fixture(scope="module")
def sample(tmp_path_factory: pytest.TempPathFactory) -> Sample:
    dataset = Sample(Sample.Config(root=tmp_path_factory.mktemp("data") / "sample", num_clips=3, seed=1))
    dataset.prepare()
    return dataset


def test_melds_reader_gives_every_clip_with_its_video(sample: Sample) -> None:
    clips = list(sample.clips())
    assert [clip.clip_id for clip in clips] == ["train/dia0_utt0", "dev/dia0_utt0", "test/dia0_utt0"]
    assert all(clip.source is not None and clip.source.stat().st_size > 10_000 for clip in clips)
    assert all(set(clip.labels) == {"emotion", "sentiment"} and clip.text and clip.speaker for clip in clips)
    assert sample.notes == []


def test_the_dialogues_of_two_splits_are_two_recordings(sample: Sample) -> None:
    spans = sample.recorded_spans()
    assert len({span.recording for span in spans.values()}) == len(spans) == 3 and not sample.published


def test_tasks_are_melds_and_the_terms_are_its_own(sample: Sample) -> None:
    assert sample.corpus.tasks == Meld().corpus.tasks
    assert (sample.corpus.name, sample.corpus.redistribute) == ("sample", "yes")
    assert "public domain" in sample.corpus.licence and not sample.known_defects


def test_a_finished_corpus_is_kept(sample: Sample) -> None:
    before = (sample.root / "sample.json").stat().st_mtime_ns
    sample.prepare()
    assert (sample.root / "sample.json").stat().st_mtime_ns == before


@pytest.mark.parametrize("damage", ["lost video", "cut video", "torn marker"])
def test_a_half_finished_corpus_is_rendered_again(sample: Sample, damage: str) -> None:
    video = next(iter(sample.clips())).source
    assert video is not None
    whole = video.read_bytes()
    if damage == "lost video":
        video.unlink()
    elif damage == "cut video":
        video.write_bytes(whole[:1000])
    else:
        (sample.root / "sample.json").write_text('{"renderer_ver')
    sample.prepare()
    assert video.read_bytes() == whole


def test_the_default_place_is_under_data() -> None:
    assert Sample().root == Path("data/sample")


@pytest.mark.parametrize(("settings", "message"), [({"num_clips": "2"}, "num_clips is at least 3"),
                                                   ({"seed": "-1"}, "seed is not below 0")])
def test_settings_that_make_no_corpus_are_refused(settings: dict[str, str], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        with_settings(Sample.Config(), settings, owner="sample")
