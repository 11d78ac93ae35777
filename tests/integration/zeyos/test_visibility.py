"""Who sees and writes which rows: public ones, one's own, those of one's groups, and what depends on them. What is not seen is not there,
whichever way one asks; a right that is given or taken counts at once."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any, Final

import pytest

from tests.house import Inn, Theke
from tests.integration.dikas.erp import Reply
from tests.integration.zeyos.document import named
from tests.integration.zeyos.people import People, Person
from tests.integration.zeyos.rows import Rows

WORK: Final = {"projects": True, "tasks": True, "tickets": True, "accounts": True, "contacts": True, "actionsteps": True}


class Office:
    """Alice and Bob are in a group, Carol is in none, Dave sees nothing public. Alice may write what the group owns, Bob only reads it."""

    def __init__(self, people: People, rows: Rows) -> None:
        self.people, self.rows = people, rows
        self.group = self.others = self.rights = 0
        self.admin = self.alice = self.bob = self.carol = self.dave = Person(people.inn)

    async def open(self) -> None:
        people = self.people
        self.rights, self.group, self.others = await asyncio.gather(
            people.group(**WORK, billing=True, inventory=True), people.group(), people.group()
        )
        self.admin = await people.admin()
        self.alice, self.bob, self.carol, self.dave = await asyncio.gather(
            people.hire(groups={self.rights: True, self.group: True}),
            people.hire(groups={self.rights: True, self.group: False}),
            people.hire(groups={self.rights: True}),
            people.hire(groups={self.rights: True, self.group: True}, nopublic=True),
        )
        self.rows.erp = self.admin

    async def make(self, resource: str, **values: Any) -> int:
        return int((await self.rows.make(resource, **values))["ID"])


@pytest.fixture(scope="module")
async def office(theke: Theke) -> AsyncIterator[Office]:
    inn: Inn = await theke.inn()
    people = People(inn)
    office = Office(people, Rows(inn, Person(inn)))
    await office.open()
    yield office
    await people.close()
    await inn.close()


async def ids(who: Person, resource: str, *among: int) -> set[int]:
    reply = await who.ask("POST", f"api/v1/{resource}", {"fields": ["ID"], "filters": {"ID": list(among)}})
    assert reply.status == 200, reply
    return {row["ID"] for row in reply.json}


async def write(who: Person, resource: str, id_: int, **values: Any) -> Reply:
    return await who.ask("PATCH", f"api/v1/{resource}/{id_}", values)


async def is_there(who: Person, resource: str, id_: int) -> bool:
    """By every way of asking; they must agree."""
    path = f"api/v1/{resource}/{id_}"
    listed, count, found, head, other, gone, stale = await asyncio.gather(
        ids(who, resource, id_),
        who.ask("POST", f"api/v1/{resource}", {"filters": {"ID": id_}, "count": 1}),
        who.ask("GET", path),
        who.ask("HEAD", path),
        who.ask("GET", path, headers={"If-None-Match": "*"}),
        who.ask("PATCH", path, {"ID": id_ + 1}),
        who.ask("DELETE", path, headers={"If-Match": '"0123456789abcdef0123456789abcdef"'}),
    )
    seen = id_ in listed
    assert count.json == {"count": int(seen)}
    assert (found.status, head.status, other.status) == ((200, 204, 304) if seen else (404, 404, 404)), (found, head, other)
    assert gone.status == 409, "the path alone tells"
    assert stale.status in ((412, 403) if seen else (404,)), stale
    assert seen or found.headers.get("ETag") is None
    return seen


# --- owners -------------------------------------------------------------------------------------------------------------------


async def test_rows_are_public_private_or_of_a_group(office: Office) -> None:
    public = await office.make("projects")
    of_alice = await office.make("projects", owneruser=office.alice.id)
    of_group = await office.make("projects", ownergroup=office.group)
    of_others = await office.make("projects", ownergroup=office.others)
    everything = (public, of_alice, of_group, of_others)
    wanted = {
        office.admin: set(everything),
        office.alice: {public, of_alice, of_group},
        office.bob: {public, of_group},
        office.carol: {public},
        office.dave: {of_group},
    }
    for who, seen in wanted.items():
        assert await ids(who, "projects", *everything) == seen
        for row in everything:
            assert await is_there(who, "projects", row) is (row in seen)


async def test_who_is_in_a_group_writes_what_it_owns_only_with_the_right_to(office: Office) -> None:
    row = await office.make("projects", ownergroup=office.group)
    assert (await write(office.alice, "projects", row, description="mine")).status == 200
    assert (await write(office.dave, "projects", row, description="mine too")).status == 200
    for refused in (await write(office.bob, "projects", row, description="no"), await office.bob.ask("DELETE", f"api/v1/projects/{row}")):
        assert (refused.status, refused.text) == (403, "Forbidden: Lacking access permission")
    for hidden in (
        await write(office.carol, "projects", row, description="no"),
        await office.carol.ask("DELETE", f"api/v1/projects/{row}"),
    ):
        assert hidden.status == 404
    assert (await office.alice.ask("DELETE", f"api/v1/projects/{row}")).status == 204


@pytest.mark.parametrize("resource", ["tickets", "contacts", "accounts", "davservers", "objects", "categories", "events", "transactions"])
async def test_every_kind_of_row_with_owners_is_as_private(office: Office, resource: str) -> None:
    row = await office.make(resource, ownergroup=office.group)
    assert await is_there(office.bob, resource, row)
    assert not await is_there(office.carol, resource, row)
    public = await office.make(resource)
    assert not await is_there(office.dave, resource, public)
    assert await is_there(office.carol, resource, public)


async def test_nobody_gives_a_row_away_without_seeing_it_afterwards(office: Office) -> None:
    row = await office.make("projects")
    for values in ({"ownergroup": office.others}, {"owneruser": office.bob.id}):
        refused = await write(office.carol, "projects", row, **values)
        assert (refused.status, refused.text.partition(":")[0]) == (410, "Gone")
        assert (await office.carol.ask("PUT", "api/v1/projects", {"name": "given away", **values})).status == 410
    assert (await write(office.bob, "projects", row, ownergroup=office.group)).status == 403, "he would not write it afterwards"
    assert (await write(office.dave, "projects", row, ownergroup=office.group)).status == 404
    assert (await office.dave.ask("PUT", "api/v1/projects", {"name": "public"})).status == 410
    assert (await write(office.carol, "projects", row, owneruser=office.carol.id)).json["owneruser"] == office.carol.id
    assert (await write(office.admin, "projects", row, owneruser=office.bob.id)).status == 200
    assert not await is_there(office.carol, "projects", row)


# --- what depends on another row ----------------------------------------------------------------------------------------------


async def test_a_row_below_is_seen_and_written_as_the_one_above(office: Office) -> None:
    record = await office.make("records", ownergroup=office.group)
    comment = await office.make("comments", record=record)
    file = await office.make("files", comment=comment, record=None)
    liked = await office.make("likes", record=record)
    below = (("comments", comment), ("files", file), ("likes", liked))
    for resource, row in below:
        assert await is_there(office.bob, resource, row)
        assert not await is_there(office.carol, resource, row)
    assert (await office.carol.ask("PUT", "api/v1/comments", {"record": record, "text": "psst"})).status == 410
    assert (await office.bob.ask("PUT", "api/v1/comments", {"record": record, "text": "psst"})).status == 403
    assert (await office.alice.ask("PUT", "api/v1/comments", {"record": record, "text": "here"})).status == 201
    await write(office.admin, "records", record, ownergroup=None)
    for resource, row in below:
        assert await is_there(office.carol, resource, row)
        assert not await is_there(office.dave, resource, row)


async def test_what_depends_on_two_rows_needs_both(office: Office) -> None:
    seen, hidden = await office.make("contacts"), await office.make("contacts", owneruser=office.alice.id)
    for pair in ((seen, hidden), (hidden, seen)):
        link = await office.make("contacts2contacts", contact1=pair[0], contact2=pair[1])
        assert await is_there(office.alice, "contacts2contacts", link)
        assert not await is_there(office.carol, "contacts2contacts", link)
        await office.admin.ask("DELETE", f"api/v1/contacts2contacts/{link}")
    refused = await office.carol.ask("PUT", "api/v1/contacts2contacts", {"contact1": seen, "contact2": hidden})
    assert refused.status == 410


async def test_only_who_made_a_remark_writes_it(office: Office) -> None:
    record = (await office.alice.ask("PUT", "api/v1/records", {"text": "hello"})).json
    assert record["creator"] == office.alice.id
    assert await is_there(office.carol, "records", record["ID"])
    for who, status in ((office.carol, 403), (office.alice, 200), (office.admin, 200)):
        assert (await write(who, "records", record["ID"], text=f"by {who.id}")).status == status
    taken = await office.carol.ask("PUT", "api/v1/records", {"text": "in her name", "creator": office.alice.id})
    assert taken.status == 403
    assert (await write(office.alice, "records", record["ID"], creator=office.carol.id)).status == 400
    assert (await office.carol.ask("DELETE", f"api/v1/records/{record['ID']}")).status == 403
    assert (await office.alice.ask("DELETE", f"api/v1/records/{record['ID']}")).status == 204


async def test_an_administrator_takes_a_creator_away_and_nobody_else(office: Office) -> None:
    row = (await office.alice.ask("PUT", "api/v1/projects", {"name": "x", "creator": None, "creationdate": None})).json
    assert row["creator"] == office.alice.id
    for values in ({"creator": None}, {"creator": office.bob.id}, {"creationdate": 5}):
        refused = await write(office.alice, "projects", row["ID"], **values)
        assert (refused.status, named(refused.text)) == (400, set(values))
    assert (await write(office.admin, "projects", row["ID"], creator=None, creationdate=5)).status == 200
    left = (await office.alice.ask("GET", f"api/v1/projects/{row['ID']}")).json
    assert (left["creator"], left["creationdate"]) == (None, 5)
    whose = await office.make("follows", entity="projects", index=row["ID"])
    assert (await write(office.admin, "follows", whose, creator=None)).status == 400, "there always is one"


# --- through other rows -------------------------------------------------------------------------------------------------------


async def test_a_join_shows_nothing_of_a_row_that_is_not_seen(office: Office) -> None:
    account = await office.make("accounts", ownergroup=office.group, lastname="Geheim", customernum="K-1")
    ticket = await office.make("tickets", account=account)
    asked = {"fields": {"n": "account.lastname", "i": "account.ID", "a": "account"}, "filters": {"ID": ticket}}
    assert (await office.alice.ask("POST", "api/v1/tickets", asked)).json == [{"n": "Geheim", "i": account, "a": account}]
    assert (await office.carol.ask("POST", "api/v1/tickets", asked)).json == [{"n": None, "i": None, "a": account}]
    for condition in (
        {"account.lastname": "Geheim"},
        {"account.lastname": {"~~": "G%"}},
        {"account.ID": account},
        {"account.customernum": {"!=": ""}},
    ):
        for who, count in ((office.alice, 1), (office.carol, 0)):
            reply = await who.ask("POST", "api/v1/tickets", {"filters": {"ID": ticket, **condition}, "count": 1})
            assert reply.json == {"count": count}, condition
    also = [
        await office.make("tickets", account=await office.make("accounts", lastname=name, ownergroup=office.group)) for name in ("Aa", "Zz")
    ]
    orders = [
        [row["ID"] for row in (await office.carol.ask("POST", "api/v1/tickets", {"filters": {"ID": [ticket, *also]}, "sort": [way]})).json]
        for way in ("account.lastname", "-account.lastname")
    ]
    assert orders == [sorted([ticket, *also])] * 2, "an order would tell"


async def test_a_reference_to_a_row_that_is_not_seen_is_one_to_nothing(office: Office) -> None:
    hidden = await office.make("projects", owneruser=office.alice.id)
    absent = 2**31 - 9
    ticket = (await office.carol.ask("PUT", "api/v1/tickets", {"name": "mine"})).json["ID"]
    for id_ in (hidden, absent):
        for reply in (
            await office.carol.ask("PUT", "api/v1/tickets", {"name": "x", "project": id_}),
            await write(office.carol, "tickets", ticket, project=id_),
            await office.carol.ask("PUT", "api/v1/records", {"entity": "projects", "index": id_}),
        ):
            assert reply.status == 400
            assert reply.text.replace(str(id_), "N") == f"Bad Request: Field '{named(reply.text).pop()}': refers to N, which does not exist"
    assert (await office.alice.ask("PUT", "api/v1/tickets", {"name": "x", "project": hidden})).status == 201


async def test_a_reference_that_is_only_repeated_may_be_to_what_its_writer_does_not_see(office: Office) -> None:
    """Clients send back what they read."""
    hidden = await office.make("projects", owneruser=office.alice.id)
    ticket = await office.make("tickets", project=hidden, name="before")
    row = (await office.carol.ask("GET", f"api/v1/tickets/{ticket}")).json
    assert row["project"] == hidden
    assert (await write(office.carol, "tickets", ticket, **{**row, "name": "after"})).json["name"] == "after"


async def test_ids_and_numbers_of_hidden_rows_are_taken_all_the_same(office: Office) -> None:
    """A number that is unique cannot be hidden: the refusal says that it is taken, and nothing of the row."""
    hidden = await office.make("projects", owneruser=office.alice.id, name="Geheim")
    reply = await office.carol.ask("PUT", "api/v1/projects", {"name": "mine", "ID": hidden})
    assert (reply.status, reply.text) == (409, "Conflict: ID Present")
    number = (await office.rows.make("transactions", ownergroup=office.others, transactionnum="R-4711"))["transactionnum"]
    taken = await office.carol.ask("PUT", "api/v1/transactions", {"transactionnum": number, "type": 3, "currency": "EUR"})
    assert taken.status == 409
    assert "Geheim" not in reply.text + taken.text


# --- rights that change -------------------------------------------------------------------------------------------------------


async def test_rights_count_from_the_moment_they_are_given_or_taken(office: Office) -> None:
    people = office.people
    who = await people.hire()
    row = await office.make("projects", ownergroup=office.group)
    public = await office.make("projects")
    assert (await who.ask("POST", "api/v1/projects", {})).status == 403
    assert (await who.ask("GET", f"api/v1/projects/{public}")).status == 403
    group = await people.group()
    permission = await people.permit(group, "projects")
    membership = await people.join(group, who.id)
    assert await ids(who, "projects", row, public) == {public}
    assert (await write(who, "projects", public, description="x")).status == 403
    await people.change("permission", permission, writable=1)
    assert (await write(who, "projects", public, description="x")).status == 200
    inside = await people.join(office.group, who.id)
    assert await ids(who, "projects", row, public) == {row, public}
    assert (await write(who, "projects", row, description="x")).status == 403
    await people.change("membership", inside, writable=1)
    assert (await write(who, "projects", row, description="x")).status == 200
    await people.remove("membership", inside)
    assert not await is_there(who, "projects", row)
    await people.change("group", group, activity=1)
    assert (await who.ask("POST", "api/v1/projects", {})).status == 403
    await people.change("group", group, activity=0)
    await people.remove("membership", membership)
    assert (await write(who, "projects", public, description="y")).status == 403
    assert (await who.ask("HEAD", f"api/v1/projects/{public}")).status == 404, "to HEAD, what one may not read is not there"


async def test_the_best_of_several_groups_counts(office: Office) -> None:
    people = office.people
    reads, writes = await people.group(tasks=False), await people.group(tasks=True)
    who = await people.hire(groups={reads: False, writes: False})
    assert (await who.ask("PUT", "api/v1/tasks", {"name": "done"})).status == 201
    await people.remove("group", writes)
    assert (await who.ask("PUT", "api/v1/tasks", {"name": "not done"})).status == 403
    assert (await who.ask("POST", "api/v1/tasks", {"count": 1})).status == 200


async def test_a_group_that_goes_takes_its_rows_with_it(office: Office) -> None:
    group = await office.people.group()
    row, public = await office.make("projects", ownergroup=group), await office.make("projects")
    below = await office.make("tickets", project=row)
    await office.people.remove("group", group)
    assert await ids(office.admin, "projects", row, public) == {public}
    assert (await office.admin.ask("GET", f"api/v1/tickets/{below}")).json["project"] is None


@pytest.mark.parametrize("resource", ["groups2users", "permissions"])
async def test_who_may_what_is_for_administrators(office: Office, resource: str) -> None:
    assert (await office.alice.ask("POST", f"api/v1/{resource}", {})).status == 403
    assert (await office.admin.ask("POST", f"api/v1/{resource}", {"limit": 1})).status == 200
