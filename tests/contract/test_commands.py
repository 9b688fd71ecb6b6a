"""Every command, option and argument says what it is for; README knows the commands."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import click
import pytest
import typer

from calibrant.cli.main import app

ROOT = Path(__file__).resolve().parents[2]
PUBLIC = {
    "calibrate", "demo", "doctor", "evaluate", "fit", "keys create", "keys list", "keys revoke",
    "migrate", "openapi", "serve", "worker",
}  # fmt: skip


def commands(group: click.Command, prefix: str = "") -> Iterator[tuple[str, click.Command]]:
    for name, command in getattr(group, "commands", {}).items():
        if getattr(command, "commands", None):
            yield from commands(command, f"{prefix}{name} ")
        elif not command.hidden:
            yield f"{prefix}{name}", command


COMMANDS = dict(commands(typer.main.get_command(app)))


def test_the_public_commands_are_these():
    assert set(COMMANDS) == PUBLIC


@pytest.mark.parametrize("name", sorted(PUBLIC))
def test_every_command_and_every_parameter_has_a_help_text(name):
    command = COMMANDS[name]
    assert command.help, name
    assert command.help.strip().splitlines()[0].rstrip().endswith((".", ";", ",")), command.help
    for parameter in command.params:
        if parameter.name != "help":
            assert getattr(parameter, "help", None), f"{name}: {parameter.name}"


def test_the_commands_and_options_of_readme_exist():
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    blocks = re.findall(r"```(?:sh|yaml)\n(.*?)```", text, re.DOTALL)
    lines = [line for block in blocks for line in re.findall(r"calibrant [a-z].*", block)]
    assert len(lines) >= 5
    for line in lines:
        words = line.split()
        name = next(
            known
            for known in sorted(PUBLIC, reverse=True)
            if f"{known} " in f"{' '.join(words[1:])} "
        )
        known = {flag for parameter in COMMANDS[name].params for flag in parameter.opts}
        used = {word for word in words if re.fullmatch(r"--?[a-z][a-z-]*", word)}
        assert used <= known, line
