"""What `theke doctor` makes of what it sees."""

from __future__ import annotations

import os
import socket
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from libs.bus.jetstream import log_stream_config
from libs.cli.checks import bus, machine, postgres
from libs.cli.checks.findings import Finding, Severity
from libs.cli.doctor import render
from libs.cli.main import main
from libs.runtime.config import Settings

GIB = 1024**3
SAFE = {
    "fsync": "on",
    "full_page_writes": "on",
    "autovacuum": "on",
    "synchronous_commit": "on",
    "data_checksums": "on",
    "max_connections": "200",
}


def bad(findings: object) -> list[tuple[str, str]]:
    """Severity and what, of all that is not fine; each says what to do."""
    found = [one for one in findings if one.severity is not Severity.FINE]  # type: ignore[attr-defined]
    assert all(one.next and one.why for one in found), found
    return [(str(one.severity), one.what) for one in found]


@pytest.mark.parametrize(
    ("changed", "severity", "what"),
    [
        ({"fsync": "off"}, "error", "fsync is off"),
        ({"full_page_writes": "off"}, "error", "full_page_writes is off"),
        ({"synchronous_commit": "off"}, "error", "synchronous_commit is off"),
        ({"autovacuum": "off"}, "error", "autovacuum is off"),
        ({"zero_damaged_pages": "on"}, "error", "zero_damaged_pages is on"),
        ({"synchronous_commit": "local", "synchronous_standby_names": "other"}, "warning", "synchronous_commit is local"),
        ({"data_checksums": "off"}, "hint", "data_checksums is off"),
        ({"max_connections": "20"}, "warning", "max_connections is 20"),
    ],
)
def test_settings_that_endanger_what_is_booked_are_named(changed: Mapping[str, str], severity: str, what: str) -> None:
    assert bad(postgres.durability(SAFE)) == []
    assert bad(postgres.durability({**SAFE, "synchronous_commit": "local"})) == [], "nobody waits for a standby that there is not"
    assert bad(postgres.durability({**SAFE, **changed})) == [(severity, what)]


def test_servers_that_are_too_old_and_clocks_that_go_wrong_are_named() -> None:
    now = datetime(2026, 3, 5, 12, tzinfo=UTC)
    assert bad(postgres.version(18)) == bad(bus.server({"version": "2.15.0", "max_payload": 1024 * 1024})) == []
    assert bad(postgres.version(16)) == [("error", "Postgres 16 is too old")]
    assert bad(bus.server({"version": "2.9.1-beta", "max_payload": 1024})) == [
        ("error", "NATS 2.9.1-beta is too old"),
        ("error", "max_payload is 1,024 bytes"),
    ]
    assert bad(bus.store(95, 100)) == [("warning", "JetStream holds 95 of 100 bytes")]
    assert bad(bus.store(95, -1)) == []
    assert bad(postgres.clock("NATS", now + timedelta(seconds=0.9), now)) == []
    assert bad(postgres.clock("NATS", now - timedelta(seconds=2), now)) == [("warning", "the clock of NATS is 2.0 s behind this machine's")]
    assert bad(postgres.clock("NATS", now + timedelta(minutes=1), now))[0][0] == "error"


def test_streams_are_compared_with_what_the_code_declares() -> None:
    config = log_stream_config("pos", 7)
    assert bad(bus.as_declared("pos", 7, {**config, "first_seq": 12, "metadata": {"a": "b"}})) == []
    assert bad(bus.as_declared("pos", 7, log_stream_config("pos", 7, replicas=3))) == [], "replicas are the operator's"
    assert bad(bus.as_declared("pos", 7, None)) == [("warning", "EVT_pos_i7 is not there")]
    assert bad(bus.as_declared("pos", 7, {**config, "deny_purge": False})) == [("hint", "EVT_pos_i7: deny_purge is False instead of True")]
    assert bad(bus.as_declared("pos", 7, {**config, "storage": "memory"}))[0][0] == "error"


def test_the_machine_is_looked_at(tmp_path: Path) -> None:
    assert bad(machine.disk("/", 100 * GIB, 50 * GIB, 100, 50)) == []
    assert bad(machine.disk("/", 100 * GIB, GIB // 2, 0, 0)) == [("error", "0.5 of 100.0 GiB are free below /")]
    assert bad(machine.disk("/", 100 * GIB, 9 * GIB, 1_000, 1))[0][0] == "warning"
    assert "inodes" in bad(machine.disk("/", 100 * GIB, 50 * GIB, 1_000, 1))[0][1]
    assert bad(machine.open_files(65_536, -1)) == bad(machine.open_files(-1, -1)) == []
    assert [severity for severity, _ in bad(machine.open_files(4_096, -1)) + bad(machine.open_files(256, 512))] == ["warning", "error"]

    for name in ("run", "nats", "lost"):
        (tmp_path / name).mkdir(mode=0o700)
    (tmp_path / "nats/password").write_text("secret")
    (tmp_path / "nats/password").chmod(0o600)
    assert bad(machine.modes(tmp_path)) == bad(machine.leftovers(tmp_path, running=False)) == []
    (tmp_path / "nats/password").chmod(0o640)
    (tmp_path / "run").chmod(0o755)
    (tmp_path / "run/endpoints.json").touch(mode=0o600)
    (tmp_path / "lost/pos-i1-2-3-a.jsonl").touch()
    (tmp_path / "nats/password.new").touch()
    assert [what for _, what in bad(machine.modes(tmp_path))] == [
        f"{tmp_path}/nats/password has mode 0640",
        f"{tmp_path}/run has mode 0755",
    ]
    left = [what for _, what in bad(machine.leftovers(tmp_path, running=False))]
    assert [("endpoints.json is there" in left[0]), ("password.new" in left[1]), ("pos-i1-2-3-a.jsonl" in left[2])] == [True, True, True]
    assert len(bad(machine.leftovers(tmp_path, running=True))) == 1, "what runs makes and takes away such files"
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        settings = Settings(data=tmp_path, port=taken.getsockname()[1])
        assert bad(machine.port(settings, running=True)) == []
        assert "is taken by another program" in bad(machine.port(settings, running=False))[0][1]
    assert bad(machine.port(settings, running=False)) == []
    assert "nothing listens" in bad(machine.port(settings, running=True))[0][1]
    assert bad(machine.machine(Settings(data=tmp_path / "nowhere"), running=False)) == [("hint", f"{tmp_path}/nowhere is not there")]


def test_it_works_when_theke_is_down_and_its_exit_code_says_whether_something_is_wrong(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        number = free.getsockname()[1]
    for name in [name for name in os.environ if name.startswith("THEKE_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("THEKE_DATA", str(tmp_path / "state"))
    monkeypatch.setenv("THEKE_PORT", str(number))
    assert main(["doctor"]) == 0
    said = capsys.readouterr().out
    assert "Theke is not running: databases and bus were not looked at" in said
    assert "no errors" in said
    monkeypatch.setenv("THEKE_POSTGRES_DSN", f"postgres://nobody@127.0.0.1:{number}/x")
    assert main(["doctor", "--json"]) == 1
    assert "Postgres cannot be reached" in capsys.readouterr().out


def test_findings_are_shown_with_what_to_do() -> None:
    findings = [Finding(Severity.ERROR, "disk", "full", "nothing is booked", "make room"), Finding(Severity.FINE, "clock", "right")]
    assert render(findings).splitlines() == [
        "✗ disk        full",
        "              nothing is booked",
        "              → make room",
        "1 error, no warnings; 1 things are fine",
    ]
    assert "✓ clock       right" in render(findings, everything=True)
