"""`python -m gateway.cli`: the same as `gateway`."""

from gateway.cli.main import app

app(prog_name="gateway")
