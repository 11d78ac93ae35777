"""No event that was ever written becomes unreadable, and none changes its shape unnoticed."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import msgspec
import pytest

from libs.eventstore.codec import decode, encode
from tests.golden import FOLDER, declared_events, file_of, golden
from tests.golden.__main__ import main

EVENTS = declared_events()
NAME = re.compile(r"(?P<type>[a-z_]+\.[a-z_]+)\.v(?P<version>\d+)\.json")
FILES = sorted(path.name for path in FOLDER.iterdir())


# what only sounds like a secret: the digest of a file that the ERP shows, and how far a collection was synchronised
NO_SECRETS = {("binfile", "hash"), ("dav_server", "synctoken")}


def kept(name: str) -> tuple[str, int, dict[str, Any]]:
    found = NAME.fullmatch(name)
    assert found is not None, name
    return found["type"], int(found["version"]), json.loads((FOLDER / name).read_text(encoding="utf-8"))


@pytest.mark.parametrize("type_", EVENTS)
def test_every_event_has_a_golden_file_of_every_version(type_: str) -> None:
    missing = [version for version in range(1, EVENTS[type_].VERSION + 1) if not file_of(type_, version).exists()]
    assert not missing, "run python -m tests.golden"


@pytest.mark.parametrize("type_", EVENTS)
def test_an_event_has_the_shape_its_version_was_published_with(type_: str) -> None:
    """A field dropped, renamed, retyped or now required, or another default: that is a new version with an upcaster."""
    assert golden(EVENTS[type_]) == kept(file_of(type_, EVENTS[type_].VERSION).name)[2]


@pytest.mark.parametrize("name", FILES)
def test_every_event_ever_written_is_read(name: str) -> None:
    type_, version, shapes = kept(name)
    for shape in ("full", "least"):
        event = decode(type_, version, msgspec.json.encode(shapes[shape]))
        assert type(event) is EVENTS[type_]
        if version == EVENTS[type_].VERSION:
            assert json.loads(encode(event)) == shapes[shape], "what was read is written back alike"


def test_the_log_holds_names_for_no_secret() -> None:
    """A field whose name says that it holds a secret does not belong into an event; ``secret`` names where one is kept."""
    words = re.compile(r"password|hash|pin\b|token", re.IGNORECASE)
    found = {(type_.split(".")[0], field) for type_, cls in EVENTS.items() for field in cls.__struct_fields__ if words.search(field)}
    assert found == NO_SECRETS


def test_writing_golden_files_changes_none(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr("tests.golden.FOLDER", tmp_path)
    assert main() == 0
    assert len(list(tmp_path.iterdir())) == len(EVENTS)
    grown = tmp_path / "tab.course_called.v1.json"
    whole = grown.read_text()
    shape = json.loads(whole)
    del shape["full"]["course"]
    grown.write_text(json.dumps(shape))  # as if the field had been added since
    capsys.readouterr()
    assert main() == 0
    assert capsys.readouterr().out == "extended tab.course_called.v1.json\n"
    assert grown.read_text() == whole
    changed = tmp_path / "tab.cleaned.v1.json"
    changed.write_text('{"full": {"size": 1}}')
    capsys.readouterr()
    assert main() == 1
    assert capsys.readouterr().out == "REFUSED  tab.cleaned.v1.json: raise the event's version and write an upcaster\n"
    assert changed.read_text() == '{"full": {"size": 1}}'
