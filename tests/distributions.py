"""Corpora as their publishers offer them, but tiny: real layouts and addresses, other bytes."""

from __future__ import annotations

import dataclasses
import gzip
import hashlib
import io
import tarfile
import zipfile
from collections.abc import Mapping
from typing import Any

from pipeline.downloads import Archive, Distribution, Part, Pointers, RemoteFile


def tiny(real: Distribution, files: Mapping[str, bytes], **changes: Any) -> Distribution:
    """A distribution with a real one's addresses and layout, and the sizes and digests of other bytes."""
    def known(file: RemoteFile) -> RemoteFile:
        content = files.get(file.name, b"")
        kind = file.digest.partition(":")[0]
        digest = f"{kind}:{hashlib.new(kind, content).hexdigest()}" if kind else ""
        return dataclasses.replace(file, size=len(content) if file.size else None, digest=digest)

    def archive(old: Archive) -> Archive:
        return dataclasses.replace(old, file=known(old.file))

    def part(old: Part) -> Part:
        listed = old.pointers and dataclasses.replace(old.pointers, index=archive(old.pointers.index))
        assert listed is None or isinstance(listed, Pointers)
        return dataclasses.replace(old, archives=tuple(map(archive, old.archives)), pointers=listed,
                                   files=tuple(map(known, old.files)))

    return dataclasses.replace(real, parts=tuple(map(part, real.parts)), **changes)


def make_zip(members: Mapping[str, bytes]) -> bytes:
    """A zip archive, the same bytes each time."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for name, content in members.items():
            archive.writestr(zipfile.ZipInfo(name), content)
    return buffer.getvalue()


def make_tar(members: Mapping[str, bytes | tarfile.TarInfo]) -> bytes:
    """A gzipped tar archive of files, and of whatever else is given as its header; the same bytes each time."""
    buffer = io.BytesIO()
    with gzip.GzipFile(fileobj=buffer, mode="wb", mtime=0) as packed, tarfile.open(fileobj=packed, mode="w") as archive:
        for name, content in members.items():
            header = content if isinstance(content, tarfile.TarInfo) else tarfile.TarInfo(name)
            if isinstance(content, bytes):
                header.size = len(content)
            archive.addfile(header, io.BytesIO(content) if isinstance(content, bytes) else None)
    return buffer.getvalue()
