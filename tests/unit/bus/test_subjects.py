from __future__ import annotations

import pytest

from libs.bus import subjects
from libs.bus.subjects import Call


def test_every_tree_has_its_shape() -> None:
    assert subjects.command("pos", "pay") == "cmd.pos.pay"
    assert subjects.query("pos", "log") == "qry.pos.log"
    assert subjects.published("pos", 17, "receipt", "issued") == "evt.pos.i17.receipt.issued"
    assert subjects.internal("pos", 17, "tab", "line-added") == "int.pos.i17.tab.line-added"
    assert subjects.live("pos", "poke") == "live.pos.poke"
    assert subjects.cancel("pos") == "ctl.pos.cancel"
    assert subjects.log_stream("pos", 17) == "EVT_pos_i17"
    assert subjects.log_stream_subjects("pos", 17) == ("evt.pos.i17.>", "int.pos.i17.>")


def test_a_request_subject_tells_its_service_and_kind() -> None:
    assert subjects.service_of(subjects.command("billing", "reserve")) == "billing"
    assert subjects.is_query(subjects.request(Call.QUERY, "pos", "open"))
    assert not subjects.is_query(subjects.command("pos", "open"))


@pytest.mark.parametrize("bad", ["", "a.b", "*", ">", "a b", "a\r\nPUB x", "a>", "ä", "x" * 65, "a\n"])
def test_no_token_can_reach_into_another_tree(bad: str) -> None:
    for make in (
        lambda: subjects.command(bad, "pay"),
        lambda: subjects.command("pos", bad),
        lambda: subjects.query("pos", bad),
        lambda: subjects.published(bad, 1, "receipt", "issued"),
        lambda: subjects.published("pos", 1, bad, "issued"),
        lambda: subjects.internal("pos", 1, "receipt", bad),
        lambda: subjects.live("pos", bad),
        lambda: subjects.cancel(bad),
        lambda: subjects.log_stream(bad, 1),
        lambda: subjects.log_stream_subjects(bad, 1),
    ):
        with pytest.raises(ValueError, match="not a subject token"):
            make()


def test_an_instance_is_a_number_that_was_given_out() -> None:
    with pytest.raises(ValueError, match="not an instance"):
        subjects.log_stream("pos", -1)
