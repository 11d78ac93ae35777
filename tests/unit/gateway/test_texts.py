"""Nobody is ever refused without a sentence, in either language, and no sentence has a hole in it."""

from __future__ import annotations

import string

import pytest

from libs.cli.reasons import Reason, reasons
from libs.domain.errors import DomainError, FieldError, Kind
from libs.texts.catalogue import AMOUNTS, DETAILS, FIELDS, HEADLINES, UNAVAILABLE, Language, Text, details, headline

REASONS = reasons()
ALL_TEXTS = [*HEADLINES.items(), *UNAVAILABLE.items(), *DETAILS.items(), *FIELDS.items()]
ADDED = {"internal": {"trace"}, "claim_taken": {"field"}}  # what the gateway adds when it writes the answer


def holes(text: Text) -> set[str]:
    return {name for template in (text.de, text.en) for _, name, _, _ in string.Formatter().parse(template) if name}


def test_the_sources_were_read() -> None:
    """The collector sees every way in which a reason is named."""
    seen = {(one.reason, one.kind) for one in REASONS}
    for expected in (
        ("receipt_not_found", "not_found"),  # not_found("…")
        ("article_in_use", "conflict"),  # conflict(f"…")
        ("key_misuse", "unprocessable"),  # DomainError(Kind.…, "…")
        ("tables_not_ready", "unavailable"),  # unavailable("…")
        ("payment_short", "unprocessable"),  # faults.unprocessable(…, "…")
        ("either_percent_or_amount", "field"),  # faults.invalid(…, "…")
        ("too_many", "field"),  # check_count(…, "…", faults)
        ("unprintable", "field"),  # _Wrong("…")
        ("expected_list", "field"),  # FieldError(…, "…")
        ("expected_boolean", "field"),  # a table of types
        ("table_group_not_found", "not_found"),  # call.id(…, f"…")
    ):
        assert expected in seen


@pytest.mark.parametrize("one", REASONS, ids=lambda one: f"{one.reason} in {one.where}")
def test_every_reason_has_its_sentence_and_every_hole_is_filled(one: Reason) -> None:
    if one.kind == "field":
        text = FIELDS.get(one.reason) or DETAILS[one.reason]
    else:
        assert one.reason in HEADLINES or one.reason in UNAVAILABLE
        text = DETAILS.get(one.reason, Text("", ""))
    if one.params is not None:
        assert holes(text) <= {*one.params, *ADDED.get(one.reason, ())}


@pytest.mark.parametrize(("reason", "text"), ALL_TEXTS, ids=lambda part: part if isinstance(part, str) else "")
def test_both_languages_say_the_same_in_different_words(reason: str, text: Text) -> None:
    german, english = ({name for _, name, _, _ in string.Formatter().parse(template) if name} for template in (text.de, text.en))
    assert german == english
    assert text.de
    assert text.en
    assert text.de != text.en


def test_no_sentence_waits_for_a_reason_that_is_gone() -> None:
    named = {one.reason for one in REASONS}
    assert set(HEADLINES) | set(UNAVAILABLE) | set(DETAILS) <= named | {"invalid_fields"}
    assert set(FIELDS) <= {one.reason for one in REASONS if one.kind == "field"}


@pytest.mark.parametrize("language", list(Language))
def test_a_reason_nobody_foresaw_is_told_as_an_internal_error(language: Language) -> None:
    error = DomainError(Kind.CONFLICT, "never_heard_of")
    assert headline(error, language) == HEADLINES["internal"](language, {})
    assert details(error, language) == [headline(error, language)]
    assert details(DomainError(Kind.INVALID, "invalid_fields", fields=(FieldError("a.b", "never_heard_of"),)), language)


def test_amounts_are_written_as_people_write_them() -> None:
    error = DomainError(Kind.UNPROCESSABLE, "payment_short", {"due": 123450, "missing": 5})
    assert details(error, Language.GERMAN) == ["Zu zahlen 1234,50 €, es fehlen 0,05 €"]
    assert details(error, Language.ENGLISH) == ["€1234.50 is due, €0.05 is missing"]
    assert {"due", "missing"} <= AMOUNTS


def test_a_clients_text_cannot_reach_into_a_template() -> None:
    error = DomainError(Kind.NOT_FOUND, "article_not_found", {"id": "{id.__class__} {0} %s"})
    assert details(error, Language.ENGLISH) == ["There is no article with id '{id.__class__} {0} %s'"]
