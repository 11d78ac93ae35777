"""Log lines: JSON when a machine reads, text when a person does, and always with the trace they belong to."""

from __future__ import annotations

import asyncio
import json
import logging
import subprocess
import sys
from pathlib import Path

import pytest
import structlog

from libs.runtime import logs


def lines(capsys: pytest.CaptureFixture[str]) -> list[dict[str, object]]:
    return [json.loads(line) for line in capsys.readouterr().out.splitlines()]


def test_a_line_is_one_json_object_with_service_level_and_time(capsys: pytest.CaptureFixture[str]) -> None:
    logs.configure("pos", terminal=False)
    structlog.get_logger().warning("receipt.late", number=17, text="Bär\nZwei")
    (line,) = lines(capsys)
    assert line.pop("timestamp")
    assert line == {"event": "receipt.late", "service": "pos", "level": "warning", "number": 17, "text": "Bär\nZwei"}


async def test_the_trace_is_on_every_line_of_a_request_and_of_its_tasks_only(capsys: pytest.CaptureFixture[str]) -> None:
    logs.configure("pos", terminal=False)
    log = structlog.get_logger()

    async def inner() -> None:
        log.info("inner")

    async def request(trace: str) -> None:
        with logs.traced(trace):
            log.info("outer")
            await asyncio.create_task(inner())

    await asyncio.gather(request("a"), request("b"))
    log.info("afterwards")
    own = [line for line in lines(capsys) if line["event"] in ("outer", "inner", "afterwards")]  # services of other tests may log too
    assert [(line["event"], line.get("trace")) for line in own] == [
        ("outer", "a"),
        ("outer", "b"),
        ("inner", "a"),
        ("inner", "b"),
        ("afterwards", None),
    ]


def test_lines_below_the_level_are_not_written(capsys: pytest.CaptureFixture[str]) -> None:
    logs.configure("pos", "warning", terminal=False)
    structlog.get_logger().info("quiet")
    structlog.get_logger().error("loud")
    assert [line["event"] for line in lines(capsys)] == ["loud"]


def test_other_libraries_warnings_come_out_as_json_too(capsys: pytest.CaptureFixture[str]) -> None:
    logs.configure("pos", terminal=False)
    logging.getLogger("nats.aio").warning("slow %s", "consumer")
    logging.getLogger("nats.aio").info("chatter")
    (line,) = lines(capsys)
    assert (line["event"], line["service"], line["level"]) == ("slow consumer", "pos", "warning")


def test_an_exception_is_one_line_with_its_cause(capsys: pytest.CaptureFixture[str]) -> None:
    logs.configure("pos", terminal=False)
    try:
        raise ValueError("broken till")
    except ValueError:
        structlog.get_logger().exception("failed")
    (line,) = lines(capsys)
    assert "broken till" in json.dumps(line["exception"])


@pytest.mark.parametrize("terminal", [True, False])
def test_a_traceback_does_not_give_away_what_variables_held(capsys: pytest.CaptureFixture[str], terminal: bool) -> None:
    logs.configure("auth", terminal=terminal)

    def log_in(password: str) -> None:
        raise ValueError(f"{len(password)} characters are too few")

    try:
        log_in("hunter" + "2")
    except ValueError:
        structlog.get_logger().exception("failed")
    written = capsys.readouterr().out
    assert "log_in" in written
    assert "hunter2" not in written


def test_a_person_gets_text(capsys: pytest.CaptureFixture[str]) -> None:
    logs.configure("pos", terminal=True)
    structlog.get_logger().info("receipt.issued", number=17)
    written = capsys.readouterr().out
    assert "receipt.issued" in written
    assert not written.startswith("{")


def test_into_a_pipe_goes_json_without_being_asked() -> None:
    program = "from libs.runtime import logs; import structlog; logs.configure('pos'); structlog.get_logger().info('hello')"
    ran = subprocess.run([sys.executable, "-c", program], capture_output=True, check=True, cwd=Path(__file__).resolve().parents[2])
    assert json.loads(ran.stdout)["event"] == "hello"


def test_a_log_that_cannot_be_written_stops_nobody(monkeypatch: pytest.MonkeyPatch) -> None:
    """Once a full disk under the log file took a service's projector and writer with it, and both stayed away when there was room again."""

    class Full:
        def write(self, _: str) -> int:
            raise OSError(28, "No space left on device")

        def flush(self) -> None:
            raise OSError(28, "No space left on device")

    monkeypatch.setattr(sys, "stdout", Full())
    logs.configure("pos", terminal=False)
    structlog.get_logger().error("append failed")
    logging.getLogger("asyncpg").error("connection lost")
