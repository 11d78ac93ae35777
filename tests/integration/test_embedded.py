"""The embedded servers among the dangers of a till's back room: power cuts, kills, a second start, somebody else's process ids."""

from __future__ import annotations

import asyncio
import os
import shutil
import signal
import stat
import subprocess
import sys
import time
from functools import partial
from pathlib import Path

import asyncpg
import nats
import pytest

from libs.runtime import children, embedded, places
from libs.runtime.databases import ensure_databases, log_dsn, read_dsn
from libs.runtime.embedded import EmbeddedNats, EmbeddedPostgres, EmbeddedServer, StartFailed
from libs.runtime.locks import DirectoryInUse, take
from libs.runtime.places import PlaceUnreachable, find_place

PROJECT = Path(__file__).resolve().parents[2]
GONE_WITHIN_S = 10.0

as_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root runs Postgres as another account")


async def write_note(dsn: str, text: str) -> None:
    connection = await asyncpg.connect(dsn)
    await connection.execute("CREATE TABLE IF NOT EXISTS notes (text text)")
    await connection.execute("INSERT INTO notes VALUES ($1)", text)
    await connection.close()


async def notes(dsn: str) -> list[str]:
    connection = await asyncpg.connect(dsn)
    found = await connection.fetch("SELECT text FROM notes ORDER BY text")
    await connection.close()
    return [row["text"] for row in found]


async def killed(server: EmbeddedServer) -> None:
    assert server.pid is not None
    os.kill(server.pid, signal.SIGKILL)
    await eventually(lambda: not server.is_alive())


async def eventually(condition) -> None:
    deadline = time.monotonic() + GONE_WITHIN_S
    while not condition():
        assert time.monotonic() < deadline, "it did not come about"
        await asyncio.sleep(0.02)


async def test_postgres_finds_its_data_after_a_restart(state_directory: Path) -> None:
    first = EmbeddedPostgres(state_directory / "postgres")
    await first.start()
    await write_note(first.dsn, "before")
    await first.stop()
    assert not first.is_alive()

    second = EmbeddedPostgres(state_directory / "postgres")
    await second.start()
    assert await notes(second.dsn) == ["before"]
    assert second.dsn == first.dsn
    await second.stop()


async def test_postgres_killed_under_a_busy_backend_starts_again_on_the_same_port(state_directory: Path) -> None:
    server = EmbeddedPostgres(state_directory / "postgres")
    await server.start()
    address = server.dsn
    await write_note(address, "acknowledged")
    busy = await asyncpg.connect(address)
    running = asyncio.create_task(busy.execute("SELECT pg_sleep(600)"))
    await killed(server)
    await server.start()
    assert server.dsn == address
    assert await notes(address) == ["acknowledged"]
    with pytest.raises((asyncpg.PostgresError, asyncpg.InterfaceError, asyncpg.InternalClientError, OSError)):
        await running
    await server.stop()


async def test_a_stale_postmaster_pid_naming_a_living_process_is_not_believed(state_directory: Path) -> None:
    server = EmbeddedPostgres(state_directory / "postgres")
    await server.start()
    await server.stop()
    account = server.place.account
    bystander = subprocess.Popen(["/bin/sleep", "600"], user=account.uid if account else None)
    try:
        (server.place.data / "cluster" / "postmaster.pid").write_text(f"{bystander.pid}\n{server.place.data}\n")
        await server.start()
        assert server.is_alive()
        await server.stop()
        assert bystander.poll() is None
    finally:
        bystander.kill()
        bystander.wait()


async def test_a_second_postgres_on_the_same_data_is_refused(state_directory: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(embedded, "ORPHANS_WAIT_S", 0.2)
    first = EmbeddedPostgres(state_directory / "postgres")
    await first.start()
    with pytest.raises(DirectoryInUse):
        await EmbeddedPostgres(state_directory / "postgres").start()
    await write_note(first.dsn, "unharmed")
    await first.stop()


async def test_what_a_killed_postmaster_forked_still_guards_the_data(state_directory: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(embedded, "ORPHANS_WAIT_S", 0.2)
    server = EmbeddedPostgres(state_directory / "postgres")
    await server.start()
    backend = await asyncpg.connect(server.dsn)
    backend_pid = await backend.fetchval("SELECT pg_backend_pid()")
    os.kill(backend_pid, signal.SIGSTOP)  # it cannot notice that its postmaster is gone
    try:
        await killed(server)
        with pytest.raises(DirectoryInUse):
            await server.start()
    finally:
        os.kill(backend_pid, signal.SIGKILL)
    monkeypatch.setattr(embedded, "ORPHANS_WAIT_S", GONE_WITHIN_S)
    await server.start()
    await server.stop()
    backend.terminate()


async def test_an_initdb_that_was_cut_off_begins_anew(state_directory: Path) -> None:
    half_done = state_directory / "postgres" / "cluster.new"
    (half_done / "base").mkdir(parents=True)
    (half_done / "PG_VERSION").write_text("18\n")
    server = EmbeddedPostgres(state_directory / "postgres")
    await server.start()
    assert (server.place.data / "cluster" / "global" / "pg_control").exists()
    assert not (server.place.data / "cluster.new").exists()
    await server.stop()


async def test_passwords_are_asked_for_and_lie_in_private_files(state_directory: Path) -> None:
    postgres, bus = EmbeddedPostgres(state_directory / "postgres"), EmbeddedNats(state_directory / "nats")
    await postgres.start()
    await bus.start()
    await bus.admit([1])
    of_the_bus = (bus.place.data / name for name in ("password", "users.key", "nats.conf", "instances.conf", "instances.json"))
    for file in (postgres.place.data / "password", *of_the_bus):
        assert stat.S_IMODE(file.stat().st_mode) == 0o600, file
    with pytest.raises(asyncpg.InvalidPasswordError):
        await asyncpg.connect(f"postgres://theke:guessed@127.0.0.1:{postgres.port}/postgres")
    with pytest.raises(nats.errors.Error, match=r"(?i)authorization"):
        await nats.connect(f"nats://theke:guessed@127.0.0.1:{bus.port}", allow_reconnect=False, error_cb=_silent)
    await bus.stop()
    await postgres.stop()


async def _silent(error: Exception) -> None:
    """The refusal is asserted where it is raised."""


async def test_postgres_is_durable_and_orders_by_code_point(state_directory: Path) -> None:
    server = EmbeddedPostgres(state_directory / "postgres")
    await server.start()
    connection = await asyncpg.connect(server.dsn)
    expected = {"fsync": "on", "synchronous_commit": "on", "max_connections": "200", "shared_buffers": "64MB", "server_encoding": "UTF8"}
    assert {name: await connection.fetchval("SELECT current_setting($1)", name) for name in expected} == expected
    provider = await connection.fetchrow("SELECT datlocprovider, datlocale FROM pg_database WHERE datname = 'postgres'")
    assert tuple(provider) == (b"b", "C.UTF-8")
    assert await connection.fetchval("SELECT upper('ä')") == "Ä"
    await connection.close()
    await server.stop()


async def test_two_databases_are_made_once_by_three_processes_at_a_time(state_directory: Path) -> None:
    server = EmbeddedPostgres(state_directory / "postgres")
    await server.start()
    await asyncio.gather(*(ensure_databases(server.dsn) for _ in range(3)))
    for dsn, name in ((log_dsn(server.dsn), "theke_log"), (read_dsn(server.dsn), "theke_read")):
        connection = await asyncpg.connect(dsn)
        row = await connection.fetchrow(
            "SELECT current_database(), datlocprovider, datlocale FROM pg_database WHERE datname = current_database()"
        )
        assert tuple(row) == (name, b"b", "C.UTF-8")
        await connection.close()
    await server.stop()


async def test_nats_keeps_its_streams_through_a_kill_and_its_port(state_directory: Path) -> None:
    server = EmbeddedNats(state_directory / "nats")
    await server.start()
    address = server.url
    client = await nats.connect(address)
    stream = await client.jetstream().add_stream(name="NOTES", subjects=["notes"])
    assert stream.config.storage == "file"
    await client.jetstream().publish("notes", b"kept")
    assert client.max_payload == embedded.NATS_MAX_PAYLOAD_BYTES
    await client.close()

    await killed(server)
    await server.start()
    assert server.url == address
    client = await nats.connect(address)
    assert (await client.jetstream().get_msg("NOTES", 1)).data == b"kept"
    await client.close()
    await server.stop()


async def test_nats_is_started_again_after_its_disk_was_full_and_has_room_again(
    state_directory: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A stream that could not be written once refuses everything until then, whatever room there is."""
    server = EmbeddedNats(state_directory / "nats")
    await server.start()
    server.tend()
    assert not server.is_outdated()
    with (server.place.data / "server.log").open("a") as log:
        log.write("[1] 2026/11/22 09:28:37.5 [ERR] JetStream failed to store a msg on stream '$G > EVT_pos_i1': no space left on device\n")
    monkeypatch.setattr(embedded, "NATS_ROOM_BYTES", 1 << 60)
    server.tend()
    assert not server.is_outdated(), "there is no room yet"
    with (server.place.data / "server.log").open("a") as log:
        log.write("[1] 2026/11/22 09:28:38.5 [ERR] JetStream failed to store a msg on stream '$G > EVT_pos_i1': no space left on device\n")
    monkeypatch.undo()
    server.tend()
    assert server.is_outdated()
    await server.stop()
    await server.start()
    server.tend()
    assert not server.is_outdated()
    await server.stop()


async def test_a_port_taken_meanwhile_is_replaced_by_a_free_one(state_directory: Path) -> None:
    server = EmbeddedNats(state_directory / "nats")
    await server.start()
    await server.stop()
    squatter = await asyncio.start_server(lambda reader, writer: writer.close(), "127.0.0.1", server.port)
    taken = server.port
    await server.start()
    assert server.port != taken
    squatter.close()
    await server.stop()


async def test_a_server_that_cannot_start_says_why(state_directory: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(embedded.POSTGRES_SETTINGS, "shared_buffers", "a lot")
    server = EmbeddedPostgres(state_directory / "postgres")
    with pytest.raises(StartFailed, match="invalid value for parameter"):
        await server.start()
    assert not server.is_alive()


async def test_a_servers_log_stays_within_its_bound(state_directory: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    server = EmbeddedNats(state_directory / "nats")
    await server.start()
    logged = server.place.data / "server.log"
    assert logged.stat().st_size > 0
    monkeypatch.setattr(embedded, "LOG_MAX_BYTES", 10)
    server.trim_log()
    assert logged.stat().st_size == 0
    assert server.is_alive()
    await server.stop()


CARETAKER = """
import asyncio, sys
from functools import partial
from pathlib import Path
from libs.runtime.embedded import EmbeddedNats, EmbeddedPostgres
async def main():
    state = Path(sys.argv[1])
    servers = EmbeddedPostgres(state / "postgres"), EmbeddedNats(state / "nats")
    for server in servers:
        await server.start()
    print(*(server.pid for server in servers), flush=True)
    await asyncio.sleep(600)
asyncio.run(main())
"""


async def test_servers_die_with_their_supervisor_and_their_data_live_on(state_directory: Path) -> None:
    caretaker = subprocess.Popen(
        [sys.executable, "-c", CARETAKER, str(state_directory)],
        cwd=PROJECT,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
    )
    assert caretaker.stdout is not None
    pids: list[int] = []
    while not pids:
        line = await asyncio.to_thread(caretaker.stdout.readline)
        assert line, "the caretaker ended early"
        pids = [int(word) for word in line.split() if word.isdigit()]
        pids = pids if len(pids) == 2 else []
    assert all(children.is_running(pid) for pid in pids)
    caretaker.kill()
    caretaker.wait()
    await eventually(lambda: not any(children.is_running(pid) for pid in pids))
    server = EmbeddedPostgres(state_directory / "postgres")
    await server.start()
    await server.stop()


def test_one_lock_holder_at_a_time_and_the_refused_learns_who_it_is(state_directory: Path) -> None:
    with take(state_directory / "lock"), pytest.raises(DirectoryInUse, match=f"process {os.getpid()}"):
        take(state_directory / "lock")
    take(state_directory / "lock").close()


@as_root
async def test_root_runs_postgres_as_another_account(state_directory: Path) -> None:
    server = EmbeddedPostgres(state_directory / "postgres")
    await server.start()
    assert server.place.account is not None
    status = Path(f"/proc/{server.pid}/status").read_text()
    ids = next(line.split()[1:] for line in status.splitlines() if line.startswith("Uid:"))
    assert set(ids) == {str(server.place.account.uid)} != {"0"}
    assert server.place.data == (state_directory / "postgres").resolve()
    await server.stop()


@as_root
def test_below_a_private_directory_data_and_programs_move_and_nothing_is_opened_up(state_directory: Path) -> None:
    private = state_directory / "home"
    private.mkdir(mode=0o700)
    package = private / "postgres"
    (package / "bin").mkdir(parents=True, mode=0o700)
    shutil.copy2("/bin/true", package / "bin" / "postgres")
    (package / "bin" / "postgres").chmod(0o700)
    elsewhere = state_directory / "elsewhere"
    place = find_place(private / "state" / "postgres", package, "bin/postgres", marker="cluster", elsewhere=elsewhere)
    assert place.data.parent == place.programs.parents[2] == elsewhere
    assert place.account is not None
    assert places._can_run(place.programs / "postgres", place.account)
    assert stat.S_IMODE(private.stat().st_mode) == 0o700
    again = find_place(private / "state" / "postgres", package, "bin/postgres", marker="cluster", elsewhere=elsewhere)
    assert again == place


@as_root
def test_data_that_became_unreachable_are_not_silently_replaced_by_new_ones(state_directory: Path) -> None:
    private = state_directory / "home"
    (private / "postgres" / "cluster").mkdir(parents=True)
    private.chmod(0o700)
    with pytest.raises(PlaceUnreachable, match="holds data"):
        find_place(
            private / "postgres", embedded.postgres_package(), embedded.POSTGRES_PROGRAM, marker="cluster", elsewhere=state_directory / "e"
        )


@as_root
def test_data_that_moved_are_found_again_when_the_way_is_open(state_directory: Path) -> None:
    private, elsewhere = state_directory / "home", state_directory / "elsewhere"
    private.mkdir(mode=0o700)
    package = embedded.postgres_package()
    moved = find_place(private / "postgres", package, embedded.POSTGRES_PROGRAM, marker="cluster", elsewhere=elsewhere)
    (moved.data / "cluster").mkdir()
    private.chmod(0o755)
    assert find_place(private / "postgres", package, embedded.POSTGRES_PROGRAM, marker="cluster", elsewhere=elsewhere).data == moved.data


@as_root
async def test_from_a_private_checkout_postgres_runs_elsewhere_and_finds_its_data_again(
    state_directory: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    private = state_directory / "home"
    private.mkdir(mode=0o700)
    package = embedded.postgres_package()
    for part in (package, package.with_name(f"{package.name}.libs")):
        shutil.copytree(part, private / part.name, symlinks=True)
    monkeypatch.setattr(embedded, "postgres_package", lambda: private / package.name)
    monkeypatch.setattr(embedded, "find_place", partial(find_place, elsewhere=state_directory / "elsewhere"))
    for notes_so_far in ([], ["kept"]):
        server = EmbeddedPostgres(private / "state" / "postgres")
        await server.start()
        assert server.place.data.is_relative_to(state_directory / "elsewhere")
        if notes_so_far:
            assert await notes(server.dsn) == notes_so_far
        else:
            await write_note(server.dsn, "kept")
        await server.stop()
    assert stat.S_IMODE(private.stat().st_mode) == 0o700
