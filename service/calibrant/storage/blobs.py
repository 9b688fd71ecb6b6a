"""Blobs: immutable bytes under the hash of their content, in a folder or an object store."""

from __future__ import annotations

import fcntl
import hashlib
import os
import re
import secrets
import time
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO
from urllib.parse import unquote, urlsplit

import obstore
from obstore.exceptions import BaseError
from obstore.store import from_url

from calibrant.errors import CalibrantError, NotFound, Unavailable, Unusable
from calibrant.storage.pepper import fsync_folder

if TYPE_CHECKING:
    from obstore.store import ObjectStore

CHUNK = 1 << 20
RANGE = 16 << 20
RETRYING = timedelta(seconds=30)
"""How long a request to an object store is tried again."""

TORN_AFTER = timedelta(hours=1)
"""How old a file under `incoming` must be to be left over from a process that died."""

CACHED_FOR = timedelta(hours=24)
"""How long a copy of an object that nobody reads stays in the cache."""

_PREFIX = "sha256"
_SHA256 = re.compile(r"[0-9a-f]{64}")
_SCHEMES = {"file", "memory", "s3", "s3a", "gs", "az", "azure", "abfs", "abfss"}
_MISSING = "There is no such blob."


@dataclass(frozen=True, slots=True)
class Blob:
    """What was stored: its SHA-256 in hexadecimal, and its size in bytes."""

    sha256: str
    size: int


@dataclass(frozen=True, slots=True)
class Collected:
    """What was removed: how many blobs, and how many bytes they had."""

    count: int
    size: int


class Sink:
    """A blob being written; `keep` makes it one, leaving the block without it forgets it."""

    def __init__(self, file: BinaryIO, draft: Path, place: Callable[[Path, str], None]) -> None:
        self._file = file
        self._draft = draft
        self._place = place
        self._hash = hashlib.sha256()
        self.size = 0

    def write(self, chunk: bytes | bytearray | memoryview) -> None:
        """Append bytes."""
        self._hash.update(chunk)
        self.size += memoryview(chunk).nbytes
        with _reported():
            self._file.write(chunk)

    def keep(self) -> Blob:
        """Store what was written, durably, and return what it is called."""
        blob = Blob(self._hash.hexdigest(), self.size)
        with _reported():
            self._file.flush()
            os.fsync(self._file.fileno())
            self._place(self._draft, blob.sha256)
        return blob


class Blobs:
    """Immutable blobs by content.

    Parameters
    ----------
    url : str
        `file:///folder`, or an object store: `s3://bucket/prefix`, `gs://`, `az://` (credentials
        and endpoint from the environment of the store's own tools). `memory:///` keeps nothing.
    cache : Path, or None
        Folder for drafts and copies of objects; needed by object stores only.

    Raises
    ------
    Unusable
        If the URL names no store that can be used.

    Notes
    -----
    A key holds the hash of its content, so writing it twice writes the same bytes: "exists
    already" is success, and a second write makes the blob young again, which protects it from
    `collect`. In a folder a blob is complete and on the disk before it has its name, so neither
    a killed process nor a loss of power leaves a torn one.
    """

    def __init__(self, url: str, *, cache: Path | None = None) -> None:
        scheme = urlsplit(url).scheme
        if scheme not in _SCHEMES:
            raise Unusable("The blob URL must begin with `file://`, `s3://`, `gs://` or `az://`.")
        self._root = Path(unquote(urlsplit(url).path)) if scheme == "file" else None
        folder = self._root or cache
        if folder is None:
            raise Unusable("Blobs in an object store need a folder for their cache.")
        self._folder = folder
        self._incoming = folder / "incoming"
        self._incoming.mkdir(mode=0o700, parents=True, exist_ok=True)
        (folder / _PREFIX).mkdir(mode=0o700, exist_ok=True)
        fsync_folder(folder)
        self._store = _open(url)

    def put(self, content: bytes) -> Blob:
        """Store bytes and return what they are called."""
        with self.writing() as sink:
            sink.write(content)
            return sink.keep()

    def put_file(self, path: Path) -> Blob:
        """Store a copy of a file, read in pieces."""
        with path.open("rb") as source, self.writing() as sink:
            while chunk := source.read(CHUNK):
                sink.write(chunk)
            return sink.keep()

    @contextmanager
    def writing(self) -> Iterator[Sink]:
        """Give a sink for bytes that come in pieces."""
        draft = self._incoming / secrets.token_hex(16)
        try:
            with _reported():
                file = draft.open("xb")
            with file:
                yield Sink(file, draft, self._place)
        finally:
            draft.unlink(missing_ok=True)

    def get(self, sha256: str) -> bytes:
        """Return a blob after checking it against its hash, or raise `NotFound`."""
        with _finding():
            content = bytes(obstore.get(self._store, _key(sha256)).bytes())
        if hashlib.sha256(content).hexdigest() != sha256:
            raise _damaged()
        return content

    def local_path(self, sha256: str) -> Path:
        """Return a file with the blob, to be read only: the blob itself, or a checked copy."""
        path = self._folder / _key(sha256)
        if self._root is None:
            self._fetch(sha256, path)
        elif not path.is_file():
            raise NotFound(_MISSING)
        return path

    def exists(self, sha256: str) -> bool:
        """Return whether there is such a blob."""
        try:
            with _finding():
                obstore.head(self._store, _key(sha256))
        except NotFound:
            return False
        return True

    def delete(self, sha256: str) -> None:
        """Remove a blob; one that is not there is fine. Prefer `collect`: contents are shared."""
        try:
            with _finding():
                obstore.delete(self._store, _key(sha256))
        except NotFound:
            return

    def sweep(
        self, *, torn_after: timedelta = TORN_AFTER, cached_for: timedelta = CACHED_FOR
    ) -> int:
        """Remove what dead processes left behind and copies nobody reads; return how many."""
        swept = _remove_older(self._incoming, torn_after)
        if self._root is None:
            swept += _remove_older(self._folder / _PREFIX, cached_for)
        return swept

    def collect(self, referenced: Collection[str], *, min_age: timedelta) -> Collected:
        """Remove the blobs that nothing refers to.

        Parameters
        ----------
        referenced : collection of str
            Hashes to keep, as `Metadata.referenced_blobs` returns them.
        min_age : timedelta
            Blobs written (again) less than this ago are kept: their pointer may be about to be
            committed. It must exceed the time from storing a blob to committing its pointer.
        """
        oldest = datetime.now(UTC) - min_age
        keep = frozenset(referenced)
        count = size = 0
        with _reported():
            for metas in obstore.list(self._store, _PREFIX):
                for meta in metas:
                    sha256 = meta["path"].removeprefix(f"{_PREFIX}/").replace("/", "")
                    if sha256 in keep or meta["last_modified"] >= oldest:
                        continue
                    if self._remove_if_old(sha256, oldest):
                        count += 1
                        size += meta["size"]
        return Collected(count, size)

    def _place(self, draft: Path, sha256: str) -> None:
        """Give a finished draft its name."""
        key = _key(sha256)
        if self._root is None:
            # Not only if absent: writing again makes the object young, see `collect`.
            obstore.put(self._store, key, draft)
            return
        path = self._root / key
        path.parent.mkdir(mode=0o700, exist_ok=True)
        with _locked(self._incoming, fcntl.LOCK_SH):
            draft.replace(path)
        fsync_folder(path.parent)
        fsync_folder(path.parent.parent)

    def _fetch(self, sha256: str, path: Path) -> None:
        """Have a copy of an object in the cache."""
        with suppress(FileNotFoundError):
            os.utime(path)  # in use: `sweep` spares it
            return
        path.parent.mkdir(mode=0o700, exist_ok=True)
        draft = self._incoming / secrets.token_hex(16)
        digest = hashlib.sha256()
        try:
            with _finding(), draft.open("xb") as file:
                for piece in self._pieces(_key(sha256)):
                    digest.update(piece)
                    file.write(piece)
            if digest.hexdigest() != sha256:
                raise _damaged()
            draft.replace(path)
        finally:
            draft.unlink(missing_ok=True)

    def _pieces(self, key: str) -> Iterator[memoryview]:
        """Read an object in ranges: one request for all of a large one may outlast its deadline."""
        size = obstore.head(self._store, key)["size"]
        for start in range(0, size, RANGE):
            end = min(start + RANGE, size)
            yield memoryview(obstore.get_range(self._store, key, start=start, end=end))

    def _remove_if_old(self, sha256: str, oldest: datetime) -> bool:
        """Remove a blob unless it was written again since it was listed.

        In a folder the lock closes the gap between looking and removing; in an object store the
        gap is one round trip, against an age of hours.
        """
        with _locked(self._incoming, fcntl.LOCK_EX), suppress(FileNotFoundError):
            if obstore.head(self._store, _key(sha256))["last_modified"] >= oldest:
                return False
            obstore.delete(self._store, _key(sha256))
            return True
        return False  # somebody else collected it


def _open(url: str) -> ObjectStore:
    """Open a store; an endpoint that is away fails within seconds, not minutes."""
    try:
        if urlsplit(url).scheme in {"file", "memory"}:
            return from_url(url)
        # No client options: giving any would switch off those from the environment.
        return from_url(url, retry_config={"max_retries": 5, "retry_timeout": RETRYING})
    except (BaseError, ValueError) as error:
        raise Unusable("The blob URL cannot be used.") from error


def _key(sha256: str) -> str:
    """Return where a blob lies; the hash comes from a row or a caller, so it is checked."""
    if not _SHA256.fullmatch(sha256):
        raise NotFound(_MISSING)
    return f"{_PREFIX}/{sha256[:2]}/{sha256[2:]}"


def _damaged() -> CalibrantError:
    """Return what to raise when content and hash differ."""
    return CalibrantError("A stored blob is damaged: its content does not have its hash any more.")


@contextmanager
def _reported() -> Iterator[None]:
    """Turn the failures of a store into ours."""
    try:
        yield
    except (BaseError, OSError) as error:
        raise Unavailable("The blob store cannot be used right now.") from error


@contextmanager
def _finding() -> Iterator[None]:
    """Do the same where a missing file means a missing blob."""
    with _reported():
        try:
            yield
        except FileNotFoundError as error:
            raise NotFound(_MISSING) from error


@contextmanager
def _locked(folder: Path, kind: int) -> Iterator[None]:
    """Hold the lock of a folder, shared or alone, against other processes and threads."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        fcntl.flock(handle, kind)
        yield
    finally:
        os.close(handle)


def _remove_older(folder: Path, age: timedelta) -> int:
    """Remove the files below a folder that nobody touched for so long; return how many."""
    oldest = time.time() - age.total_seconds()
    removed = 0
    for path in folder.rglob("*"):
        try:
            if path.is_file() and path.stat().st_mtime < oldest:
                path.unlink()
                removed += 1
        except FileNotFoundError:  # somebody else swept it
            continue
    return removed
