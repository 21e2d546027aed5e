"""Known people: for each name the faces that it stands for, as ``faces cluster`` writes them and a person names them.

A gallery is a folder. ``names.csv`` has a row for each cluster of face tracks, whose column ``name`` a person fills in;
one name given to several clusters makes them one person. ``prototypes.safetensors`` holds the mean embedding of each
cluster, and which feature it was made from.
"""

from __future__ import annotations

import csv
import hashlib
import json
import unicodedata
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from pipeline.errors import UsageError

NAMES, PROTOTYPES = "names.csv", "prototypes.safetensors"
FORMAT, VERSION = "affect face gallery", 1
# Cosine from which on two faces are one person's: 0.70 is the threshold that deepface gives for 512-d FaceNet, which
# these weights are (deepface/config/threshold.py, cosine distance 0.30).
LEAST_LIKENESS = 0.7
AGAIN = "make it with: python -m pipeline faces cluster STORE --out FOLDER"


@dataclass(frozen=True)
class Prototypes:
    """What ``prototypes.safetensors`` holds.

    Args:
        vectors: mean embedding of each cluster, of length 1, float32 (P, D).
        clusters: number of each cluster, int64 (P,).
        fingerprint: of the feature that they were made from.
        least_likeness: cosine from which on two faces are one person's.
    """

    vectors: np.ndarray
    clusters: np.ndarray
    fingerprint: str
    least_likeness: float

    def __post_init__(self) -> None:
        if self.vectors.ndim != 2 or self.vectors.dtype != np.float32 or not np.isfinite(self.vectors).all():
            raise ValueError(f"prototypes are finite float32 (P, D), found {self.vectors.dtype} {self.vectors.shape}")
        if self.clusters.shape != (len(self.vectors),) or self.clusters.dtype != np.int64 \
                or len(set(self.clusters.tolist())) != len(self.clusters):
            raise ValueError(f"{len(self.vectors)} prototypes have clusters {self.clusters.dtype}"
                             f" {self.clusters.shape}, expected as many different numbers")
        if not 0 < self.least_likeness <= 1:
            raise ValueError(f"least_likeness is above 0 and at most 1, found {self.least_likeness}")

    @property
    def metadata(self) -> dict[str, str]:
        """What stands in the file beside the arrays; one text, since several have no fixed order there."""
        return {"gallery": json.dumps({"format": FORMAT, "version": VERSION, "fingerprint": self.fingerprint,
                                       "least_likeness": self.least_likeness})}


class Gallery:
    """Named people and what they look like.

    Args:
        people: for each name its prototypes, float32 (P, D), at least one.
        fingerprint: of the feature that the prototypes were made from.
        least_likeness: cosine from which on two faces are one person's.
        place: where it was read from, for messages.
    """

    def __init__(self, people: Mapping[str, np.ndarray], *, fingerprint: str, least_likeness: float,
                 place: str = "the gallery") -> None:
        self._people = {name_key(name): vectors for name, vectors in people.items()}
        self.names, self.fingerprint, self.least_likeness = tuple(people), fingerprint, least_likeness
        self._place = place

    @classmethod
    def open(cls, folder: Path) -> Gallery:
        """Read a gallery's folder.

        Raises:
            UsageError: it is no gallery, nobody in it has a name, or a file of it is damaged.
        """
        names, prototypes = read_names(folder), read_prototypes(folder)
        places = {cluster: place for place, cluster in enumerate(prototypes.clusters.tolist())}
        people: dict[str, list[int]] = {}
        spelt: dict[str, str] = {}
        for cluster, name in names.items():
            if name and cluster not in places:
                raise UsageError(f"{folder / NAMES} names cluster {cluster}, which {PROTOTYPES} does not hold; correct"
                                 " the number, or remove the row: a person who was being forgotten is forgotten wholly"
                                 " with: python -m pipeline faces forget NAME")
            if name:
                people.setdefault(spelt.setdefault(name_key(name), name), []).append(places[cluster])
        if not people:
            raise UsageError(f"nobody in {folder / NAMES} has a name; fill in the column 'name', the page of clusters"
                             " beside it shows whom")
        return cls({name: prototypes.vectors[found] for name, found in people.items()},
                   fingerprint=prototypes.fingerprint, least_likeness=prototypes.least_likeness, place=str(folder))

    @property
    def digest(self) -> str:
        """SHA-256 (first 32 hex digits) of all that decides who is recognised."""
        state = hashlib.sha256(f"{self.fingerprint} {self.least_likeness!r}".encode())
        for name in sorted(self._people):
            rows = sorted(row.tobytes() for row in self._people[name])
            state.update(b"".join([name.encode("utf-8", "surrogatepass"), b"\0", *rows]))
        return state.hexdigest()[:32]

    def knows(self, name: str) -> bool:
        """Is somebody of that name in it?"""
        return name_key(name) in self._people

    def likeness(self, name: str, embeddings: np.ndarray) -> np.ndarray:
        """How like a person some faces are.

        Args:
            name: of the person; upper and lower case are one.
            embeddings: rows of length 1, float32 (K, D); zeros where nothing is known of a face.

        Returns:
            Cosine to the nearest of the person's prototypes, (K,), in [-1, 1]; −1 for a name that is not known and for
            faces of which nothing is.
        """
        known = self._people.get(name_key(name))
        if known is None or not len(embeddings):
            return np.full(len(embeddings), -1.0)
        if embeddings.shape[1] != known.shape[1]:
            raise ValueError(f"embeddings have {embeddings.shape[1]} columns, those of {self._place} {known.shape[1]}")
        likeness = np.clip((embeddings @ known.T).max(1), -1, 1)
        return np.where(np.any(embeddings, axis=1), likeness, -1.0)

    def check(self, fingerprint: str, place: str, *, width: int | None = None) -> None:
        """Refuse embeddings that were made in another way than the gallery's.

        Args:
            fingerprint: of the feature that the embeddings are of.
            place: where they are, for the message.
            width: of a row, where that is known.

        Raises:
            UsageError: it is another one.
        """
        check_same_feature(self.fingerprint, fingerprint, self._place, place)
        vectors = next(iter(self._people.values()))
        check_same_width(vectors.shape[1], vectors.shape[1] if width is None else width, self._place, place)


def check_same_width(gallery: int, found: int, gallery_place: str, place: str) -> None:
    """Refuse to compare embeddings of different widths, which one feature never has.

    Raises:
        UsageError: they differ.
    """
    if gallery != found:
        raise UsageError(f"faces of {gallery_place} have {gallery} numbers, those of {place} {found}, although both say"
                         " that they are of one feature: one of them is damaged, make it again")


def check_same_feature(gallery: str, found: str, gallery_place: str, place: str) -> None:
    """Refuse to compare embeddings of two features by their fingerprints.

    Raises:
        UsageError: the fingerprints differ.
    """
    if gallery != found:
        raise UsageError(f"{gallery_place} was made from face_identity with fingerprint {gallery[:8]}, that of {place}"
                         f" is {found[:8]}: other weights, crops or detection, so that their faces cannot be compared."
                         " Make the gallery from this store (python -m pipeline faces cluster), or extract"
                         " face_identity with the settings that the gallery's store had")


def read_names(folder: Path) -> dict[int, str]:
    """Name of each cluster by its number, "" where none is given; spaces around it do not count.

    Raises:
        UsageError: the folder has no ``names.csv``, or it is not laid out as it should be.
    """
    path = folder / NAMES
    names: dict[int, str] = {}
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            rows = csv.DictReader(file)
            if not {"cluster", "name"} <= set(rows.fieldnames or ()):
                raise UsageError(f"{path} begins with {','.join(rows.fieldnames or ())[:80]!r}, expected columns"
                                 f" 'cluster' and 'name' between commas; {AGAIN}")
            for row in rows:
                cluster = (row["cluster"] or "").strip()
                if not cluster.isdecimal() or int(cluster) in names:
                    raise UsageError(f"{path}, line {rows.line_num}: cluster {cluster!r:.40} is no number of its own;"
                                     " leave that column as it was")
                names[int(cluster)] = " ".join((row["name"] or "").split())
    except (OSError, UnicodeError, csv.Error) as error:
        raise UsageError(f"{path} cannot be read ({getattr(error, 'strerror', None) or error}); expected a table of"
                         f" clusters and names in UTF-8; {AGAIN}") from error
    return names


def read_prototypes(folder: Path) -> Prototypes:
    """The clusters' mean embeddings.

    Raises:
        UsageError: the folder has none, or the file is damaged or no gallery's.
    """
    from safetensors import SafetensorError, safe_open
    path = folder / PROTOTYPES
    try:
        with safe_open(path, "numpy") as file:
            about = json.loads((file.metadata() or {}).get("gallery", "{}"))
            if not isinstance(about, dict) or (about.get("format"), about.get("version")) != (FORMAT, VERSION):
                raise ValueError(f"it does not say that it is of format {FORMAT!r} {VERSION}")
            return Prototypes(file.get_tensor("prototypes"), file.get_tensor("clusters"), str(about["fingerprint"]),
                              float(about["least_likeness"]))
    except (OSError, SafetensorError, ValueError, TypeError, LookupError, RecursionError) as error:
        raise UsageError(f"{path} cannot be read as a gallery's prototypes"
                         f" ({getattr(error, 'strerror', None) or error}); {AGAIN}") from error


def name_key(name: str) -> str:
    """A name as names are compared: case and spacing do not count.

    >>> name_key(" Joey  TRIBBIANI ")
    'joey tribbiani'
    """
    return " ".join(unicodedata.normalize("NFKC", name).casefold().split())
