"""The `calibrant` command: its subcommands, and how failures become exit codes and sentences."""

from __future__ import annotations

import sys
from typing import Annotated

import click
import typer

from calibrant import __version__
from calibrant.cli import calibrate, demo, doctor, evaluate, fit, keys, openapi, serve
from calibrant.errors import CalibrantError

FAILED = 3
"""Exit code of everything that goes wrong; 0, 1 and 2 are the answers of a gate."""

app = typer.Typer(
    name="calibrant",
    help="Measure, repair, serve and watch the calibration of predicted probabilities.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode="markdown",
)


@app.callback()
def options(
    version: Annotated[bool, typer.Option("--version", help="Print the version.")] = False,
) -> None:
    """Measure, repair, serve and watch the calibration of predicted probabilities."""
    if version:
        typer.echo(__version__)
        raise typer.Exit


app.command("evaluate")(evaluate.evaluate)
app.command("fit")(fit.fit)
app.command("calibrate")(calibrate.calibrate)
app.command("demo")(demo.demo)
app.command("serve")(serve.serve)
app.command("worker")(serve.worker)
app.command("migrate")(serve.migrate)
app.command("doctor")(doctor.doctor)
app.command("openapi")(openapi.openapi)
app.add_typer(keys.app, name="keys")
app.command("api", hidden=True)(serve.api)
app.command("child", hidden=True)(serve.child)


def run() -> None:
    """Run the command; an expected failure is one sentence on stderr, never a traceback."""
    try:
        code = app(standalone_mode=False)
    except click.ClickException as error:
        error.show()
        sys.exit(FAILED)
    except (click.Abort, KeyboardInterrupt):
        sys.exit(130)
    except CalibrantError as error:
        typer.secho(f"calibrant: {error.detail}", err=True, fg="red")
        for finding in error.errors:
            typer.echo(f"  {finding.pointer}: {finding.message}", err=True)
        sys.exit(FAILED)
    sys.exit(code if isinstance(code, int) else 0)
