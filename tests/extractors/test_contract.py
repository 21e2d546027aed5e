"""What every extractor promises, whichever it is."""

from __future__ import annotations

import dataclasses
import inspect
import json
from typing import Any

import numpy as np
import pytest

from pipeline.config import with_settings
from pipeline.errors import UsageError
from pipeline.media import FeatureSequence, Media
from pipeline.plugins import names, plugin_class, summary

from .conftest import NUM_FRAMES, Build

NAMES = names("extractor")


@pytest.fixture(params=NAMES, scope="module")
def extractor(request: pytest.FixtureRequest, extractors: dict[str, Any]) -> Any:
    return extractors[request.param]


@pytest.fixture(scope="module")
def clips(extractor: Any, build_media: Build) -> list[Media]:
    """A clip, one with nothing in it, and another clip."""
    return [build_media(extractor.needs),
            build_media(extractor.needs, clip_id="b", num_frames=0, num_samples=0, text=""),
            build_media(extractor.needs, clip_id="c", num_frames=17, shift=40, hertz=900, num_samples=30_000,
                        text="yes. well, what?")]


@pytest.fixture(scope="module")
def results(extractor: Any, clips: list[Media]) -> list[FeatureSequence]:
    return list(extractor.extract(clips))


def test_the_issues_extractors_are_there() -> None:
    assert {"text_bert", "audio_logmel", "audio_resnet18", "video_r3d18", "face_r3d18", "faces"} <= set(NAMES)


def test_rows_are_of_the_shape_and_type_that_are_known_before_any_data(extractor: Any,
                                                                       results: list[FeatureSequence]) -> None:
    fresh = type(extractor)(extractor.config)
    for sequence in results:
        assert sequence.values.shape[1:] == fresh.row_shape
        assert sequence.values.dtype == extractor.dtype
    assert not {"network", "detector"} & set(vars(fresh)), "the width is known without loading a network"


def test_a_clip_with_something_in_it_has_rows_and_one_with_nothing_has_none(results: list[FeatureSequence]) -> None:
    assert [len(sequence.values) > 0 for sequence in results] == [True, False, True]
    assert results[1].times.shape == (0, 2)


def test_times_lie_within_the_clip_and_begin_in_order(clips: list[Media], results: list[FeatureSequence]) -> None:
    for clip, sequence in zip(clips, results, strict=True):
        if sequence.times_kind != "none":
            assert (sequence.times >= 0).all() and (sequence.times <= clip.duration_seconds + 1e-6).all()
            assert (np.diff(sequence.times[:, 0]) >= 0).all()
            assert (sequence.times[:, 1] > sequence.times[:, 0]).all()


def test_the_bytes_do_not_depend_on_company_or_order(extractor: Any, clips: list[Media],
                                                     results: list[FeatureSequence]) -> None:
    turned = extractor.extract(clips[::-1])[::-1]
    alone = extractor.extract(clips[2:])
    for expected, found in zip([*results, results[2]], [*turned, *alone], strict=True):
        assert found.values.tobytes() == expected.values.tobytes()
        assert found.times.tobytes() == expected.times.tobytes()


def test_different_clips_give_different_rows(results: list[FeatureSequence]) -> None:
    first, last = results[0].values, results[2].values
    assert first.shape != last.shape or not np.array_equal(first, last)


def test_no_clips_give_no_results(extractor: Any) -> None:
    assert extractor.extract([]) == []


def test_media_are_left_as_they_were(extractor: Any, build_media: Build) -> None:
    clip = build_media(extractor.needs)
    arrays = [frames.take(slice(None)) for frames in clip.frames.values()]
    arrays += [rows.values for rows in clip.features.values()]
    arrays += [clip.waveform] if clip.waveform is not None else []
    before = [array.copy() for array in arrays]
    extractor.extract([clip])
    for array, copy in zip(arrays, before, strict=True):
        np.testing.assert_array_equal(array, copy)


def test_settings_are_json_without_machine_settings_and_paths(extractor: Any) -> None:
    settings = extractor.settings()
    assert json.loads(json.dumps(settings, allow_nan=False)) == settings
    machine = {field.name for field in dataclasses.fields(extractor.config) if field.metadata.get("machine")}
    assert not machine & settings.keys() and "weights" not in settings
    assert "/" not in json.dumps(settings), "where things lie changes no result"
    assert settings.get("dtype") in (None, "float32", "bfloat16"), "auto is resolved"


def test_every_setting_says_what_it_means_and_the_defaults_are_valid(extractor: Any) -> None:
    kind = type(extractor)
    for field in dataclasses.fields(kind.Config()):
        assert field.metadata.get("help"), f"{kind.__name__}.{field.name}"


@pytest.mark.parametrize("name", NAMES)
def test_counts_below_one_are_usage_errors(name: str) -> None:
    config = plugin_class("extractor", name).Config()  # type: ignore[attr-defined]
    for field in dataclasses.fields(config):
        if isinstance(default := getattr(config, field.name), int) and default:  # where none is the default, it may be
            with pytest.raises(UsageError, match=f"{name}: .*(at least 1|is 3 to)"):
                with_settings(config, {field.name: "0"}, owner=name)


def test_weights_are_recorded_with_a_digest_and_without_their_place(extractor: Any) -> None:
    for record in extractor.weights:
        assert len(record.digest) == 32 and not record.name.startswith("/")
        assert record.source in ("pretrained", "random", "file")


def test_an_extractor_shows_its_settings(extractor: Any) -> None:
    assert repr(extractor).startswith(type(extractor).__name__ + "(") and "Config(" in repr(extractor)
    assert " object at 0x" not in repr(extractor)


def test_an_extractor_describes_itself(extractor: Any) -> None:
    assert extractor.modality in ("text", "audio", "video", "face")
    assert inspect.getdoc(type(extractor)) and summary("extractor", type(extractor).__module__.rsplit(".", 1)[-1])
    assert not extractor.columns or extractor.row_shape == (len(extractor.columns),)
    assert NUM_FRAMES > 16, "the clips of this test hold a whole snippet"
