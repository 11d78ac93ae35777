"""``theke downstream``: what an operator gives to those who want the events."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path

import nats
import pytest

from libs.cli import downstream, exits
from libs.cli.main import parser
from libs.contracts.asks import ASKS
from libs.runtime.config import Settings
from libs.runtime.proof import Places
from tests.house import Inn, Theke


@pytest.fixture
def run(theke: Theke, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]):
    """Runs the command on the shared house: its exit code and what it printed."""
    assert theke.nats is not None
    monkeypatch.setattr(downstream, "places", lambda _: Places(theke.log_dsn, theke.read_dsn, theke.settings.nats_url))
    settings = Settings(bus_key_file=Path(theke.nats.place.data) / "users.key")

    async def ran(*words: str) -> tuple[int, str]:
        chosen = parser().parse_args(["downstream", *words])
        code = await asyncio.to_thread(downstream.run, chosen, settings)
        printed = capsys.readouterr()
        return code, printed.out if code == exits.DONE else printed.err

    return ran


async def test_credentials_open_the_instances_account(run, subscribed: Inn) -> None:
    code, printed = await run("credentials", subscribed.name, "--json")
    assert code == exits.DONE
    granted = json.loads(printed)
    assert granted["instance"] == subscribed.name
    assert granted["streams"] == [f"EVT_{service}" for service in ASKS]
    connection = await nats.connect(granted["server"], user=granted["user"], password=granted["password"])
    assert (await connection.jetstream().stream_info("EVT_pos")).state.messages > 0
    await connection.close()
    await (await nats.connect(granted["url"])).close()
    code, shown = await run("credentials", f"i{subscribed.instance}")
    assert code == exits.DONE
    assert granted["url"] in shown


async def test_an_instance_that_is_not_there_has_none(run, subscribed: Inn) -> None:
    for name in ("nobody", "i999999", "i0"):
        code, said = await run("credentials", name)
        assert code == exits.USAGE
        assert "there is no instance" in said


async def test_the_list_says_how_far_mirrors_are_and_which_are_missing(run, theke: Theke, subscribed: Inn) -> None:
    newcomer = await theke.inn()
    _, printed = await run("list", "--json")
    listed = {one["instance"]: one for one in json.loads(printed)}
    assert set(listed[subscribed.name]["streams"]) == {f"EVT_{service}" for service in ASKS}
    assert listed[subscribed.name]["streams"]["EVT_pos"] > 0
    assert listed[newcomer.name]["streams"] == {}
    assert "uthorization" in listed[newcomer.name]["error"]
    await newcomer.close()
    code, shown = await run("list")
    assert code == exits.DONE
    assert f"i{subscribed.instance}" in shown


async def test_the_configuration_has_an_account_for_every_instance(run, subscribed: Inn, neighbour: Inn) -> None:
    code, printed = await run("config")
    assert code == exits.DONE
    for inn in (subscribed, neighbour):
        assert f"  I{inn.instance}: {{" in printed
