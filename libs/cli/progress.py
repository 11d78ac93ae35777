"""How far something long is: one line on stderr that overwrites itself, and nothing where nobody looks."""

from __future__ import annotations

import sys
import time
from types import TracebackType
from typing import Final

DRAW_EVERY_S: Final = 0.2
BAR_CHARS: Final = 24


class Progress:
    """``what``: of the whole, in the first column; ``total``: events. At a terminal only, unless ``shown`` says otherwise."""

    def __init__(self, what: str, total: int, *, shown: bool | None = None) -> None:
        self.done = 0
        self._what = what
        self._total = total
        self._shown = sys.stderr.isatty() if shown is None else shown
        self._since = time.monotonic()
        self._drawn = 0.0

    def __enter__(self) -> Progress:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        if self._shown and self._drawn:
            sys.stderr.write("\r\x1b[K")
            sys.stderr.flush()

    @property
    def per_second(self) -> float:
        return self.done / max(time.monotonic() - self._since, 0.001)

    def at(self, done: int, what: str = "") -> None:
        """So many of the whole are done."""
        self.done = done
        self._what = what or self._what
        if self._shown and time.monotonic() - self._drawn >= DRAW_EVERY_S:
            self._drawn = time.monotonic()
            sys.stderr.write(f"\r\x1b[K{self.line()}")
            sys.stderr.flush()

    def line(self) -> str:
        share = min(1.0, self.done / self._total) if self._total else 1.0
        full = int(share * BAR_CHARS)
        left = max(self._total - self.done, 0) / max(self.per_second, 0.001)
        bar = "█" * full + "·" * (BAR_CHARS - full)
        return f"{self._what:<28.28} {bar} {share:>4.0%}  {self.done:,} events  {self.per_second:,.0f}/s  {_eta(left)}"


def _eta(seconds: float) -> str:
    if seconds >= 3600:
        return f"{seconds / 3600:.1f} h left"
    return f"{seconds / 60:.0f} min left" if seconds >= 90 else f"{seconds:.0f} s left"
