"""Everything that can be set, from `CALIBRANT_*` environment variables, read once."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from pydantic import Field
from pydantic_settings import BaseSettings, SettingsConfigDict


class Settings(BaseSettings):
    """The settings of one process tree; frozen, so nothing changes behind anybody's back."""

    model_config = SettingsConfigDict(env_prefix="CALIBRANT_", frozen=True, extra="ignore")

    host: str = Field("127.0.0.1", description="Address the API listens on.")
    port: int = Field(8000, ge=0, le=65535, description="Port the API listens on.")
    data_dir: Path = Field(
        Path(".calibrant"),
        description="Folder of the embedded default: databases, blobs, compiled kernels.",
    )
    database_url: str = Field(
        "", description="SQLAlchemy URL of the metadata; empty: SQLite under the data folder."
    )
    blob_url: str = Field(
        "", description="Where blobs lie (`file://` or `s3://`); empty: under the data folder."
    )
    auth: Literal["keys", "off"] = Field(
        "off", description="`keys` asks for an API key; `off` is allowed on loopback only."
    )
    allow_open: bool = Field(
        default=False, description="Allow `auth=off` on an address that is not loopback."
    )
    max_json_bytes: int = Field(
        2 * 2**20, ge=1024, description="Largest inline JSON body; above it: upload a data set."
    )
    max_body_bytes: int = Field(
        32 * 2**20, ge=1024, description="Largest other request body, after decompression."
    )
    max_upload_bytes: int = Field(
        4 * 2**30, ge=1024, description="Largest data-set upload, after decompression."
    )
    max_rows: int = Field(50_000_000, ge=1, description="Largest number of rows in a data set.")
    max_columns: int = Field(2_000, ge=1, description="Largest number of columns in a data set.")
    max_classes: int = Field(2_000, ge=2, description="Largest number of classes.")
    max_slices: int = Field(
        1_000, ge=1, description="Largest number of slices in one report, crosses included."
    )
    receive_timeout: float = Field(
        30.0, gt=0, description="Seconds in which a request body must have arrived."
    )
    header_timeout: float = Field(
        10.0, gt=0, description="Seconds in which a request head must have arrived."
    )
    inline_rows: int = Field(
        200_000, ge=0, description="Inline evaluations up to this many rows answer in the request."
    )
    compute_permits: int = Field(
        2, ge=1, description="Inline evaluations computed at a time; further ones wait, then 429."
    )
    job_wait: float = Field(
        20.0, ge=0, description="Seconds a request waits for its job before it answers 202."
    )
    job_timeout: float = Field(3600.0, gt=0, description="Seconds a job may run.")
    cpu_slots: int = Field(1, ge=1, description="CPU jobs that one worker computes at a time.")
    log_level: Literal["debug", "info", "warning", "error"] = Field(
        "info", description="Least severe message that is logged."
    )

    @property
    def metadata_url(self) -> str:
        """SQLAlchemy URL of the metadata database."""
        return self.database_url or f"sqlite:///{self.data_dir.resolve() / 'calibrant.sqlite'}"

    @property
    def jobs_url(self) -> str:
        """URL of the job database: PostgreSQL is shared, SQLite has a file of its own."""
        if self.database_url.startswith("postgresql"):
            return self.database_url.replace("postgresql+psycopg://", "postgresql://", 1)
        return f"sqlite:///{self.data_dir.resolve() / 'jobs.sqlite'}"

    @property
    def blobs_url(self) -> str:
        """URL of the blob store."""
        return self.blob_url or (self.data_dir.resolve() / "blobs").as_uri()
