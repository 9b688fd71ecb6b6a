"""Tables for tests: written from bytes or frames, read back as plain values."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from calibrant.errors import CalibrantError
from calibrant.storage.tables import ColumnMapping, Limits, TableInfo, TableSource, canonical

CANARY = "s3cr3t-v4lue"


class Tables:
    """A folder in which tables are read."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.out = folder / "canonical.parquet"

    def file(self, content: bytes | str | Path, name: str = "upload") -> Path:
        if isinstance(content, Path):
            return content
        path = self.folder / name
        path.write_bytes(content.encode() if isinstance(content, str) else content)
        return path

    def read(
        self,
        content: bytes | str | Path,
        name: str | None = None,
        *,
        limits: Limits | None = None,
        media_type: str | None = None,
    ) -> TableInfo:
        path = self.file(content, name or "upload")
        return canonical(path, media_type, self.out, limits or Limits(), name=name)

    def values(self, *args: Any, **kwargs: Any) -> dict[str, list[Any]]:
        import pyarrow.parquet as pq

        self.read(*args, **kwargs)
        return pq.read_table(self.out).to_pydict()

    def types(self, *args: Any, **kwargs: Any) -> dict[str, str]:
        return {column.name: column.type for column in self.read(*args, **kwargs).columns}

    def refused(
        self, kind: type[CalibrantError], *args: Any, says: str = "", **kwargs: Any
    ) -> CalibrantError:
        """Read, expect to be refused, and see that nothing of the data is repeated."""
        with pytest.raises(kind) as caught:
            self.read(*args, **kwargs)
        error = caught.value
        whole = error.detail + "".join(each.pointer + each.message for each in error.errors)
        assert CANARY not in whole
        assert says in whole
        assert not self.out.exists()
        return error

    def source(
        self, task: Any = "binary", score_kind: Any = "probabilities", **mapping: Any
    ) -> TableSource:
        scores = mapping.pop("scores", ("p",))
        return TableSource(
            self.out, ColumnMapping(scores=scores, **mapping), task, score_kind, "ab" * 32
        )


@pytest.fixture
def tables(tmp_path: Path) -> Tables:
    return Tables(tmp_path)


@pytest.fixture
def canary() -> str:
    return CANARY
