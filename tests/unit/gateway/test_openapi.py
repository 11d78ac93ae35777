"""The published document: valid, whole, made of the routes alone."""

from __future__ import annotations

import ast
import hashlib
import json
import re
from pathlib import Path
from typing import Any

import msgspec
import pytest
from jsonschema import Draft202012Validator
from openapi_spec_validator import validate
from referencing import Registry, Resource
from referencing.jsonschema import DRAFT202012

from libs.cli.endpoints import expected
from services.gateway import openapi, swagger
from services.gateway.dikas.call import Call, Picture, Route
from services.gateway.dikas.examples import EXAMPLES, PATH_THINGS, THINGS, filled
from services.gateway.dikas.params import Form, Param
from services.gateway.dikas.routes import ROUTES
from tests import stage
from tests.contract import document

LISTED = [route for route in ROUTES if route.listed]
SECTIONS = [row.section for row in expected()]


def made(*routes: Route) -> Any:
    return openapi.document(routes, SECTIONS, lambda route: ("cakes write",), "1")


def operations() -> list[tuple[str, str, Any]]:
    return [(path, method, operation) for path, found in document()["paths"].items() for method, operation in found.items()]


def test_it_is_an_openapi_document() -> None:
    validate(document())
    assert document()["openapi"].startswith("3.1")


def test_made_twice_it_is_the_same() -> None:
    once, again = (json.dumps(openapi.document(ROUTES, SECTIONS, lambda route: (), "1")) for _ in range(2))
    assert once == again


def test_every_listed_route_is_in_it_and_nothing_else() -> None:
    assert {(path, method.upper()) for path, method, _ in operations()} == {(route.path, route.method) for route in LISTED}


def test_tags_are_the_sections_in_their_order_then_ours() -> None:
    tags = [tag["name"] for tag in document()["tags"]]
    known = [section for section in dict.fromkeys(SECTIONS) if section in tags]
    assert tags[: len(known)] == known
    assert set(tags) == {route.section for route in LISTED}


def test_every_operation_has_a_name_of_its_own_a_summary_and_an_answer() -> None:
    names = [operation["operationId"] for _, _, operation in operations()]
    assert len(set(names)) == len(names)
    for path, method, operation in operations():
        assert operation["summary"], (path, method)
        done = operation["responses"][next(iter(operation["responses"]))]
        assert done["content"], (path, method)
        assert "{}" not in [json.dumps(one["schema"].get("properties", {}).get("data", 1)) for one in done["content"].values()], (
            path,
            method,
        )


def test_names_of_schemas_are_plain_and_differ_in_more_than_case() -> None:
    names = list(document()["components"]["schemas"])
    assert all(re.fullmatch(r"[A-Z][A-Za-z0-9]*", name) for name in names), names
    assert len({name.lower() for name in names}) == len(names)


async def cake(call: Call) -> Picture:
    """A cake. Cut in pieces."""
    raise AssertionError


async def slice_(call: Call) -> dict[str, str] | Picture:
    """A slice."""
    raise AssertionError


class CakeBody(msgspec.Struct, rename="camel"):
    layers: int
    table_id: str | None = None


def test_what_is_not_listed_stays_out() -> None:
    seen = made(Route("GET", "/cakes", "Tables", slice_), Route("GET", "/legacy/cakes", "Tables", slice_, listed=False))
    assert list(seen["paths"]) == ["/cakes"]
    assert seen["tags"] == [{"name": "Tables"}]


def test_an_answer_without_envelope_is_of_its_types_only() -> None:
    seen = made(
        Route("GET", "/cake", "Tables", cake, media=("image/png",)),
        Route("GET", "/slice", "Tables", slice_, media=("image/png",)),
    )
    assert list(seen["paths"]["/cake"]["get"]["responses"]["200"]["content"]) == ["image/png"]
    assert list(seen["paths"]["/slice"]["get"]["responses"]["200"]["content"]) == ["application/json", "image/png"]
    assert (seen["paths"]["/cake"]["get"]["summary"], seen["paths"]["/cake"]["get"]["description"]) == (
        "A cake",
        "Cut in pieces. Needs `cakes write`.",
    )


@pytest.mark.parametrize(
    ("route", "refusals"),
    [
        (Route("GET", "/cakes", "Tables", slice_), {400, 401, 403, 429, 503}),
        (Route("GET", "/cakes/{id}", "Tables", slice_), {400, 401, 403, 404, 429, 503}),
        (Route("POST", "/cakes", "Tables", slice_, CakeBody), {400, 401, 403, 404, 409, 410, 413, 415, 422, 429, 503}),
        (
            Route("POST", "/cakes", "Tables", slice_, accepts=("image/png",), refuses=(429,)),
            {400, 401, 403, 409, 410, 413, 415, 422, 429, 503},
        ),
        (Route("POST", "/cakes/eat", "Tables", slice_), {400, 401, 403, 409, 410, 422, 429, 503}),
    ],
)
def test_a_route_names_its_refusals(route: Route, refusals: set[int]) -> None:
    assert set(openapi.refusals_of(route, ("cakes write",))) == refusals


def test_pictures_are_declared() -> None:
    for route in LISTED:
        assert bool(route.media) is (Picture in openapi.parts(openapi.answer_of(route))), route.path


# --- examples -----------------------------------------------------------------------------------------------------------------


def test_every_body_has_an_example_and_every_example_a_route() -> None:
    with_body = {f"{route.method} {route.path}" for route in LISTED if route.body is not None}
    assert with_body == set(EXAMPLES)


def test_examples_of_a_route_differ_in_name() -> None:
    for endpoint, examples in EXAMPLES.items():
        assert len({example.name for example in examples}) == len(examples) > 0, endpoint


def test_every_example_is_a_body_as_it_is_documented() -> None:
    registry: Registry[Any] = Registry().with_resource("urn:doc", Resource(contents=document(), specification=DRAFT202012))
    for path, method, operation in operations():
        for type_, content in operation.get("requestBody", {}).get("content", {}).items():
            if type_ == "application/json":
                place = f"/paths/{path.replace('~', '~0').replace('/', '~1')}/{method}/requestBody/content/application~1json/schema"
                validator = Draft202012Validator({"$ref": f"urn:doc#{place}"}, registry=registry)
                for example in content["examples"].values():
                    validator.validate(example["value"])


def test_every_id_in_a_path_has_an_example() -> None:
    for path, method, operation in operations():
        for parameter in operation["parameters"]:
            assert parameter["in"] != "path" or parameter["example"] is not None, (path, method)


def test_things_are_known_to_the_document_and_to_the_stage_alike() -> None:
    assert set(stage.MAKERS) == set(THINGS)
    used = re.findall(r'"\{(\w+)\}"', json.dumps([[one.body for one in examples] for examples in EXAMPLES.values()]))
    used += [thing.strip("{}") for thing in PATH_THINGS.values()]
    used += [str(param.example).strip("{}") for route in LISTED for param in route.params if str(param.example).startswith("{")]
    assert set(used) == set(THINGS)


def test_an_unknown_thing_is_noticed() -> None:
    with pytest.raises(LookupError):
        filled({"id": ["{unicorn}"]}, THINGS)


# --- parameters ---------------------------------------------------------------------------------------------------------------


def test_handlers_read_parameters_by_their_declarations_only() -> None:
    """What reads the query elsewhere than in ``call`` is documented nowhere. The ERP's dialect has a page of its own."""
    for file in sorted(Path(openapi.__file__).parent.rglob("*.py")):
        if file.name != "call.py" and file.parent.name != "zeyos":
            reads = [node for node in ast.walk(ast.parse(file.read_text())) if isinstance(node, ast.Attribute) and node.attr == "query"]
            own = [node for node in reads if isinstance(node.value, ast.Attribute) and node.value.attr == "request"]
            assert not own, file.name


@pytest.mark.parametrize("form", Form)
def test_every_form_of_a_parameter_has_a_schema(form: Form) -> None:
    Draft202012Validator.check_schema(openapi.schema_of(Param("cake", form, "")))


# --- the page -----------------------------------------------------------------------------------------------------------------


def test_the_pages_scripts_are_the_published_ones() -> None:
    sums = (swagger.UI / "SHA256SUMS").read_text().split()
    named = dict(zip(sums[1::2], sums[::2], strict=True))
    shipped = {file.name for file in swagger.UI.iterdir()} - {"SHA256SUMS", "README.md"}
    assert set(named) == shipped
    for name, digest in named.items():
        assert hashlib.sha256((swagger.UI / name).read_bytes()).hexdigest() == digest, name


def test_every_file_of_the_page_is_there() -> None:
    for path, _ in swagger.FILES.values():
        assert path.is_file()
