"""The page and the document, as a browser asks for them."""

from __future__ import annotations

import gzip
import json
import re
from collections.abc import Mapping

import aiohttp
import pytest

from services.gateway.swagger import FILES
from tests.contract import document
from tests.house import Theke


async def fetch(theke: Theke, path: str, **headers: str) -> tuple[int, Mapping[str, str], bytes]:
    async with (
        aiohttp.ClientSession(theke.url, auto_decompress=False) as http,
        http.get(path, headers={"Accept-Encoding": "identity", **headers}) as answer,
    ):
        return answer.status, answer.headers, await answer.read()


async def test_the_document_is_served_to_everybody(theke: Theke) -> None:
    status, headers, body = await fetch(theke, "/swagger/v1/swagger.json")
    assert status == 200
    assert headers["Content-Type"] == "application/json; charset=utf-8"
    assert json.loads(body) == json.loads(json.dumps(document()))


@pytest.mark.parametrize("path", FILES)
async def test_a_file_is_sent_once_and_packed(theke: Theke, path: str) -> None:
    status, headers, plain = await fetch(theke, path)
    assert (status, headers["Vary"]) == (200, "Accept-Encoding")
    status, headers, packed = await fetch(theke, path, **{"Accept-Encoding": "gzip, br"})
    assert (status, headers["Content-Encoding"], gzip.decompress(packed)) == (200, "gzip", plain)
    status, _, nothing = await fetch(theke, path, **{"If-None-Match": headers["ETag"]})
    assert (status, nothing) == (304, b"")


async def test_the_page_takes_nothing_from_elsewhere(theke: Theke) -> None:
    _, headers, page = await fetch(theke, "/swagger")
    assert "default-src 'none'" in headers["Content-Security-Policy"]
    assert "script-src 'self';" in headers["Content-Security-Policy"]
    assert not re.search(r"<script>|https?:|\son\w+=", page.decode())
    for source in re.findall(r'(?:src|href)="([^"]+)"', page.decode()):
        assert f"/{source}" in FILES
    _, _, script = await fetch(theke, "/swagger/start.js")
    assert b"filter: true" in script
    assert b"validatorUrl: null" in script


async def test_nothing_else_is_served_from_there(theke: Theke) -> None:
    for path in ("/swagger/openapi.json", "/swagger/../app.py", "/swagger/swagger-ui/README.md", "/swagger/v2/swagger.json"):
        status, _, _ = await fetch(theke, path)
        assert status == 404
