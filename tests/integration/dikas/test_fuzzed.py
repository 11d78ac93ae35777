"""Requests that schemathesis makes of the published document, well formed and malformed: no answer is a 500, of a status that the document
does not name, or of another shape. The same requests every time; ``THEKE_FUZZ_EXAMPLES`` says how many per operation and kind, and with
more than in the daily run they are drawn anew."""

from __future__ import annotations

import asyncio
import json
import os
import warnings
from collections import Counter
from collections.abc import Iterator, Mapping
from copy import deepcopy
from typing import Any, Final

import hypothesis
import pytest
import requests
import schemathesis
from hypothesis import HealthCheck, Phase
from schemathesis import Case, GenerationMode
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi.checks import content_type_conformance, response_schema_conformance, status_code_conformance

from services.gateway.dikas.examples import path_thing
from tests.contract import ANY_REQUEST, document
from tests.house import ANSWER_WITHIN_S, Inn
from tests.stage import Stage

DAILY: Final = 6
EXAMPLES: Final = int(os.environ.get("THEKE_FUZZ_EXAMPLES", DAILY))
CHECKS: Final = [not_a_server_error, status_code_conformance, content_type_conformance, response_schema_conformance]
# fields that hold ids: without real ones every request would end at the first of them
FIELD_THINGS: Final[Mapping[str, tuple[str, ...]]] = {
    "articleId": ("article",),
    "areaId": ("tableGroup",),
    "groupId": ("articleGroup", "tableGroup"),
    "optionId": ("option",),
    "staffId": ("staff",),
    "tableId": ("table", "freeTable"),
    "tableIds": ("otherTable",),
    "targetTableId": ("freeTable", "otherTable"),
}
OWN_SESSION: Final = ("POST /api/v1/auth/logout", "POST /api/v1/staff/switch")  # they end the session they are asked in
NOTHING: Final = "nothing_of_the_kind"


async def with_real_ids(stage: Stage) -> Any:
    """The document, with ids of things that are there where it wants ids."""
    await stage.thing("zReport")  # while no shift is open
    known = deepcopy(document())
    for path, operations in known["paths"].items():
        for method, operation in operations.items():
            for parameter in operation["parameters"]:
                thing = path_thing(method.upper(), path) if parameter["in"] == "path" else None
                if thing is not None:
                    parameter["schema"] = {"enum": [await stage.filled(parameter_thing(parameter, thing)), NOTHING]}
                parameter.pop("example", None)
                if parameter["name"] == "Theke-Instance":  # any other ends every request
                    parameter["schema"] = {"enum": [stage.inn.name]}
                if parameter["name"] == "wait":  # seconds in which nothing comes
                    parameter["schema"] = {"enum": [0, 1]}
            for content in operation.get("requestBody", {}).get("content", {}).values():
                content.pop("examples", None)
    for properties in _properties(known["components"]["schemas"]):
        for name, things in FIELD_THINGS.items():
            if name in properties:
                ids = {"enum": [await stage.thing(thing) for thing in things]}
                properties[name] = {"type": "array", "items": ids} if name.endswith("s") else ids
    return json.loads(json.dumps(known))


def parameter_thing(parameter: Any, thing: str) -> Any:
    """Some parts of paths are no ids."""
    return f"{{{parameter['name']}}}" if parameter["name"] in ("number", "plu", "barcode") else thing


def _properties(value: Any) -> Iterator[dict[str, Any]]:
    """Those of every schema of a body, however deep."""
    for name, schema in value.items():
        if name.endswith("Body") and "properties" in schema:
            yield schema["properties"]


class Fuzz:
    """Asks in a thread, while the loop answers."""

    def __init__(self, known: Any, url: str, token: str, others: Iterator[str]) -> None:
        self._schema = schemathesis.openapi.from_dict(known)
        self._url = url
        self._token = token
        self._others = others
        self.seen: Counter[int] = Counter()
        self.findings: list[str] = []

    def run(self) -> None:
        with requests.Session() as session:
            for operation in self._schema.get_all_operations():
                for mode in (GenerationMode.POSITIVE, GenerationMode.NEGATIVE):
                    self._ask(operation.ok(), mode, session)

    def _ask(self, operation: Any, mode: GenerationMode, session: requests.Session) -> None:
        @hypothesis.settings(
            max_examples=EXAMPLES,
            derandomize=EXAMPLES <= DAILY,
            database=None,
            deadline=None,
            phases=(Phase.generate,),
            suppress_health_check=list(HealthCheck),
        )
        @hypothesis.given(operation.as_strategy(generation_mode=mode))
        def each(case: Case) -> None:
            token = next(self._others) if operation.label in OWN_SESSION else self._token
            headers = {"Authorization": f"Bearer {token}"}
            response = case.call(base_url=self._url, session=session, headers=headers, timeout=ANSWER_WITHIN_S)
            self.seen[response.status_code] += 1
            if response.status_code not in ANY_REQUEST:
                case.validate_response(response, checks=CHECKS)

        try:
            each()
        except hypothesis.errors.Unsatisfiable:  # an operation without anything that could be malformed
            assert mode is GenerationMode.NEGATIVE, operation.label
        except Exception as finding:
            self.findings.append(f"{operation.label}: {finding}")
        except BaseExceptionGroup as several:
            self.findings += [f"{operation.label}: {one}" for one in several.exceptions]


@pytest.fixture
async def stage(inn: Inn) -> Stage:
    return Stage(inn, await inn.till())


async def test_no_request_is_answered_in_a_way_the_document_does_not_name(stage: Stage) -> None:
    known = await with_real_ids(stage)
    others = iter([(await stage.inn.till()).token for _ in range(4 * EXAMPLES)])
    fuzz = Fuzz(known, stage.inn.theke.url, stage.till.token, others)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        await asyncio.to_thread(fuzz.run)
    assert not fuzz.findings, "\n\n".join(fuzz.findings)
    assert fuzz.seen[500] == 0
    reached = fuzz.seen[200] + fuzz.seen[201]
    assert reached * 10 >= fuzz.seen.total(), f"too few came through to tell anything: {fuzz.seen}"
