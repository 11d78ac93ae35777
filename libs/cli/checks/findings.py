"""What was found, how bad it is, and what to do about it."""

from __future__ import annotations

from enum import StrEnum

import msgspec


class Severity(StrEnum):
    """``ERROR``: something is broken, or data are in danger; ``WARNING``: it will be; ``HINT``: good to know; ``FINE``: looked at."""

    ERROR = "error"
    WARNING = "warning"
    HINT = "hint"
    FINE = "fine"


class Finding(msgspec.Struct, frozen=True):
    """``check``: the part that was looked at; ``why`` it matters; ``next``: what to do."""

    severity: Severity
    check: str
    what: str
    why: str = ""
    next: str = ""


def fine(check: str, what: str) -> Finding:
    return Finding(Severity.FINE, check, what)


def hint(check: str, what: str, why: str, next: str) -> Finding:
    return Finding(Severity.HINT, check, what, why, next)


def warning(check: str, what: str, why: str, next: str) -> Finding:
    return Finding(Severity.WARNING, check, what, why, next)


def error(check: str, what: str, why: str, next: str) -> Finding:
    return Finding(Severity.ERROR, check, what, why, next)
