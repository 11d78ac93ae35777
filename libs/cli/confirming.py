"""Asking whoever sits at the terminal before something that cannot be undone."""

from __future__ import annotations

import sys


def agreed(question: str, *, yes: bool, answer: str = "yes") -> bool:
    """True if it was agreed to beforehand (``yes``) or is now, by typing ``answer``. Where nobody sits, nobody agrees."""
    if yes:
        return True
    if not sys.stdin.isatty():
        return False
    return input(f"{question} Type `{answer}`: ").strip() == answer
