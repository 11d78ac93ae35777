"""Every operation of the published document is asked as its examples say, of a fresh inn: what it answers is what it says it answers."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator
from typing import Any

import pytest

from services.gateway.dikas.call import Route
from services.gateway.dikas.examples import EXAMPLES, Example, path_thing
from services.gateway.dikas.routes import ROUTES
from services.gateway.openapi import path_names
from tests.contract import document, fits
from tests.house import Inn
from tests.stage import PICTURE, Stage

LISTED = [route for route in ROUTES if route.listed]
BY_EXAMPLE = [(route, example) for route in LISTED for example in EXAMPLES.get(f"{route.method} {route.path}", (None,))]
BY_PARAMETER = [
    (route, param)
    for route in LISTED
    for param in route.params
    if param.place == "query" and param.example is not None and not param.required
]


def named(case: Any) -> str:
    route, beside = case
    return f"{route.method} {route.path} {beside.name if beside is not None else ''}".strip()


async def ask(stage: Stage, route: Route, example: Example | None, **query: Any) -> tuple[int, str, bytes]:
    """Status, type and body of what a route answers; in its path and its parameters stand things of the stage."""
    path = await path_of(stage, route)
    needed = {param.name: param.example for param in route.params if param.required and param.name not in path_names(route)}
    params = {name: str(await stage.filled(value)) for name, value in {**needed, **query}.items()}
    headers = {} if route.public else {"Authorization": f"Bearer {stage.till.token}"}
    headers["Theke-Instance"] = stage.inn.name
    sent: dict[str, Any] = {} if example is None else {"json": await stage.filled(example.body)}
    if route.accepts:
        sent["data"], headers["Content-Type"] = PICTURE, "image/png"
    async with stage.till.http.request(route.method, path, headers=headers, params=params, **sent) as answer:
        raw = await answer.read()
        type_ = answer.headers["Content-Type"].partition(";")[0]
        fits(route.method, path, answer.status, answer.headers, await answer.json() if type_ == "application/json" else None)
        return answer.status, type_, raw


async def path_of(stage: Stage, route: Route) -> str:
    declared = {param.name: param.example for param in route.params}
    path = route.path
    for name in path_names(route):
        thing = declared.get(name) or path_thing(route.method, route.path)
        path = re.sub(rf"\{{{name}\b[^}}]*\}}", str(await stage.filled(thing)), path)
    return path


@pytest.fixture
async def stage(inn: Inn) -> AsyncIterator[Stage]:
    stage = Stage(inn, await inn.till())
    yield stage
    stage.close()


@pytest.fixture(scope="module")
async def reading_stage(shared_inn: Inn) -> AsyncIterator[Stage]:
    """For what changes nothing: the evening is set up once."""
    stage = Stage(shared_inn, await shared_inn.till())
    yield stage
    stage.close()


OF_ITS_OWN = "/api/v1/day-close/{id}"  # a day that is closed needs an evening without open shifts
READING = [case for case in BY_EXAMPLE if case[0].method == "GET" and case[0].path != OF_ITS_OWN]
WRITING = [case for case in BY_EXAMPLE if case not in READING]


@pytest.mark.parametrize("case", READING, ids=named)
async def test_an_example_of_reading_is_answered_as_documented(reading_stage: Stage, case: tuple[Route, Example | None]) -> None:
    await answered(reading_stage, *case)


@pytest.mark.parametrize("case", WRITING, ids=named)
async def test_an_example_is_answered_as_documented(stage: Stage, case: tuple[Route, Example | None]) -> None:
    await answered(stage, *case)


async def answered(stage: Stage, route: Route, example: Example | None) -> None:
    status, type_, raw = await ask(stage, route, example)
    assert status == route.status, raw.decode()
    assert type_ in document()["paths"][route.path][route.method.lower()]["responses"][str(status)]["content"]


@pytest.mark.parametrize("case", [case for case in BY_PARAMETER if case[0].method == "GET"], ids=named)
async def test_the_example_of_a_parameter_of_reading_is_taken(reading_stage: Stage, case: tuple[Route, Any]) -> None:
    await taken(reading_stage, *case)


@pytest.mark.parametrize("case", [case for case in BY_PARAMETER if case[0].method != "GET"], ids=named)
async def test_the_example_of_a_parameter_is_taken(stage: Stage, case: tuple[Route, Any]) -> None:
    await taken(stage, *case)


async def taken(stage: Stage, route: Route, param: Any) -> None:
    example = next(iter(EXAMPLES.get(f"{route.method} {route.path}", (None,))))
    status, _, raw = await ask(stage, route, example, **{param.name: param.example})
    assert status == route.status, raw.decode()


@pytest.mark.parametrize("route", [route for route in LISTED if route.csv is not None], ids=lambda route: route.path)
async def test_a_table_comes_as_documented(stage: Stage, route: Route) -> None:
    path = await path_of(stage, route)
    headers = {"Authorization": f"Bearer {stage.till.token}", "Accept": "text/csv"}
    async with stage.till.http.get(path, headers=headers) as answer:
        assert answer.status == 200
        assert answer.content_type == "text/csv"
        fits("GET", path, answer.status, answer.headers, None)
