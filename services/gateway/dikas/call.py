"""One request of the dialect: decoded, asked, encoded."""

from __future__ import annotations

import re
import time
import uuid
from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping
from datetime import UTC, date, datetime
from decimal import Decimal, InvalidOperation
from typing import Any, Final, TypeVar

import msgspec
from aiohttp import web

from libs.blobs.store import Blobs
from libs.domain.clock import Clock
from libs.domain.errors import DomainError, FieldError, Kind, invalid, not_found
from libs.domain.ids import command_id
from libs.domain.principal import Principal
from libs.domain.records import INT32_MAX
from libs.runtime.asking import Services
from libs.texts.catalogue import Language
from services.gateway import bodies, limits
from services.gateway.dikas.params import REGISTER, Form, Param
from services.gateway.dikas.spreadsheet import Sheet
from services.gateway.identity import Identities

T = TypeVar("T")

DECIMAL_MAX_CHARS: Final = 20
NOBODY: Final = Principal(instance=0, user="")
_LANGUAGE: Final = re.compile(r"(?:^|,)\s*(de|en)(?:-[\w-]*)?\s*(?:;\s*q=([01](?:\.\d{1,3})?)\s*)?(?=,|$)", re.IGNORECASE)
_WHOLE: Final = re.compile(r"-?[0-9]{1,9}")
_POSITION: Final = re.compile(r"[0-9]{1,18}")
_DAY: Final = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}")
_ID: Final = re.compile(rf"[A-Za-z0-9_-]{{1,{limits.ID_MAX_CHARS}}}")


class Route(msgspec.Struct, frozen=True):
    """An endpoint: ``section`` as the published list names it; ``body`` the struct of its JSON, ``required`` fields that this route
    needs although the struct does without them; ``public``: no token needed; ``stream``: a list written piece by piece; ``csv``: how
    the answer is a table, for clients that would rather have that; ``asks``: the commands and queries behind it
    (``pos.receipt.sell``), whose permissions are the route's: the matrix of rights is made from them.

    ``params``: what it reads beside its body; ``shown``: the struct of its JSON where ``body`` leaves parts for later; ``answer``: the
    type of what it answers, where the handler's annotation does not say it; ``media``: types of answers that have no envelope;
    ``accepts``: types of bodies that are not JSON; ``refuses``: statuses of refusals that cannot be told from the rest; ``listed``:
    whether the published document names it, which it does not for what is internal or kept for old clients only."""

    method: str
    path: str
    section: str
    handler: Callable[[Call], Any]
    body: Any = None
    required: tuple[str, ...] = ()
    status: int = 200
    public: bool = False
    stream: bool = False
    csv: Sheet | None = None
    body_max_bytes: int = bodies.BODY_MAX_BYTES
    params: tuple[Param, ...] = ()
    shown: Any = None
    answer: Any = None
    media: tuple[str, ...] = ()
    accepts: tuple[str, ...] = ()
    refuses: tuple[int, ...] = ()
    listed: bool = True
    asks: tuple[str, ...] = ()

    @property
    def body_may_be_absent(self) -> bool:
        """Whether nothing must be said in the body."""
        return not self.required and not any(field.required for field in msgspec.structs.fields(self.body))


class Picture(msgspec.Struct, frozen=True):
    """An answer that is no JSON and has no envelope; ``type`` is its Content-Type."""

    type: str
    body: bytes


class Call:
    """What a handler works with. ``body`` is decoded; ``behind`` is set when query tables do not show a write yet; ``headers``
    are added to the answer's; ``tag`` is the ETag of what is answered, ``tag_live`` if the answer shows more than the tag tells. ``began``:
    when the request came, on the monotonic clock."""

    __slots__ = (
        "at",
        "began",
        "behind",
        "blobs",
        "body",
        "headers",
        "identities",
        "language",
        "principal",
        "request",
        "route",
        "services",
        "tag",
        "tag_live",
        "trace",
    )

    def __init__(
        self,
        request: web.Request,
        route: Route,
        services: Services,
        identities: Identities,
        blobs: Blobs,
        clock: Clock,
        trace: str,
    ) -> None:
        self.request = request
        self.route = route
        self.services = services
        self.identities = identities
        self.blobs = blobs
        self.principal = NOBODY
        self.language = language_of(request)
        self.trace = trace
        self.at = clock.now()
        self.began = time.monotonic()
        self.body: Any = None
        self.behind = False
        self.headers: dict[str, str] = {}
        self.tag = ""
        self.tag_live = False

    @property
    def params(self) -> Mapping[str, str]:
        return self.request.match_info

    def id(self, name: str, missing: str) -> str:
        """An id out of the path. What cannot be one names nothing: raises ``missing`` without asking anybody."""
        id_ = self.params[name]
        if not _ID.fullmatch(id_):
            raise not_found(missing, id=id_[: limits.ID_MAX_CHARS])
        return id_

    @property
    def register(self) -> str:
        """Raises ``invalid`` if it cannot be the name of a register."""
        declared = self._declared(REGISTER.name, Form.ID)
        register = self.request.headers.get(declared.name, declared.default)
        if not _ID.fullmatch(register):
            raise invalid(FieldError(declared.name, "not_a_key"))
        return str(register)

    @property
    def instance_name(self) -> str:
        """Raises ``invalid`` if it cannot be the name of an instance; empty if none is named."""
        name = self.request.headers.get("Theke-Instance", "")
        if name and not _ID.fullmatch(name):
            raise invalid(FieldError("Theke-Instance", "instance_name"))
        return name

    def _declared(self, name: str, kind: Form) -> Param:
        """What the route says of a parameter; an undeclared one is a mistake of ours."""
        declared = next(param for param in self.route.params if param.name == name)
        assert declared.kind is kind, f"{name} is no {kind}"
        return declared

    def _said(self, name: str, kind: Form) -> tuple[str, Param]:
        """The text of a parameter, empty if it is not given, and what is declared of it."""
        declared = self._declared(name, kind)
        given = self.given(name)
        if not given and declared.required:
            raise invalid(FieldError(name, "required"))
        return given, declared

    def given(self, name: str) -> str:
        """A declared query parameter as it stands, whatever it should be; empty without one. Raises ``invalid`` if there are several."""
        assert any(param.name == name for param in self.route.params), f"{name} is not declared"
        values = [value for value in self.request.query.getall(name, ()) if value]
        if len(values) > 1:
            raise invalid(FieldError(name, "repeated"))
        return values[0] if values else ""

    def header(self, declared: Param) -> str | None:
        """A header that the route declares; None without it."""
        assert declared in self.route.params, f"{declared.name} is not declared"
        return self.request.headers.get(declared.name)

    def text(self, name: str) -> str:
        """A query parameter as it stands, empty without one. Raises ``invalid`` if it is too long or no text."""
        said, declared = self._said(name, Form.TEXT)
        if declared.max_chars is not None and len(said) > declared.max_chars:
            raise invalid(FieldError(name, "too_long", {"max": declared.max_chars}))
        if not said.isprintable():
            raise invalid(FieldError(name, "unprintable"))
        return said

    def choice(self, name: str) -> str:
        """A query parameter that is one of a few words; without it the default, or an empty text. Raises ``invalid``."""
        said, declared = self._said(name, Form.CHOICE)
        if said and said not in declared.choices:
            raise invalid(FieldError(name, "not_allowed", {"allowed": ", ".join(declared.choices)}))
        return said or declared.default or ""

    def named(self, name: str) -> str | None:
        """A query parameter that is an id. Raises ``invalid`` if it cannot be one."""
        said, _ = self._said(name, Form.ID)
        if said and not _ID.fullmatch(said):
            raise invalid(FieldError(name, "not_a_key"))
        return said or None

    def number(self, name: str) -> int | None:
        """A query parameter that is a whole number within its bounds. Raises ``invalid``."""
        said, declared = self._said(name, Form.WHOLE)
        if not said:
            return None
        if not _WHOLE.fullmatch(said):
            raise invalid(FieldError(name, "expected_integer"))
        low, high = declared.low, declared.high
        if (low is not None and int(said) < low) or (high is not None and int(said) > high):
            raise invalid(FieldError(name, "out_of_range", {"min": low or 0, "max": high or INT32_MAX}))
        return int(said)

    def position(self, name: str) -> int:
        """A query parameter that is a place in a log; without it the beginning. Raises ``invalid``."""
        said, _ = self._said(name, Form.POSITION)
        if said and not _POSITION.fullmatch(said):
            raise invalid(FieldError(name, "expected_integer"))
        return int(said or 0)

    def decimal(self, name: str) -> Decimal | None:
        """A query parameter that is a number. Raises ``invalid``."""
        said, _ = self._said(name, Form.DECIMAL)
        if not said:
            return None
        try:
            number = Decimal(said) if len(said) <= DECIMAL_MAX_CHARS else Decimal("NaN")
        except InvalidOperation:
            number = Decimal("NaN")
        if not number.is_finite():
            raise invalid(FieldError(name, "expected_number"))
        return number

    def day(self, name: str) -> date | datetime | None:
        """A query parameter as a day, or as a moment on it in UTC. Raises ``invalid``."""
        said, _ = self._said(name, Form.DAY)
        try:
            return date.fromisoformat(said) if _DAY.fullmatch(said) else moment_of(name, said)
        except (ValueError, DomainError):
            raise invalid(FieldError(name, "not_a_day")) from None

    def date(self, name: str) -> date | None:
        """A query parameter as a day. Raises ``invalid``."""
        said, _ = self._said(name, Form.DATE)
        try:
            return date.fromisoformat(said) if said else None
        except ValueError:
            raise invalid(FieldError(name, "expected_date")) from None

    def moment(self, name: str) -> datetime | None:
        """A query parameter as a moment, in UTC. Raises ``invalid``."""
        return moment_of(name, self._said(name, Form.MOMENT)[0])

    def flag(self, name: str) -> bool | None:
        """A query parameter as ``true`` or ``false``. Raises ``invalid``."""
        said, _ = self._said(name, Form.FLAG)
        if said not in ("", "true", "false"):
            raise invalid(FieldError(name, "expected_boolean"))
        return said == "true" if said else None

    def _command_id(self, name: str) -> uuid.UUID:
        """The same for the same principal, route and Idempotency-Key; without a key, new. Login and refresh take none."""
        key = self.request.headers.get("Idempotency-Key")
        if key is None or self.route.public:
            return uuid.uuid4()
        if not key:
            raise invalid(FieldError("Idempotency-Key", "empty"))
        if len(key) > limits.IDEMPOTENCY_KEY_MAX_CHARS:
            raise invalid(FieldError("Idempotency-Key", "too_long", {"max": limits.IDEMPOTENCY_KEY_MAX_CHARS}))
        if not key.isprintable():
            raise invalid(FieldError("Idempotency-Key", "unprintable"))
        route = f"{self.route.method} {self.route.path} {' '.join(self.params.values())} {name}"
        return command_id(self.principal.instance, self.principal.user, route, key)

    async def command(self, service: str, name: str, body: Any, answer: type[T], *, deadline: float = limits.REQUEST_DEADLINE_S) -> T:
        found, behind = await self.services.command(
            service,
            name,
            body,
            answer,
            principal=self.principal,
            id=self._command_id(name),
            at=self.at,
            deadline=deadline,
            trace=self.trace,
            began=self.began,
        )
        self.behind = self.behind or behind
        return found

    async def query(self, service: str, name: str, body: Any, answer: type[T]) -> T:
        return await self.services.query(
            service, name, body, answer, principal=self.principal, deadline=limits.REQUEST_DEADLINE_S, trace=self.trace
        )

    def stream(self, service: str, name: str, body: Any, item: type[T]) -> AsyncGenerator[list[T], None]:
        return self.services.stream(service, name, body, item, principal=self.principal, trace=self.trace)


Handler = Callable[[Call], Awaitable[Any]]


def moment_of(name: str, text: str) -> datetime | None:
    """A text as a moment, in UTC. Raises ``invalid``. A plus sign that was not escaped arrives as a space."""
    try:
        moment = datetime.fromisoformat(text.replace(" ", "+") if "T" in text else text) if text else None
        if moment is not None and moment.tzinfo is None:
            raise invalid(FieldError(name, "not_a_time"))
        return moment and moment.astimezone(UTC)
    except (ValueError, OverflowError):
        raise invalid(FieldError(name, "not_a_time")) from None


def language_of(request: web.BaseRequest, otherwise: Language = Language.GERMAN) -> Language:
    """What Accept-Language prefers of German and English, else ``otherwise``."""
    best, best_weight = otherwise, 0.0
    for primary, weight in _LANGUAGE.findall(request.headers.get("Accept-Language", "")[: limits.LANGUAGES_MAX_CHARS]):
        weighs = float(weight or 1)
        if weighs > best_weight:
            best, best_weight = Language(primary.lower()), weighs
    return best


def bearer(request: web.Request) -> str:
    """The token of a request. Raises ``unauthenticated``."""
    scheme, _, token = request.headers.get("Authorization", "").partition(" ")
    token = token.strip()
    if scheme.lower() != "bearer" or not token:
        raise DomainError(Kind.UNAUTHENTICATED, "no_token")
    if not token.isascii():
        raise DomainError(Kind.UNAUTHENTICATED, "access_token_invalid")
    return token
