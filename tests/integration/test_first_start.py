"""``theke up`` without demo data, as an operator starts it the first time: real servers, real services, the command line."""

from __future__ import annotations

import asyncio
import json
import os
import re
import signal
import socket
import sys
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import aiohttp
import pytest

from libs.runtime.config import PROJECT

WITHIN_S = 60.0


@dataclass(frozen=True)
class Installed:
    url: str
    welcome: str
    environ: dict[str, str]

    @property
    def password(self) -> str:
        found = re.search(r"instance main, login admin, password (\S+)", self.welcome)
        assert found is not None, self.welcome
        return found[1]

    async def theke(self, *arguments: str) -> tuple[int, str, str]:
        """Exit code, stdout, stderr of a ``theke`` command."""
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "libs.cli.main", *arguments,
            env=self.environ, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE,
        )  # fmt: skip
        out, err = await asyncio.wait_for(process.communicate(), WITHIN_S)
        return process.returncode or 0, out.decode(), err.decode()

    async def shell(self, document: str) -> tuple[int, str, str]:
        """The same of the shell blocks of a document, in a directory of their own."""
        blocks = re.findall(r"```sh\n(.*?)```", (PROJECT / document).read_text(encoding="utf-8"), re.DOTALL)
        script = f'theke() {{ {sys.executable} -m libs.cli.main "$@"; }}\n' + "\n".join(blocks)
        with TemporaryDirectory() as directory:
            process = await asyncio.create_subprocess_exec(
                "bash", "-eu", "-c", script,
                cwd=directory, env={**self.environ, "PYTHONPATH": str(PROJECT)},
                stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE,
            )  # fmt: skip
            out, err = await asyncio.wait_for(process.communicate(), WITHIN_S)
        return process.returncode or 0, out.decode(), err.decode()

    async def login(self, username: str, password: str, **headers: str) -> tuple[int, Any]:
        async with aiohttp.ClientSession(headers=headers) as http:
            answer = await http.post(f"{self.url}/api/v1/auth/login", json={"username": username, "password": password})
            return answer.status, await answer.json()


@pytest.fixture
async def installed(state_directory: Path) -> AsyncIterator[Installed]:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    kept = {name: value for name, value in os.environ.items() if not name.startswith("THEKE_")}
    environ = {**kept, "THEKE_DATA": str(state_directory), "THEKE_PORT": str(port), "THEKE_LOG_LEVEL": "warning"}
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "libs.cli.main", "up", env=environ, stdout=asyncio.subprocess.PIPE, stderr=None
    )
    assert process.stdout is not None
    welcome = ""
    try:
        async with asyncio.timeout(WITHIN_S):
            while "kept nowhere" not in welcome:
                line = await process.stdout.readline()
                assert line, f"theke ended: {welcome}"
                welcome += line.decode()
        yield Installed(f"http://127.0.0.1:{port}", welcome, environ)
    finally:
        if process.returncode is None:
            process.send_signal(signal.SIGINT)
        await asyncio.wait_for(process.wait(), WITHIN_S)


async def test_an_operators_first_hour(installed: Installed) -> None:
    # the password that was shown is the only one that works
    status, body = await installed.login("admin", installed.password)
    assert status == 200, body
    assert (await installed.login("admin", "admin"))[0] == 401

    # a second business, with an administrator of its own
    code, out, _ = await installed.theke("instances", "create", "bar", "--json")
    assert code == 0
    bar = json.loads(out)
    assert (bar["id"], bar["name"], bar["username"]) == (2, "bar", "admin")
    assert (await installed.login("admin", bar["password"], **{"Theke-Instance": "bar"}))[0] == 200
    assert (await installed.login("admin", installed.password, **{"Theke-Instance": "bar"}))[0] == 401
    assert (await installed.login("admin", bar["password"], **{"Theke-Instance": "nobody"}))[0] == 401
    code, out, _ = await installed.theke("instances", "list")
    assert (code, out.split()) == (0, ["i1", "main", "i2", "bar"])

    # what goes wrong says so in a line
    code, out, err = await installed.theke("instances", "create", "bar")
    assert (code, out, err.count("\n")) == (1, "", 1)
    assert "'bar' is already taken" in err
    code, _, err = await installed.theke("instances", "create", "Bar!")
    assert code == 1
    assert "must have 2 to 31 characters" in err

    # status: every log, how far relay and projections are
    code, out, _ = await installed.theke("status", "--json")
    assert code == 0
    facts = json.loads(out)
    assert {process["name"]: process["alive"] for process in facts["processes"]} == dict.fromkeys(
        ("postgres", "nats", "auth", "inventory", "crm", "billing", "pos", "gateway"), True
    )
    inventory = facts["services"]["inventory"]
    assert inventory["heads"] == {"1": 4, "2": 4}  # the tax rates every instance begins with
    assert inventory["projections"]["tax_rates"]["1"] == {"position": 4, "held": None}
    code, out, _ = await installed.theke("status")
    assert code == 0
    assert re.search(r"inventory i1 +4 +4 +4", out)

    # proof that nothing was lost, as the how-to has it
    code, out, err = await installed.shell("docs/how-to/prove-that-nothing-was-lost.md")
    assert (code, err) == (0, "")
    assert out.count("Nothing was lost: 5 logs") == 2
    assert "tax_rate.created" in out

    # query tables made anew, as the how-to has it
    code, out, err = await installed.shell("docs/how-to/rebuild-a-projection.md")
    assert (code, err) == (0, "")
    assert "inventory: articles_r" in out
    assert out.count("readers get them now") == 6

    # an installation that is well is found well, and where there is nothing to do nothing is done
    code, out, err = await installed.theke("doctor", "--json")
    assert (code, err) == (0, ""), out
    assert {one["check"] for one in json.loads(out)} >= {
        "disk",
        "limits",
        "secrets",
        "port",
        "postgres",
        "clock",
        "streams",
        "chain",
        "copies",
    }
    assert (await installed.theke("processes", "retry", "pos.payments", "--instance", "main"))[:2] == (0, "nothing is stopped any more\n")
    assert (await installed.theke("log", "new-life", "--json"))[:2] == (0, "[]\n")

    # the second business ends: closed, taken along, removed
    assert (await installed.theke("instances", "delete", "bar"))[0] == 2, "nobody sits there to type the name"
    code, out, _ = await installed.theke("instances", "delete", "bar", "--yes", "--name", "bar")
    assert (code, "bar (i2) is closed" in out) == (0, True)
    assert (await installed.login("admin", bar["password"], **{"Theke-Instance": "bar"}))[0] == 410
    folder = str(Path(installed.environ["THEKE_DATA"]) / "bar-taken-along")
    assert (await installed.theke("instances", "export", "bar", folder))[0] == 0
    code, out, err = await installed.theke("instances", "delete", "bar", "--purge", "--exported", folder, "--yes", "--name", "bar")
    assert (code, err, "bar (i2) is gone" in out) == (0, "", True)
    assert (await installed.theke("instances", "list"))[1].split() == ["i1", "main"]

    # a service that is down is said to be
    pid = next(process["pid"] for process in facts["processes"] if process["name"] == "pos")
    os.kill(pid, signal.SIGSTOP)
    try:
        code, out, _ = await installed.theke("status")
        assert code == 0
        assert "pos" in next(line for line in out.splitlines() if "does not answer" in line)
        code, out, err = await installed.theke("events", "tail", "--service", "inventory", "--service", "pos", "-n", "1")
        assert (code, out.count("\n")) == (0, 1)
        assert "pos does not answer" in err
    finally:
        os.kill(pid, signal.SIGCONT)
