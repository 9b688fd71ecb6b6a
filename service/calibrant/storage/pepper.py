"""The server's secret that API keys are hashed with, in a file only its owner can read."""

from __future__ import annotations

import os
import secrets
import stat
from pathlib import Path

from calibrant.errors import Unavailable

PEPPER_BYTES = 32


def read_or_make_pepper(path: Path) -> bytes:
    """Return the secret in `path`, made there (mode 0600) the first time.

    Processes that come at once get the same secret.

    Raises
    ------
    Unavailable
        If the file can be read by others or is cut short.
    """
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    if not path.exists():
        _make(path)
    if stat.S_IMODE(path.stat().st_mode) & 0o077:
        raise Unavailable("The file with the server's secret is open to others: chmod 600 it.")
    pepper = path.read_bytes()
    if len(pepper) < PEPPER_BYTES:
        raise Unavailable("The file with the server's secret is cut short: restore or remove it.")
    return pepper


def _make(path: Path) -> None:
    """Write a secret under another name, then give it the name if nobody else was first."""
    draft = path.with_name(f"{path.name}.{secrets.token_hex(8)}")
    handle = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(secrets.token_bytes(PEPPER_BYTES))
            file.flush()
            os.fsync(file.fileno())
        try:
            os.link(draft, path)
        except FileExistsError:
            return
        fsync_folder(path.parent)
    finally:
        draft.unlink()


def fsync_folder(folder: Path) -> None:
    """Make the names in a folder survive a loss of power."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
