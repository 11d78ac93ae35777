"""A gateway that hears of something while it asks must not keep what was true before."""

from __future__ import annotations

from typing import Any

import pytest

from libs.contracts.auth.access_tokens import ResolveToken, TokenHolder
from services.gateway import known_tokens
from services.gateway.known_tokens import KnownTokens

TOKEN = "ab" * 20
INSTANCE = 7


class Auth:
    """Auth as it answers from tables that are as far as ``position``; ``meanwhile`` happens before its answer arrives."""

    def __init__(self) -> None:
        self.position = 10
        self.asked: list[ResolveToken] = []
        self.meanwhile: list[Any] = []

    async def query(self, service: str, name: str, body: ResolveToken, answer: Any, **how: Any) -> TokenHolder:
        assert (service, name, answer, how["principal"].level) == ("auth", "token.resolve", TokenHolder, "system")
        self.asked.append(body)
        self.position = max(self.position, body.position)  # it waits until it is that far
        found = TokenHolder(key="tok_1", user="usr_1", application="app_1", permissions={"p": True}, expires=None, position=self.position)
        if self.meanwhile:
            self.meanwhile.pop(0)()
        return found


@pytest.fixture
def auth() -> Auth:
    return Auth()


@pytest.fixture
def known(auth: Auth) -> KnownTokens:
    services: Any = auth
    return KnownTokens(services)


async def holder(known: KnownTokens, *, silent: bool = False) -> known_tokens.Known:
    return await known.holder(INSTANCE, TOKEN, silent=silent)


async def test_auth_is_asked_once(known: KnownTokens, auth: Auth) -> None:
    first = await holder(known)
    assert (first.principal.user, first.principal.session, first.expires_at) == ("usr_1", "tok_1", float("inf"))
    assert await holder(known) is first
    assert [body.position for body in auth.asked] == [0]


@pytest.mark.parametrize("stream", ["token-tok_1", "user-usr_1", "credential-usr_1", "application-app_1"])
async def test_what_moves_is_asked_again_as_far_as_it_moved(known: KnownTokens, auth: Auth, stream: str) -> None:
    await holder(known)
    known.moved(INSTANCE, stream, 15)
    assert (await holder(known)).position == 15
    await holder(known)
    assert [body.position for body in auth.asked] == [0, 15]


async def test_what_moves_elsewhere_or_before_changes_nothing(known: KnownTokens, auth: Auth) -> None:
    await holder(known)
    known.moved(INSTANCE + 1, "user-usr_1", 15)
    known.moved(INSTANCE, "user-usr_2", 15)
    known.moved(INSTANCE, "session-usr_1", 15)
    known.moved(INSTANCE, "user-usr_1", 10)
    await holder(known)
    assert len(auth.asked) == 1


async def test_what_moves_while_auth_is_asked_is_asked_again(known: KnownTokens, auth: Auth) -> None:
    auth.meanwhile = [lambda: known.moved(INSTANCE, "user-usr_1", 12)]
    assert (await holder(known)).position == 12
    assert [body.position for body in auth.asked] == [0, 12]


async def test_an_answer_from_before_a_silence_is_not_kept(known: KnownTokens, auth: Auth) -> None:
    auth.meanwhile = [known.forget]
    await holder(known)
    await holder(known)
    assert len(auth.asked) == 2


async def test_after_a_while_auth_is_asked_anyway_unless_it_is_silent(
    known: KnownTokens, auth: Auth, monkeypatch: pytest.MonkeyPatch
) -> None:
    await holder(known)
    monkeypatch.setattr(known_tokens, "ASK_AGAIN_AFTER_S", -1.0)
    await holder(known, silent=True)
    assert len(auth.asked) == 1
    await holder(known)
    assert len(auth.asked) == 2


async def test_no_more_is_kept_than_is_meant(known: KnownTokens, auth: Auth, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(known_tokens, "TOKENS_KNOWN_MAX", 2)
    monkeypatch.setattr(known_tokens, "MOVES_KNOWN_MAX", 2)
    for token in ("a" * 40, "b" * 40, "c" * 40, "a" * 40):
        await known.holder(INSTANCE, token, silent=False)
    assert len(auth.asked) == 4
    for number in range(5):
        known.moved(INSTANCE, f"user-usr_{number}", 100 + number)
    assert len(known._moved) == 2
