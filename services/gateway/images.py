"""Pictures that clients send: checked before they are unpacked, turned upright, made small, and written as WebP without whatever else a
camera put into the file."""

from __future__ import annotations

import asyncio
import io
import warnings
from collections.abc import Mapping
from typing import Final

from PIL import Image, ImageOps, UnidentifiedImageError

from libs.blobs.store import File
from libs.domain.errors import DomainError, Kind

IMAGE_MAX_BYTES: Final = 10 * 1024 * 1024
IMAGE_MAX_PIXELS: Final = 24_000_000  # unpacked 96 MB
AT_ONCE: Final = 1  # unpacked pictures in memory
SIDES: Final[Mapping[str, int]] = {"full": 1600, "medium": 640, "thumb": 160}  # the longer side, in pixels
FORMATS: Final[Mapping[str, str]] = {"image/jpeg": "JPEG", "image/png": "PNG", "image/webp": "WEBP"}
WEBP: Final = "image/webp"
QUALITY: Final = 82

_turn = asyncio.Semaphore(AT_ONCE)


async def variants_of(raw: bytes) -> Mapping[str, File]:
    """By size. Raises ``invalid`` for what is no picture, ``too_large`` for one of too many pixels."""
    async with _turn:
        return await asyncio.to_thread(_variants, raw)


def _variants(raw: bytes) -> Mapping[str, File]:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", Image.DecompressionBombWarning)
            with Image.open(io.BytesIO(raw), formats=tuple(FORMATS.values())) as opened:
                if opened.width * opened.height > IMAGE_MAX_PIXELS:
                    raise DomainError(Kind.TOO_LARGE, "image_too_large", {"max": IMAGE_MAX_PIXELS // 1_000_000})
                return _made_small(opened)
    except Image.DecompressionBombError:
        raise DomainError(Kind.TOO_LARGE, "image_too_large", {"max": IMAGE_MAX_PIXELS // 1_000_000}) from None
    except (UnidentifiedImageError, OSError, SyntaxError, ValueError, EOFError, MemoryError, IndexError, KeyError, TypeError):
        raise DomainError(Kind.INVALID, "not_an_image") from None  # what the library raises on a broken file is not documented


def _made_small(opened: Image.Image) -> Mapping[str, File]:
    largest = max(SIDES.values())
    opened.draft("RGB", (largest, largest))  # a JPEG need not be unpacked whole
    picture = ImageOps.exif_transpose(opened)
    picture = picture.convert("RGBA" if picture.has_transparency_data else "RGB")
    made = {}
    for name, side in sorted(SIDES.items(), key=lambda one: -one[1]):
        picture.thumbnail((side, side))
        written = io.BytesIO()
        picture.save(written, "WEBP", quality=QUALITY)
        made[name] = File(WEBP, written.getvalue())
    return made
