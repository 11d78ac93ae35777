"""That an export is whole and is what was exported, from its files alone: every hash and every link of the chain is computed again."""

from __future__ import annotations

import gzip
from collections.abc import Callable, Iterator, Mapping
from datetime import UTC
from functools import partial
from hashlib import sha256
from pathlib import Path
from typing import Any, Final

import msgspec

from libs.eventstore.chain import Chain
from libs.eventstore.codec import EVENT_MAX_BYTES
from libs.runtime.exports import FILES, FORMAT, MANIFEST, PAGE_ROWS, VERSION, Commit, ExportedLog, Manifest, Row, Seen, is_name

READ_BYTES: Final = 1024 * 1024
LINE_MAX_BYTES: Final = 4 * EVENT_MAX_BYTES  # of an event with all around it
MANIFEST_MAX_BYTES: Final = 64 * 1024 * 1024
FINDINGS_MAX: Final = 50

_rows: Final = msgspec.json.Decoder(Row)
_commits: Final = msgspec.json.Decoder(Commit)
_manifests: Final = msgspec.json.Decoder(Manifest)


class NoExport(Exception):
    """The directory is not an export; the message says why."""


def manifest_of(folder: Path) -> Manifest:
    """Raises NoExport."""
    path = folder / MANIFEST
    try:
        if path.stat().st_size > MANIFEST_MAX_BYTES:
            raise NoExport(f"{path} has more than {MANIFEST_MAX_BYTES:,} bytes")
        manifest = _manifests.decode(path.read_bytes())
    except OSError as error:
        raise NoExport(f"{path}: {error.strerror}") from None
    except msgspec.DecodeError as error:
        raise NoExport(f"{path} is no manifest: {error}") from None
    if (manifest.format, manifest.version) != (FORMAT, VERSION):
        raise NoExport(f"{path}: {manifest.format} {manifest.version} is not what this version reads ({FORMAT} {VERSION})")
    return manifest


def proved(folder: Path, seen: Seen = lambda _, __: None) -> list[str]:
    """What does not hold of an export, at most FINDINGS_MAX; nothing if all of it does. Raises NoExport."""
    manifest, findings, done = manifest_of(folder), [], 0
    for log in manifest.logs:
        if log.file != f"events/{log.service}.jsonl.gz" or not log.service.isidentifier():
            findings.append(f"{log.service}: {log.file[:80]} is not where a log is")
            continue
        findings += _proved_log(folder, log, partial(_seen_of, seen, log.service, done))
        done += log.events
    findings += _proved_attachments(folder, manifest)
    there = {str(path.relative_to(folder)) for path in (*folder.glob("*"), *folder.glob("events/*"))}
    expected = {MANIFEST, FILES, "events", "attachments", *(log.file for log in manifest.logs)}
    findings += [f"{name} is not in the manifest" for name in sorted(there - expected)]
    return findings[:FINDINGS_MAX]


def _seen_of(seen: Seen, service: str, before: int, rows: int) -> None:
    seen(before + rows, service)


def _proved_log(folder: Path, log: ExportedLog, seen: Callable[[int], None]) -> Iterator[str]:
    path, chain, count = folder / log.file, Chain(), 0
    try:
        if (found := _sha256(path)) != log.sha256:
            yield f"{log.file}: its SHA-256 is {found}, the manifest says {log.sha256}"
        for line in _lines(path):
            if chain.wants:
                commit = _commits.decode(line)
                chain.commit({"first_position": commit.first, "last_position": commit.last, "digest": bytes.fromhex(commit.digest)})
            else:
                chain.row(_as_stored(_rows.decode(line)))
                count += 1
                if count % PAGE_ROWS == 0:
                    seen(count)
            if chain.broken is not None:
                break
        chain.end()
        if chain.broken is not None:
            yield f"{log.file}: {chain.broken.what}"
    except OSError as error:
        yield f"{log.file}: {error.strerror or error}"
    except (EOFError, ValueError) as error:
        yield f"{log.file}: cannot be read behind row {chain.at}: {error}"
    found = chain.digest.hex()
    if (count, chain.at, found) != (log.events, log.head, log.digest):
        what = f"{count:,} events up to {chain.at:,} with digest {found[:16]}…"
        yield f"{log.file}: {what}, the manifest says {log.events:,}, {log.head:,}, {log.digest[:16]}…"


def _lines(path: Path) -> Iterator[bytes]:
    """Raises ValueError for a line that is too long or cut off, and what gzip raises."""
    with gzip.open(path, "rb") as file:
        while line := file.readline(LINE_MAX_BYTES):
            if not line.endswith(b"\n"):
                raise ValueError(f"a line has more than {LINE_MAX_BYTES:,} bytes, or is cut off")
            yield line


def _as_stored(row: Row) -> Mapping[str, Any]:
    stored = {name: getattr(row, name) for name in row.__struct_fields__}
    return stored | {"data": bytes(row.data), "meta": bytes(row.meta), "leaf": bytes.fromhex(row.leaf), "at": row.at.astimezone(UTC)}


def _proved_attachments(folder: Path, manifest: Manifest) -> Iterator[str]:
    count = size = 0
    try:
        if (found := _sha256(folder / FILES)) != manifest.attachments_sha256:
            yield f"{FILES}: its SHA-256 is {found}, the manifest says {manifest.attachments_sha256}"
        for line in _lines(folder / FILES):
            one = msgspec.json.decode(line, type=dict[str, Any])
            if "of" in one:
                continue
            name = str(one["id"])
            if wrong := _wrong_file(folder, name):
                yield wrong
            else:
                count, size = count + 1, size + (folder / "attachments" / name).stat().st_size
    except (OSError, EOFError, ValueError, KeyError) as error:
        yield f"{FILES} cannot be read: {error}"
    there = sum(1 for _ in (folder / "attachments").glob("*"))
    if (count, size, there) != (manifest.attachments, manifest.attachment_bytes, count):
        what = f"{there:,} files, {count:,} of them as listed with {size:,} bytes"
        yield f"attachments: {what}; the manifest says {manifest.attachments:,} with {manifest.attachment_bytes:,}"


def _wrong_file(folder: Path, name: str) -> str:
    """What is wrong with a file of this name, or nothing."""
    path = folder / "attachments" / name
    if not is_name(name):
        return f"{FILES}: {name[:80]} is no file's name"
    if not path.is_file():
        return f"attachments/{name} is missing"
    if (found := _sha256(path)) != name:
        return f"attachments/{name}: its SHA-256 is {found}"
    return ""


def _sha256(path: Path) -> str:
    digest = sha256()
    with path.open("rb") as file:
        while piece := file.read(READ_BYTES):
            digest.update(piece)
    return digest.hexdigest()
