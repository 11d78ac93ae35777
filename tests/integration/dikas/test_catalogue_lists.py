"""Lists as clients ask for them: pages, searches, filters, orders, changes; and tags on everything that is edited."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Mapping
from typing import Any

import pytest

from libs.projections import listed
from libs.records.wanted import fold
from tests.house import Inn, Till, done, fields_named, item, refused

NAMES = ("Apfelschorle", "apfelstrudel", "Äppelwoi", "Zander", "Öl", "Bier 100%", "Straßenbier", "a_b", "Cola", "ÄRGER")


async def stocked(inn: Inn, till: Till) -> list[dict[str, Any]]:
    """Forty articles of two groups, made in this order."""
    dice = random.Random(7)
    other = done(await till.post("article-groups", {"name": "Andere"}), 201)["id"]
    for number in range(40):
        body = {
            "name": dice.choice(NAMES),
            "price": dice.randint(1, 5),
            "taxClass": dice.choice((0, 1)),
            "groupId": dice.choice((inn.group, other)),
        }
        more = {"sortOrder": dice.choice((1, 2, None)), "plu": f"p{number}", "isActive": dice.random() < 0.7}
        done(await till.post("articles", {**body, **more}), 201)
    everything: list[dict[str, Any]] = done(await till.get("articles"))
    return everything


def fits(article: Mapping[str, Any], asked: Mapping[str, str]) -> bool:
    found = fold("\n".join(str(article[name]) for name in ("name", "plu") if name in article))
    if not all(word in found for word in fold(asked.get("search", "")).split()):
        return False
    return all(
        str(article.get(name)).lower() == asked[name].lower() for name in ("groupId", "isActive", "taxClass", "plu") if name in asked
    )


def in_order(articles: list[dict[str, Any]], sort: str) -> list[dict[str, Any]]:
    for part in reversed(sort.split(",") if sort else []):
        name = part.removeprefix("-")
        there = [one for one in articles if one.get(name) is not None]
        there.sort(key=lambda one: fold(one[name]) if isinstance(one[name], str) else one[name], reverse=part.startswith("-"))
        articles = there + [one for one in articles if one.get(name) is None]
    return articles


async def test_any_list_equals_the_same_done_by_hand(inn: Inn) -> None:
    till = await inn.till()
    everything = await stocked(inn, till)
    dice = random.Random(11)
    for _ in range(60):
        asked = {
            name: value
            for name, value in {
                "search": dice.choice(("apfel", "APFEL strudel", "ä", "100%", "a_b", "p1", "strasse", "nichts")),
                "groupId": inn.group,
                "isActive": dice.choice(("true", "false")),
                "taxClass": dice.choice(("0", "1")),
                "sort": dice.choice(("name", "-name,price", "-price,name", "sortOrder,-plu", "-sortOrder", "-createdDate")),
            }.items()
            if dice.random() < 0.4
        }
        expected = in_order([one for one in everything if fits(one, asked)], asked.get("sort", "").replace("-createdDate", ""))
        if asked.get("sort") == "-createdDate":
            expected.reverse()
        assert done(await till.get("articles", params=asked)) == expected, asked
        size = dice.randint(1, 12)
        pages = -(-len(expected) // size) + 1
        seen: list[Any] = []
        for page in range(1, pages + 1):
            answer = await till.get("articles", params={**asked, "page": str(page), "pageSize": str(size)})
            assert answer.headers["Theke-Total"] == str(len(expected))
            seen += done(answer)
        assert seen == expected, asked


async def test_every_record_list_takes_them_and_junk_is_no_harm(till: Till) -> None:
    for path in ("articles", "article-groups", "tables", "table-groups", "option-templates", "price-rules"):
        answer = await till.get(path, params={"page": "1", "pageSize": "2", "_": "123", "search": "", "sort": "-changedDate"})
        assert len(done(answer)) <= 2, path
        assert int(answer.headers["Theke-Total"]) >= len(answer.data)
        assert fields_named(await till.get(path, params={"sort": "secret"})) == {"sort"}


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("page", "0"),
        ("page", "-1"),
        ("page", "x"),
        ("page", "9" * 30),
        ("page", "１"),
        ("pageSize", "1001"),
        ("sort", "name,options"),
        ("sort", "--name"),
        ("sort", "name desc"),
        ("search", "x" * 201),
        ("search", "a\x00b"),
        ("groupId", "' or true --"),
        ("taxClass", "1e3"),
        ("price", "Infinity"),
        ("price", "1e999999999"),
        ("isActive", "ja"),
        ("createdFrom", "gestern"),
        ("createdTo", "0001-01-01T00:00:00+14:00"),
        ("changedSince", "gestern"),
        ("changedSince", "9" * 19),
    ],
)
async def test_a_wrong_parameter_is_named(till: Till, name: str, value: str) -> None:
    assert fields_named(await till.get("articles", params={name: value})) == {name}


async def test_a_parameter_given_twice_is_refused(till: Till) -> None:
    assert fields_named(await till.get("articles?sort=name&sort=price")) == {"sort"}


async def test_a_list_too_long_to_be_had_at_once_says_how_to_get_it(till: Till, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(listed, "ALL_MAX_ROWS", 3)
    refused(await till.get("articles"), 413, "'pageSize'")
    refused(await till.get("articles", params={"sort": "name"}), 413, "'page'")
    assert len(done(await till.get("articles", params={"pageSize": "4"}))) == 4


async def test_dates_bound_a_list(till: Till, shared_inn: Inn) -> None:
    everything = done(await till.get("articles"))
    assert done(await till.get("articles", params={"createdFrom": "2020-01-01T00:00:00Z"})) == everything
    assert done(await till.get("articles", params={"changedTo": "2020-01-01T00:00:00+01:00"})) == []


# what changed


async def changes(till: Till, path: str, since: str) -> tuple[list[Any], str]:
    answer = await till.get(path, params={"changedSince": since})
    return done(answer), answer.headers["Theke-Changed-Until"]


async def test_a_till_that_follows_changes_sees_each_once_deletions_too(inn: Inn) -> None:
    till = await inn.till()
    answer = await till.get("articles")
    since = answer.headers["Theke-Changed-Until"]
    assert await changes(till, "articles", since) == ([], since)
    done(await till.put(f"articles/{inn.menu['Cola']}", {"price": 9}))
    done(await till.delete(f"articles/{inn.menu['Pils']}"))
    seen, until = await changes(till, "articles", since)
    assert [(one["id"], one.get("isDeleted")) for one in seen] == [(inn.menu["Pils"], True), (inn.menu["Cola"], None)]
    assert set(seen[0]) == {"id", "isDeleted", "changedDate"}
    assert await changes(till, "articles", until) == ([], until)
    assert inn.menu["Pils"] not in [one["id"] for one in done(await till.get("articles"))]
    refused(await till.get(f"articles/{inn.menu['Pils']}"), 404)
    by_time, _ = await changes(till, "articles", seen[1]["changedDate"])
    assert {one["id"] for one in by_time} == set(inn.menu.values())
    assert (await changes(till, "articles", "2199-01-01T00:00:00Z"))[0] == []
    assert fields_named(await till.get("articles", params={"changedSince": since, "page": "1"})) == {"page"}
    refused(await till.get("articles", params={"changedSince": "999999"}), 410, "neu laden")


@pytest.mark.parametrize("path", ["article-groups", "tables", "table-groups", "option-templates", "price-rules"])
async def test_changes_of_every_list(inn: Inn, path: str) -> None:
    till = await inn.till()
    since = (await till.get(path)).headers["Theke-Changed-Until"]
    body: dict[str, Any] = {"name": "Neu"}
    if path == "tables":
        body = {"number": 99}
    if path == "price-rules":
        body |= {"groupId": inn.group, "changePercent": -10}
    made = done(await till.post(path, body), 201)
    seen, until = await changes(till, path, since)
    assert seen == [made]
    done(await till.delete(f"{path}/{made['id']}"))
    seen, _ = await changes(till, path, until)
    assert [(one["id"], one["isDeleted"]) for one in seen] == [(made["id"], True)]


async def test_what_a_group_says_anew_changes_its_articles(inn: Inn) -> None:
    till = await inn.till()
    child = done(await till.post("article-groups", {"name": "Unter", "parentId": inn.group}), 201)["id"]
    deep = done(await till.post("articles", {"name": "Tief", "price": 1, "taxClass": 0, "groupId": child}), 201)["id"]
    since = (await till.get("articles")).headers["Theke-Changed-Until"]
    done(await till.put(f"article-groups/{inn.group}", {"stationTicket1": "Küche"}))
    seen, _ = await changes(till, "articles", since)
    assert {one["id"] for one in seen} == {deep, *inn.menu.values()}
    assert all(one["effective"]["stationTicket1"] == "Küche" for one in seen)
    groups, _ = await changes(till, "article-groups", since)
    assert {one["id"] for one in groups} == {inn.group, child}


async def test_nothing_is_lost_however_many_write_while_a_till_reads(inn: Inn) -> None:
    """A till that only ever applies changes ends with exactly what is there."""
    till = await inn.till()
    answer = await till.get("articles")
    known = {one["id"]: one for one in done(answer)}
    since = answer.headers["Theke-Changed-Until"]
    writing = True

    async def writer(number: int) -> None:
        dice = random.Random(number)
        own: list[str] = []
        for step in range(25):
            match dice.randrange(3):
                case 0:
                    body = {"name": f"{number}/{step}", "price": 1, "taxClass": 0, "groupId": inn.group}
                    own.append(done(await till.post("articles", body), 201)["id"])
                case 1 if own:
                    done(await till.delete(f"articles/{own.pop(dice.randrange(len(own)))}"))
                case _:
                    done(await till.put(f"articles/{dice.choice(own or [inn.menu['Cola']])}", {"price": dice.randint(1, 99)}))

    async def reader() -> None:
        nonlocal since
        last = False
        while not last:
            last = not writing
            seen, since = await changes(till, "articles", since)
            for one in seen:
                known.pop(one["id"], None)
                if not one.get("isDeleted"):
                    known[one["id"]] = one

    reading = asyncio.create_task(reader())
    await asyncio.gather(*(writer(number) for number in range(8)))
    writing = False
    await reading
    assert known == {one["id"]: one for one in done(await till.get("articles"))}


# tags


async def test_a_tag_tells_versions_apart_and_guards_writes(inn: Inn) -> None:
    till = await inn.till()
    for path, body in (("articles", {"price": 7}), ("article-groups", {"name": "B"}), ("tables", {"seats": 9})):
        first = done(await till.get(path))[0]["id"]
        one = f"{path}/{first}"
        tag = (await till.get(one)).headers["ETag"]
        changed = await till.put(one, body, headers={"If-Match": f'"other", {tag}'})
        assert done(changed)
        assert changed.headers["ETag"] != tag
        assert (await till.get(one)).headers["ETag"] == changed.headers["ETag"]
        refused(await till.put(one, body, headers={"If-Match": tag}), 412, "Inzwischen geändert")
        refused(await till.delete(one, headers={"If-Match": tag}), 412)
        refused(await till.put(one, body, headers={"If-Match": f"W/{changed.headers['ETag']}"}), 412)
        done(await till.put(one, body, headers={"If-Match": "*"}))
        for nonsense in ("", "x", '"a', '"a" "b"', ",".join(['"a"'] * 21)):
            assert fields_named(await till.put(one, body, headers={"If-Match": nonsense})) == {"If-Match"}


async def test_a_guarded_write_may_be_repeated(inn: Inn) -> None:
    till = await inn.till()
    one = f"articles/{inn.menu['Cola']}"
    guard = {"If-Match": (await till.get(one)).headers["ETag"]}
    first = await till.put(one, {"price": 8}, key="k", headers=guard)
    again = await till.put(one, {"price": 8}, key="k", headers=guard)
    assert (done(again), again.headers["ETag"]) == (done(first), first.headers["ETag"])


async def not_modified(till: Till, path: str, tag: str) -> int:
    headers = {"Authorization": f"Bearer {till.token}", "If-None-Match": tag}
    async with till.http.get(f"/api/v1/{path}", headers=headers) as answer:
        assert (answer.status == 304) is ((await answer.read()) == b"")
        assert answer.headers["ETag"]
        return answer.status


async def test_what_a_client_has_already_is_not_sent_again(inn: Inn) -> None:
    till = await inn.till()
    article, table = f"articles/{inn.menu['Cola']}", f"tables/{inn.tables[1]}"
    for one in (article, table):
        tag = (await till.get(one)).headers["ETag"]
        assert [await not_modified(till, one, text) for text in (tag, f"W/{tag}", "*", '"x"')] == [304, 304, 304, 200]
    tag = (await till.get(table)).headers["ETag"]
    await till.order(inn.tables[1], item(inn.menu["Cola"]))
    assert await not_modified(till, table, tag) == 200, "guests sit there now"
    done(await till.put(table, {"seats": 3}, headers={"If-Match": tag}))
    tag = (await till.get(article)).headers["ETag"]
    done(await till.put(f"article-groups/{inn.group}", {"deposit": 1}))
    assert await not_modified(till, article, tag) == 200, "it inherits a deposit now"


async def test_two_at_once_with_one_tag_are_one_change(inn: Inn) -> None:
    till = await inn.till()
    one = f"articles/{inn.menu['Cola']}"
    tag = (await till.get(one)).headers["ETag"]
    answers = await asyncio.gather(*(till.put(one, {"price": 20 + ix}, headers={"If-Match": tag}) for ix in range(8)))
    assert sorted(answer.status for answer in answers) == [200] + [412] * 7


async def test_another_business_shows_nothing_by_any_parameter(theke: Any, shared_inn: Inn, till: Till) -> None:
    other = await theke.inn()
    try:
        stranger = await other.till()
        for params in ({"search": "cola"}, {"groupId": shared_inn.group}, {"sort": "name"}, {"changedSince": "0"}, {"page": "1"}):
            ids = {one["id"] for one in done(await stranger.get("articles", params=params))}
            assert ids <= set(other.menu.values())
        tag = (await till.get(f"articles/{shared_inn.menu['Cola']}")).headers["ETag"]
        assert (await stranger.get(f"articles/{other.menu['Cola']}")).headers["ETag"] != tag
    finally:
        await other.close()
