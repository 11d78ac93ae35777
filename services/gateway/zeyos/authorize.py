"""OAuth2's login page: somebody says with name and password that an application may act for them, and is sent back with a code.

The page keeps nobody logged in: the password is asked for each time, so nobody can be made to agree by a link. A browser is sent only to
an address that the application is registered with, letter by letter; until that is known for sure, a mistake is told here.
"""

from __future__ import annotations

import re
import secrets
from collections.abc import Mapping
from html import escape
from typing import Final
from urllib.parse import urlencode, urlsplit

import msgspec

from libs.contracts.auth.commands import PASSWORD_MAX_CHARS
from libs.contracts.auth.oauth import AskForCode, Asking, Code, GiveCode
from libs.domain.errors import DomainError, Kind
from libs.texts.catalogue import Language, details
from libs.texts.names import AUTHORIZE
from services.gateway import limits
from services.gateway.dikas.call import Call, Route
from services.gateway.dikas.envelope import STATUS
from services.gateway.zeyos import bodies
from services.gateway.zeyos.auth import NAME_MAX_CHARS
from services.gateway.zeyos.oauth import IDENTIFIER_MAX_CHARS, PARAMETER_MAX_CHARS
from services.gateway.zeyos.serve import OAUTH, Page

CHALLENGE: Final = re.compile(r"[A-Za-z0-9_-]{43}")
COOKIE: Final = "theke_authorize"
SEAL_BYTES: Final = 20
PAGE_LIFE_S: Final = 600
SENT_ALONG: Final = ("client_id", "redirect_uri", "response_type", "response_mode", "state", "code_challenge", "code_challenge_method")
HTML: Final = "text/html; charset=utf-8"
NOBODY_FRAMES_IT: Final = {
    "Cache-Control": "no-store",
    "Referrer-Policy": "no-referrer",
    "X-Frame-Options": "DENY",
    "Content-Type": HTML,
}
PAGE: Final = """<!doctype html>
<html lang="{language}">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{title}</title>
<style nonce="{nonce}">
body {{ font: 1rem/1.5 system-ui, sans-serif; max-width: 22rem; margin: 15vh auto; padding: 0 1rem }}
label, input, button {{ display: block; width: 100%; box-sizing: border-box; font: inherit }}
input, button {{ padding: .5rem; margin: .25rem 0 1rem }}
[role=alert] {{ color: #a00 }}
</style>
<main>
<h1>{title}</h1>
<p>{message}</p>
{form}
</main>
</html>
"""
FORM: Final = """<form method="post" action="authorize">
{hidden}
<label for="username">{username}</label><input id="username" name="username" autocomplete="username" required autofocus>
<label for="password">{password}</label>
<input id="password" name="password" type="password" autocomplete="current-password" required>
<button>{button}</button>
</form>"""


class Asked(msgspec.Struct, frozen=True):
    """A request for a code whose client and address are known to be right."""

    given: Mapping[str, str]
    who: AskForCode
    name: str

    @property
    def fault(self) -> str:
        """What is wrong with the rest of it, as the client is told; empty if nothing is."""
        if self.given.get("response_type") != "code":
            return "unsupported_response_type"
        right = self.given.get("code_challenge_method") == "S256" and CHALLENGE.fullmatch(self.given.get("code_challenge", ""))
        return "" if right and self.given.get("response_mode", "query") == "query" else "invalid_request"

    def back(self, **answer: str) -> Page:
        """The browser goes back to where it came from."""
        url, state = self.who.redirect_uri, self.given.get("state", "")
        query = urlencode({**answer, **({"state": state} if state else {})})
        return Page(b"", 303, {"Location": f"{url}{'&' if urlsplit(url).query else '?'}{query}", "Cache-Control": "no-store"})


async def ask(call: Call) -> Page:
    """The login page; for what is wrong with a request of a known client the browser is sent back at once."""
    try:
        asked = await _asked(call, dict(call.request.query))
    except DomainError as refusal:
        return _refused(call, refusal)
    return asked.back(error=asked.fault) if asked.fault else _page(call, asked)


async def agree(call: Call) -> Page:
    """Name and password; with the right ones the browser takes a code back."""
    body = {name: value for name, value in (await bodies.read(call.request)).items() if isinstance(value, str)}
    try:
        asked = await _asked(call, body)
        seal = call.request.cookies.get(COOKIE, "")
        if not seal or not secrets.compare_digest(seal.encode(), body.get("seal", "").encode()):
            raise DomainError(Kind.INVALID, "page_too_old")
    except DomainError as refusal:
        return _refused(call, refusal)
    if asked.fault:
        return asked.back(error=asked.fault)
    name, password = body.get("username", ""), body.get("password", "")
    if len(name) > NAME_MAX_CHARS or len(password) > PASSWORD_MAX_CHARS:
        return _page(call, asked, DomainError(Kind.UNAUTHENTICATED, "credentials_wrong"))
    given = GiveCode(
        asked=asked.who, challenge=asked.given["code_challenge"], username=name, password=password, origin=call.request.remote or ""
    )
    try:
        code = await call.command("auth", "oauth.give_code", given, Code, deadline=limits.LOGIN_DEADLINE_S)
    except DomainError as refusal:
        return _page(call, asked, refusal)
    return asked.back(code=code.code)


async def _asked(call: Call, given: Mapping[str, str]) -> Asked:
    """Raises ``client_unknown``: then no browser may be sent anywhere."""
    kept = {name: given[name] for name in SENT_ALONG if name in given}
    identifier, url = kept.get("client_id", ""), kept.get("redirect_uri", "")
    if len(identifier) > IDENTIFIER_MAX_CHARS or any(len(value) > PARAMETER_MAX_CHARS for value in kept.values()):
        raise DomainError(Kind.UNAUTHENTICATED, "client_unknown")
    who = AskForCode(instance=call.params["instance"], client_id=identifier, redirect_uri=url)
    asking = await call.command("auth", "oauth.asking", who, Asking)
    return Asked(kept, who, asking.name)


def _page(call: Call, asked: Asked, wrong: DomainError | None = None) -> Page:
    language, seal = call.language, secrets.token_hex(SEAL_BYTES)
    title, message, username, password, button = (AUTHORIZE[part](language, {"name": asked.name}) for part in _PARTS)
    hidden = "\n".join(
        f'<input type="hidden" name="{escape(name)}" value="{escape(value)}">' for name, value in {**asked.given, "seal": seal}.items()
    )
    form = FORM.format(hidden=hidden, username=escape(username), password=escape(password), button=escape(button))
    if wrong is not None:
        form = f'<p role="alert">{escape(_sentence(wrong, language))}</p>\n{form}'
    target = urlsplit(asked.who.redirect_uri)
    page = _html(call, title, message, form, f"'self' {target.scheme}://{target.netloc}", STATUS[wrong.kind] if wrong else 200)
    secure = "; Secure" if call.request.secure else ""
    path = f"/{call.params['instance']}/oauth2/v1/"
    page.headers["Set-Cookie"] = f"{COOKIE}={seal}; Path={path}; Max-Age={PAGE_LIFE_S}; HttpOnly; SameSite=Strict{secure}"
    if wrong is not None and wrong.retry_after_s is not None:
        page.headers["Retry-After"] = str(max(1, round(wrong.retry_after_s)))
    return page


_PARTS: Final = ("title", "message", "username", "password", "button")


def _refused(call: Call, refusal: DomainError) -> Page:
    title = AUTHORIZE["refused"](call.language, {})
    status = 400 if refusal.kind is Kind.UNAUTHENTICATED else STATUS[refusal.kind]
    return _html(call, title, _sentence(refusal, call.language), "", "'none'", status)


def _sentence(refusal: DomainError, language: Language) -> str:
    return "; ".join(details(refusal, language))


def _html(call: Call, title: str, message: str, form: str, targets: str, status: int) -> Page:
    """``targets``: where a form of the page may lead, redirects included."""
    nonce = secrets.token_hex(SEAL_BYTES)
    text = PAGE.format(language=str(call.language), title=escape(title), message=escape(message), form=form, nonce=nonce)
    policy = f"default-src 'none'; style-src 'nonce-{nonce}'; form-action {targets}; base-uri 'none'; frame-ancestors 'none'"
    return Page(text.encode(), status, {**NOBODY_FRAMES_IT, "Content-Security-Policy": policy})


_AUTHORIZE: Final = "/{instance}/oauth2/v1/authorize"
ROUTES: Final = (
    Route("GET", _AUTHORIZE, OAUTH, ask, public=True, asks=("auth.oauth.asking",)),
    Route("POST", _AUTHORIZE, OAUTH, agree, public=True, asks=("auth.oauth.asking", "auth.oauth.give_code")),
)
