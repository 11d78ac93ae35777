"""The command line where nothing runs, and what it shows where something does."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import NamedTuple

import pytest

from libs.bus.relay import HALTED
from libs.cli import diagnosis, exits, main, status, welcome
from libs.cli.endpoints import expected, standing
from libs.cli.instances import Created
from libs.runtime import endpoints
from libs.runtime.config import SERVICES, Settings
from libs.runtime.endpoints import LOCK, Child, Endpoints
from libs.runtime.locks import take


@pytest.fixture
def data(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    for name in [name for name in os.environ if name.startswith("THEKE_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("THEKE_DATA", str(tmp_path))
    (tmp_path / "run").mkdir()
    return tmp_path


def known(pid: int = 18) -> Endpoints:
    return Endpoints(
        postgres_dsn="postgres://theke:secret@127.0.0.1:20001/postgres",
        nats_url="nats://theke:secret@127.0.0.1:20002",
        gateway_url="http://127.0.0.1:5015",
        supervisor_pid=os.getpid(),
        ready=True,
        children=(Child("pos", pid, 3, datetime(2026, 5, 1, 18, 0, tzinfo=UTC)), Child("auth", None, 1, None)),
    )


def test_status_where_nothing_runs_says_so_with_a_code_of_its_own(data: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main.main(["applications", "list", "demo"]) == exits.NOT_RUNNING
    assert main.main(["status"]) == exits.NOT_RUNNING == 3
    assert "theke up" in capsys.readouterr().err


def test_what_a_killed_supervisor_left_behind_is_not_taken_for_a_running_one(data: Path) -> None:
    endpoints.write(data, known())
    assert main.main(["status"]) == exits.NOT_RUNNING


def test_status_for_programs_has_addresses_and_living_processes(data: Path, capsys: pytest.CaptureFixture[str]) -> None:
    endpoints.write(data, known(pid=os.getpid()))
    with take(data / LOCK):
        assert main.main(["status", "--json"]) == exits.DONE
    shown = json.loads(capsys.readouterr().out)
    assert shown["postgres"] == "postgres://theke:secret@127.0.0.1:20001/postgres"
    assert [(process["name"], process["alive"], process["restarts"]) for process in shown["processes"]] == [
        ("pos", True, 3),
        ("auth", False, 1),
    ]


def test_status_says_how_services_connect_to_postgres() -> None:
    assert status.roles("") == "one for each service"
    assert status.roles("permission denied to create role") == "one for all services: permission denied to create role"


def test_status_for_people_shows_no_password(data: Path, capsys: pytest.CaptureFixture[str]) -> None:
    endpoints.write(data, known(pid=os.getpid()))
    with take(data / LOCK):
        assert main.main(["status"]) == exits.DONE
    shown = capsys.readouterr().out
    assert "secret" not in shown
    assert "postgres://theke:***@127.0.0.1:20001/postgres" in shown
    processes, logs, faults = shown.split("\n\n")[1:]
    assert "auth is down\n    → it is being started again" in faults
    assert [line.split()[:2] for line in processes.splitlines() if line.strip().startswith(("pos ", "auth "))] == [
        ["pos", "running"],
        ["auth", "down"],
    ]
    assert logs.count("does not answer: NATS does not answer") == len(SERVICES)


def test_what_is_wrong_is_told_with_a_next_step() -> None:
    good = {
        "heads": {"1": 9_000},
        "relay": {"1": {"state": "copying"}},
        "projections": {"receipts": {"1": {"position": 9_000, "held": None}}},
    }
    running = {"name": "pos", "alive": True, "restarts": 0}
    assert diagnosis.wrong([running], {"pos": good}) == []
    held = {**good, "projections": {"receipts": {"1": {"position": 16, "held": "receipt.issued at position 17: ValueError"}}}}
    slow = {**good, "projections": {"receipts": {"1": {"position": 10, "held": None}}}, "relay": {"1": {"state": "diverged"}}}
    tired = {**running, "restarts": diagnosis.RESTARTS}
    found = diagnosis.wrong([tired], {"pos": held, "crm": slow, "auth": {"error": "no_responders"}})
    assert [one.what for one in found] == [
        "pos was restarted 5 times",
        "pos i1: receipts is held: receipt.issued at position 17: ValueError",
        "crm i1: receipts lags 8,990 events behind",
        "crm i1: the copy in JetStream is diverged",
        "auth does not answer: no_responders",
    ]
    assert "theke projections retry pos.receipts --instance i1" in found[1].next
    assert set(diagnosis.RELAY_NEXT) == {*HALTED, "failing"}


def test_a_setting_with_an_impossible_value_ends_with_one_line(
    data: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("THEKE_PORT", "none")
    assert main.main(["up"]) == exits.USAGE == 2
    assert capsys.readouterr().err.count("\n") == 1


def test_up_on_a_state_directory_in_use_is_refused(data: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with take(data / LOCK):
        assert main.main(["up"]) == exits.IN_USE == 4
    assert f"process {os.getpid()}" in capsys.readouterr().err


def test_help_names_every_setting_and_exit_code(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit, match="0"):
        main.main(["--help"])
    shown = capsys.readouterr().out
    assert all(name in shown for name in Settings.from_env({}).environ())
    assert all(f"\n  {code}  " in shown for code in (exits.DONE, exits.FAILED, exits.USAGE, exits.NOT_RUNNING, exits.IN_USE))


def test_the_welcome_shows_the_way_to_the_demo(capsys: pytest.CaptureFixture[str]) -> None:
    welcome.welcome(known(), Settings(demo=True))
    shown = capsys.readouterr().out
    assert "http://127.0.0.1:5015" in shown
    assert "admin / admin" in shown


def test_the_welcome_of_a_first_start_shows_the_password_and_a_later_one_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    welcome.welcome(known(), Settings(), Created(1, "main", "admin", "r4nd0m"))
    assert "password r4nd0m" in capsys.readouterr().out
    welcome.welcome(known(), Settings())
    assert "admin" not in capsys.readouterr().out


def test_the_first_sale_is_a_script_a_shell_understands() -> None:
    script = welcome.first_sale("http://127.0.0.1:5015")
    subprocess.run(["/bin/sh", "-n"], input=script, text=True, check=True)
    assert "/api/v1/payments/direct-sale" in script
    assert "jq" not in script


# --- endpoints ----------------------------------------------------------------------------------------------------------------


def test_endpoints_are_counted_by_section_without_anything_running(data: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main.main(["endpoints"]) == exits.DONE
    said = capsys.readouterr().out
    assert re.search(r"^Tables +20 of 20$", said, re.MULTILINE)
    assert re.search(r"^all +\d+ of 341$", said, re.MULTILINE)
    assert re.search(r"^DayClose +\d+ beyond$", said, re.MULTILINE)


def test_endpoints_for_programs_are_the_same_numbers(data: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main.main(["endpoints", "--json"]) == exits.DONE
    found = json.loads(capsys.readouterr().out)
    assert (found["expected"], len(found["sections"])) == (341, 34)
    assert found["built"] == sum(one["built"] for one in found["sections"])
    assert all(one["built"] + len(one["missing"]) == one["expected"] for one in found["sections"])
    assert all(one["expected"] == 0 for one in found["beyond"])


def test_endpoints_that_are_missing_are_named_and_can_be_an_exit_code(data: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main.main(["endpoints", "Tables", "Payments", "--complete"]) == exits.DONE
    assert main.main(["endpoints", "Workshop", "--complete"]) == exits.FAILED
    assert "lacks GET /api/v1/work" in capsys.readouterr().out
    assert main.main(["endpoints", "Cakes"]) == exits.USAGE
    assert "Workshop" in capsys.readouterr().err


class Built(NamedTuple):
    method: str
    path: str
    section: str
    listed: bool = True


def test_endpoints_differ_by_what_they_do_not_by_what_a_part_of_a_path_is_called() -> None:
    found = standing(
        [Built("GET", "/api/v1/articles/{key}", "Articles"), Built("GET", "/api/v1/cakes", "Cakes"), Built("GET", "/x", "Old", False)]
    )
    articles = next(one for one in found.sections if one.section == "Articles")
    assert (found.built, articles.built, len(articles.missing)) == (1, 1, 14)
    assert [(one.section, one.built) for one in found.beyond] == [("Cakes", 1)]


def test_the_table_of_endpoints_names_each_once() -> None:
    names = [(row.method, re.sub(r"{[^}]*}", "{}", row.path)) for row in expected()]
    assert len(set(names)) == len(names) == 341
    assert {row.origin for row in expected()} == {"seed", "seed-area", "public", "proposed"}


def test_a_subcommand_loads_nothing_of_the_others() -> None:
    """All of them together took more than a second before the first word."""
    script = """
import sys
from libs.cli.main import parser
parser(["endpoints"])
print(sorted({"nats", "asyncpg", "libs.cli.status"} & sys.modules.keys()))
"""
    assert subprocess.run([sys.executable, "-c", script], capture_output=True, check=True, text=True).stdout == "[]\n"


def test_a_word_that_is_no_command_is_answered_with_all_commands(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as refused:
        main.main(["nosuch"])
    assert refused.value.code == exits.USAGE
    said = capsys.readouterr().err
    assert all(f"'{job}'" in said for job in main.JOBS)
