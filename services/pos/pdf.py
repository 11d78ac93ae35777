"""A paper as PDF: one page as wide as the roll of a receipt printer and as long as it must be. Fonts are embedded, so every name is
readable everywhere; the same paper gives the same bytes."""

from __future__ import annotations

import asyncio
import io
from functools import cache
from pathlib import Path
from typing import Final

import segno
from reportlab.pdfbase import pdfmetrics
from reportlab.pdfbase.ttfonts import TTFont
from reportlab.pdfgen.canvas import Canvas

from services.pos.papers import COLUMNS, Paper

FONTS: Final = Path(__file__).parent / "fonts"
REGULAR: Final = "DejaVuSansMono"
BOLD: Final = "DejaVuSansMono-Bold"

MM: Final = 72 / 25.4  # points
WIDTH: Final = 80 * MM
MARGIN: Final = 4 * MM
QR_SIZE: Final = 40 * MM
LINE_HEIGHT: Final = 1.3  # of the font's size
CHAR_WIDTH: Final = 0.602  # of the font's size, for every character of it
FONT_SIZE: Final = (WIDTH - 2 * MARGIN) / (COLUMNS * CHAR_WIDTH)
AT_ONCE_MAX: Final = 2  # papers being drawn; a long one takes a core for some hundredths of a second

_turns = asyncio.Semaphore(AT_ONCE_MAX)


async def pdf_of(paper: Paper) -> bytes:
    """Drawn beside the event loop."""
    async with _turns:
        return await asyncio.to_thread(drawn, paper)


def drawn(paper: Paper) -> bytes:
    _fonts()
    step = FONT_SIZE * LINE_HEIGHT
    height = 2 * MARGIN + step * len(paper.lines) + (QR_SIZE + MARGIN if paper.qr else 0)
    buffer = io.BytesIO()
    canvas = Canvas(buffer, pagesize=(WIDTH, height), invariant=1, pageCompression=1)
    canvas.setTitle(paper.title)
    canvas.setCreator("Theke")
    y = height - MARGIN
    for line in paper.lines:
        y -= step
        canvas.setFont(BOLD if line.bold else REGULAR, FONT_SIZE)
        canvas.drawString(MARGIN, y, line.text)
    if paper.qr:
        _draw_qr(canvas, paper.qr, y - MARGIN)
    canvas.showPage()
    canvas.save()
    return buffer.getvalue()


@cache
def _fonts() -> None:
    for name in (REGULAR, BOLD):
        pdfmetrics.registerFont(TTFont(name, str(FONTS / f"{name}.ttf")))


def _draw_qr(canvas: Canvas, text: str, top: float) -> None:
    modules = segno.make_qr(text, error="m", boost_error=False).matrix
    side = QR_SIZE / len(modules)
    left = (WIDTH - QR_SIZE) / 2
    for row, cells in enumerate(modules):
        for column, dark in enumerate(cells):
            if dark:
                canvas.rect(left + column * side, top - (row + 1) * side, side, side, stroke=0, fill=1)
