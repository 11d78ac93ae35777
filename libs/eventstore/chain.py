"""The hash chain, computed outside the database: a leaf per event over all its columns, a digest per commit over the leaves."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from typing import Any

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)


def _int8(value: int) -> bytes:
    return value.to_bytes(8, "big", signed=True)


def _sized(value: bytes) -> bytes:
    return len(value).to_bytes(4, "big", signed=True) + value


def leaf(row: Mapping[str, Any]) -> bytes:
    return sha256(
        _int8(row["position"])
        + _sized(row["stream"].encode())
        + _int8(row["version"])
        + row["id"].bytes
        + _sized(row["type"].encode())
        + row["schema_version"].to_bytes(2, "big", signed=True)
        + _sized((row["series"] or "").encode())
        + _int8(row["number"] or 0)
        + _int8((row["at"] - _EPOCH) // _MICROSECOND)
        + _sized(row["data"])
        + _sized(row["meta"])
    ).digest()


def digest(previous: bytes, leaves: Iterable[bytes]) -> bytes:
    return sha256(previous + b"".join(leaves)).digest()
