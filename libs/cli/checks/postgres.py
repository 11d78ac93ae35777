"""Postgres: its version, what endangers what is booked, its two databases, and whether it is about to run out of something."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator, Mapping
from datetime import UTC, datetime
from typing import Any, Final
from urllib.parse import urlsplit

import asyncpg

from libs.cli.checks.findings import Finding, error, fine, hint, warning
from libs.eventstore.statements import migrations
from libs.runtime.config import SERVICES
from libs.runtime.databases import OLDEST_SERVER
from libs.runtime.proof import Places

CONNECT_TIMEOUT_S: Final = 5.0
CONNECTIONS_WANTED: Final = 100  # two replicas of everything
CONNECTIONS_LOW_SHARE: Final = 0.15
CLOCK_WARN_S: Final = 1.0
CLOCK_WRONG_S: Final = 30.0
TRANSACTION_LONG_S: Final = 3600.0
XID_AGE_MAX: Final = 1_000_000_000  # of two
ASKED: Final = (
    "fsync", "full_page_writes", "synchronous_commit", "synchronous_standby_names", "data_checksums", "autovacuum", "max_connections",
    "wal_level", "zero_damaged_pages", "ignore_checksum_failure",
)  # fmt: skip


async def postgres(dsn: str, known: Places) -> AsyncIterator[Finding]:
    """``dsn``: of the server."""
    try:
        connection = await asyncpg.connect(dsn, timeout=CONNECT_TIMEOUT_S)
    except (OSError, TimeoutError, asyncpg.PostgresError, asyncpg.InterfaceError) as failure:
        why = "nothing can be booked without it"
        said = f"Postgres cannot be reached: {str(failure) or type(failure).__name__}"
        yield error("postgres", said, why, "start it, look at its log, or put THEKE_POSTGRES_DSN right")
        return
    try:
        for one in version(connection.get_server_version().major):
            yield one
        rows = await connection.fetch("select name, setting from pg_settings where name = any($1::text[])", list(ASKED))
        for one in durability({row["name"]: row["setting"] for row in rows}):
            yield one
        for one in clock("Postgres", await connection.fetchval("select clock_timestamp()")):
            yield one
        async for one in _room(connection):
            yield one
        async for one in _databases(connection, [urlsplit(one).path[1:] for one in (known.log_dsn, known.read_dsn)]):
            yield one
    finally:
        connection.terminate()
    async for one in _migrations(known.log_dsn):
        yield one


def version(major: int) -> Iterator[Finding]:
    if major < OLDEST_SERVER:
        why = f"the locale that makes order the same everywhere is there from {OLDEST_SERVER} on"
        yield error("postgres", f"Postgres {major} is too old", why, f"move to {OLDEST_SERVER} or newer (pg_upgrade)")
    else:
        yield fine("postgres", f"Postgres {major}")


_NEXT: Final = "alter system set {name} = {value}; then select pg_reload_conf(), or a restart"


def durability(settings: Mapping[str, str]) -> Iterator[Finding]:
    """Settings by name, as ``pg_settings`` has them."""
    for name, why in (
        ("fsync", "a power cut destroys the whole database, not only the last seconds"),
        ("full_page_writes", "a power cut in the middle of a page destroys that page"),
        ("autovacuum", "dead rows pile up until the disk is full or the server stops to save its transaction numbers"),
    ):
        if settings.get(name) == "off":
            yield error("durability", f"{name} is off", why, _NEXT.format(name=name, value="on"))
    for name in ("zero_damaged_pages", "ignore_checksum_failure"):
        if settings.get(name) == "on":
            yield error("durability", f"{name} is on", "damage is passed over in silence", _NEXT.format(name=name, value="off"))
    mode = settings.get("synchronous_commit")
    if mode == "off":
        why = "what was answered as booked may be gone after a crash"
        yield error("durability", "synchronous_commit is off", why, _NEXT.format(name="synchronous_commit", value="on"))
    elif settings.get("synchronous_standby_names") and mode in ("local", "remote_write"):
        why = "the standby need not have on disk what was answered as booked: a fail-over may lose it"
        yield warning("durability", f"synchronous_commit is {mode}", why, _NEXT.format(name="synchronous_commit", value="on"))
    if settings.get("data_checksums") == "off":
        why = "a disk that forgets bits is noticed by `theke verify` only"
        yield hint("durability", "data_checksums is off", why, "pg_checksums --enable while the server is stopped")
    most = int(settings.get("max_connections", CONNECTIONS_WANTED))
    if most < CONNECTIONS_WANTED:
        why = "a second replica of the services may find no connection left"
        next_ = _NEXT.format(name="max_connections", value=CONNECTIONS_WANTED)
        yield warning("connections", f"max_connections is {most}", why, next_)
    yield fine("durability", f"{len(settings)} settings looked at")


def clock(whose: str, theirs: datetime, ours: datetime | None = None) -> Iterator[Finding]:
    """``ours``: the machine's, now if it is not given."""
    apart = (theirs - (ours or datetime.now(UTC))).total_seconds()
    said = f"the clock of {whose} is {abs(apart):.1f} s {'ahead of' if apart > 0 else 'behind'} this machine's"
    if abs(apart) > CLOCK_WARN_S:
        make = error if abs(apart) > CLOCK_WRONG_S else warning
        why = "receipts carry the one, logs the other; tokens and business days go by them"
        yield make("clock", said, why, "let both follow a time server (`timedatectl set-ntp true`)")
    else:
        yield fine("clock", said)


async def _room(connection: asyncpg.Connection) -> AsyncIterator[Finding]:
    used, most = await connection.fetchrow(
        "select (select count(*) from pg_stat_activity where backend_type = 'client backend'), current_setting('max_connections')::int"
    )
    if most - used < CONNECTIONS_LOW_SHARE * most:
        why = "whoever comes next is refused"
        yield warning("connections", f"{used} of {most} connections are taken", why, "look who holds them: select * from pg_stat_activity")
    else:
        yield fine("connections", f"{used} of {most} connections are taken")
    age = await connection.fetchval("select max(age(datfrozenxid)) from pg_database")
    if age > XID_AGE_MAX:
        why = "at two billion the server stops to save its data"
        yield error(
            "postgres", f"transactions back to {age:,} are not frozen", why, "vacuumdb --all --freeze, and see what holds vacuum back"
        )
    oldest = await connection.fetchval(
        "select extract(epoch from max(clock_timestamp() - xact_start))::float8 from pg_stat_activity where backend_type = 'client backend'"
    )
    if oldest is not None and oldest > TRANSACTION_LONG_S:
        why = "no dead row since then can be cleaned up"
        yield warning("postgres", f"a transaction is open for {oldest / 3600:.1f} h", why, "find it in pg_stat_activity and end it")
    for slot in await connection.fetch("select slot_name from pg_replication_slots where not active"):
        why = "it keeps the write-ahead log until the disk is full"
        yield warning("postgres", f"the replication slot {slot['slot_name']} has no reader", why, "start its standby, or drop the slot")


async def _databases(connection: asyncpg.Connection, names: list[str]) -> AsyncIterator[Finding]:
    rows = await connection.fetch(
        "select d.datname as name, pg_encoding_to_char(d.encoding) as encoding, d.datlocprovider::text as provider, "
        "coalesce(to_jsonb(d) ->> 'datlocale', d.datcollate) as locale from pg_database d where d.datname = any($1::text[])",
        names,
    )
    there = {row["name"]: row for row in rows}
    for name in names:
        row: Any = there.get(name)
        if row is None:
            yield hint("databases", f"there is no database {name}", "it is made at the first start", "`theke up`, or restore a dump")
        elif (row["encoding"], row["provider"], row["locale"]) != ("UTF8", "b", "C.UTF-8"):
            found = f"{row['encoding']}, locale {row['locale']} of provider {row['provider']}"
            why = "order and upper case differ from other machines', and with an update of the operating system indexes break"
            next_ = f"dump it, drop it, let Theke make it anew (UTF8, builtin C.UTF-8), restore into it: {name}"
            yield error("databases", f"{name} has {found}", why, next_)
        else:
            yield fine("databases", f"{name}: UTF8, builtin C.UTF-8")


async def _migrations(dsn: str) -> AsyncIterator[Finding]:
    """Whether the logs are of this version's making."""
    ours = {name for name, _ in migrations()}
    try:
        connection = await asyncpg.connect(dsn, timeout=CONNECT_TIMEOUT_S)
    except (OSError, TimeoutError, asyncpg.PostgresError, asyncpg.InterfaceError):
        return  # said above
    try:
        for service in SERVICES:
            if not await connection.fetchval("select to_regclass($1) is not null", f'"{service}".migrations'):
                continue
            theirs = {row["name"] for row in await connection.fetch(f'select name from "{service}".migrations')}
            if newer := sorted(theirs - ours):
                why = "a newer version worked with it; this one does not know what it wrote"
                yield error(
                    "version", f"the log of {service} has {', '.join(newer)}", why, "run the newer version; there is no way back but a dump"
                )
            elif older := sorted(ours - theirs):
                yield hint(
                    "version", f"the log of {service} lacks {', '.join(older)}", "it is of an older version", "the next start adds it"
                )
    finally:
        connection.terminate()
