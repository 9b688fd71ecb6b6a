"""`calibrant openapi`: write the API's description, or check that the committed one is fresh."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from calibrant.errors import Conflict


def openapi(
    write: Annotated[Path | None, typer.Option(help="Write the document to this file.")] = None,
    check: Annotated[Path | None, typer.Option(help="Fail if this file is not fresh.")] = None,
) -> None:
    """Print, write or check the OpenAPI document."""
    from calibrant.api.openapi import rendered

    text = rendered()
    if write is not None:
        write.write_text(text, encoding="utf-8")
    elif check is not None:
        if not check.exists() or check.read_text(encoding="utf-8") != text:
            raise Conflict(f"`{check}` is not what the code describes. Run: make openapi")
        typer.echo(f"{check} is fresh")
    else:
        typer.echo(text, nl=False)
