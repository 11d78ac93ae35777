"""The hash chain, computed outside the database: a leaf per event over all its columns, a digest per commit over the leaves."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from typing import Any

import msgspec

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


class Broken(msgspec.Struct, frozen=True):
    """The first position at which a log is not what was appended, and how that shows."""

    position: int
    what: str


class Chain:
    """Follows a log row by row: give it the next commit whenever it ``wants`` one (None: there is no more), then rows, then ``end``.

    A row that was changed, taken out or put in is named itself; where its leaf was changed with it, the first row of its commit.
    After ``broken`` is set nothing more is looked at. ``digest`` is that of the last whole commit, ``at`` the last position before it.
    """

    def __init__(self) -> None:
        self.at = 0
        self.digest = b""
        self.broken: Broken | None = None
        self._row = 0
        self._leaves: list[bytes] = []
        self._commit: Mapping[str, Any] | None = None

    @property
    def wants(self) -> bool:
        return self._commit is None and self.broken is None

    def commit(self, commit: Mapping[str, Any] | None) -> None:
        first = self.at + 1
        if commit is None:
            self._break(first, f"row {first} stands behind the last commit: it was put in, or its commit was taken out")
        elif commit["first_position"] != first or commit["last_position"] < first:
            self._break(first, f"row {first} has no commit: the next one goes from {commit['first_position']} to {commit['last_position']}")
        else:
            self._commit = commit

    def row(self, row: Mapping[str, Any]) -> None:
        if self.broken is not None:
            return
        assert self._commit is not None, "a row before its commit"
        expected = self._row + 1
        if row["position"] != expected:
            self._break(expected, f"row {expected} is missing: the next one is {row['position']}")
        elif (computed := leaf(row)) != row["leaf"]:
            self._break(expected, f"row {expected} ({row['type']}) was altered: its columns do not make its hash")
        else:
            self._row = expected
            self._leaves.append(computed)
            if expected == self._commit["last_position"]:
                self._seal(self._commit)

    def _seal(self, commit: Mapping[str, Any]) -> None:
        sealed = digest(self.digest, self._leaves)
        if sealed != commit["digest"]:
            rows = f"{self.at + 1} to {self._row}" if self._row > self.at + 1 else str(self._row)
            self._break(self.at + 1, f"a row of {rows} was altered together with its hash, or the digest of their commit was")
            return
        self.digest, self.at = sealed, self._row
        self._leaves, self._commit = [], None

    def end(self) -> None:
        """There are no more rows. A commit that still waits for some has lost them."""
        if self._commit is not None and self.broken is None:
            self._break(self._row + 1, f"row {self._row + 1} is missing: its commit goes up to {self._commit['last_position']}")

    def _break(self, position: int, what: str) -> None:
        self.broken = Broken(position, what)


def first_altered(rows: Sequence[Mapping[str, Any]], commits: Sequence[Mapping[str, Any]]) -> int | None:
    """Where a log is first not what was appended, or None. ``rows`` and ``commits`` are all of an instance's, by position."""
    chain, waiting = Chain(), list(reversed(commits))
    for row in rows:
        if chain.wants:
            chain.commit(waiting.pop() if waiting else None)
        chain.row(row)
    if chain.wants and waiting:
        chain.commit(waiting.pop())
    chain.end()
    return chain.broken.position if chain.broken is not None else None
