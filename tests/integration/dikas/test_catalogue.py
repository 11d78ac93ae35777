"""Articles as a till finds them, what they inherit, what is asked about them, and what they cost when."""

from __future__ import annotations

from typing import Any

import pytest

from tests.house import Inn, Till, done, fields_named, item, refused


async def article(till: Till, group: str, name: str, **more: Any) -> dict[str, Any]:
    made: dict[str, Any] = done(await till.post("articles", {"name": name, "price": 10, "taxClass": 0, "groupId": group, **more}), 201)
    return made


# found


async def test_an_article_is_found_by_words_number_and_barcode(inn: Inn) -> None:
    till = await inn.till()
    beer = await article(till, inn.group, "Weißbier hell", plu="A-1", barcode="4006381333931")
    old = await article(till, inn.group, "Weißbier alt", barcode="4000000000006", isActive=False)
    new = await article(till, inn.group, "Weißbier neu", barcode="4000000000006")
    assert [one["id"] for one in done(await till.get("articles/search", params={"q": "weiss BIER"}))] == [old["id"], beer["id"], new["id"]]
    assert [one["id"] for one in done(await till.get("articles/search", params={"q": "40063", "isActive": "true"}))] == [beer["id"]]
    assert done(await till.get("articles/search", params={"q": "bier", "pageSize": "2", "page": "2"})) == [new]
    answer = await till.get("articles/by-plu/A-1")
    assert done(answer) == beer
    assert answer.headers["ETag"] == (await till.get(f"articles/{beer['id']}")).headers["ETag"]
    assert done(await till.get("articles/by-barcode/4006381333931")) == beer
    assert done(await till.get("articles/by-barcode/4000000000006")) == new, "the one that is sold"


@pytest.mark.parametrize("text", ["nichts", "%25", "a%00b", "x" * 300, "' or 1=1 --", "%F0%9F%8D%BA"])
async def test_what_is_not_there_is_not_found_by_anything(till: Till, text: str) -> None:
    for way in ("by-plu", "by-barcode"):
        refused(await till.get(f"articles/{way}/{text}"), 404, "Artikel nicht gefunden")


async def test_a_search_without_words_is_refused(till: Till) -> None:
    assert fields_named(await till.get("articles/search")) == {"q"}
    assert fields_named(await till.get("articles/search", params={"q": " "})) == {"q"}


async def test_another_business_finds_none_of_them(theke: Any, inn: Inn) -> None:
    till = await inn.till()
    beer = await article(till, inn.group, "Hausbier", plu="77", barcode="77")
    other = await theke.inn()
    try:
        stranger = await other.till()
        assert done(await stranger.get("articles/search", params={"q": "Hausbier"})) == []
        for path in ("by-plu/77", "by-barcode/77", beer["id"]):
            refused(await stranger.get(f"articles/{path}"), 404)
        foreign = done(await till.post("option-templates", {"name": "x"}), 201)["id"]
        refused(await stranger.get(f"option-templates/{foreign}"), 404)
        refused(await stranger.put(f"articles/{other.menu['Cola']}", {"optionTemplateIds": [foreign]}), 400)
        refused(await stranger.post("price-rules", {"name": "x", "groupId": inn.group, "changeAmount": -1}), 400)
    finally:
        await other.close()


# the tree


async def test_what_a_group_says_holds_below_until_somebody_says_otherwise(inn: Inn) -> None:
    till = await inn.till()
    says = {"allergens": ["milk", "eggs"], "deposit": 0.25, "stationTicket1": "Küche", "consolidatedTicket": True}
    top = done(await till.post("article-groups", {"name": "Speisen", **says}), 201)
    below = {"parentId": top["id"], "stationTicket1": "Grill", "stationTicket2": "Pass"}
    low = done(await till.post("article-groups", {"name": "Vom Grill", **below}), 201)
    steak = await article(till, low["id"], "Steak", allergens=[], consolidatedTicket=False)
    expected = {"allergens": [], "deposit": steak["effective"]["deposit"], "stationTicket1": "Grill", "stationTicket2": "Pass"}
    assert steak["effective"] == {**expected, "consolidatedTicket": False}
    assert str(steak["effective"]["deposit"]) == "0.25"
    assert steak["allergens"] == []
    assert "stationTicket1" not in steak, "its own it has none"
    assert low["effective"]["allergens"] == ["milk", "eggs"]
    changed = done(await till.put(f"articles/{steak['id']}", {"allergens": None}))
    assert changed["effective"]["allergens"] == ["milk", "eggs"]
    assert "allergens" not in changed
    done(await till.put(f"article-groups/{top['id']}", {"deposit": None}))
    assert "deposit" not in done(await till.get(f"articles/{steak['id']}"))["effective"]
    listed = next(one for one in done(await till.get("articles")) if one["id"] == steak["id"])
    assert listed == done(await till.get(f"articles/{steak['id']}"))


async def test_no_group_stands_above_itself(inn: Inn) -> None:
    till = await inn.till()
    keys = [inn.group]
    for number in range(3):
        keys.append(done(await till.post("article-groups", {"name": str(number), "parentId": keys[-1]}), 201)["id"])
    for key in keys:
        assert fields_named(await till.put(f"article-groups/{keys[0]}", {"parentId": key})) == {"parentId"}
    done(await till.put(f"article-groups/{keys[3]}", {"parentId": keys[1]}))


async def test_a_tree_has_so_many_levels(inn: Inn) -> None:
    till = await inn.till()
    key = inn.group
    for number in range(40):
        answer = await till.post("article-groups", {"name": str(number), "parentId": key})
        if answer.status != 201:
            break
        key = answer.data["id"]
    assert fields_named(answer) == {"parentId"}
    assert 15 <= number <= 20


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("allergens", ["milk", "milk"]),
        ("allergens", ["Milch"]),
        ("allergens", [1]),
        ("deposit", -1),
        ("deposit", 0.123),
        ("stationTicket1", "x" * 51),
        ("consolidatedTicket", "ja"),
        ("optionTemplateIds", ["opt_none"]),
        ("optionTemplateIds", ["a b"]),
        ("optionTemplateIds", [f"opt_{ix}" for ix in range(21)]),
    ],
)
async def test_wrong_values_are_named(till: Till, shared_inn: Inn, field: str, value: Any) -> None:
    answer = await till.put(f"articles/{shared_inn.menu['Cola']}", {field: value})
    if value == ["opt_none"]:
        refused(answer, 400, "Optionsvorlage mit ID 'opt_none' existiert nicht")
    else:
        [named] = fields_named(answer)
        assert named.partition("[")[0] == field


# options


async def test_templates_are_made_used_and_kept_while_in_use(inn: Inn) -> None:
    till = await inn.till()
    options = [{"id": "med", "name": "medium"}, {"id": "half", "name": "halbe Portion", "fraction": "1/2", "price": 0.5}]
    made = done(await till.post("option-templates", {"name": "Garstufe", "isMandatory": True, "maxChoices": 1, "options": options}), 201)
    assert made["options"][1] == {"id": "half", "name": "halbe Portion", "price": made["options"][1]["price"], "fraction": "1/2"}
    steak = await article(till, inn.group, "Steak", optionTemplateIds=[made["id"]])
    assert steak["optionTemplateIds"] == [made["id"]]
    refused(await till.delete(f"option-templates/{made['id']}"), 409, "Optionsvorlage wird verwendet")
    order = {"tableId": inn.tables[1], "items": [item(steak["id"])]}
    answer = await till.post("open-bons", order)
    assert fields_named(answer) == {"items[0].options"}
    assert "Garstufe" in answer.errors[0]
    placed = await till.order(inn.tables[1], item(steak["id"], options=[{"optionId": "half"}]))
    assert str(placed["items"][0]["unitPrice"]) == "5.50"
    done(await till.put(f"option-templates/{made['id']}", {"isActive": False}))
    await till.sell(item(steak["id"]))
    done(await till.put(f"articles/{steak['id']}", {"optionTemplateIds": []}))
    done(await till.delete(f"option-templates/{made['id']}"))
    refused(await till.get(f"option-templates/{made['id']}"), 404, "Optionsvorlage nicht gefunden")


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({"minChoices": 3, "maxChoices": 2, "options": [{"id": "a", "name": "A"}]}, "maxChoices"),
        ({"isMandatory": True}, "options"),
        ({"options": [{"id": "a", "name": "A", "fraction": "2/2"}]}, "options[0].fraction"),
        ({"options": [{"id": "a", "name": "A", "fraction": "1/0"}]}, "options[0].fraction"),
        ({"options": [{"id": "a", "name": "A"}, {"id": "a", "name": "B"}]}, "options[1].id"),
        ({"minChoices": -1}, "minChoices"),
        ({"minChoices": None}, "minChoices"),
    ],
)
async def test_a_template_must_make_sense(till: Till, body: dict[str, Any], field: str) -> None:
    assert fields_named(await till.post("option-templates", {"name": "x", **body})) == {field}


# price rules


async def test_a_rule_holds_from_the_next_order_on(inn: Inn) -> None:
    till = await inn.till()
    cola = inn.menu["Cola"]
    area = done(await till.post("table-groups", {"name": "Bar"}), 201)["id"]
    done(await till.put(f"tables/{inn.tables[2]}", {"groupId": area}))
    happy = done(await till.post("price-rules", {"name": "Happy Hour", "groupId": inn.group, "changePercent": -50}), 201)
    bar = done(await till.post("price-rules", {"name": "Bar", "articleId": cola, "areaId": area, "changeAmount": -1}), 201)
    at_the_door = (await till.order(inn.tables[1], item(cola)))["items"][0]
    at_the_bar = (await till.order(inn.tables[2], item(cola, 2)))["items"][0]
    given = (await till.order(inn.tables[2], item(cola, price=3)))["items"][0]
    assert [(str(one["unitPrice"]), one["priceRuleId"]) for one in (at_the_door, at_the_bar, given)] == [
        ("1.75", happy["id"]),
        ("2.50", bar["id"]),
        ("3.00", None),
    ]
    assert str((await till.sell(item(cola)))["gross"]) == "1.75"
    done(await till.put(f"price-rules/{happy['id']}", {"isActive": False}))
    assert str((await till.sell(item(cola)))["gross"]) == "3.50"
    refused(await till.delete(f"articles/{cola}"), 409, "Artikel wird verwendet")
    done(await till.delete(f"price-rules/{bar['id']}"))
    done(await till.delete(f"articles/{cola}"))


@pytest.mark.parametrize(
    ("body", "fields"),
    [
        ({}, {"articleId", "changeAmount"}),
        ({"articleId": "COLA", "groupId": "GROUP", "changeAmount": 1, "changePercent": 1}, {"articleId", "changeAmount"}),
        ({"groupId": "GROUP", "changeAmount": 1, "timeFrom": "25:00", "timeTo": "1:00"}, {"timeFrom", "timeTo"}),
        ({"groupId": "GROUP", "changeAmount": 1, "timeFrom": "18:00"}, {"timeTo"}),
        ({"groupId": "GROUP", "changeAmount": 1, "timeFrom": "18:00", "timeTo": "18:00"}, {"timeTo"}),
        ({"groupId": "GROUP", "changeAmount": 1, "startsOn": "2026-02-01", "endsOn": "2026-01-01"}, {"endsOn"}),
        ({"groupId": "GROUP", "changeAmount": 1, "startsOn": "gestern"}, {"startsOn"}),
        ({"groupId": "GROUP", "changeAmount": 1, "weekdays": [0]}, {"weekdays[0]"}),
        ({"groupId": "GROUP", "changeAmount": 1, "areaId": "tblgrp_none"}, {"areaId"}),
        ({"groupId": "GROUP", "changePercent": -101}, {"changePercent"}),
    ],
)
async def test_a_rule_must_make_sense(till: Till, shared_inn: Inn, body: dict[str, Any], fields: set[str]) -> None:
    ids = {"COLA": shared_inn.menu["Cola"], "GROUP": shared_inn.group}
    sent = {name: ids.get(value, value) if isinstance(value, str) else value for name, value in body.items()}
    assert fields_named(await till.post("price-rules", {"name": "x", **sent})) == fields
