"""What an ERP client does in these tests: rows made, changed, deleted and read, each with the status that is expected."""

from __future__ import annotations

from typing import Any

from tests.integration.dikas.erp import Erp, Reply


class Desk(Erp):
    """``erp.create("accounts", …)`` → the row. Whatever is not expected fails the test with the answer."""

    async def create(self, resource: str, expect: int = 201, /, **values: Any) -> Any:
        return _expected(await self.ask("PUT", f"api/v1/{resource}", values), expect)

    async def change(self, resource: str, id: int, expect: int = 200, /, **values: Any) -> Any:
        return _expected(await self.ask("PATCH", f"api/v1/{resource}/{id}", values), expect)

    async def delete(self, resource: str, id: int, expect: int = 204) -> None:
        reply = await self.ask("DELETE", f"api/v1/{resource}/{id}")
        assert reply.status == expect, reply

    async def row(self, resource: str, id: int) -> Any:
        return _expected(await self.ask("GET", f"api/v1/{resource}/{id}"), 200)

    async def rows(self, resource: str, **asked: Any) -> Any:
        return _expected(await self.ask("POST", f"api/v1/{resource}", asked), 200)


def _expected(reply: Reply, expect: int) -> Any:
    assert reply.status == expect, (reply.status, reply.raw)
    return reply.json if expect < 400 else reply.text
