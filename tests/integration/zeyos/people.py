"""Users of the ERP: the groups they are in, and what those may do."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import count
from typing import Any

from libs.records.numbered import Change, Create, Delete, Dropped, Written
from tests.house import Inn
from tests.integration.dikas.erp import Erp

_numbers = count(1)


class Person(Erp):
    """Somebody logged in with ``name`` and ``password``. ``id`` is the user's."""

    def __init__(self, inn: Inn, name: str = "", password: str = "") -> None:
        super().__init__(inn.theke.url, inn.name)
        self.name, self.password = name, password
        self.id = 0


class People:
    """Hires users and puts them into groups, as Theke itself."""

    def __init__(self, inn: Inn) -> None:
        self.inn = inn
        self._hired: list[Person] = []

    async def admin(self) -> Person:
        return await self._logged_in("admin", "admin")

    async def hire(self, *, groups: Mapping[int, bool] | None = None, roles: tuple[str, ...] = (), **values: Any) -> Person:
        """``groups``: those one is in, and whether one may write what they own."""
        name = f"staff{next(_numbers)}"
        view = await self.inn.provisioning.user(name, f"{name}-password", roles, **values)
        for group, writable in (groups or {}).items():
            await self.join(group, view.id, writable=writable)
        return await self._logged_in(name, f"{name}-password")

    async def group(self, **permissions: bool) -> int:
        """A new group; its members have these permissions, True: they may write there."""
        group = await self._create("group", name=f"group {next(_numbers)}")
        for module, writable in permissions.items():
            await self.permit(group, module, writable=writable)
        return group

    async def join(self, group: int, user: int, *, writable: bool = False) -> int:
        return await self._create("membership", group=group, user=user, writable=int(writable))

    async def permit(self, group: int, module: str, *, writable: bool = False) -> int:
        return await self._create("permission", group=group, identifier=module, writable=int(writable))

    async def change(self, record: str, id_: int, **values: Any) -> None:
        await self._ask(f"{record}.change", Change(id=id_, values=values), Written)

    async def remove(self, record: str, id_: int) -> None:
        await self._ask(f"{record}.delete", Delete(id=id_), Dropped)

    async def close(self) -> None:
        for person in self._hired:
            await person.close()

    async def _create(self, record: str, **values: Any) -> int:
        written: Written = await self._ask(f"{record}.create", Create(values=values), Written)
        return written.id

    async def _ask(self, command: str, body: Any, answer: Any) -> Any:
        found, _ = await self.inn.theke.services.command("auth", command, body, answer, principal=self.inn.provisioning.principal)
        return found

    async def _logged_in(self, name: str, password: str) -> Person:
        person = Person(self.inn, name, password)
        self._hired.append(person)
        person.id = (await person.login(name, password))["user"]
        return person
