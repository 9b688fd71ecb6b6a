"""`calibrant keys`: make, list and revoke API keys on the machine of the service."""

from __future__ import annotations

from typing import Annotated

import typer

from calibrant.cli.serve import read_settings
from calibrant.errors import NotFound
from calibrant.operations import keys
from calibrant.runtime import open_metadata

app = typer.Typer(help="Make, list and revoke API keys.", no_args_is_help=True)

Tenant = Annotated[str, typer.Option(help="The tenant the key belongs to.")]


@app.command()
def create(
    scopes: Annotated[
        str, typer.Option(help="Comma-separated: read, ingest, fit, promote, admin.")
    ] = "read,ingest,fit,promote",
    tenant: Tenant = "default",
    label: Annotated[str, typer.Option(help="What the key is for.")] = "",
    days: Annotated[int | None, typer.Option(min=1, help="Days until it expires.")] = None,
) -> None:
    """Make a key and print it, once: only a digest of it is stored."""
    with open_metadata(read_settings()) as metadata:
        wanted = [scope.strip() for scope in scopes.split(",") if scope.strip()]
        made = keys.create(metadata, tenant, label=label, scopes=wanted, days=days)
    typer.echo(made.secret)
    typer.echo(f"key {made.key.id}: {', '.join(made.key.scopes)}, tenant {tenant}", err=True)


@app.command("list")
def list_keys(tenant: Tenant = "default") -> None:
    """List the keys of a tenant, without their secrets."""
    with open_metadata(read_settings()) as metadata:
        for key in keys.page(metadata, tenant, limit=1000).items:
            state = (
                "revoked"
                if key.revoked
                else "expires " + (f"{key.expires:%Y-%m-%d}" if key.expires else "never")
            )
            typer.echo(f"{key.id}  {','.join(key.scopes)}  {state}  {key.label}")


@app.command()
def revoke(
    key_id: Annotated[str, typer.Argument(help="Id of the key, as `list` shows it.")],
    tenant: Tenant = "default",
) -> None:
    """Make a key useless from now on."""
    with open_metadata(read_settings()) as metadata:
        try:
            keys.revoke(metadata, tenant, key_id)
        except NotFound as error:
            raise NotFound(f"Tenant {tenant} has no key {key_id}.") from error
    typer.echo(f"revoked {key_id}")
