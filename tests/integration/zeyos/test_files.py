"""Files of the ERP's rows: written as Base64, kept beside the log, shown as an ID or as what they hold, swept when nothing names them."""

from __future__ import annotations

import asyncio
import base64
import gzip
import json
import random
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from hashlib import md5, sha256
from resource import RUSAGE_SELF, getrusage
from typing import Any

import aiohttp
import asyncpg
import pytest
from yarl import URL

from libs.blobs import store
from libs.domain.errors import DomainError, Kind
from libs.domain.principal import system
from libs.records.numbered import Change, Create, FileMade, Written
from libs.runtime import resources
from services.crm.files import Sweeping
from services.gateway.zeyos import uploads
from tests.house import Inn, Theke
from tests.integration.zeyos.conftest import Hire
from tests.integration.zeyos.desk import Desk

LETTER = b"Sehr geehrte Damen und Herren,\n\0\xff\xfe"
LATER = timedelta(minutes=5)


def encoded(content: bytes) -> dict[str, str]:
    return {"content": base64.b64encode(content).decode()}


def noise(size: int, seed: int = 1) -> bytes:
    return random.Random(seed).randbytes(size)


@pytest.fixture(scope="module")
async def erp(shared_inn: Inn) -> AsyncIterator[Desk]:
    client = Desk(shared_inn.theke.url, shared_inn.name)
    await client.login()
    yield client
    await client.close()


@pytest.fixture(scope="module")
async def stranger(theke: Theke) -> AsyncIterator[Desk]:
    """The administrator of another business."""
    other = await theke.inn()
    client = Desk(theke.url, other.name)
    await client.login()
    yield client
    await client.close()
    await other.close()


@pytest.fixture
async def kept(theke: Theke) -> AsyncIterator[asyncpg.Connection]:
    connection = await asyncpg.connect(theke.log_dsn)
    yield connection
    await connection.close()


async def expanded(erp: Desk, resource: str, id_: int, *fields: str) -> Any:
    reply = await erp.ask("GET", f"api/v1/{resource}/{id_}?expand={','.join(fields)}")
    assert reply.status == 200, reply
    return reply.json


async def content(erp: Desk, resource: str, id_: int, field: str = "binfile") -> bytes:
    return base64.b64decode((await expanded(erp, resource, id_, field))[field]["content"], validate=True)


# --- written and read -----------------------------------------------------------------------------------------------------------


async def test_a_file_is_written_as_content_and_read_as_its_id(erp: Desk) -> None:
    note = await erp.create("notes", name="Brief", binfile=encoded(LETTER))
    file = note["binfile"]
    assert isinstance(file, int)
    assert await erp.row("binfiles", file) == {"ID": file, "hash": f"\\x{md5(LETTER).hexdigest()}", "size": len(LETTER)}
    assert (await erp.ask("HEAD", f"api/v1/binfiles/{file}")).status == 204
    assert await erp.rows("binfiles", filters={"ID": file}, fields=["size"]) == [{"size": len(LETTER)}]
    assert (await erp.row("notes", note["ID"]))["binfile"] == file
    assert await content(erp, "notes", note["ID"]) == LETTER


async def test_every_resource_with_files_takes_them(erp: Desk) -> None:
    server = await erp.create(
        "mailservers", name="Post", autoreplybinfile=encoded(b"weg"), signaturebinfile={"uri": "data:text/html;charset=utf-8;base64,PGI+"}
    )
    row = await expanded(erp, "mailservers", server["ID"], "autoreplybinfile", "signaturebinfile")
    assert (row["autoreplybinfile"], row["signaturebinfile"]) == (encoded(b"weg"), {"content": "PGI+"})
    assert server["autoreplybinfile"] != server["signaturebinfile"]
    record = await erp.create("records", text="siehe Anlage")
    made = [
        ("files", await erp.create("files", record=record["ID"], filename="a.bin", binfile=encoded(LETTER))),
        ("messages", await erp.create("messages", subject="Post", binfile=encoded(LETTER))),
        ("objects", await erp.create("objects", name="x", entity="y", binfile=encoded(LETTER), data=[1])),
    ]
    for resource, row in made:
        assert await content(erp, resource, row["ID"]) == LETTER


async def test_the_picture_of_an_item_is_a_file_though_items_are_kept_elsewhere(erp: Desk, kept: asyncpg.Connection) -> None:
    item = await erp.create("items", name="Krug", picbinfile=encoded(LETTER))
    assert await erp.row("binfiles", item["picbinfile"]) == {
        "ID": item["picbinfile"], "hash": f"\\x{md5(LETTER).hexdigest()}", "size": len(LETTER),
    }  # fmt: skip
    assert await content(erp, "items", item["ID"], "picbinfile") == LETTER
    assert "picbinfile" in await erp.change("items", item["ID"], 400, picbinfile=item["picbinfile"])
    before, secret = await erp.rows("binfiles", count=1), noise(300_000, 6)
    assert "sellingprice" in await erp.create("items", 400, name="Krug", sellingprice=-1, picbinfile=encoded(secret))
    assert await erp.rows("binfiles", count=1) == before
    assert not await kept.fetch("select 1 from blobs.files where id = $1", sha256(secret).hexdigest())
    assert (await erp.change("items", item["ID"], picbinfile=None))["picbinfile"] is None


async def test_each_write_makes_a_file_of_its_own_and_null_clears(erp: Desk) -> None:
    note = await erp.create("notes", name="n", binfile=encoded(LETTER))
    before = (await erp.ask("HEAD", f"api/v1/notes/{note['ID']}")).tag
    again = await erp.change("notes", note["ID"], binfile=encoded(LETTER))
    assert again["binfile"] != note["binfile"]
    assert (await erp.row("binfiles", again["binfile"]))["hash"] == (await erp.row("binfiles", note["binfile"]))["hash"]
    assert (await erp.ask("HEAD", f"api/v1/notes/{note['ID']}?expand=binfile")).tag != before
    assert (await erp.change("notes", note["ID"], text="x"))["binfile"] == again["binfile"]
    assert (await erp.change("notes", note["ID"], binfile=None))["binfile"] is None
    assert (await expanded(erp, "notes", note["ID"], "binfile"))["binfile"] is None


async def test_a_form_brings_small_files(erp: Desk) -> None:
    reply = await erp.ask("PUT", "api/v1/notes", form={"name": "n", "binfile[content]": base64.b64encode(LETTER).decode()})
    assert reply.status == 201, reply
    assert await content(erp, "notes", reply.json["ID"]) == LETTER
    cleared = await erp.ask("PATCH", f"api/v1/notes/{reply.json['ID']}", form={"binfile": ""})
    assert cleared.json["binfile"] is None


async def test_lists_show_contents_too(erp: Desk) -> None:
    contents = [noise(size, size) for size in (1, 2, 3, 400_000)]
    for part in contents:
        await erp.create("notes", name="listed", binfile=encoded(part))
    await erp.create("notes", name="listed")
    asked: Any = {"filters": {"name": "listed"}, "sort": ["ID"], "fields": {"file": "binfile", "n": "name"}}
    plain = await erp.rows("notes", **asked)
    assert [isinstance(row["file"], int) for row in plain] == [True] * 4 + [False]
    shown = await erp.rows("notes", **asked, expand=["binfile"])
    assert [row["file"] and base64.b64decode(row["file"]["content"]) for row in shown] == [*contents, None]
    assert await erp.rows("notes", **asked, expand=["binfile"], count=1) == {"count": 5}
    joined = await erp.create("messages", subject="answer", binfile=encoded(b"a"))
    await erp.create("messages", subject="joined", reference=joined["ID"])
    rows = await erp.rows("messages", filters={"subject": "joined"}, fields=["binfile", "reference.binfile"], expand=["binfile"])
    assert rows == [{"binfile": None, "reference.binfile": encoded(b"a")}]


async def test_the_tag_is_that_of_the_stored_state(erp: Desk) -> None:
    note = await erp.create("notes", name="n", binfile=encoded(LETTER))
    path = f"api/v1/notes/{note['ID']}"
    plain, whole = await erp.ask("GET", path), await erp.ask("GET", f"{path}?expand=binfile")
    assert plain.tag == whole.tag
    assert int(whole.headers["Content-Length"]) == len(whole.raw)
    assert (await erp.ask("GET", f"{path}?expand=binfile", headers={"If-None-Match": whole.tag})).status == 304
    assert (await erp.ask("HEAD", f"{path}?expand=binfile")).status == 204
    stale = await erp.ask("PATCH", path, {"binfile": encoded(b"x")}, headers={"If-Match": '"' + "0" * 32 + '"'})
    assert stale.status == 412


async def test_a_repeated_write_makes_one_file(erp: Desk, kept: asyncpg.Connection) -> None:
    body = {"name": "once", "binfile": encoded(noise(50, 77))}
    first, second = [await erp.ask("PUT", "api/v1/notes", body, headers={"Idempotency-Key": "once"}) for _ in range(2)]
    assert (first.status, first.json) == (201, second.json)
    hashed = f"\\x{md5(noise(50, 77)).hexdigest()}"
    assert await erp.rows("binfiles", filters={"hash": hashed}, count=1) == {"count": 1}
    other = await erp.ask("PUT", "api/v1/notes", {**body, "binfile": encoded(b"other")}, headers={"Idempotency-Key": "once"})
    assert other.status == 422
    assert not await kept.fetch("select 1 from blobs.files where id = $1", sha256(b"other").hexdigest())


# --- what is refused ------------------------------------------------------------------------------------------------------------

WRONG: list[tuple[Any, str]] = [
    (5, "binfile"),
    ("5", "binfile"),
    (True, "binfile"),
    ([], "binfile"),
    ({}, "binfile"),
    ([{"content": "QQ=="}], "binfile"),
    ({"ID": 5}, "binfile"),
    ({"content": 5}, "binfile"),
    ({"content": None}, "binfile"),
    ({"content": ""}, "binfile"),
    ({"content": "QQ==", "uri": "data:;base64,QQ=="}, "binfile"),
    ({"content": "QQ==", "name": "x"}, "binfile"),
    ({"content": "QQ"}, "Base64"),
    ({"content": "QQ=="[:3]}, "Base64"),
    ({"content": "QUJD="}, "Base64"),
    ({"content": "QUJD===="}, "Base64"),
    ({"content": "QQ==QQ=="}, "Base64"),
    ({"content": "Q Q="}, "Base64"),
    ({"content": "QQ==\n"}, "Base64"),
    ({"content": "_-__"}, "Base64"),
    ({"content": "ÄÄÄÄ"}, "Base64"),
    ({"content": "data:;base64,QQ=="}, "Base64"),
    ({"uri": "QQ=="}, "data:"),
    ({"uri": "data:text/plain,hello"}, "data:"),
    ({"uri": "http://127.0.0.1/x"}, "data:"),
    ({"uri": "file:///etc/passwd"}, "data:"),
    ({"uri": "data:" + "x" * 400 + ";base64,QQ=="}, "data:"),
    ({"uri": "data:;base64,"}, "binfile"),
]


@pytest.mark.parametrize(("value", "named"), WRONG, ids=[str(value)[:40] for value, _ in WRONG])
async def test_what_is_no_file_is_refused(erp: Desk, value: Any, named: str) -> None:
    reply = await erp.ask("PUT", "api/v1/notes", {"name": "n", "binfile": value})
    assert reply.status == 400, reply
    assert named in reply.text
    assert "'binfile'" in reply.text


async def test_nothing_of_a_refused_write_stays(erp: Desk, kept: asyncpg.Connection, hire: Hire, shared_inn: Inn) -> None:
    before = await erp.rows("binfiles", count=1)
    secret = noise(300_000, 5)
    assert "name" in await erp.create("notes", 400, binfile=encoded(secret))
    assert "assigneduser" in await erp.create("notes", 400, name="n", assigneduser=987654, binfile=encoded(secret))
    await erp.change("notes", 987654, 404, binfile=encoded(secret))
    await erp.create("files", 410, record=987654, binfile=encoded(secret))
    someone = await hire("Waiter")
    waiter = Desk(shared_inn.theke.url, shared_inn.name)
    await waiter.login(someone.name, someone.password)
    await waiter.create("notes", 403, name="n", binfile=encoded(secret))
    await waiter.close()
    assert await erp.rows("binfiles", count=1) == before
    assert not await kept.fetch("select 1 from blobs.files where id = $1", sha256(secret).hexdigest())
    assert not await kept.fetch("select 1 from blobs.chunks where id = $1", sha256(secret).hexdigest())


async def test_a_refused_write_takes_nothing_from_others(erp: Desk) -> None:
    note = await erp.create("notes", name="n", binfile=encoded(LETTER))
    await erp.change("notes", 987654, 404, binfile=encoded(LETTER))
    assert await content(erp, "notes", note["ID"]) == LETTER


async def test_files_are_only_read_by_themselves(erp: Desk) -> None:
    for method, path in (("PUT", "binfiles"), ("PATCH", "binfiles/1"), ("DELETE", "binfiles/1")):
        assert (await erp.ask(method, f"api/v1/{path}", {"size": 1} if method != "DELETE" else None)).status == 405
    note = await erp.create("notes", name="n", binfile=encoded(LETTER))
    for field in ("hash", "sha256", "content"):
        assert (await erp.ask("GET", f"api/v1/binfiles/{note['binfile']}?expand={field}")).status == 400
    for asked in ({"fields": ["sha256"]}, {"filters": {"sha256": "x"}}, {"sort": ["sha256"]}, {"expand": ["size"]}):
        assert (await erp.ask("POST", "api/v1/binfiles", asked)).status == 400


async def test_a_row_that_is_not_seen_shows_no_content(erp: Desk, hire: Hire, shared_inn: Inn) -> None:
    someone = await hire("Waiter")
    mine = await erp.create("objects", name="mine", entity="x", owneruser=(await erp.rows("users", filters={"name": "admin"}))[0]["ID"],
                            binfile=encoded(LETTER))  # fmt: skip
    public = await erp.create("objects", name="public", entity="x", binfile=encoded(LETTER))
    waiter = Desk(shared_inn.theke.url, shared_inn.name)
    await waiter.login(someone.name, someone.password)
    assert (await waiter.ask("GET", f"api/v1/objects/{mine['ID']}?expand=binfile")).status == 404
    assert [row["name"] for row in await waiter.rows("objects", expand=["binfile"], fields=["name", "binfile"])].count("mine") == 0
    assert await content(waiter, "objects", public["ID"]) == LETTER
    assert (await waiter.row("binfiles", mine["binfile"]))["size"] == len(LETTER)  # that there is such a file is no secret
    await waiter.close()


async def test_files_of_another_business_are_not_there(erp: Desk, stranger: Desk, theke: Theke, shared_inn: Inn) -> None:
    note = await erp.create("notes", name="n", binfile=encoded(LETTER))
    theirs = await stranger.create("notes", name="n", binfile=encoded(b"theirs"))
    assert (await stranger.ask("GET", f"api/v1/notes/{note['ID']}?expand=binfile")).status in (200, 404)
    assert await content(stranger, "notes", theirs["ID"]) == b"theirs"
    for value in (note["binfile"], {"ID": note["binfile"]}, {"sha256": sha256(LETTER).hexdigest()}):
        assert (await stranger.ask("PATCH", f"api/v1/notes/{theirs['ID']}", {"binfile": value})).status == 400
    for resource in ("binfiles", "notes"):
        rows = await stranger.rows(resource, expand=["binfile"] if resource == "notes" else [])
        assert LETTER not in [base64.b64decode(row["binfile"]["content"]) for row in rows if row.get("binfile")]
        assert len(LETTER) not in [row.get("size") for row in rows]
    # nor does a service take the ID of a file from anybody
    values = {"name": "n", "binfile": note["binfile"]}
    for name, body in (("note.create", Create(values=values)), ("note.change", Change(id=note["ID"], values=values))):
        with pytest.raises(DomainError) as refusal:
            await theke.services.command("crm", name, body, Written, principal=system(shared_inn.instance, "test"))
        assert [(fault.path, fault.reason) for fault in refusal.value.fields] == [("binfile", "expected_file")]
    forged = Create(values={"name": "n"}, files={"name": FileMade(hash="x", size=1, sha256="y")})
    with pytest.raises(DomainError) as refusal:
        await theke.services.command("crm", "note.create", forged, Written, principal=system(shared_inn.instance, "test"))
    assert refusal.value.kind is Kind.INVALID


# --- large ones -----------------------------------------------------------------------------------------------------------------


async def put_raw(erp: Desk, raw: Any, **headers: str) -> tuple[int, str]:
    sent = {"Authorization": f"Bearer {erp.token}", "Content-Type": "application/json", **headers}
    async with erp.http.put(f"/{erp.instance}/api/v1/notes", data=raw, headers=sent) as answer:
        return answer.status, await answer.text()


async def test_a_file_of_25_mb_and_one_byte_more(erp: Desk, kept: asyncpg.Connection) -> None:
    whole = noise(store.FILE_MAX_BYTES)
    raw = json.dumps({"name": "large", "binfile": encoded(whole)}).encode()
    assert len(raw) < uploads.BODY_MAX_BYTES
    status, text = await put_raw(erp, raw)
    assert status == 201, text
    note = json.loads(text)
    assert (await erp.row("binfiles", note["binfile"]))["size"] == len(whole)
    assert sha256(await content(erp, "notes", note["ID"])).digest() == sha256(whole).digest()
    status, text = await put_raw(erp, json.dumps({"name": "larger", "binfile": encoded(whole + b"x")}).encode())
    assert (status, str(store.FILE_MAX_BYTES) in text) == (413, True), text
    status, text = await put_raw(erp, b"{" + b" " * uploads.BODY_MAX_BYTES + b"}")
    assert (status, str(uploads.BODY_MAX_BYTES) in text) == (413, True), text
    assert await kept.fetchval("select count(*) from blobs.chunks where id = $1", sha256(whole).hexdigest()) > 100


async def test_large_bodies_are_read_in_every_form(erp: Desk) -> None:
    part = noise(700_000, 3)
    text = base64.b64encode(part).decode()
    escaped = [text.replace("/", "\\/"), text.replace("+", "\\u002B").replace("/", "\\u002f").replace("=", "\\u003D")]
    bodies = [f'{{"name": "large", "binfile": {{"content": "{one}"}}}}' for one in (text, *escaped)]
    bodies.append(f'{{"binfile": {{"uri": "data:image/png;base64,{text}"}}, "name": "la\\"rge\\\\", "text": "\\\\\\""}}')

    async def in_pieces(raw: bytes) -> AsyncIterator[bytes]:
        for at in range(0, len(raw), 100_000):
            yield raw[at : at + 100_000]

    for body in bodies:
        for raw, headers in (
            (body.encode(), {}),
            (in_pieces(body.encode()), {}),
            (gzip.compress(body.encode(), 1), {"Content-Encoding": "gzip"}),
        ):
            status, answer = await put_raw(erp, raw, **headers)
            assert status == 201, answer
            assert await content(erp, "notes", json.loads(answer)["ID"]) == part


async def test_what_is_long_elsewhere_stays_refused(erp: Desk) -> None:
    """Only files may be large: neither other fields, nor many small ones, nor what only unpacks to much."""
    long_text = "A" * 700_000
    for body in (
        {"name": long_text},
        {"name": "n", "text": long_text},
        {"name": "n", "binfile": {"content": "QQ==", "x": long_text}},
        {"name": "n", "binfile": {long_text: 1}},
        {"name": "n", "attachments": ["a" * 100] * 7_000},
        {"name": "n", "extdata": {str(n): "x" * 100 for n in range(7_000)}},
    ):
        status, text = await put_raw(erp, json.dumps(body).encode())
        assert status in (400, 413), (status, text[:200])
    for raw in (
        b'{"name": "' + b"\\" * 700_000,
        b'{"name": "' + b'\\"' * 300_000 + b'"}',
        b"[" * 700_000,
        b'"' * 700_001,
        b"\xff" * 700_000,
    ):
        status, text = await put_raw(erp, raw)
        assert status in (400, 413), (status, text[:200])
    bomb = gzip.compress(b'{"name": "' + b" " * 40_000_000 + b'"}')
    assert len(bomb) < 100_000
    status, text = await put_raw(erp, bomb, **{"Content-Encoding": "gzip"})
    assert (status, str(uploads.BODY_MAX_BYTES) in text) == (413, True), text
    accounts = await erp.ask("PUT", "api/v1/accounts", {"lastname": "x", "currency": "EUR", "description": long_text})
    assert accounts.status == 413


async def test_an_answer_holds_so_much_and_no_more(erp: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    for _ in range(3):
        await erp.create("notes", name="bounded", binfile=encoded(noise(1_000)))
    asked: Any = {"filters": {"name": "bounded"}, "expand": ["binfile"]}
    assert len(await erp.rows("notes", **asked)) == 3
    monkeypatch.setattr(resources, "EXPANDED_MAX_BYTES", 2_999)
    reply = await erp.ask("POST", "api/v1/notes", asked)
    assert (reply.status, "2999" in reply.text) == (413, True)
    assert len(await erp.rows("notes", **asked, limit=2)) == 2
    monkeypatch.setattr(resources, "EXPANDED_MAX_BYTES", 999)
    one = (await erp.rows("notes", filters={"name": "bounded"}, limit=1))[0]["ID"]
    assert (await erp.ask("GET", f"api/v1/notes/{one}?expand=binfile")).status == 413
    assert (await erp.ask("GET", f"api/v1/notes/{one}")).status == 200


async def test_a_thousand_uploads_at_once_leave_memory_and_others_alone(erp: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    """They announce 34 MB each and send some of it. A few are read, some wait, the rest is sent away; everybody else is answered."""
    monkeypatch.setattr(uploads, "WAITS_MAX_S", 1.0)
    address = URL(erp.http._base_url or "")
    head = (
        f"PUT /{erp.instance}/api/v1/notes HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {erp.token}\r\n"
        f"Content-Type: application/json\r\nContent-Length: {uploads.BODY_MAX_BYTES}\r\n\r\n"
    ).encode()
    before = getrusage(RUSAGE_SELF).ru_maxrss

    connecting = asyncio.Semaphore(50)

    async def upload() -> bytes:
        async with connecting:
            reader, writer = await asyncio.open_connection(address.host, address.port)
            writer.write(head + b'{"binfile": {"content": "' + b"A" * 100_000)
        try:
            return (await reader.read(12))[9:12]
        finally:
            writer.close()

    still = {asyncio.get_running_loop().create_task(upload()) for _ in range(1_000)}
    await asyncio.sleep(0.5)
    async with asyncio.timeout(10):
        assert (await erp.create("notes", name="meanwhile", binfile=encoded(LETTER)))["binfile"]
    async with asyncio.timeout(30):
        while len(still) > uploads.AT_ONCE_MAX:
            done, still = await asyncio.wait(still, return_when=asyncio.FIRST_COMPLETED)
            assert {task.result() for task in done} == {b"503"}
    assert len(still) == uploads.AT_ONCE_MAX
    for task in still:
        task.cancel()
    await asyncio.gather(*still, return_exceptions=True)
    grown = (getrusage(RUSAGE_SELF).ru_maxrss - before) * 1024
    assert grown < 400_000_000, f"{grown} bytes more"
    async with asyncio.timeout(10):  # their turns are free again
        status, text = await put_raw(erp, json.dumps({"name": "n", "binfile": encoded(noise(700_000))}).encode())
    assert status == 201, text


# --- half-way and afterwards ----------------------------------------------------------------------------------------------------


async def test_a_content_that_is_gone_is_no_half_answer(erp: Desk, kept: asyncpg.Connection) -> None:
    lost = noise(500_000, 9)
    note = await erp.create("notes", name="lost", binfile=encoded(lost[:100_000]))
    other = json.loads((await put_raw(erp, json.dumps({"name": "lost", "binfile": encoded(lost)}).encode()))[1])
    for part in (lost[:100_000], lost):
        await kept.execute("delete from blobs.chunks where id = $1 and ix > 0", sha256(part).hexdigest())
    with pytest.raises(aiohttp.ClientError):
        await erp.ask("GET", f"api/v1/notes/{other['ID']}?expand=binfile")
    for part in (lost[:100_000], lost):
        await kept.execute("delete from blobs.chunks where id = $1", sha256(part).hexdigest())
        await kept.execute("delete from blobs.files where id = $1", sha256(part).hexdigest())
    for reply in (
        await erp.ask("GET", f"api/v1/notes/{note['ID']}?expand=binfile"),
        await erp.ask("POST", "api/v1/notes", {"filters": {"name": "lost"}, "expand": ["binfile"]}),
    ):
        assert reply.status == 503
    assert (await erp.row("notes", note["ID"]))["binfile"] == note["binfile"]
    for one in (note, other):
        await erp.delete("notes", one["ID"])


async def test_what_nothing_names_is_swept(theke: Theke, shared_inn: Inn, erp: Desk, kept: asyncpg.Connection) -> None:
    old, new, orphan = noise(300, 21), noise(300, 22), noise(300, 23)
    note = await erp.create("notes", name="n", binfile=encoded(old))
    changed = await erp.change("notes", note["ID"], binfile=encoded(new))
    gone = await erp.create("objects", name="n", entity="x", binfile=encoded(old))
    await erp.delete("objects", gone["ID"])
    picture = store.File("image/webp", b"picture of an article")
    blobs = store.Blobs(theke.log_dsn)
    await blobs.put(shared_inn.instance, sha256(orphan).hexdigest(), len(orphan), [orphan])
    await blobs.keep(shared_inn.instance, "of", {"full": picture})

    async def there() -> dict[bytes, bool]:
        found = {row["id"] for row in await kept.fetch("select id from blobs.files where instance = $1", shared_inn.instance)}
        return {part: sha256(part).hexdigest() in found for part in (old, new, orphan, picture.content)}

    sweeping = Sweeping(theke.hosts["crm"])
    await sweeping._client.open()
    try:
        await sweeping.sweep(datetime.now(UTC) - timedelta(days=1))
        assert all((await there()).values()), "nothing of today goes"
        await sweeping.sweep(datetime.now(UTC) + LATER)
        assert await there() == {old: False, new: True, orphan: False, picture.content: True}
        for id_, status in ((note["binfile"], 404), (gone["binfile"], 404), (changed["binfile"], 200)):
            assert (await erp.ask("GET", f"api/v1/binfiles/{id_}")).status == status
        assert await content(erp, "notes", note["ID"]) == new
        again = await erp.create("notes", name="n", binfile=encoded(orphan))
        assert await content(erp, "notes", again["ID"]) == orphan
        # while tables do not show the log, nobody knows what is named
        heads = theke.hosts["crm"].log.heads
        ahead = {shared_inn.instance: (await heads())[shared_inn.instance] + 1}

        async def as_if_behind() -> dict[int, int]:
            return ahead

        await blobs.put(shared_inn.instance, sha256(b"x").hexdigest(), 1, [b"x"])
        theke.hosts["crm"].log.heads = as_if_behind  # type: ignore[method-assign]
        try:
            assert await sweeping.sweep(datetime.now(UTC) + LATER) == (0, 0)
        finally:
            theke.hosts["crm"].log.heads = heads  # type: ignore[method-assign]
    finally:
        await sweeping._client.close()
        await sweeping._blobs.close()
        await blobs.close()


async def test_who_keeps_a_file_while_it_is_swept_has_it(theke: Theke, shared_inn: Inn) -> None:
    blobs = store.Blobs(theke.log_dsn)
    part = noise(2_000_000, 31)
    id_ = sha256(part).hexdigest()
    pieces = [part[at : at + store.CHUNK_BYTES] for at in range(0, len(part), store.CHUNK_BYTES)]
    try:
        first = await blobs.put(shared_inn.instance, id_, len(part), pieces)
        for _ in range(5):
            cutoff = datetime.now(UTC)
            _, kept_again = await asyncio.gather(
                blobs.sweep(shared_inn.instance, [id_], cutoff), blobs.put(shared_inn.instance, id_, len(part), pieces)
            )
            assert b"".join([chunk async for chunk in blobs.read(shared_inn.instance, id_)]) == part
            await blobs.take_back(first)  # it was kept again since, so it stays
            assert await blobs.known(shared_inn.instance, [id_]) == {id_}
            first = kept_again
        assert await blobs.known(shared_inn.instance + 1_000, [id_]) == frozenset()
        assert [chunk async for chunk in blobs.read(shared_inn.instance + 1_000, id_)] == []
    finally:
        await blobs.close()
