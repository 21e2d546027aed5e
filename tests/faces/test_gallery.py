"""Galleries: whom they know, and what is refused."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import save_file

from pipeline.errors import UsageError
from pipeline.faces.gallery import LEAST_LIKENESS, NAMES, PROTOTYPES, Gallery, Prototypes
from pipeline.identities import write_prototypes

EAST, NORTH, WEST = np.eye(4, dtype=np.float32)[0], np.eye(4, dtype=np.float32)[1], -np.eye(4, dtype=np.float32)[0]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Clusters 0 and 2 are Ann, 1 is nobody's."""
    write_prototypes(tmp_path, Prototypes(np.stack([EAST, NORTH, WEST]), np.arange(3), "f" * 32, LEAST_LIKENESS))
    (tmp_path / NAMES).write_text("cluster,name\n0, Ann  Lee\n1,\n2,ann lee\n", encoding="utf-8-sig")
    return tmp_path


def test_one_name_for_several_clusters_is_one_person(folder: Path) -> None:
    gallery = Gallery.open(folder)
    assert gallery.names == ("Ann Lee",) and gallery.least_likeness == LEAST_LIKENESS
    rows = np.stack([EAST, WEST, NORTH, (EAST + NORTH) / 2 ** .5, 0 * EAST])
    np.testing.assert_allclose(gallery.likeness("ANN lee", rows), [1, 1, 0, .5 ** .5, -1], atol=1e-6)
    assert gallery.knows("ann LEE") and not gallery.knows("Bob")


def test_a_name_that_is_not_known_is_like_nobody(folder: Path) -> None:
    assert Gallery.open(folder).likeness("Bob", np.stack([EAST, WEST])).tolist() == [-1, -1]
    assert Gallery.open(folder).likeness("Ann Lee", np.zeros((0, 4), np.float32)).shape == (0,)


def test_embeddings_of_another_width_are_a_mistake_of_the_caller(folder: Path) -> None:
    with pytest.raises(ValueError, match="have 5 columns, those of .* 4"):
        Gallery.open(folder).likeness("Ann Lee", np.zeros((1, 5), np.float32))


def test_the_digest_changes_with_who_is_known_and_nothing_else(folder: Path) -> None:
    digest = Gallery.open(folder).digest
    (folder / NAMES).write_text("name,cluster,remark\nann lee,2,\nANN LEE,0,hello\n,1,\n")
    assert Gallery.open(folder).digest == digest and len(digest) == 32
    (folder / NAMES).write_text("name,cluster\nann lee,2\nBob,0\n")
    assert Gallery.open(folder).digest != digest


def test_another_feature_is_refused_with_reasons(folder: Path) -> None:
    Gallery.open(folder).check("f" * 32, "here")
    with pytest.raises(UsageError, match="fingerprint ffffffff, that of here is 00000000: other.*faces cluster"):
        Gallery.open(folder).check("0" * 32, "here")


def test_a_gallery_without_names_says_where_to_write_them(folder: Path) -> None:
    (folder / NAMES).write_text("cluster,name\n0,\n1, \n")
    with pytest.raises(UsageError, match="nobody in .*names.csv has a name; fill in the column 'name'"):
        Gallery.open(folder)


@pytest.mark.parametrize(("text", "message"), [
    (b"cluster;name\n0;Ann\n", "begins with 'cluster;name', expected columns 'cluster' and 'name' between commas"),
    (b"", "begins with ''"),
    (b"cluster,name\nx,Ann\n", "line 2: cluster 'x' is no number of its own"),
    (b"cluster,name\n0,Ann\n0,Bob\n", "line 3: cluster '0' is no number of its own"),
    (b"cluster,name\n,\n", "line 2: cluster '' is no number"),
    (b"cluster,name\n9,Ann\n", "names cluster 9, which prototypes.safetensors does not hold"),
    (b"cluster,name\n0,\xff\n", "names.csv cannot be read .*expected a table of clusters and names in UTF-8"),
    (b"cluster,name\n0,\"" + b"x" * 200_000, "names.csv cannot be read .*field larger"),
])
def test_names_that_cannot_be_read_are_refused(folder: Path, text: bytes, message: str) -> None:
    (folder / NAMES).write_bytes(text)
    with pytest.raises(UsageError, match=message):
        Gallery.open(folder)


def test_a_folder_without_a_gallery_says_how_to_make_one(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="names.csv cannot be read .No such file.*faces cluster STORE --out FOLDER"):
        Gallery.open(tmp_path)
    (tmp_path / NAMES).write_text("cluster,name\n0,Ann\n")
    with pytest.raises(UsageError, match="cannot be read as a gallery's prototypes .*No such file"):
        Gallery.open(tmp_path)


GOOD = {"format": "affect face gallery", "version": 1, "fingerprint": "f", "least_likeness": 0.7}


@pytest.mark.parametrize(("arrays", "metadata", "message"), [
    ({}, {"made": "elsewhere"}, "it does not say that it is of format 'affect face gallery' 1"),
    ({}, [1], "it does not say"),
    ({}, {**GOOD, "version": 2}, "it does not say"),
    ({}, GOOD, "does not contain tensor prototypes"),
    ({"prototypes": np.full((1, 4), np.nan, np.float32), "clusters": np.arange(1)}, GOOD, "finite float32"),
    ({"prototypes": np.ones((1, 4)), "clusters": np.arange(1)}, GOOD, "finite float32 .* found float64"),
    ({"prototypes": np.ones((2, 4), np.float32), "clusters": np.zeros(2, np.int64)}, GOOD, "as many different"),
    ({"prototypes": np.ones((1, 4), np.float32), "clusters": np.arange(1)}, {**GOOD, "least_likeness": 7},
     "least_likeness is above 0 and at most 1"),
    ({"prototypes": np.ones((1, 4), np.float32), "clusters": np.arange(1)}, {**GOOD, "least_likeness": []},
     "float.. argument must be"),
])
def test_prototypes_that_are_none_are_refused(folder: Path, arrays: dict[str, np.ndarray], metadata: object,
                                              message: str) -> None:
    save_file(arrays, folder / PROTOTYPES, {"gallery": json.dumps(metadata)})
    with pytest.raises(UsageError, match=f"cannot be read as a gallery's prototypes .*{message}"):
        Gallery.open(folder)


def test_bytes_that_are_no_arrays_are_refused(folder: Path) -> None:
    (folder / PROTOTYPES).write_bytes(b"\x80\x04cos\nsystem\n")
    with pytest.raises(UsageError, match="cannot be read as a gallery's prototypes"):
        Gallery.open(folder)
