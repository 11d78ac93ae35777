"""Who asks in the conformance suite, and how answers are noted and looked at."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from typing import Any, Final

from tests.house import Inn
from tests.integration.dikas.erp import Erp, Reply
from tests.integration.zeyos.document import RESOURCES
from tests.integration.zeyos.people import People, Person
from tests.integration.zeyos.rows import Rows
from tests.integration.zeyos.score import Score


class Stage:
    """An inn with an administrator, people with few rights, and the score."""

    def __init__(self, inn: Inn, people: People, score: Score) -> None:
        self.inn, self.people, self.score = inn, people, score
        self.admin: Person
        self.nobody: Person
        self.reader: Person
        self.writer: Person
        self.rows: Rows
        self.read_group = 0  # the writer is in it and may not write what it owns
        self.foreign_group = 0  # nobody is in it

    async def open(self) -> None:
        modules = sorted(
            {
                name
                for facts in RESOURCES.values()
                for need in (facts["read"], facts["write"])
                for name in (need or {"any_of": ()})["any_of"]
            }
        )
        reads, self.read_group, self.foreign_group = await asyncio.gather(
            self.people.group(**dict.fromkeys(modules, False)),
            self.people.group(**dict.fromkeys(modules, True)),
            self.people.group(),
        )
        self.admin, self.nobody, self.reader, self.writer = await asyncio.gather(
            self.people.admin(),
            self.people.hire(),
            self.people.hire(groups={reads: True}),
            self.people.hire(groups={self.read_group: False}),
        )
        self.rows = Rows(self.inn, self.admin)

    async def ask(self, who: Erp, kind: str, resource: str, id_: int = 0, body: Any = None, **how: Any) -> Reply:
        path = f"api/v1/{resource}" if kind in ("list", "create") else f"api/v1/{resource}/{id_}"
        return await who.ask(METHODS[kind], path, body, **how)

    async def status(self, who: Erp, kind: str, resource: str, status: int, id_: int = 0, body: Any = None, **how: Any) -> Reply:
        """Asks, notes what came, and looks at what every answer of this status has."""
        reply = await self.ask(who, kind, resource, id_, body, **how)
        self.score.status(resource, kind, status, reply.status, reply.raw[:200])
        wrongs = list(of_every_answer(kind, reply))
        if wrongs:
            self.score.fault(resource, f"{kind} {status}", "; ".join(wrongs))
        return reply

    def finished(self, test: str, resource: str) -> None:
        """Fails with what was found since the last test."""
        self.score.done.add((test, resource))
        faults = self.score.news()
        assert not faults, "\n".join(f"{key[0]} {key[1]}: {text}" for key, text in faults)


METHODS: Final = {"list": "POST", "create": "PUT", "get": "GET", "exists": "HEAD", "update": "PATCH", "delete": "DELETE"}


def of_every_answer(kind: str, reply: Reply) -> Iterable[str]:
    if reply.status >= 400 and kind != "exists" and reply.headers.get("Content-Type") != "text/plain; charset=utf-8":
        yield "an error that is no text"
    if reply.status == 401 and 'error="invalid_token"' not in reply.headers.get("WWW-Authenticate", ""):
        yield "401 without WWW-Authenticate"
    if (kind == "exists" or reply.status in (204, 304)) and reply.raw:
        yield "a body where there is none"
    if reply.status in (200, 201, 204, 304) and kind in ("create", "get", "exists", "update"):
        tag = reply.headers.get("ETag", "")
        if len(tag) != 34 or tag[0] != '"' or set(tag[1:-1]) - set("0123456789abcdef"):
            yield f"no tag: {tag}"
