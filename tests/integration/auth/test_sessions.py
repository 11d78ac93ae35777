"""A refresh token is good once; shown again it gives the same pair while the answer may have been lost, and ends the session afterwards."""

from __future__ import annotations

import asyncio
import base64
from datetime import timedelta

import pytest

from libs.contracts.auth.commands import SESSION_LIFE_S, ConfirmSession, Tokens
from libs.domain.errors import DomainError, Kind
from libs.domain.principal import Principal
from services.auth import sessions
from tests.integration.auth.door import PASSWORD, Door
from tests.integration.auth.test_login import refusal

REUSED = (Kind.UNAUTHENTICATED, "refresh_token_reused")
ENDED = (Kind.UNAUTHENTICATED, "session_ended")


async def test_a_refresh_gives_a_new_pair_of_the_same_session(door: Door) -> None:
    first = await door.login()
    second = await door.refresh(first)
    assert first.access_token != second.access_token
    assert first.refresh_token != second.refresh_token
    before, after = await door.claims(first), await door.claims(second)
    assert (after["sid"], after["sub"], after["gen"]) == (before["sid"], before["sub"], 1)


async def test_a_refresh_whose_answer_was_lost_gives_the_same_pair_again(door: Door) -> None:
    first = await door.login()
    pairs = [await door.refresh(first) for _ in range(3)]
    assert pairs == [pairs[0]] * 3
    await door.use(pairs[0])
    await door.refresh(pairs[0])


async def test_refreshes_at_once_give_one_pair(door: Door) -> None:
    first = await door.login()
    pairs = await asyncio.gather(*(door.refresh(first) for _ in range(8)))
    assert pairs == [pairs[0]] * 8
    assert (await door.claims(pairs[0]))["gen"] == 1


async def test_a_spent_token_ends_the_session_for_thief_and_owner_alike(door: Door) -> None:
    first = await door.login()
    second = await door.refresh(first)
    await door.use(second)
    assert await refusal(door.refresh(first)) == REUSED
    assert await refusal(door.refresh(second)) == ENDED
    assert await refusal(door.use(second)) == ENDED
    assert await door.revoked(second)
    await door.login()


async def test_a_token_two_generations_old_is_reuse_though_nothing_was_used(door: Door) -> None:
    first = await door.login()
    await door.refresh(await door.refresh(first))
    assert await refusal(door.refresh(first)) == REUSED


async def test_a_logout_ends_its_session_and_no_other(door: Door) -> None:
    one, other = await door.login(), await door.login()
    await door.logout(one)
    await door.logout(one)
    assert await refusal(door.refresh(one)) == ENDED
    assert await door.revoked(one)
    assert not await door.revoked(other)
    await door.refresh(other)
    session = (await door.claims(other))["sid"]
    assert (await refusal(door.logout(await door.login(), session)))[0] is Kind.FORBIDDEN


async def test_tokens_of_two_sessions_do_not_go_together(door: Door) -> None:
    one, other = await door.login(), await door.login()
    assert await refusal(door.refresh(one, access=other.access_token)) == (Kind.UNAUTHENTICATED, "tokens_of_two_sessions")
    await door.refresh(one)
    await door.refresh(other)


async def test_an_older_access_token_of_the_session_goes_with_the_newest_refresh_token(door: Door) -> None:
    first = await door.login()
    second = await door.refresh(first)
    await door.refresh(second, access=first.access_token)


async def test_a_password_change_ends_every_session_opened_before_it(door: Door) -> None:
    """Otherwise whoever stole a refresh token would stay in."""
    before = [await door.login(), await door.refresh(await door.login())]
    await door.set_password(door.anna, "the new password")
    for tokens in before:
        assert await door.revoked(tokens)
        assert (await refusal(door.refresh(tokens)))[0] is Kind.UNAUTHENTICATED
        assert await refusal(door.refresh(tokens)) == ENDED
    after = await door.login(password="the new password")
    assert not await door.revoked(after)
    await door.refresh(after)
    assert (await refusal(door.login(password=PASSWORD)))[0] is Kind.UNAUTHENTICATED


async def test_other_changes_of_a_user_make_the_access_token_old_but_keep_the_session(door: Door) -> None:
    """The next refresh brings the new rights."""
    tokens = await door.login()
    await door.change_user(door.anna, roles=["Admin"])
    assert await door.revoked(tokens)
    fresh = await door.refresh(tokens)
    assert not await door.revoked(fresh)
    assert (await door.claims(fresh))["per"]["auth.staff"] is True


async def test_a_user_who_left_gets_no_new_tokens(door: Door) -> None:
    tokens = await door.login()
    await door.change_user(door.anna, is_active=False)
    assert await door.revoked(tokens)
    assert await refusal(door.refresh(tokens)) == (Kind.UNAUTHENTICATED, "user_gone")


async def test_a_session_that_was_not_refreshed_for_long_has_expired(door: Door, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sessions, "SESSION_LIFE_S", 0)
    tokens = await door.login()
    assert (await refusal(door.refresh(tokens)))[0] is Kind.UNAUTHENTICATED
    assert await refusal(door.refresh(tokens)) == ENDED
    assert timedelta(seconds=SESSION_LIFE_S) == timedelta(days=30)


async def test_forged_tokens_are_refused(door: Door) -> None:
    good = await door.login()
    text, mac = base64.urlsafe_b64decode(good.refresh_token + "==")[:-32], base64.urlsafe_b64decode(good.refresh_token + "==")[-32:]
    session = (await door.claims(good))["sid"]
    forged = [
        base64.urlsafe_b64encode(f"{door.instance}.{session}.1.".encode() + mac).decode().rstrip("="),
        base64.urlsafe_b64encode(text.replace(b".ses", b"0.ses") + mac).decode().rstrip("="),
        good.refresh_token[:-3] + "AAA",
        "",
        "x",
        "ä" * 50,
        "A" * 10_000,
        good.access_token,
    ]
    for token in forged:
        refused = await refusal(door.refresh(Tokens(access_token=good.access_token, refresh_token=token)))
        assert refused == (Kind.UNAUTHENTICATED, "refresh_token_invalid"), token
    for access in ("x", good.access_token[:-4] + "AAAA", good.access_token.rpartition(".")[0] + ".", "A" * 10_000):
        assert await refusal(door.refresh(good, access=access)) == (Kind.UNAUTHENTICATED, "access_token_invalid")
    await door.refresh(good)


async def test_a_token_of_another_instance_is_foreign(door: Door) -> None:
    tokens = await door.login()
    await door.create_instance(f"{door.name}-bar")
    for instance in (f"{door.name}-bar", "nowhere"):
        assert await refusal(door.refresh(tokens, instance=instance)) == (Kind.UNAUTHENTICATED, "foreign_token")
    await door.refresh(tokens, instance=door.name)


async def test_nobody_confirms_a_session_for_another(door: Door) -> None:
    one, other = await door.login(), await door.login()
    claims, who = await door.claims(one), await door.holder(other)
    with pytest.raises(DomainError, match="foreign_session"):
        await door.services.command("auth", "session.confirm", ConfirmSession(session=claims["sid"], generation=5), dict, principal=who)
    stranger = Principal(instance=door.instance, user=who.user, session="ses_none")
    with pytest.raises(DomainError, match="session_ended"):
        await door.services.command("auth", "session.confirm", ConfirmSession(session="ses_none", generation=0), dict, principal=stranger)
