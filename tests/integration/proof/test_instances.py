"""The end of an instance: exported, proved from its files, closed, opened again, removed; and nothing of its neighbour touched."""

from __future__ import annotations

import asyncio
import gzip
import json
import shutil
import tracemalloc
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from datetime import UTC, date, datetime
from hashlib import sha256
from pathlib import Path
from typing import Any

import asyncpg
import msgspec
import nats
import pytest

from libs.blobs.store import Blobs, File
from libs.bus import limits
from libs.bus.streams import KEEPER, REMOVED, Removal, RemovalOf
from libs.bus.subjects import log_stream
from libs.cli import removing
from libs.cli.instances import create, exported
from libs.cli.main import main
from libs.cli.places import Unknown
from libs.cli.removing import NotYet, closed, found, purged, reopened
from libs.cli.verify import verify
from libs.contracts.pos.records import TABLE
from libs.domain.errors import DomainError
from libs.domain.principal import system
from libs.runtime.config import SERVICES
from libs.runtime.export_proof import NoExport, manifest_of, proved
from libs.runtime.exports import ExportFailed
from libs.runtime.proof import Places
from libs.runtime.provision import list_instances
from libs.runtime.purging import kept_until, tables_of_instances
from tests.house import Inn, Theke, cash, item, refused

MIB = 1024 * 1024
PEAK_MAX_BYTES = 12 * MIB


@pytest.fixture(scope="module")
def places(theke: Theke) -> Places:
    return Places(theke.log_dsn, theke.read_dsn, theke.settings.nats_url)


@pytest.fixture(scope="module")
async def sold(shared_inn: Inn, theke: Theke) -> Inn:
    till = await shared_inn.till()
    await till.order(shared_inn.tables[1], item(shared_inn.menu["Schnitzel"]))
    await till.pay(shared_inn.tables[1], cash("17.90"))
    for _ in range(3):
        await till.sell(item(shared_inn.menu["Pils"]))
    blobs = Blobs(theke.log_dsn)
    await blobs.keep(shared_inn.instance, "picture", {"large": File("image/png", b"large"), "small": File("image/png", b"small")})
    await blobs.close()
    return shared_inn


@pytest.fixture(scope="module")
async def whole(places: Places, sold: Inn, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("exports") / "whole"
    await exported(places, sold.instance, sold.name, folder)
    return folder


async def test_an_export_has_every_event_with_its_chain_and_is_proved_from_its_files_alone(
    places: Places, sold: Inn, whole: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert proved(whole) == []
    manifest = manifest_of(whole)
    verified = await verify(places, SERVICES, sold.instance)
    kept = {log.service: (log.head, log.digest) for log in verified.logs}
    assert {log.service: (log.head, log.digest) for log in manifest.logs if log.head} == kept
    assert (manifest.name, manifest.instance, manifest.attachments, manifest.attachment_bytes) == (sold.name, sold.instance, 2, 10)
    assert main(["instances", "verify-export", str(whole), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["holds"] is True
    lines = [json.loads(line) for line in unpacked(whole / "events/pos.jsonl.gz")]
    assert [line["number"] for line in lines if line.get("type") == "receipt.issued"] == [1, 2, 3, 4]
    assert {path.stat().st_mode & 0o077 for path in whole.rglob("*")} == {0}
    with pytest.raises(ExportFailed, match="is there already"):
        await exported(places, sold.instance, sold.name, whole)


def unpacked(path: Path) -> list[bytes]:
    return gzip.decompress(path.read_bytes()).splitlines(keepends=True)


def _lines(change: Callable[[list[bytes]], None]) -> Callable[[Path], None]:
    """Somebody writes the log of pos anew, and the manifest with it."""

    def spoil(folder: Path) -> None:
        path = folder / "events/pos.jsonl.gz"
        lines = unpacked(path)
        change(lines)
        path.write_bytes(gzip.compress(b"".join(lines)))
        manifest = json.loads((folder / "manifest.json").read_bytes())
        for log in manifest["logs"]:
            if log["service"] == "pos":
                log["sha256"] = sha256(path.read_bytes()).hexdigest()
        (folder / "manifest.json").write_text(json.dumps(manifest))

    return spoil


def _figure(lines: list[bytes]) -> None:
    ix = next(ix for ix, line in enumerate(lines) if b'"type":"receipt.issued"' in line)
    lines[ix] = lines[ix].replace(b"1790", b"1690")


def _longer(lines: list[bytes]) -> None:
    lines.append(lines[-1])


def _text(folder: Path, name: str, old: str, new: str) -> None:
    path = folder / name
    path.write_text(path.read_text().replace(old, new))


SPOILED: dict[str, tuple[Callable[[Path], None], str]] = {
    "a figure of an event": (_lines(_figure), "was altered"),
    "an event taken out": (_lines(lambda lines: lines.pop(1)), "cannot be read behind row 0"),
    "the end taken away": (_lines(lambda lines: lines.__delitem__(slice(-2, None))), "the manifest says"),
    "an event put in": (_lines(_longer), "cannot be read"),
    "a line that never ends": (_lines(lambda lines: lines.insert(1, b'{"x": "' + b"x" * (2 * MIB))), "cannot be read behind row"),
    "bytes that are no gzip": (lambda folder: (folder / "events/crm.jsonl.gz").write_bytes(b"x") and None, "events/crm.jsonl.gz"),
    "a log without its end": (
        lambda folder: (folder / "events/auth.jsonl.gz").write_bytes((folder / "events/auth.jsonl.gz").read_bytes()[:-9]) and None,
        "its SHA-256 is",
    ),
    "a log that is gone": (lambda folder: (folder / "events/auth.jsonl.gz").unlink(), "No such file"),
    "an attachment altered": (lambda folder: next((folder / "attachments").iterdir()).write_bytes(b"other") and None, "its SHA-256 is"),
    "an attachment gone": (lambda folder: next((folder / "attachments").iterdir()).unlink(), "is missing"),
    "an attachment put in": (lambda folder: (folder / "attachments/x").write_bytes(b"") and None, "3 files, 2 of them as listed"),
    "a file put in": (lambda folder: (folder / "events/x").write_bytes(b"") and None, "events/x is not in the manifest"),
    "a way out of the folder": (lambda folder: _text(folder, "manifest.json", "events/pos.", "../pos."), "is not where a log is"),
    "a head in the manifest": (lambda folder: _text(folder, "manifest.json", '"head": ', '"head": 1'), "the manifest says"),
}


@pytest.mark.parametrize(("spoil", "what"), SPOILED.values(), ids=list(SPOILED))
def test_what_was_done_to_an_export_is_named(whole: Path, tmp_path: Path, spoil: Callable[[Path], None], what: str) -> None:
    folder = tmp_path / "spoiled"
    shutil.copytree(whole, folder)
    spoil(folder)
    findings = proved(folder)
    assert any(what in finding for finding in findings), findings
    assert main(["instances", "verify-export", str(folder)]) == 5


def test_what_is_no_export_is_said_to_be_none(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(NoExport, match="No such file"):
        manifest_of(tmp_path)
    (tmp_path / "manifest.json").write_text("{}")
    with pytest.raises(NoExport, match="is no manifest"):
        manifest_of(tmp_path)
    assert main(["instances", "verify-export", str(tmp_path)]) == 1
    assert "is no manifest" in capsys.readouterr().err


async def test_an_export_takes_no_more_memory_than_a_few_pieces_and_leaves_nothing_when_it_fails(
    theke: Theke, places: Places, inn: Inn, tmp_path: Path
) -> None:
    blobs = Blobs(theke.log_dsn)
    await blobs.put(inn.instance, sha256(b"\0" * 24 * MIB).hexdigest(), 24 * MIB, (b"\0" * 256 * 1024 for _ in range(96)))
    await blobs.close()
    tracemalloc.start()
    try:
        await exported(places, inn.instance, inn.name, tmp_path / "large")
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < PEAK_MAX_BYTES
    assert proved(tmp_path / "large") == []
    async with by_force(theke) as connection:
        await connection.execute("update pos.events set data = '{}' where instance = $1 and position = 2", inn.instance)
    with pytest.raises(ExportFailed, match="pos does not hold: row 2"):
        await exported(places, inn.instance, inn.name, tmp_path / "broken")
    assert [path.name for path in tmp_path.iterdir()] == ["large"]


@asynccontextmanager
async def by_force(theke: Theke) -> AsyncIterator[asyncpg.Connection]:
    connection = await asyncpg.connect(theke.log_dsn, server_settings={"session_replication_role": "replica"})
    try:
        yield connection
    finally:
        await connection.close()


async def test_an_instance_that_is_closed_takes_no_logins_and_no_writes_until_it_is_opened_again(
    theke: Theke, places: Places, inn: Inn
) -> None:
    till = await inn.till()
    one = await found(places, inn.name)
    for _ in range(2):
        await closed(places, one, "the lease ended")
    sale = {"items": [item(inn.menu["Pils"])], "payments": [{"type": 0}]}
    refused(await till.post("payments/direct-sale", sale), 410, "Mandant geschlossen")
    stranger = inn.stranger()
    login = {"username": "admin", "password": "admin"}
    refused(await stranger.post("auth/login", login, token="", headers={"Theke-Instance": inn.name}), 410, "Mandant geschlossen")
    refused(await till.post("auth/refresh", till.tokens(), token=""), 410, "Mandant geschlossen")
    listed = {instance.name: instance.closed_at for instance in await list_instances(theke.services)}
    assert listed[inn.name] is not None
    assert (await verify(places, ["pos"], inn.instance)).holds, "what was written stays"
    assert (await found(places, inn.name)).closed
    await reopened(places, await found(places, inn.name))
    assert not (await found(places, inn.name)).closed
    await till.sell(item(inn.menu["Pils"]))
    await stranger.login("admin", "admin")
    with pytest.raises(Unknown, match="no instance nowhere"):
        await found(places, "nowhere")
    assert (await verify(places, ["auth"], 0)).holds


async def everything_of(theke: Theke, instance: int) -> dict[str, list[Any]]:
    """Rows of every table of both databases, and every message."""
    rows: dict[str, list[Any]] = {}
    for dsn in (theke.log_dsn, theke.read_dsn):
        tables = await tables_of_instances(dsn)
        connection = await asyncpg.connect(dsn)
        for table in tables:
            rows[table] = sorted(map(repr, await connection.fetch(f"select * from {table} where instance = $1", instance)))
        await connection.close()
    client = await nats.connect(theke.settings.nats_url)
    for service in SERVICES:
        try:
            state = (await client.jetstream().stream_info(log_stream(service, instance))).state
        except nats.js.errors.NotFoundError:
            continue
        rows[log_stream(service, instance)] = [(state.messages, state.first_seq, state.last_seq, state.bytes)]
    await client.close()
    return rows


def mirrors_on_disk(theke: Theke, instance: int) -> set[str]:
    assert theke.nats is not None
    return {path.name for path in (theke.nats.place.data / "jetstream" / "jetstream" / f"I{instance}" / "streams").glob("*")}


async def test_an_instance_that_is_removed_leaves_nothing_behind_and_its_neighbour_as_it_was(
    theke: Theke, places: Places, inn: Inn, sold: Inn, tmp_path: Path
) -> None:
    till = await inn.till("Waiter")
    await till.order(inn.tables[1], item(inn.menu["Cola"]))
    await till.sell(item(inn.menu["Pils"]))
    blobs = Blobs(theke.log_dsn)
    await blobs.keep(inn.instance, "picture", {"large": File("image/png", b"large")})
    await blobs.close()
    one = await found(places, inn.name)
    with pytest.raises(NotYet, match="is open: close it first"):
        await purged(places, one)
    early = tmp_path / "early"
    await exported(places, inn.instance, inn.name, early)
    await till.sell(item(inn.menu["Pils"]))
    assert theke.keeper is not None
    await theke.keeper.mirror(inn.instance)
    await theke.keeper.mirror(sold.instance)
    assert mirrors_on_disk(theke, inn.instance) == {f"EVT_{service}" for service in SERVICES}
    with pytest.raises(DomainError, match="instance_open"):
        await theke.services.query(KEEPER, REMOVED, RemovalOf(inn.instance), Removal, principal=system(0, "operator"))
    await closed(places, one)
    one = await found(places, inn.name)
    with pytest.raises(NotYet, match=rf"has to be kept until {datetime.now(UTC).year + 11}-01-01"):
        await purged(places, one)
    with pytest.raises(NotYet, match="is not what would be removed"):
        await purged(places, one, early)
    assert len((await everything_of(theke, inn.instance))['"pos"."events"']) > 3, "nothing went"

    late = tmp_path / "late"
    await exported(places, inn.instance, inn.name, late)
    neighbour = await everything_of(theke, sold.instance)
    done = await purged(places, one, late, "moved to another cell")
    assert done.rows > 50
    assert done.streams == len(SERVICES)
    assert done.mirrors == len(SERVICES)
    await asyncio.sleep(3 * limits.RELAY_SWEEP_EVERY_S)
    assert mirrors_on_disk(theke, inn.instance) == set(), "what downstream systems were given of it is gone too"
    assert mirrors_on_disk(theke, sold.instance) == {f"EVT_{service}" for service in SERVICES}
    assert {table: rows for table, rows in (await everything_of(theke, inn.instance)).items() if rows} == {}
    assert await everything_of(theke, sold.instance) == neighbour
    assert {(log.service, log.head, log.digest) for log in done.logs} == {
        (log.service, log.head, log.digest) for log in manifest_of(late).logs
    }, "the installation's log can tell that the export is genuine"

    with pytest.raises(DomainError, match="instance_closed"):
        await inn.add(TABLE, number=9)
    assert inn.name not in {instance.name for instance in await list_instances(theke.services)}
    with pytest.raises(DomainError, match="claim_taken"):
        await create(theke.services, inn.name)
    again = await found(places, inn.name)
    assert again.purged
    repeated = await purged(places, again)
    assert (repeated.rows, repeated.streams, repeated.mirrors) == (0, 0, 0), "repeated, there is nothing left to do"
    with pytest.raises(NotYet, match="was removed"):
        await reopened(places, again)
    assert (await verify(places, SERVICES, sold.instance)).holds
    assert (await verify(places, ["auth"], 0)).holds
    neighbours = await sold.till()
    await neighbours.sell(item(sold.menu["Pils"]))


async def test_without_a_keeper_nobody_says_that_mirrors_are_gone(places: Places, nats_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(removing, "KEEPER_WITHIN_S", 0.5)
    assert await removing._mirrors_removed(msgspec.structs.replace(places, nats_url=nats_url), 17) is None


def test_what_was_booked_is_kept_for_ten_full_years() -> None:
    assert kept_until(datetime(2026, 1, 1, tzinfo=UTC)) == date(2037, 1, 1)
    assert kept_until(datetime(2026, 12, 31, 23, 59, tzinfo=UTC)) == date(2037, 1, 1)


async def test_the_rows_of_an_instance_that_is_not_removed_stay_whoever_asks(theke: Theke, sold: Inn) -> None:
    """A row in `purged` alone is not enough: the instance has to be closed."""
    connection = await asyncpg.connect(theke.log_dsn)
    transaction = connection.transaction()
    await transaction.start()
    await connection.execute("insert into pos.purged (instance) values ($1)", sold.instance)
    with pytest.raises(asyncpg.InsufficientPrivilegeError, match="append-only"):
        await connection.execute("delete from pos.events where instance = $1", sold.instance)
    await connection.close()
