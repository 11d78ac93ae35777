"""``theke apikeys``: keys of programs that read an instance."""

from __future__ import annotations

import argparse
from datetime import UTC, datetime, timedelta
from typing import Final

import msgspec

from libs.cli import exits
from libs.cli.acting import NAME_SHOWN_CHARS, act, operator_of
from libs.contracts.auth.api_keys import LIFE_MAX_DAYS, SCOPES, ApiKey, CreateApiKey, RevokeApiKey, digest_of, new_key, prefix_of
from libs.contracts.auth.commands import NoBody
from libs.domain.errors import not_found
from libs.domain.principal import Principal
from libs.runtime.asking import Services
from libs.runtime.config import Settings

LIFE_DAYS: Final = 365

EPILOG: Final = f"""\
A key reads what its scopes name, at the API of the tills, as `X-Api-Key: KEY` or `Authorization: Bearer KEY`; it writes nothing. It is
shown once, and a digest of it is kept. Revoked, it is dead at once.

scopes: {", ".join(SCOPES[:7])},
        {", ".join(SCOPES[7:])}

examples:
  theke apikeys create main "till journal" --scope pos.reports --days 90
  theke apikeys list main
  theke apikeys revoke main thk_i1_0a1b2c3d

exit codes:
  0  done
  1  not done; the reason is on stderr
  3  Theke is not running
"""


class Made(msgspec.Struct, frozen=True):
    """``secret`` is the key itself, which is kept nowhere else."""

    prefix: str
    secret: str
    scopes: tuple[str, ...]
    expires: datetime


def add(subcommands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    command = subcommands.add_parser(
        "apikeys",
        help="keys of programs that read an instance: create, list, revoke",
        description="A key lets a program read without anybody logging in.",
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    actions = command.add_subparsers(title="actions", dest="action", required=True, metavar="ACTION")
    create = actions.add_parser("create", help="make one; it is shown once")
    actions.add_parser("list", help="list them, by how they begin")
    revoke = actions.add_parser("revoke", help="make one worthless at once")
    for action in actions.choices.values():
        action.add_argument("instance", metavar="INSTANCE")
        action.add_argument("--json", action="store_true", help="for programs: one JSON value")
    create.add_argument("name", metavar="NAME", help="what it is for")
    create.add_argument(
        "--scope", metavar="SCOPE", action="append", required=True, choices=SCOPES, help="what it may read; may be repeated"
    )
    create.add_argument("--days", type=int, default=LIFE_DAYS, metavar="DAYS", help=f"until it ends, up to {LIFE_MAX_DAYS} ({LIFE_DAYS})")
    revoke.add_argument("prefix", metavar="PREFIX", help="how it begins, as `list` shows it")
    command.set_defaults(run=run)


def run(arguments: argparse.Namespace, settings: Settings) -> int:
    return act(settings, lambda services: _act(arguments, services))


async def _act(arguments: argparse.Namespace, services: Services) -> int:
    operator = await operator_of(services, arguments.instance)
    if arguments.action == "create":
        made = await create(services, operator, arguments.name, tuple(arguments.scope), arguments.days)
        text = f"{arguments.name}: reads {', '.join(made.scopes)} until {made.expires:%Y-%m-%d}\n  Key: {made.secret}   (shown once)"
        print(msgspec.json.encode(made).decode() if arguments.json else text)
        return exits.DONE
    found = await listed(services, operator) if arguments.action == "list" else [await revoke(services, operator, arguments.prefix)]
    print(msgspec.json.encode(found).decode() if arguments.json else "\n".join(map(_line, found)) or "none")
    return exits.DONE


async def create(services: Services, operator: Principal, name: str, scopes: tuple[str, ...], days: int = LIFE_DAYS) -> Made:
    """Raises DomainError: what is wrong with name, scopes or days."""
    secret = new_key(operator.instance)
    expires = datetime.now(UTC) + timedelta(days=min(max(days, 0), LIFE_MAX_DAYS + 1))
    body = CreateApiKey(name=name, prefix=prefix_of(secret), digest=digest_of(secret), scopes=scopes, expires=expires)
    made, _ = await services.command("auth", "api_key.create", body, ApiKey, principal=operator)
    return Made(made.prefix, secret, made.scopes, made.expires)


async def listed(services: Services, operator: Principal) -> list[ApiKey]:
    return await services.query("auth", "api_key.list", NoBody(), list[ApiKey], principal=operator)


async def revoke(services: Services, operator: Principal, prefix: str) -> ApiKey:
    """Raises ``row_not_found``."""
    for one in await listed(services, operator):
        if one.prefix == prefix:
            return (await services.command("auth", "api_key.revoke", RevokeApiKey(key=one.key), ApiKey, principal=operator))[0]
    raise not_found("row_not_found", id=prefix[:NAME_SHOWN_CHARS])


def _line(one: ApiKey) -> str:
    state = f"revoked {one.revoked_at:%Y-%m-%d}" if one.revoked_at else f"until {one.expires:%Y-%m-%d}"
    return f"{one.prefix:<24}{state:<20}{', '.join(one.scopes):<40}{one.name}"
