"""Pictures of articles: what goes in, what comes out, and what must not get in."""

from __future__ import annotations

import asyncio
import io
import struct
import zlib
from typing import Any

import aiohttp
import pytest
from PIL import Image

from libs.blobs import store
from services.gateway import images
from services.gateway.dikas import article_images
from tests.house import Answer, Inn, Till, done, refused


def drawn(size: tuple[int, int] = (900, 600), format_: str = "PNG", mode: str = "RGB", **how: Any) -> bytes:
    picture = Image.linear_gradient("L").resize(size).convert(mode)
    written = io.BytesIO()
    picture.save(written, format_, **how)
    return written.getvalue()


async def upload(till: Till, article: str, raw: bytes, type_: str = "image/png", **headers: str) -> Answer:
    return await till.post(f"articles/{article}/image", raw=raw, headers={"Content-Type": type_, **headers})


async def shown(till: Till, path: str, **headers: str) -> tuple[int, bytes, Any]:
    sent = {"Authorization": f"Bearer {till.token}", **headers}
    async with till.http.get(path if path.startswith("/") else f"/api/v1/{path}", headers=sent) as answer:
        return answer.status, await answer.read(), answer.headers


async def test_a_picture_is_shown_small_and_without_what_the_camera_told(inn: Inn) -> None:
    till = await inn.till()
    cola = inn.menu["Cola"]
    exif = Image.Exif()
    exif[0x0112] = 6  # turned to the right
    exif[0x010F] = "Kamera Geheim"
    article = done(await upload(till, cola, drawn((2400, 1200), "JPEG", exif=exif), "image/jpeg"))
    assert article["imageUrl"].startswith(f"/api/v1/articles/{cola}/image?v={article['imageId'][:8]}")
    for size, sides in (("full", (800, 1600)), ("medium", (320, 640)), ("thumb", (80, 160))):
        status, raw, headers = await shown(till, f"articles/{cola}/image?size={size}")
        assert (status, headers["Content-Type"], headers["Cache-Control"]) == (200, "image/webp", "private, no-cache")
        assert b"Geheim" not in raw
        with Image.open(io.BytesIO(raw)) as picture:
            assert (picture.format, picture.size) == ("WEBP", sides)
    status, raw, headers = await shown(till, article["imageUrl"])
    assert (status, "immutable" in headers["Cache-Control"]) == (200, True)
    assert (await shown(till, article["imageUrl"], **{"If-None-Match": headers["ETag"]}))[:2] == (304, b"")
    listed = next(one for one in done(await till.get("articles")) if one["id"] == cola)
    assert listed["imageId"] == article["imageId"]
    gone = done(await till.delete(f"articles/{cola}/image"))
    assert "imageUrl" not in gone
    refused(await till.get(f"articles/{cola}/image"), 404, "Kein Bild vorhanden")


@pytest.mark.parametrize(
    ("format_", "type_", "mode"),
    [
        ("PNG", "image/png", "RGBA"),
        ("PNG", "image/png", "1"),
        ("WEBP", "image/webp", "RGB"),
        ("JPEG", "image/jpeg", "CMYK"),
        ("PNG", "image/png", "I;16"),
    ],
)
async def test_pictures_of_all_kinds(till: Till, shared_inn: Inn, format_: str, type_: str, mode: str) -> None:
    done(await upload(till, shared_inn.menu["Pils"], drawn((30, 20), format_, mode), type_))
    status, raw, _ = await shown(till, f"articles/{shared_inn.menu['Pils']}/image")
    with Image.open(io.BytesIO(raw)) as picture:
        assert (status, picture.size) == (200, (30, 20)), "nothing is made larger"


async def test_a_form_may_bring_it(till: Till, shared_inn: Inn) -> None:
    form = aiohttp.FormData()
    form.add_field("note", "ein Feld davor")
    form.add_field("file", drawn(), filename="schnitzel.png", content_type="image/png")
    headers = {"Authorization": f"Bearer {till.token}"}
    async with till.http.post(f"/api/v1/articles/{shared_inn.menu['Schnitzel']}/image", data=form, headers=headers) as answer:
        assert answer.status == 200
    assert (await shown(till, f"articles/{shared_inn.menu['Schnitzel']}/image"))[0] == 200


def bomb(width: int, height: int) -> bytes:
    """A small PNG that claims to be large."""

    def chunk(name: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))

    head = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", zlib.compress(b"\0" * 10_000)) + chunk(b"IEND", b"")


@pytest.mark.parametrize(
    ("raw", "type_", "status"),
    [
        (b"", "image/png", 400),
        (b"no picture at all", "image/png", 400),
        (drawn()[:200], "image/png", 400),
        (drawn(format_="GIF"), "image/png", 400),
        (b"<svg xmlns='http://www.w3.org/2000/svg'><script>alert(1)</script></svg>", "image/svg+xml", 415),
        (drawn(), "application/json", 415),
        (drawn(), "text/html", 415),
        (b"x", "multipart/form-data", 400),
        (b"x", "multipart/form-data; boundary=y", 400),
        (b"--y\r\nContent-Disposition: form-data; name=a\r\n\r\nb\r\n--y--\r\n", "multipart/form-data; boundary=y", 400),
        (bomb(60_000, 60_000), "image/png", 413),
        (bomb(5_000, 5_000), "image/png", 413),
        (bomb(300, 300), "image/png", 400),
    ],
)
async def test_what_is_no_picture_stays_outside(till: Till, shared_inn: Inn, raw: bytes, type_: str, status: int) -> None:
    refused(await upload(till, shared_inn.menu["Salat"], raw, type_), status)
    refused(await till.get(f"articles/{shared_inn.menu['Salat']}/image"), 404)


async def test_too_many_bytes_are_not_read(till: Till, shared_inn: Inn, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(article_images, "IMAGE_MAX_BYTES", 100_000)
    refused(await upload(till, shared_inn.menu["Salat"], b"x" * 200_000), 413, "100000")


async def test_a_picture_that_cannot_be_read_hurts_nobody(till: Till, shared_inn: Inn) -> None:
    """Any byte of a good file may be wrong."""
    good = drawn((64, 64), "JPEG")
    tries = [good[:at] + bytes([good[at] ^ 0xFF]) + good[at + 1 :] for at in range(0, len(good), max(1, len(good) // 40))]
    answers = await asyncio.gather(*(upload(till, shared_inn.menu["Cola"], raw, "image/jpeg") for raw in tries))
    assert {answer.status for answer in answers} <= {200, 400, 413}


async def test_pictures_belong_to_their_business_and_to_who_may_write(theke: Any, inn: Inn) -> None:
    till, waiter = await inn.till(), await inn.till("Waiter")
    cola = inn.menu["Cola"]
    done(await upload(till, cola, drawn()))
    refused(await upload(waiter, cola, drawn()), 403)
    assert (await shown(waiter, f"articles/{cola}/image"))[0] == 200
    refused(await upload(till, "art_none", drawn()), 404)
    refused(await till.get(f"articles/{cola}/image?size=huge"), 400, "size")
    other = await theke.inn()
    try:
        stranger = await other.till()
        refused(await stranger.get(f"articles/{cola}/image"), 404)
        refused(await upload(stranger, cola, drawn()), 404)
    finally:
        await other.close()


async def test_a_picture_larger_than_a_piece_comes_back_whole(inn: Inn, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(store, "CHUNK_BYTES", 100)
    till = await inn.till()
    raw = drawn((200, 100))
    done(await upload(till, inn.menu["Cola"], raw))
    done(await upload(till, inn.menu["Pils"], raw))
    pictures = [(await shown(till, f"articles/{inn.menu[name]}/image"))[1] for name in ("Cola", "Pils")]
    assert pictures[0] == pictures[1] == images._variants(raw)["full"].content
