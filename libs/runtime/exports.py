"""An instance as files: its logs row by row with the chain that seals them, its attachments, and a manifest that says how much there is.

    manifest.json                   what there is, and the SHA-256 of every file below
    events/<service>.jsonl.gz       {"first": …, "last": …, "digest": …} of a commit, then a line for each of its events, {"position": …,
                                    "data": …, "meta": …, "leaf": …}: that alone proves the log
    attachments.jsonl.gz            a line per file, {"id": …, "type": …, "size": …}, and per variant, {"of": …, "name": …, "id": …}
    attachments/<sha256>            the files

All of it is what one read-only transaction sees, so it is one moment of all logs, and tills go on meanwhile. Memory does not grow with
the instance. Proving an export (``libs/runtime/export_proof.py``) needs nothing but the files.
"""

from __future__ import annotations

import gzip
import os
import shutil
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from datetime import datetime
from functools import partial
from hashlib import sha256
from io import BufferedWriter
from pathlib import Path
from typing import Any, Final
from uuid import UUID

import asyncpg
import msgspec

from libs.eventstore.chain import Chain

FORMAT: Final = "theke-instance"
VERSION: Final = 1
MANIFEST: Final = "manifest.json"
FILES: Final = "attachments.jsonl.gz"
LEVEL: Final = 4  # of gzip: beyond it takes much longer for little
PAGE_ROWS: Final = 500
CONNECT_TIMEOUT_S: Final = 10.0


class ExportedLog(msgspec.Struct, frozen=True):
    """``digest``: of the last commit, in hex; ``sha256`` of the file."""

    service: str
    file: str
    events: int
    head: int
    digest: str
    sha256: str


class Manifest(msgspec.Struct, frozen=True, kw_only=True):
    """``at``: the moment that was exported. ``attachments``: how many files; ``attachment_bytes``: of them together."""

    format: str
    version: int
    instance: int
    name: str
    at: datetime
    logs: tuple[ExportedLog, ...]
    attachments: int
    attachment_bytes: int
    attachments_sha256: str
    left_out: tuple[str, ...] = ()


class Row(msgspec.Struct, frozen=True, kw_only=True):
    """An event as it stands in an export; ``data`` and ``meta`` byte for byte."""

    position: int
    stream: str
    version: int
    id: UUID
    type: str
    schema_version: int
    at: datetime
    data: msgspec.Raw
    meta: msgspec.Raw
    leaf: str
    series: str | None = None
    number: int | None = None


class Commit(msgspec.Struct, frozen=True, kw_only=True):
    first: int
    last: int
    digest: str


class ExportFailed(Exception):
    """The message says why; nothing is left behind."""


LEFT_OUT: Final = ("secrets: passwords and keys do not leave the installation, people set new ones",)
_encoder: Final = msgspec.json.Encoder()
Seen = Callable[[int, str], None]
"""How many rows there are so far, and of what."""


# --- writing ------------------------------------------------------------------------------------------------------------------


class _Digested:
    """A file that knows the SHA-256 of what was written to it."""

    def __init__(self, file: BufferedWriter) -> None:
        self._file = file
        self.digest = sha256()

    def write(self, data: bytes) -> int:
        self.digest.update(data)
        return self._file.write(data)

    def flush(self) -> None:
        self._file.flush()


async def export(dsn: str, services: Sequence[str], instance: int, name: str, target: Path, seen: Seen = lambda _, __: None) -> Manifest:
    """Writes an instance to a directory that there must not be; it is there when it is whole. Raises ExportFailed."""
    fresh = _new_folder(target)
    try:
        async with _snapshot(dsn) as (connection, at):
            logs: list[ExportedLog] = []
            for service in services:
                done = sum(log.events for log in logs)
                logs.append(await _log(connection, service, instance, fresh, partial(_seen_of, seen, service, done)))
            count, size, digest = await _attachments(connection, instance, fresh)
        manifest = Manifest(
            format=FORMAT, version=VERSION, instance=instance, name=name, at=at, logs=tuple(logs),
            attachments=count, attachment_bytes=size, attachments_sha256=digest, left_out=LEFT_OUT,
        )  # fmt: skip
        with Written(fresh / MANIFEST) as file:
            file.write(msgspec.json.format(_encoder.encode(manifest), indent=2) + b"\n")
        fresh.rename(target)
    except BaseException:
        shutil.rmtree(fresh, ignore_errors=True)
        raise
    return manifest


def _new_folder(target: Path) -> Path:
    fresh = target.with_name(f"{target.name}.partial")
    if target.exists():
        raise ExportFailed(f"{target} is there already")
    shutil.rmtree(fresh, ignore_errors=True)
    for folder in (fresh, fresh / "events", fresh / "attachments"):
        folder.mkdir(mode=0o700, parents=folder == fresh)
    return fresh


def _seen_of(seen: Seen, service: str, before: int, rows: int) -> None:
    seen(before + rows, service)


@asynccontextmanager
async def _snapshot(dsn: str) -> AsyncIterator[tuple[asyncpg.Connection, datetime]]:
    settings = {"application_name": "theke export", "statement_timeout": "0", "jit": "off"}
    connection = await asyncpg.connect(dsn, timeout=CONNECT_TIMEOUT_S, server_settings=settings)
    try:
        async with connection.transaction(isolation="repeatable_read", readonly=True):
            yield connection, await connection.fetchval("select clock_timestamp()")
    finally:
        connection.terminate()


class Written:
    """A file that only its owner reads, on disk when the block ends."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def __enter__(self) -> BufferedWriter:
        self._file = open(os.open(self._path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb")
        return self._file

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        if kind is None:
            self._file.flush()
            os.fsync(self._file.fileno())
        self._file.close()


async def _log(connection: asyncpg.Connection, service: str, instance: int, fresh: Path, seen: Callable[[int], None]) -> ExportedLog:
    name, chain, count = f"events/{service}.jsonl.gz", Chain(), 0
    with Written(fresh / name) as file:
        digested = _Digested(file)
        with gzip.GzipFile(filename="", mode="wb", compresslevel=LEVEL, fileobj=digested, mtime=0) as packed:
            if await connection.fetchval("select to_regclass($1) is not null", f'"{service}".events'):
                rows = await connection.cursor(f'select * from "{service}".events where instance = $1 order by position', instance)
                commits = await connection.cursor(
                    f'select first_position, last_position, digest from "{service}".commits where instance = $1 order by last_position',
                    instance,
                )
                while page := await rows.fetch(PAGE_ROWS):
                    for row in page:
                        if chain.wants:
                            chain.commit(commit := await commits.fetchrow())
                            packed.write(_commit_line(commit) if commit is not None else b"")
                        chain.row(row)
                        if chain.broken is not None:
                            raise ExportFailed(f"{service} does not hold: {chain.broken.what}. `theke verify` says more")
                        packed.write(_line(row))
                    count += len(page)
                    seen(count)
                chain.end()
        if chain.broken is not None:
            raise ExportFailed(f"{service} does not hold: {chain.broken.what}. `theke verify` says more")
        digest = digested.digest.hexdigest()
    return ExportedLog(service, name, count, chain.at, chain.digest.hex(), digest)


def _line(row: Mapping[str, Any]) -> bytes:
    line = _encoder.encode(
        Row(
            position=row["position"], stream=row["stream"], version=row["version"], id=row["id"], type=row["type"],
            schema_version=row["schema_version"], at=row["at"], data=msgspec.Raw(row["data"]), meta=msgspec.Raw(row["meta"]),
            leaf=row["leaf"].hex(), series=row["series"], number=row["number"],
        )
    )  # fmt: skip
    if b"\n" in line:
        raise ExportFailed(f"row {row['position']} holds a line break, which no event of Theke does")
    return line + b"\n"


def _commit_line(row: Mapping[str, Any]) -> bytes:
    return _encoder.encode(Commit(first=row["first_position"], last=row["last_position"], digest=row["digest"].hex())) + b"\n"


async def _attachments(connection: asyncpg.Connection, instance: int, fresh: Path) -> tuple[int, int, str]:
    """How many files, their bytes together, and the SHA-256 of the list of them."""
    count = size = 0
    with Written(fresh / FILES) as file:
        digested = _Digested(file)
        with gzip.GzipFile(filename="", mode="wb", compresslevel=LEVEL, fileobj=digested, mtime=0) as packed:
            if await connection.fetchval("select to_regclass('blobs.files') is not null"):
                files = await connection.cursor("select id, type, size from blobs.files where instance = $1 order by id", instance)
                while page := await files.fetch(PAGE_ROWS):
                    for row in page:
                        packed.write(_encoder.encode(dict(row)) + b"\n")
                        await _attachment(connection, instance, row["id"], fresh / "attachments")
                        count, size = count + 1, size + row["size"]
                variants = await connection.cursor(
                    "select of, name, id from blobs.variants where instance = $1 order by of, name", instance
                )
                while page := await variants.fetch(PAGE_ROWS):
                    packed.writelines(_encoder.encode(dict(row)) + b"\n" for row in page)
        digest = digested.digest.hexdigest()
    return count, size, digest


async def _attachment(connection: asyncpg.Connection, instance: int, id_: str, folder: Path) -> None:
    if not is_name(id_):
        raise ExportFailed(f"a file is called {id_[:80]}, which is no SHA-256")
    chunks = await connection.cursor("select bytes from blobs.chunks where instance = $1 and id = $2 order by ix", instance, id_)
    with Written(folder / id_) as file:
        while page := await chunks.fetch(4):
            for row in page:
                file.write(row["bytes"])


def is_name(text: str) -> bool:
    """Whether it is a SHA-256 in hex."""
    return len(text) == 64 and set(text) <= set("0123456789abcdef")
