"""The `gateway` command as a whole."""

from __future__ import annotations

import errno

import pytest
import typer
from typer.testing import CliRunner

from gateway.bootstrap import VERSION
from gateway.cli.errors import Commands
from gateway.cli.main import app
from gateway.contract.errors import InvariantError, OperatorError
from gateway.ops.faults import ConfigurationError, Fault


def test_it_says_its_version():
    result = CliRunner().invoke(app, ["--version"])
    assert (result.exit_code, result.stdout) == (0, f"gateway {VERSION}\n")


def test_an_unknown_command_is_usage():
    assert CliRunner().invoke(app, ["serf"]).exit_code == 2


def raising(error):
    made = typer.Typer(cls=Commands, pretty_exceptions_enable=False)

    @made.command()
    def fail() -> None:
        raise error

    @made.command()
    def other() -> None:
        """Be there, so that both are commands."""

    return CliRunner().invoke(made, ["fail"])


TOLD = {
    "faults with places": (
        ConfigurationError([Fault("b", 2, "k", "is wrong", "right"), Fault("a", 1, "", "no")]),
        ["a:1: no", "b:2: k: is wrong; right"],
    ),
    "words": (OperatorError("tls_key", "must be PEM"), ["tls_key: must be PEM"]),
    "nothing": (OperatorError(), ["OperatorError"]),
    "a file": (OSError(errno.ENOENT, "No such file", "x.toml"), ["x.toml: No such file"]),
}


@pytest.mark.parametrize("case", TOLD)
def test_what_an_operator_must_mend_is_told_in_lines(case):
    error, lines = TOLD[case]
    result = raising(error)
    assert (result.exit_code, result.stderr.splitlines(), result.stdout) == (1, lines, "")


@pytest.mark.parametrize("error", [InvariantError("leg"), OSError(errno.EIO, "Input/output error"), KeyError("x")])
def test_what_is_our_own_fault_is_not_hidden(error):
    result = raising(error)
    assert result.exception is error
