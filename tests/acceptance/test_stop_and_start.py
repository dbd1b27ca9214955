"""SIGTERM lets what is under way come to its end; and a configuration with a fault is refused, each fault with its file and line."""

from __future__ import annotations

import asyncio
import sqlite3
import time
from pathlib import Path

import aiohttp
import pytest

from gateway.cli.devsetup import REPOSITORY, DevSetup, make_dev_setup
from gateway.contract.values import Jti
from gateway.ops.settings import ProcessRole, RunProfile
from gateway.testing.partner import Behaviour
from tests.acceptance.deployment import BANGKOK, BORDER, FRANCE, embedded, eventually
from tests.acceptance.processes import gateway

SLOW_SECONDS = 1.5
LEAVE = {"limits": {"leave_seconds": 0}}  # nobody balances here; tests/acceptance/test_draining.py has it otherwise


async def test_sigterm_answers_who_asked_and_settles_what_was_under_way(tmp_path):
    with embedded(tmp_path, settings={ProcessRole.EMBEDDED: LEAVE}) as gw:
        served, simulator = gw.processes[ProcessRole.EMBEDDED], gw.pushed[FRANCE]
        simulator.behaviour = Behaviour(delay_seconds=SLOW_SECONDS)
        async with gw.client() as register, gw.client(BORDER) as border:
            waiting = asyncio.create_task(border.poll(wait=True))
            sent = [gw.message() for _ in range(5)]
            for one in sent:
                assert (await register.submit(one.sealed)).status == 202
            await eventually(lambda: len(simulator.requests) == len(sent), what="every leg under way")
            crowd = [asyncio.create_task(register.submit(gw.message(BANGKOK).sealed)) for _ in range(20)]
            await asyncio.sleep(0.02)
            began = time.monotonic()
            assert await asyncio.to_thread(served.stop) == 0
            took = time.monotonic() - began
            answers = await asyncio.gather(*crowd, return_exceptions=True)
            batch = await waiting
        assert took < SLOW_SECONDS + 4
        assert {jti for one in sent for jti in [document.jti for document in gw.received(FRANCE, one.jti)]} == simulator.received.keys()
        told = {answer.status if not isinstance(answer, BaseException) else type(answer) for answer in answers}
        assert 202 in told
        assert all(isinstance(each, int) or issubclass(each, aiohttp.ClientError) for each in told)
        assert told <= {202, aiohttp.ClientConnectorError, aiohttp.ServerDisconnectedError, aiohttp.ClientOSError}, "no answer is a refusal"
        assert isinstance(batch.sets, dict), "a long poll ends with an answer"
        assert _legs(gw.database) == {"delivered": len(sent)}, "no report was lost"


def _legs(database: str) -> dict[str, int]:
    connection = sqlite3.connect(database)
    try:
        return dict(connection.execute("SELECT state, count(*) FROM leg WHERE partner = ? GROUP BY state", [FRANCE]))
    finally:
        connection.close()


async def test_a_start_again_delivers_at_once_what_a_killed_process_had_under_way(tmp_path):
    with embedded(tmp_path) as gw:
        served, simulator = gw.processes[ProcessRole.EMBEDDED], gw.pushed[FRANCE]
        simulator.behaviour = Behaviour(delay_seconds=60)
        async with gw.client() as register:
            sent = gw.message()
            await register.submit(sent.sealed)
            await eventually(lambda: simulator.requests, what="the attempt")
            served.kill()
            simulator.behaviour = Behaviour()
            served.start()
            await asyncio.to_thread(served.until_ready)
            leg = await gw.until_leg(register, Jti(sent.jti), FRANCE, lambda leg: leg["state"] == "delivered")
        assert leg["attempt"] == 2, "nobody waited for the lease of a process that is gone"


# --- a start that is refused ---------------------------------------------------------------------------------------------


@pytest.fixture
def setup(tmp_path: Path) -> DevSetup:
    return make_dev_setup(tmp_path / "made", profile=RunProfile.PRODUCTION)


def append(path: Path, text: str) -> int:
    """Append lines to a file; return the number of the first."""
    before = path.read_text(encoding="utf-8")
    path.write_text(before + text, encoding="utf-8")
    return before.count("\n") + 1


def of_a_profile(setup: DevSetup) -> str:
    path = setup.folder / "partners" / "gb-register.toml"
    text = path.read_text(encoding="utf-8").replace('managing_authority = "gb-police"', 'managing_authority = "gb-polise"')
    path.write_text(text, encoding="utf-8")
    line = next(number for number, line in enumerate(text.splitlines(), start=1) if "gb-polise" in line)
    return f"{path}:{line}: managing_authority: unknown partner gb-polise"


def of_a_policy(setup: DevSetup) -> str:
    folder = setup.folder / "policies"
    folder.mkdir()
    for path in (REPOSITORY / "policies").iterdir():
        (folder / path.name).write_bytes(path.read_bytes())
    rule = '\n@id("a-partner-nobody-has")\nforbid (principal == Partner::"fr-polise", action == Action::"send", resource);\n'
    line = append(folder / "general.cedar", rule) + 1
    settings = setup.settings[ProcessRole.EMBEDDED]
    text = settings.read_text(encoding="utf-8").replace(str(REPOSITORY / "policies"), str(folder))
    settings.write_text(text, encoding="utf-8")
    return f"{folder / 'general.cedar'}:{line}"


REFUSED = {"an unknown partner in a profile": of_a_profile, "an unknown partner in a policy": of_a_policy}


@pytest.mark.parametrize("case", REFUSED)
@pytest.mark.parametrize("check", [["--check"], []], ids=["check", "start"])
def test_a_start_is_refused_with_file_and_line(setup, case, check):
    expected = REFUSED[case](setup)
    done = gateway("serve", "--config", str(setup.settings[ProcessRole.EMBEDDED]), *check)
    assert done.returncode == 1
    assert expected in done.stderr
    assert "polise" in done.stderr
    assert "Traceback" not in done.stderr
    assert not (setup.folder / "gateway.db").exists()


def test_all_faults_of_all_files_are_told_at_once(setup):
    expected = [tell(setup) for tell in REFUSED.values()]
    done = gateway("serve", "--config", str(setup.settings[ProcessRole.EMBEDDED]), "--check")
    assert done.returncode == 1
    assert all(line in done.stderr for line in expected)
