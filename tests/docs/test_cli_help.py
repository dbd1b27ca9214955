"""Every command, and every option of it, says what it is for."""

from __future__ import annotations

import pytest
import typer.main

from gateway.cli.main import app


def walk(command, way):
    yield way, command
    for name, below in getattr(command, "commands", {}).items():
        yield from walk(below, f"{way} {name}")


COMMANDS = dict(walk(typer.main.get_command(app), "gateway"))


def test_the_commands_are_those_of_the_design():
    assert {"gateway serve", "gateway demo", "gateway keys init", "gateway message submit", "gateway policy explain", "gateway evidence verify",
            "gateway evidence export", "gateway db migrate", "gateway kafka setup"} <= COMMANDS.keys()  # fmt: skip


@pytest.mark.parametrize("way", COMMANDS)
def test_a_command_says_what_it_is_for(way):
    assert len((COMMANDS[way].help or "").strip()) > 15


OPTIONS = {
    f"{way} {parameter.opts[0]}": parameter
    for way, command in COMMANDS.items()
    for parameter in command.params
    if parameter.opts[0].startswith("--") and parameter.name != "help"
}


@pytest.mark.parametrize("option", OPTIONS)
def test_an_option_says_what_it_is_for(option):
    assert OPTIONS[option].help
