"""The hash chain, computed outside the database: a leaf per event over all its columns, a digest per commit over the leaves."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
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


def first_altered(rows: Sequence[Mapping[str, Any]], commits: Sequence[Mapping[str, Any]]) -> int | None:
    """The first position at which a log is not what was appended, or None. ``rows`` and ``commits`` are all of an instance's, by position.

    A row that was changed, taken out or put in is named itself; where its leaf was changed with it, the first row of its commit.
    """
    previous = b""
    done = 0
    for commit in commits:
        leaves = []
        for position in range(done + 1, commit["last_position"] + 1):
            row = rows[position - 1] if position <= len(rows) else None
            if row is None or row["position"] != position or leaf(row) != row["leaf"]:
                return position
            leaves.append(row["leaf"])
        previous = digest(previous, leaves)
        if commit["first_position"] != done + 1 or previous != commit["digest"]:
            return done + 1
        done = commit["last_position"]
    return done + 1 if len(rows) > done else None
