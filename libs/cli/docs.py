"""``python -m libs.cli.docs``: the reference pages that are made from declarations. A test fails when they are not up to date."""

from __future__ import annotations

import importlib
import json
import tomllib
import typing
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, Final

import msgspec

from libs.bus import accounts
from libs.cli import erp_reference
from libs.cli.endpoints import ROUTES_MODULE, expected, standing
from libs.cli.metrics import metrics
from libs.cli.reasons import reasons
from libs.cli.rights import Need, matrix, needs_of
from libs.contracts.auth.modules import ROLE_MODULES
from libs.contracts.auth.rights import CASH_POINT_RIGHTS, ROLES
from libs.domain.errors import Kind
from libs.domain.events import Event, known_events
from libs.domain.paging import ALL_MAX_ROWS, PAGE_MAX_ROWS
from libs.projections.tables import SEARCH_TIMEOUT_MS
from libs.records.query import compile, conditions, values
from libs.records.wanted import SEARCH_WORDS_MAX
from libs.runtime import asyncapi
from libs.runtime.config import PROJECT, SERVICES
from libs.texts.catalogue import DETAILS, FIELDS, HEADLINES, UNAVAILABLE, Text

REFERENCE: Final = PROJECT / "docs" / "reference"
# libraries do not know services, so what the pages tell of them is looked up by name
ENVELOPE_MODULE: Final = "services.gateway.dikas.envelope"
OPENAPI_MODULE: Final = "services.gateway.openapi"
STATIC: Final = PROJECT / "services" / "gateway" / "static"
OPENAPI: Final = STATIC / "openapi.json"
ASYNCAPI: Final = STATIC / "asyncapi.json"  # docs/reference/asyncapi.json is a link to it
MADE: Final = "<!-- made by `python -m libs.cli.docs`; change the declarations, not this page -->\n"


def pages() -> dict[Path, str]:
    """Path → text of every generated page."""
    return {
        REFERENCE / "errors.md": errors(),
        REFERENCE / "endpoints.md": endpoints(),
        REFERENCE / "events.md": events(),
        OPENAPI: openapi(),
        ASYNCAPI: asynchronous(),
        REFERENCE / "rights.md": rights(),
        REFERENCE / "erp.md": erp(),
        REFERENCE / "metrics.md": measured(),
        REFERENCE / "bus.md": bus(),
        PROJECT / "deploy" / "accounts.conf": deployed_accounts(),
    }


def _table(head: tuple[str, ...], rows: Iterable[tuple[str, ...]]) -> str:
    lines = [head, tuple("---" for _ in head), *rows]
    return "".join(f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in line)} |\n" for line in lines)


# --- the bus ------------------------------------------------------------------------------------------------------------------

BUS: Final = """# Users of the bus

{made}
NATS lets each process do what is written here and nothing else. Declared in `libs/contracts/asks.py` and `libs/bus/accounts.py`; the
embedded server, `deploy/accounts.conf` and `theke downstream config` are made from the same declarations.

## Theke's own account

The user `theke` may do everything in it: the supervisor, its keeper and the command line use it.

{users}
## An account per instance

{instances}
"""


def bus() -> str:
    rows = (
        (f"`{user.name}`", _subjects(user.publish or ()), _subjects(user.subscribe or ()))
        for user in accounts.users()
        if user.publish is not None
    )
    inside = [accounts.reader(17), accounts.keeper(17)]
    return BUS.format(
        made=MADE,
        users=_table(("user", "publishes", "hears"), rows),
        instances=_table(
            ("user of i17", "publishes", "hears"),
            ((f"`{user.name}`", _subjects(user.publish or ()), _subjects(user.subscribe or ())) for user in inside),
        ),
    )


def _subjects(subjects: Iterable[str]) -> str:
    return ", ".join(f"`{subject}`" for subject in subjects)


def deployed_accounts() -> str:
    """Theke's account for a server in a container, where passwords are variables."""
    own = accounts.main_account(lambda user: f"$password_{user}")
    head = "# Made by `python -m libs.cli.docs` from libs/bus/accounts.py."
    return f'{head}\ninclude "passwords.conf"\naccounts {{\n{own}  include "instances.conf"\n}}\n'


# --- errors -------------------------------------------------------------------------------------------------------------------

ERRORS: Final = """# Errors

{made}
Every refusal is an answer in the envelope: `message` is the headline, `errors` say what exactly is wrong, a sentence each. Nothing was
changed, except after a 503 or 500 to a write: then it is unknown, and repeating it with the same `Idempotency-Key` is safe and tells.
Texts are German; `Accept-Language: en` makes them English. Every answer carries `Theke-Trace`, as do the log lines of all services.

## By status

{statuses}
## Refusals

{refusals}
## Fields

With status 400 every field at fault is named, by its path in the body: `Feld 'items[0].quantity': …`, `Field 'items[0].quantity': …`.

{fields}"""
WHAT_TO_DO: Final[Mapping[Kind, str]] = {
    Kind.INVALID: "mend the request",
    Kind.UNAUTHENTICATED: "log in, or refresh the token",
    Kind.FORBIDDEN: "ask somebody who may",
    Kind.NOT_FOUND: "look it up again",
    Kind.CONFLICT: "look at the present state and decide again",
    Kind.GONE: "use another one",
    Kind.PRECONDITION_FAILED: "read it again, then repeat",
    Kind.TOO_LARGE: "send less at once",
    Kind.UNPROCESSABLE: "change what was asked for, or take a new Idempotency-Key",
    Kind.RATE_LIMITED: "wait as long as Retry-After says",
    Kind.UNAVAILABLE: "repeat with the same Idempotency-Key after Retry-After",
}


def errors() -> str:
    places = reasons()
    envelope = importlib.import_module(ENVELOPE_MODULE)
    kinds: dict[str, set[str]] = {}
    for place in places:
        kinds.setdefault(place.reason, set()).add(place.kind)
    own = sorted(f"{status} {reason}" for reason, status in envelope.STATUS_OF_REASON.items())
    statuses = [(str(envelope.STATUS[kind]), f"`{kind}`", WHAT_TO_DO[kind]) for kind in Kind]
    statuses.append((" ".join(one.split()[0] for one in own), "of their own", ", ".join(f"`{one.split()[1]}`" for one in own)))
    refusals = (
        (f"`{reason}`", _status(reason, kinds.get(reason, set()), envelope), *_texts(reason))
        for reason in sorted({*HEADLINES, *UNAVAILABLE})
        if reason in kinds or reason == "invalid_fields"
    )
    fields = ((f"`{reason}`", text.de, text.en) for reason, text in sorted(FIELDS.items()))
    return ERRORS.format(
        made=MADE,
        statuses=_table(("status", "kind", "what to do"), statuses),
        refusals=_table(("reason", "status", "German", "English"), refusals),
        fields=_table(("reason", "German", "English"), fields),
    )


def _status(reason: str, kinds: set[str], envelope: Any) -> str:
    if reason in envelope.STATUS_OF_REASON:
        return str(envelope.STATUS_OF_REASON[reason])
    if reason == "invalid_fields":
        return str(envelope.STATUS[Kind.INVALID])
    return ", ".join(sorted({str(envelope.STATUS[Kind(kind)]) if kind != "field" else "400" for kind in kinds}))


def _texts(reason: str) -> tuple[str, str]:
    headline = HEADLINES.get(reason) or UNAVAILABLE[reason]
    detail = DETAILS.get(reason, Text("", ""))
    return ". ".join(filter(None, (headline.de, detail.de))), ". ".join(filter(None, (headline.en, detail.en)))


# --- endpoints ----------------------------------------------------------------------------------------------------------------

ENDPOINTS: Final = """# Endpoints

{made}
The DiKAS dialect. Bodies and answers are JSON in UTF-8; every answer has `data`, `isSuccess`, `message` and `errors`. Amounts are euros
gross as JSON numbers, times ISO 8601 in UTC. Fields with * are required. All but those marked *public* need `Authorization: Bearer`; every
`GET` answers `HEAD` too. Every write takes an `Idempotency-Key` (up to {key_max} printable characters), except the public ones.

| header | of a request |
| --- | --- |
| `Idempotency-Key` | repeat a write safely: same key and body, same answer, no second effect; another body: 422 |
| `Theke-Register` | the register a payment is booked at, default `1`; each counts its receipts by itself |
| `Theke-Instance` | the business, at a login; elsewhere checked against the token |
| `Accept-Language` | `de` (default) or `en` |
| `If-Match` | of a `PUT` or `DELETE`, and of all that is done with an open item: only if it still has this ETag, else 412 |
| `If-None-Match` | of a `GET`: 304 if the answer still has this ETag |
| `traceparent` | W3C trace context: its trace id becomes `Theke-Trace` |
| `Accept` | `text/csv` for [reports](reports.md) as tables; everything else is JSON |

| header | of an answer |
| --- | --- |
| `Theke-Trace` | under this id the log lines of all services tell what happened |
| `Theke-Projection: behind` | a write stands, but lists may not show it yet |
| `ETag` | of one record, read or written |
| `Theke-Total` | the rows of a list that is read page by page |
| `Theke-Changed-Until` | what the next `changedSince` must be to miss nothing |
| `Retry-After` | seconds until a repeat makes sense |
| `RateLimit`, `RateLimit-Policy` | how many requests may still come at once, and what a client is allowed: a burst, then a steady pace |

Lists of records take `page` and `pageSize` (up to {page_max}), `search` (all its words must occur), `sort` (fields, `-` in front for
descending, with commas), any field by its name, `createdFrom`, `createdTo`, `changedFrom` and `changedTo`; or `changedSince` alone, which
gives what changed and, as `{{id, isDeleted, changedDate}}`, what is gone. All other lists (receipts, open items, shifts, Z reports, table
status, colleagues) take `page`, `pageSize`, `sort` and the filters that the published document names. Without `page` and `pageSize` a list
is whole, up to {all_max} rows; above that it is 413.

The same for programs, with every parameter, answer and refusal: `GET /swagger/v1/swagger.json` (OpenAPI 3.1); to read and to try out:
`/swagger`.

## What is built

The 34 sections of the dialect, as `theke endpoints` counts them; *beyond* is what the dialect's table does not have.

{standing}
{sections}"""


def endpoints() -> str:
    routes = importlib.import_module(ROUTES_MODULE).ROUTES
    limits = importlib.import_module("services.gateway.limits")
    sections: dict[str, list[tuple[str, ...]]] = {}
    for route in routes:
        access = " *(public)*" if route.public else ""
        line = (f"{route.method} `{route.path}`{access}", str(route.status), _first_sentence(route.handler), _body(route))
        sections.setdefault(route.section, []).append(line)
    head = ("endpoint", "answers", "what", "body")
    text = "\n".join(f"## {section}\n\n{_table(head, lines)}" for section, lines in sections.items())
    return ENDPOINTS.format(
        made=MADE,
        key_max=limits.IDEMPOTENCY_KEY_MAX_CHARS,
        page_max=PAGE_MAX_ROWS,
        all_max=ALL_MAX_ROWS,
        standing=_standing(routes),
        sections=text,
    )


def _standing(routes: Iterable[Any]) -> str:
    found = standing(routes)
    rows = [(one.section, str(one.built), str(one.expected)) for one in found.sections]
    rows += [("all", str(found.built), str(found.expected)), *((one.section, str(one.built), "beyond") for one in found.beyond)]
    return _table(("section", "built", "expected"), rows)


def _first_sentence(thing: Any) -> str:
    return _markdown(thing.__doc__).split(". ")[0].rstrip(".")


def _markdown(docstring: str | None) -> str:
    return " ".join((docstring or "").replace("``", "`").split())


def _body(route: Any) -> str:
    return ", ".join(_fields(route.body, set(route.required))) if route.body is not None else ""


def _fields(type_: Any, required: set[str]) -> Iterable[str]:
    hints = typing.get_type_hints(type_)
    for field in msgspec.structs.fields(type_):
        mark = "*" if field.required or field.encode_name in required else ""
        inner = _item(hints[field.name])
        below = f" [{{{', '.join(_fields(inner, set()))}}}]" if inner is not None else ""
        yield f"`{field.encode_name}`{mark}{below}"


def _item(type_: Any) -> Any:
    """The struct of a list, or None."""
    for one in (type_, *typing.get_args(type_)):
        if typing.get_origin(one) in (list, tuple):
            item = typing.get_args(one)[0]
            return item if isinstance(item, type) and issubclass(item, msgspec.Struct) else None
    return None


# --- metrics ------------------------------------------------------------------------------------------------------------------

METRICS: Final = """# Metrics

{made}
What each process shows at `/metrics` of its operations port, beside `process_*` and `python_*` of the language; `service` is the
service, or `gateway`. A histogram `x` is three series: `x_bucket` with the label `le`, `x_sum` and `x_count`. What to do with them:
[observe](../how-to/observe.md).

{metrics}"""


def measured() -> str:
    rows = ((f"`{one.name}`", one.kind, ", ".join(f"`{label}`" for label in one.labels), one.what) for one in metrics())
    return METRICS.format(made=MADE, metrics=_table(("metric", "kind", "labels", "what"), rows))


# --- OpenAPI ------------------------------------------------------------------------------------------------------------------


def openapi() -> str:
    """The published document, as the gateway serves it."""
    return json.dumps(openapi_document(), ensure_ascii=False, indent=1) + "\n"


def asynchronous() -> str:
    """What is published, as AsyncAPI; the gateway serves it."""
    return json.dumps(asyncapi.document(_version()), ensure_ascii=False, indent=1) + "\n"


def _version() -> str:
    version: str = tomllib.loads((PROJECT / "pyproject.toml").read_text())["project"]["version"]
    return version


def openapi_document() -> Any:
    """The published document, made anew."""
    routes = importlib.import_module(ROUTES_MODULE).ROUTES
    version = _version()
    sections = dict.fromkeys(row.section for row in expected())
    return importlib.import_module(OPENAPI_MODULE).document(routes, sections, needs, version)


def needs(route: Any) -> tuple[str, ...]:
    """The rights without which a route refuses, as people read them."""
    return () if route.public else tuple(f"{need.permission} {_held(need.write)}" for need in needs_of(route))


# --- events -------------------------------------------------------------------------------------------------------------------

EVERY_SERVICE: Final = "every service"
EVENTS: Final = """# Events

{made}
What the logs hold. *Published* events are declared in `libs/contracts` and leave Theke on `evt.<service>.<instance>.<aggregate>.<event>`;
the others stay inside, on `int.…`. Amounts are minor units, decimals are written as text, times are UTC. A field with * is always there;
one that is absent has its default.

{services}"""


def events() -> str:
    by_service: dict[str, list[type[Event]]] = {service: [] for service in SERVICES}
    for service in SERVICES:
        importlib.import_module(f"services.{service}.service")
    for class_ in known_events().values():
        parts = class_.__module__.split(".")
        service = parts[2] if parts[:2] == ["libs", "contracts"] else parts[1] if parts[0] == "services" else ""
        if service in by_service:
            by_service[service].append(class_)
        elif parts[0] == "libs":
            by_service.setdefault(EVERY_SERVICE, []).append(class_)
    return EVENTS.format(made=MADE, services="\n".join(_events_of(service, found) for service, found in by_service.items()))


def _events_of(service: str, classes: list[type[Event]]) -> str:
    rows = (
        (
            f"`{class_.TYPE}`",
            str(class_.VERSION),
            "published" if class_.__module__.startswith("libs.contracts.") else "inside",
            _doc(class_),
            ", ".join(f"`{field.encode_name}`{'*' if field.required else ''}" for field in msgspec.structs.fields(class_)),
        )
        for class_ in sorted(classes, key=lambda one: one.TYPE)
    )
    return f"## {service}\n\n{_table(('event', 'version', 'where', 'what', 'fields'), rows)}"


def _doc(class_: type[Event]) -> str:
    return "" if class_.__doc__ == Event.__doc__ else _markdown(class_.__doc__)


# --- rights -------------------------------------------------------------------------------------------------------------------

RIGHTS: Final = """# Rights

{made}
An employee has any number of roles and, besides, any number of cash point rights. All of it adds up; only `denyLogin` takes something
away: the login. A change of roles or rights kills the employee's access tokens, a refresh brings new ones.

## What roles hold

`write` includes `read`.

{roles}
## What cash point rights add

Whoever has one may also read articles, tables and open orders.

{rights}
## What roles give in the ERP

`Admin` may do everything there and sees every row. A right to articles is one to `inventory`, for reading or writing as it is held here.
Permissions of the groups somebody is in come on top (`theke groups`). Employees with `apiOnly` have no login at a till; for those with
`noPublic` the ERP hides rows without an owner.

{modules}
## Who may call what

Made from what the endpoints ask of the services. Without a mark the answer is 403. Endpoints that need nothing are open to everybody who
is logged in.

{matrix}"""


def rights() -> str:
    routes = importlib.import_module(ROUTES_MODULE).ROUTES
    permissions = sorted({permission for held in ROLES.values() for permission in held})
    held = ((f"`{one}`", *(_held(ROLES[role].get(one)) for role in ROLES)) for one in permissions)
    added = ((f"`{right}`", ", ".join(f"`{one}`" for one in given) or "no login") for right, given in CASH_POINT_RIGHTS.items())
    lines = (
        (f"`{endpoint}`", *("x" if allowed else "" for allowed in by_role), _needed(needs)) for endpoint, by_role, needs in matrix(routes)
    )
    return RIGHTS.format(
        made=MADE,
        roles=_table(("permission", *ROLES), held),
        modules=_table(("module", *ROLE_MODULES), _modules()),
        rights=_table(("right", "gives, for writing"), added),
        matrix=_table(("endpoint", *ROLES, "needs"), lines),
    )


def _modules() -> Iterable[tuple[str, ...]]:
    named = sorted({module for given in ROLE_MODULES.values() for module in given})
    return ((f"`{module}`", *(_held(given.get(module)) for given in ROLE_MODULES.values())) for module in named)


def _needed(needs: Iterable[Need]) -> str:
    return ", ".join(f"`{need.permission}` {_held(need.write)}" for need in needs)


def _held(write: bool | None) -> str:
    return "" if write is None else "write" if write else "read"


# --- ERP ----------------------------------------------------------------------------------------------------------------------

ERP: Final = """# The ERP's API

{made}
The ZeyOS dialect, below `/{{instance}}/`. Bodies are JSON or forms, rows are JSON, errors are one line of `text/plain`. How to use it:
[connect an ERP client](../how-to/connect-an-erp-client.md).

**{built} of {all} operations are answered**{missing}. Besides, `/{{instance}}/auth/v1/` answers
`login`, `logout` and who one is, and `/{{instance}}/oauth2/v1/` answers `token`, `revoke`, `introspect`, `userinfo` and `authorize`.

{operations}
Who sees a row: everybody with the permission if it has no owner, unless the user is flagged `nopublic`; otherwise its `owneruser` and
the members of its `ownergroup`, who write it if their membership is `writable`. Administrators see and write everything. Where other rows
decide about a row, who may see or write those may do so here. Permissions and members of groups: `theke groups`; what roles of the till
give: [rights](rights.md). Every write sets `lastmodified`; `creator` and `creationdate` may be given on creation, and are changed by
administrators only. `ID` may be chosen on creation; of an item from 1,000,000,000 on, since Theke's own count up from 1.

## Resources

{sections}
## Limits of a query

{limits}"""


def erp() -> str:
    declared = importlib.import_module("services.gateway.zeyos.operations")
    routes = importlib.import_module("services.gateway.zeyos.routes").ROUTES
    answered = {(route.section, method) for route in routes for method in (route.method, "HEAD" if route.method == "GET" else "")}
    built = {
        resource: [kind for kind in kinds if (resource, declared.KINDS[kind]) in answered]
        for resource, kinds in declared.OPERATIONS.items()
    }
    rows = ((f"`{name}`", ", ".join(kinds), f"{len(kinds)} of {len(declared.OPERATIONS[name])}") for name, kinds in built.items() if kinds)
    lacking = [name for name, kinds in built.items() if len(kinds) < len(declared.OPERATIONS[name])]
    return ERP.format(
        made=MADE,
        built=sum(map(len, built.values())),
        all=sum(map(len, declared.OPERATIONS.values())),
        missing="; of these some or all answer 404: " + ", ".join(f"`{name}`" for name in lacking) if lacking else "",
        operations=_table(("resource", "answered", ""), rows),
        sections=erp_reference.sections(),
        limits=_table(("what", "at most"), _query_limits()),
    )


def _query_limits() -> Iterable[tuple[str, str]]:
    bounds = (
        ("rows of a list (`limit`; 1,000 unless it says otherwise)", compile.LIMIT_MAX),
        ("fields", compile.FIELDS_MAX),
        ("sort keys", compile.SORT_MAX),
        ("conditions and groups", conditions.CONDITIONS_MAX),
        ("groups within groups", conditions.GROUP_DEPTH_MAX),
        ("values in all lists (`IN`) of a query", conditions.VALUES_MAX),
        ("patterns (`~`, `~~` and their kin)", conditions.PATTERNS_MAX),
        ("characters of a pattern", conditions.PATTERN_MAX_CHARS),
        ("characters of a value", values.VALUE_MAX_CHARS),
        ("words of `query`", SEARCH_WORDS_MAX),
        ("milliseconds", SEARCH_TIMEOUT_MS),
    )
    return ((what, f"{most:,}") for what, most in bounds)


def main() -> None:
    for path, text in pages().items():
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
        print(path.relative_to(PROJECT))


if __name__ == "__main__":
    main()
