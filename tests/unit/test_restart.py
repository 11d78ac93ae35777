"""``theke restart`` of a process that is between two lives; the rest is shown on real ones: tests/chaos/test_replicas.py."""

from __future__ import annotations

from datetime import UTC, datetime
from types import SimpleNamespace

import pytest

from libs.cli import restart
from libs.runtime.config import Settings
from libs.runtime.endpoints import Child

AT = datetime(2026, 11, 22, tzinfo=UTC)


def test_a_process_that_is_being_started_already_is_waited_for(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """Once it was waited for in vain: what was looked for was a start later than the one that was under way."""
    monkeypatch.setattr(restart, "READY_WITHIN_S", 1.0)
    monkeypatch.setattr(restart.endpoints, "read", lambda _: SimpleNamespace(children=(Child("pos", 17, 1, AT),)))
    restart._restart(Child("pos", None, 1, AT), Settings(), as_json=False)
    assert "now process 17" in capsys.readouterr().out
