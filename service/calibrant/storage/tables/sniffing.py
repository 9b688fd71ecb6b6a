"""Which format a file has: what it is declared to be, checked against its first bytes."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from calibrant.errors import BadRequest, UnsupportedMedia
from calibrant.storage.tables.shape import Coding, Format
from calibrant.storage.tables.streams import coding_of, open_counted

_MEDIA: dict[str, Format] = {
    "text/csv": "csv",
    "application/csv": "csv",
    "text/tab-separated-values": "csv",
    "application/x-ndjson": "ndjson",
    "application/ndjson": "ndjson",
    "application/jsonl": "ndjson",
    "application/x-jsonlines": "ndjson",
    "application/json": "json",
    "application/vnd.apache.parquet": "parquet",
    "application/x-parquet": "parquet",
    "application/parquet": "parquet",
    "application/vnd.apache.arrow.file": "arrow",
    "application/vnd.apache.arrow.stream": "arrow",
    "application/x-npz": "npz",
    "application/npz": "npz",
}
_CODED: dict[str, Coding] = {
    "application/gzip": "gzip",
    "application/x-gzip": "gzip",
    "application/zstd": "zstd",
}
_UNSAID = {"", "application/octet-stream", "binary/octet-stream", "application/zip", *_CODED}
_SUFFIXES: dict[str, Format] = {
    ".csv": "csv",
    ".tsv": "csv",
    ".txt": "csv",
    ".ndjson": "ndjson",
    ".jsonl": "ndjson",
    ".json": "json",
    ".parquet": "parquet",
    ".pq": "parquet",
    ".arrow": "arrow",
    ".arrows": "arrow",
    ".feather": "arrow",
    ".ipc": "arrow",
    ".npz": "npz",
}
_CODED_SUFFIXES: dict[str, Coding] = {".gz": "gzip", ".zst": "zstd", ".zstd": "zstd"}
_BINARY: tuple[tuple[bytes, Format], ...] = (
    (b"PAR1", "parquet"),
    (b"ARROW1", "arrow"),
    (b"\xff\xff\xff\xff", "arrow"),
    (b"PK\x03\x04", "npz"),
    (b"PK\x05\x06", "npz"),
)
_REFUSED = (
    (b"FEA1", "Feather version 1 is not read; write Arrow (Feather version 2) or Parquet."),
    (b"PARE", "Encrypted Parquet is not read."),
    (b"\x93NUMPY", "A single NPY array has no column names; save it as NPZ."),
    (b"\x80\x04", "Pickles are never read; write CSV, Parquet, Arrow or NPZ."),
    (b"\x80\x05", "Pickles are never read; write CSV, Parquet, Arrow or NPZ."),
    (b"\x89HDF", "HDF5 is not read; write CSV, Parquet, Arrow or NPZ."),
)
READABLE = "CSV, NDJSON, JSON, Parquet, Arrow and NPZ, each plain or as gzip or zstd"
_HEAD = 65_536


@dataclass(frozen=True, slots=True)
class Sniffed:
    """What a file is read as."""

    format: Format
    coding: Coding | None = None


def sniff(
    path: Path,
    name: str | None = None,
    media_type: str | None = None,
    *,
    coding: Coding | None = None,
) -> Sniffed:
    """Say what a file is read as.

    Parameters
    ----------
    path : Path
        The file; what it is called does not matter.
    name : str, optional
        What its sender calls it: the suffix decides where no media type does.
    media_type : str, optional
        `Content-Type`; parameters are ignored.
    coding : str, optional
        Declared content coding. An undeclared one is found by its first bytes.

    Raises
    ------
    UnsupportedMedia
        If nobody here reads it.
    BadRequest
        If it is empty, or its bytes are not what it is declared to be.
    """
    declared, announced = _declared(name, media_type)
    with path.open("rb") as file:
        found = coding_of(file.read(8))
    wanted = coding or announced
    if wanted and found != wanted:
        raise BadRequest(f"The bytes are not {wanted}, as which they are declared.")
    head = _head(path, found)
    if found and coding_of(head):
        raise UnsupportedMedia("The table is compressed more than once.")
    return Sniffed(_format(head, declared), found)


def format_of(name: str) -> Sniffed | None:
    """Return the format and coding that a file name stands for."""
    path = Path(name.lower())
    coding = _CODED_SUFFIXES.get(path.suffix)
    suffix = Path(path.stem).suffix if coding else path.suffix
    return Sniffed(_SUFFIXES[suffix], coding) if suffix in _SUFFIXES else None


def _declared(name: str | None, media_type: str | None) -> tuple[Format | None, Coding | None]:
    media = (media_type or "").partition(";")[0].strip().lower()
    if media not in _MEDIA and media not in _UNSAID:
        raise UnsupportedMedia(f"Tables are read as {READABLE}.")
    named = format_of(name) if name else None
    return _MEDIA.get(media, named.format if named else None), _CODED.get(media)


def _head(path: Path, coding: Coding | None) -> bytes:
    # a stream that ends early or is damaged further on is the reader's finding
    with open_counted(path, coding, _HEAD * 64) as stream:
        head = stream.read(_HEAD)
    if not head.strip():
        raise BadRequest("The table is empty: it has no header and no rows.")
    return head


def _format(head: bytes, declared: Format | None) -> Format:
    for magic, reason in _REFUSED:
        if head.startswith(magic):
            raise UnsupportedMedia(reason)
    found = next((name for magic, name in _BINARY if head.startswith(magic)), None)
    if found is None and declared in {"parquet", "arrow", "npz"}:
        raise BadRequest(f"The bytes are not {declared}, as which they are declared.")
    if found is not None and declared is not None and found != declared:
        raise BadRequest(f"The bytes are {found}, not {declared}, as which they are declared.")
    return found or declared or _text_format(head)


def _text_format(head: bytes) -> Format:
    if b"\0" in head:
        raise UnsupportedMedia(f"This is neither text nor a known format. Read are {READABLE}.")
    text = head.removeprefix(b"\xef\xbb\xbf").lstrip()
    if text.startswith(b"["):
        return "json"
    if not text.startswith(b"{"):
        return "csv"
    return "ndjson" if _is_row(text) else "json"


def _is_row(text: bytes) -> bool:
    """Say whether the first line is a complete row rather than the beginning of columns."""
    import msgspec

    line, newline, rest = text.partition(b"\n")
    try:
        first = msgspec.json.decode(line, type=dict[str, msgspec.Raw])
    except (msgspec.DecodeError, RecursionError, UnicodeDecodeError):
        return False
    columns = first and all(bytes(value).lstrip().startswith(b"[") for value in first.values())
    return bool(newline and rest.strip()) or not columns
