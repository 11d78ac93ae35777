"""The file by which everybody finds the running system."""

from __future__ import annotations

import stat
from datetime import UTC, datetime
from pathlib import Path

import pytest

from libs.runtime import endpoints
from libs.runtime.endpoints import Child, Endpoints, NotRunning

KNOWN = Endpoints(
    postgres_dsn="postgres://theke:secret@127.0.0.1:20001/postgres",
    nats_url="nats://theke:secret@127.0.0.1:20002",
    gateway_url="http://127.0.0.1:5015",
    supervisor_pid=17,
    ready=True,
    children=(Child("postgres", 18, 0, datetime(2026, 5, 1, 18, 0, tzinfo=UTC)), Child("pos", None, 3, None)),
)


@pytest.fixture
def data(tmp_path: Path) -> Path:
    (tmp_path / "run").mkdir()
    return tmp_path


def test_what_is_written_is_read_and_only_the_owner_may(data: Path) -> None:
    endpoints.write(data, KNOWN)
    assert endpoints.read(data) == KNOWN
    assert stat.S_IMODE((data / endpoints.FILE).stat().st_mode) == 0o600


def test_a_writer_that_was_killed_half_way_does_no_harm(data: Path) -> None:
    endpoints.write(data, KNOWN)
    (data / "run" / "endpoints.json.new").write_text("{")
    assert endpoints.read(data) == KNOWN
    endpoints.write(data, KNOWN)
    assert endpoints.read(data) == KNOWN


def test_without_a_file_nothing_runs(data: Path) -> None:
    endpoints.write(data, KNOWN)
    endpoints.remove(data)
    endpoints.remove(data)
    with pytest.raises(NotRunning, match="theke up"):
        endpoints.read(data)
