"""What a service offers for its records: the engine's commands, a query table each, ``<name>.get`` and ``<name>.list``."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import msgspec

from libs.domain.decider import CommandType
from libs.domain.errors import not_found
from libs.domain.records import RecordView
from libs.projections.declare import Projection
from libs.records.engine import Records
from libs.records.tables import RecordQueries, projection
from libs.runtime.service import Ask, Query


class ByKey(msgspec.Struct, frozen=True):
    key: str


class All(msgspec.Struct, frozen=True):
    """Everything there is, oldest first."""


class RecordParts(msgspec.Struct, frozen=True):
    commands: tuple[CommandType, ...]
    projections: tuple[Projection, ...]
    queries: tuple[Query, ...]


def record_parts(*all_records: Records) -> RecordParts:
    return RecordParts(
        tuple(command for records in all_records for command in records.commands()),
        tuple(projection(records) for records in all_records),
        tuple(query for records in all_records for query in _queries(records)),
    )


def _queries(records: Records) -> tuple[Query, Query]:
    name, permission = records.type.name, records.type.permission
    statements = RecordQueries(records)

    async def get(ask: Ask) -> RecordView:
        row = await ask.tables.fetch_one(statements.by_key, ask.instance, ask.body.key)
        if row is None:
            raise not_found(f"{name}_not_found", id=ask.body.key)
        return statements.view(row)

    async def list_(ask: Ask) -> AsyncIterator[list[Any]]:
        async for rows in ask.tables.stream(statements.all, ask.instance, by="id"):
            yield [statements.view(row) for row in rows]

    return Query(f"{name}.get", ByKey, get, permission), Query(f"{name}.list", All, list_, permission, stream=True)
