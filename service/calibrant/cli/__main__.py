"""`python -m calibrant.cli`: the same as the `calibrant` command."""

from calibrant.cli.main import run

run()
