"""Rows of any resource, with all that they need: what the document wants of them, and the rows they refer to."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping
from itertools import count
from typing import Any, Final

from libs.cli.acting import operator_of
from libs.domain.errors import DomainError
from libs.domain.fields import ENTITIES
from libs.domain.principal import Principal
from libs.domain.records import RecordView
from libs.domain.rules import AtLeastOne, ExactlyOne, OnlyWhen, RequiredWhen, Rule, Together, ValueWhen, is_empty
from libs.records.engine import Create as CreateKeyed
from libs.records.engine import Delete as DeleteKeyed
from libs.records.engine import Deleted
from libs.records.numbered import Create, Dropped, Written
from tests.house import BODY, Inn
from tests.integration.dikas.erp import Erp, Reply
from tests.integration.zeyos.document import ONLY_READ, SET_BY_THEKE, Ref, fields_of, record_of, right, value_of

# beyond what the document requires by itself: its rules, and what a reference must be like
NEEDED: Final[Mapping[str, Mapping[str, Any]]] = {
    "accounts": {"lastname": "Gasthof Adler"},
    "contacts": {"lastname": "Vogel"},
    "files": {"record": Ref("records", 0)},
    "binfiles": {"hash": "\\x0123456789abcdef0123456789abcdef", "size": 5},
    "participants": {"mailinglist": Ref("mailinglists", 0)},
    "permissions": {"identifier": "tasks"},
    "transactions": {"type": 3},
}
# a new one for each row, since no two rows have the same
NEW: Final[Mapping[str, tuple[str, ...]]] = {"coupons": ("code",), "devices": ("serialnum",), "items": ("itemnum",)}
INDEXES: Final = (("index", "entity"), ("index1", "entity1"), ("index2", "entity2"))
JSON: Final = {"Content-Type": "application/json; charset=utf-8"}
TEXT: Final = {"Content-Type": "text/plain; charset=utf-8"}
_numbers = count(1)


class Rows:
    """Makes rows as the administrator, or as Theke itself where no client does."""

    def __init__(self, inn: Inn, erp: Erp) -> None:
        self.inn = inn
        self.erp = erp
        self._shared: dict[Ref, asyncio.Task[Any]] = {}
        self._keys: dict[tuple[str, int], str] = {}
        self._operator: Principal | None = None

    async def shared(self, ref: Ref) -> int:
        """A row that nobody changes."""
        if ref not in self._shared:
            self._shared[ref] = asyncio.ensure_future(self.make(ref.resource, **dict(ref.having)))
        return int((await self._shared[ref])["ID"])

    async def make(self, resource: str, **values: Any) -> dict[str, Any]:
        """A row as its creation answers it."""
        reply = await self.create(resource, await self.wanted(resource, **values))
        assert reply.status == 201, (resource, values, reply)
        row: dict[str, Any] = reply.json
        return row

    async def wanted(self, resource: str, **values: Any) -> dict[str, Any]:
        """The values of a new row: those given, and what it needs besides."""
        needed = completed(resource, {**self._besides(resource, values), **values})
        alone = one_of_its_own(resource)
        for name, fact in fields_of(resource).items():
            if fact.get("required") and name not in needed and not fact.get("on_create"):
                whose = next(_numbers) + 100 if name in alone else 0
                needed[name] = Ref(fact["ref"], whose) if "ref" in fact else value_of(resource, name, 0)
        for index, entity in INDEXES:
            if index in fields_of(resource) and needed.get(entity) and (index not in needed or (entity in values and index not in values)):
                needed[index] = Ref(str(needed[entity]), next(_numbers) + 100)
        return await self.resolved(needed)

    def _besides(self, resource: str, values: Mapping[str, Any]) -> dict[str, Any]:
        """What a row needs, as far as it goes with what was given."""
        besides = {name: value for name, value in self._needed(resource).items() if name not in values}
        return besides if not broken(resource, {**besides, **values}) else {} if not broken(resource, values) else besides

    def _needed(self, resource: str) -> dict[str, Any]:
        facts = fields_of(resource)
        fresh = {name: right(facts[name], 0) for name in NEW.get(resource, ())}
        for index, entity in INDEXES:
            if facts.get(index, {}).get("required"):
                fresh[entity] = "accounts" if entity != "entity2" else "contacts"
                fresh[index] = Ref(str(fresh[entity]), next(_numbers) + 100)
        needed = {**NEEDED.get(resource, {}), **fresh}
        return {name: Ref(value.resource, next(_numbers) + 9) if isinstance(value, Ref) else value for name, value in needed.items()}

    async def resolved(self, values: Mapping[str, Any]) -> dict[str, Any]:
        """References become IDs."""
        found: dict[str, Any] = {}
        for name, value in values.items():
            if isinstance(value, Ref):
                found[name] = await self.shared(value)
            else:
                found[name] = value
        return found

    async def create(self, resource: str, values: Mapping[str, Any]) -> Reply:
        if resource == "users":
            return await self._user(values)
        if resource == "applications":
            return await self._application(values)
        if resource in ONLY_READ:
            return await self._by_theke(resource, values)
        return await self.erp.ask("PUT", f"api/v1/{resource}", dict(values))

    async def delete(self, resource: str, id_: int) -> None:
        record = record_of(resource)
        if resource == "users":
            await self._command("auth", "user.delete", DeleteKeyed(key=self._keys[resource, id_]), Deleted)
        elif resource == "applications":
            body, services = DeleteKeyed(key=self._keys[resource, id_]), self.inn.theke.services
            await services.command("auth", "application.delete", body, Deleted, principal=self._operator)
        elif resource in ONLY_READ:
            assert record is not None
            await self._command(record.service, f"{record.name}.delete", {"id": id_}, Dropped)
        else:
            reply = await self.erp.ask("DELETE", f"api/v1/{resource}/{id_}")
            assert reply.status == 204, (resource, reply)

    async def _by_theke(self, resource: str, values: Mapping[str, Any]) -> Reply:
        """As if there were an operation for it."""
        record = record_of(resource)
        assert record is not None, resource
        values = {name: BODY.encode(value).decode() if isinstance(value, Mapping) else value for name, value in values.items()}
        try:
            written = await self._command(record.service, f"{record.name}.create", Create(values=dict(values)), Written)
        except DomainError as refusal:
            said = "; ".join(f"Field '{fault.path}': {fault.reason}" for fault in refusal.fields) or str(refusal)
            status = {"invalid": 400, "conflict": 409}[str(refusal.kind)]
            return Reply(status, TEXT, said.encode())
        return Reply(201, JSON, written.row)

    async def _command(self, service: str, name: str, body: Any, answer: Any) -> Any:
        found, _ = await self.inn.theke.services.command(service, name, body, answer, principal=self.inn.provisioning.principal)
        return found

    async def _application(self, values: Mapping[str, Any]) -> Reply:
        """As who runs the installation registers one."""
        services = self.inn.theke.services
        if self._operator is None:
            self._operator = await operator_of(services, self.inn.name)
        named = {("release" if name == "version" else name): value for name, value in values.items()}
        body = CreateKeyed(values=named)
        view, _ = await services.command("auth", "application.create", body, RecordView, principal=self._operator)
        self._keys["applications", view.id] = view.key
        return Reply(201, JSON, json.dumps({"ID": view.id}).encode())

    async def _user(self, values: Mapping[str, Any]) -> Reply:
        number = next(_numbers)
        name, email = str(values.get("name", f"user{number}")), str(values.get("email", f"u{number}@example.org"))
        view = await self.inn.provisioning.user(name, f"password-{number}", (), email=email)
        self._keys["users", view.id] = view.key
        return Reply(201, JSON, json.dumps({"ID": view.id}).encode())


def one_of_its_own(resource: str) -> set[str]:
    """The references that no two rows may have alike, unless something else tells them apart."""
    record, facts = record_of(resource), fields_of(resource)
    found = set()
    for unique in record.uniques if record is not None else ():
        made = [name for name in unique.fields if facts[name].get("required") or name in NEW.get(resource, ())]
        texts = [name for name in made if facts[name]["type"] == "string" and "enum" not in facts[name]]
        if not texts:
            found |= set([name for name in unique.fields if facts[name].get("required") and "ref" in facts[name] and name != "creator"][:1])
    return found


def writable(resource: str) -> list[str]:
    return [name for name in fields_of(resource) if name not in SET_BY_THEKE]


def rules_of(resource: str) -> tuple[Rule, ...]:
    record = record_of(resource)
    return record.rules if record is not None else ()


def broken(resource: str, values: Mapping[str, Any]) -> bool:
    facts = fields_of(resource)
    row = {"ID": -1, **{name: fact.get("default") for name, fact in facts.items() if name != "ID"}, **values}
    return any(True for rule in rules_of(resource) for _ in rule.broken(row))


def completed(resource: str, values: Mapping[str, Any]) -> dict[str, Any]:
    """With what the rules ask for besides these values."""
    facts = fields_of(resource)
    found = dict(values)
    for _ in range(3):
        row = {**{name: fact.get("default") for name, fact in facts.items()}, "ID": -1, **found}
        for rule in rules_of(resource):
            if not any(True for _ in rule.broken(row)):
                continue
            if isinstance(rule, RequiredWhen):
                found[rule.field] = right(facts[rule.field], 0)
            elif isinstance(rule, OnlyWhen) and rule.when.field not in values and not rule.when.otherwise:
                found[rule.when.field] = rule.when.values[0]
            elif isinstance(rule, ValueWhen):
                found[rule.field] = rule.value
            elif isinstance(rule, Together):
                entity = next(name for name in rule.fields if "enum" in facts[name])
                index = next(name for name in rule.fields if name != entity)
                found[entity] = found.get(entity) or ENTITIES[0]
                found[index] = found.get(index) or Ref(str(found[entity]), 0)
            elif isinstance(rule, AtLeastOne | ExactlyOne) and all(is_empty(row.get(name)) for name in rule.fields):
                found[rule.fields[-1]] = right(facts[rule.fields[-1]], 0)
            row |= found
    return found
