"""Where backups are kept: a folder, or a prefix of a bucket. Names sort by age. Used by `lablink.backup`."""

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, Protocol

import boto3

SUFFIX = ".backup"


class Place(Protocol):
    def names(self) -> list[str]:
        """The backups there, oldest first."""
        ...

    def writing(self, name: str) -> "Any":
        """A file to write; it is there under its name once the block has ended well, and not before."""
        ...

    def reading(self, name: str) -> "Any": ...

    def remove(self, name: str) -> None: ...


@dataclass(frozen=True, slots=True)
class FolderPlace:
    folder: Path

    def names(self) -> list[str]:
        return sorted(path.name for path in self.folder.glob(f"*{SUFFIX}"))

    @contextmanager
    def writing(self, name: str) -> Iterator[IO[bytes]]:
        self.folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        draft = self.folder / f".{name}.new"
        try:
            with draft.open("wb") as file:
                yield file
            draft.replace(self.folder / name)
        finally:
            draft.unlink(missing_ok=True)

    @contextmanager
    def reading(self, name: str) -> Iterator[IO[bytes]]:
        with (self.folder / name).open("rb") as file:
            yield file

    def remove(self, name: str) -> None:
        (self.folder / name).unlink(missing_ok=True)


@dataclass(frozen=True, slots=True)
class BucketPlace:
    """By way of a temporary file: a failed upload leaves nothing, and what is uploaded is sealed already."""

    bucket: str
    prefix: str
    region: str

    @property
    def _s3(self) -> Any:
        make: Any = boto3.client
        return make("s3", region_name=self.region)

    def names(self) -> list[str]:
        pages = self._s3.get_paginator("list_objects_v2").paginate(Bucket=self.bucket, Prefix=f"{self.prefix}/")
        keys = [entry["Key"] for page in pages for entry in page.get("Contents", [])]
        return sorted(key.rpartition("/")[2] for key in keys if key.endswith(SUFFIX))

    @contextmanager
    def writing(self, name: str) -> Iterator[IO[bytes]]:
        with tempfile.TemporaryFile() as file:
            yield file
            file.seek(0)
            self._s3.upload_fileobj(file, self.bucket, f"{self.prefix}/{name}")

    @contextmanager
    def reading(self, name: str) -> Iterator[IO[bytes]]:
        with tempfile.TemporaryFile() as file:
            self._s3.download_fileobj(self.bucket, f"{self.prefix}/{name}", file)
            file.seek(0)
            yield file

    def remove(self, name: str) -> None:
        self._s3.delete_object(Bucket=self.bucket, Key=f"{self.prefix}/{name}")
