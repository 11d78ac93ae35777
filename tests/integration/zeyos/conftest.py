"""An inn for every module, with clients of the ERP's dialect; what users a test needs it hires for itself."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from itertools import count
from typing import Any
from uuid import uuid4

import asyncpg
import pytest

from libs.contracts.auth.commands import SetPassword
from libs.contracts.auth.records import USER
from libs.domain.records import RecordView
from libs.records.engine import Change, Delete, Deleted
from tests.house import Inn, Theke
from tests.integration.dikas.erp import Erp

_numbers = count(1)


class Employee:
    """Somebody hired by a test; ``name`` and ``password`` log in."""

    def __init__(self, inn: Inn, view: RecordView, name: str, password: str) -> None:
        self._inn = inn
        self.key = view.key
        self.id = view.id
        self.name = name
        self.password = password

    async def change(self, **values: Any) -> None:
        await self._command("user.change", Change(key=self.key, values=values), RecordView)

    async def set_password(self, password: str) -> None:
        await self._command("user_set_password", SetPassword(user=self.key, password=password), dict)
        self.password = password

    async def leave(self) -> None:
        await self._command("user.delete", Delete(key=self.key), Deleted)

    async def _command(self, name: str, body: Any, answer: Any) -> None:
        principal = self._inn.provisioning.principal
        await self._inn.theke.services.command("auth", name, body, answer, principal=principal, id=uuid4())


Hire = Callable[..., Awaitable[Employee]]


@pytest.fixture
def hire(shared_inn: Inn) -> Hire:
    async def hired(*roles: str, **values: Any) -> Employee:
        name = f"user{next(_numbers)}"
        view = await shared_inn.provisioning.user(name, f"{name}-password", roles or ("Admin",), **values)
        assert view.values.keys() == {field.name for field in USER.fields}
        return Employee(shared_inn, view, name, f"{name}-password")

    return hired


@pytest.fixture(scope="module")
async def client(shared_inn: Inn) -> AsyncIterator[Erp]:
    """Nobody yet: a test says with which token it asks."""
    one = Erp(shared_inn.theke.url, shared_inn.name)
    yield one
    await one.close()


@pytest.fixture(scope="module")
async def auth_log(theke: Theke) -> AsyncIterator[asyncpg.Connection]:
    connection = await asyncpg.connect(theke.log_dsn, server_settings={"search_path": "auth"})
    yield connection
    await connection.close()
