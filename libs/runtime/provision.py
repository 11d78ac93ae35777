"""A new instance: its entry, what every instance begins with, and its first administrator. Safe to repeat: every step has an id of its
own, derived from the instance's name."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final
from uuid import UUID, uuid5

from libs.contracts.auth.commands import CreateInstance, Instance, NoBody, SetFirstPassword
from libs.contracts.auth.events import INSTALLATION
from libs.contracts.auth.records import USER
from libs.contracts.inventory.records import TAX_RATE
from libs.contracts.shipped import TAX_RATES
from libs.domain.errors import DomainError, conflict
from libs.domain.ids import NAMESPACE, key_of
from libs.domain.principal import Principal, system
from libs.domain.records import RecordType, RecordView
from libs.runtime.asking import Services

DONE_BEFORE: Final = frozenset({"already_exists", "key_misuse", "claim_taken"})


class Provisioning:
    """Writes to one instance as Theke itself; ``step`` ids make every write safe to repeat."""

    def __init__(self, services: Services, name: str, instance: Instance) -> None:
        self._services = services
        self.instance = instance
        self.principal: Principal = system(instance.id, "provision")
        self._root: UUID = uuid5(NAMESPACE, f"provision {name}")

    async def create(self, record: RecordType, step: str, values: Mapping[str, Any]) -> RecordView:
        """The record of this step, made now or in an earlier run (then it is left as it is)."""
        id_ = self._id(f"{record.name} {step}")
        try:
            view, _ = await self._services.command(
                record.service, f"{record.name}.create", {"values": values}, RecordView, principal=self.principal, id=id_
            )
            return view
        except DomainError as refusal:
            if refusal.reason not in DONE_BEFORE:
                raise
        key = {"key": key_of(record.prefix, id_)}
        return await self._services.query(record.service, f"{record.name}.get", key, RecordView, principal=self.principal)

    async def user(self, username: str, password: str, roles: tuple[str, ...], **values: str) -> RecordView:
        """A user with a first password; one that has a password keeps it."""
        view = await self.create(USER, username, {"username": username, "roles": roles, **values})
        body = SetFirstPassword(user=view.key, password=password)
        await self._services.command(
            "auth", "user_set_first_password", body, dict[str, Any], principal=self.principal, id=self._id(f"password {username}")
        )
        return view

    def _id(self, step: str) -> UUID:
        return uuid5(self._root, step)


async def list_instances(services: Services) -> list[Instance]:
    return await services.query("auth", "instance.list", NoBody(), list[Instance], principal=system(INSTALLATION, "provision"))


async def create_instance(services: Services, name: str) -> Provisioning:
    """An instance with tax rates; what an earlier run made of it stays. Raises DomainError for a bad name."""
    root = uuid5(NAMESPACE, f"instance {name}")
    known = {instance.name: instance for instance in await list_instances(services)}
    if name in known:
        instance = known[name]
    else:
        instance, _ = await services.command(
            "auth", "instance.create", CreateInstance(name=name), Instance, principal=system(INSTALLATION, "provision"), id=root
        )
        if all(one.id != instance.id for one in await list_instances(services)):  # there was one of that name, and it was purged
            raise conflict("claim_taken", scope="instance.name", value=name)
    provisioning = Provisioning(services, name, instance)
    for rate in TAX_RATES:
        await provisioning.create(TAX_RATE, str(rate["tax_class"]), rate)
    return provisioning
