"""The `calibrant` command: its subcommands, and how failures become exit codes and sentences."""

from __future__ import annotations

import sys
import traceback
from typing import Annotated

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


def _say_version(wanted: bool) -> None:  # noqa: FBT001 - signature of typer
    if wanted:
        typer.echo(__version__)
        raise typer.Exit


@app.callback()
def options(
    version: Annotated[
        bool,
        typer.Option("--version", help="Print the version.", is_eager=True, callback=_say_version),
    ] = False,
) -> None:
    """Measure, repair, serve and watch the calibration of predicted probabilities."""
    del version


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
    except (typer.Abort, KeyboardInterrupt):
        sys.exit(130)
    except CalibrantError as error:
        typer.secho(f"calibrant: {error.detail}", err=True, fg="red")
        for finding in error.errors:
            typer.echo(f"  {finding.pointer}: {finding.message}", err=True)
        sys.exit(FAILED)
    except typer.TyperException as error:
        context = getattr(error, "ctx", None)
        usage = "" if context is None else f"{context.get_usage()}\n"
        typer.echo(f"{usage}calibrant: {error.format_message()}", err=True)
        sys.exit(FAILED)
    except OSError as error:
        typer.secho(f"calibrant: {error.filename}: {error.strerror}", err=True, fg="red")
        sys.exit(FAILED)
    except Exception:  # noqa: BLE001 - Python's own exit code for it is that of a failed gate
        traceback.print_exc()
        sys.exit(FAILED)
    sys.exit(code if isinstance(code, int) else 0)
