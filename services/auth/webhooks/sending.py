"""One delivery over HTTP, bounded in time and in what is read of the answer. Redirects are not followed, cookies not kept, proxies not
used, and nothing of the answer but its status goes any further."""

from __future__ import annotations

import contextlib
import ssl
import time
from collections.abc import Mapping
from http import HTTPStatus
from socket import getaddrinfo
from typing import Final, Literal, Protocol

import aiohttp
import msgspec
from yarl import URL

from services.auth.webhooks.addresses import AddressNotAllowed, Check, CheckedResolver, LookUp, allow_all, checked_socket, refuse_private

ATTEMPT_S: Final = 15.0
CONNECT_S: Final = 5.0
ANSWER_MAX_BYTES: Final = 16 * 1024  # that much is read, so that the connection may be used again
CONNECTIONS_MAX: Final = 100
IDLE_S: Final = 20.0
AGENT: Final = "Theke-Webhooks"


Why = Literal["taken", "gone", "refused", "timeout", "unreachable", "tls", "name_unknown", "address_not_allowed"]


class Outcome(msgspec.Struct, frozen=True):
    """``status`` 0: there was no answer. ``why``: as a ``Delivery`` says it."""

    why: Why
    status: int = 0
    milliseconds: int = 0

    @property
    def taken(self) -> bool:
        return self.why == "taken"


class Post(Protocol):
    async def send(self, url: str, headers: Mapping[str, str], body: bytes) -> Outcome:
        """How it went; raises nothing."""
        ...


class HttpPost:
    """``private``: any address may be sent to; ``within`` seconds, from the name to the end of the answer."""

    def __init__(self, *, private: bool, within: float = ATTEMPT_S, look_up: LookUp = getaddrinfo) -> None:
        check: Check = allow_all if private else refuse_private
        self._resolver = CheckedResolver(check, look_up)
        self._session = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(
                resolver=self._resolver,
                socket_factory=checked_socket(check),
                use_dns_cache=False,
                limit=CONNECTIONS_MAX,
                keepalive_timeout=IDLE_S,
            ),
            cookie_jar=aiohttp.DummyCookieJar(),
            timeout=aiohttp.ClientTimeout(total=within, sock_connect=min(CONNECT_S, within)),
            auto_decompress=False,
            headers={"User-Agent": AGENT},
        )

    async def close(self) -> None:
        await self._session.close()
        await self._resolver.close()

    async def send(self, url: str, headers: Mapping[str, str], body: bytes) -> Outcome:
        began = time.monotonic()
        why, status = await self._send(url, headers, body)
        return Outcome(why, status, round((time.monotonic() - began) * 1000))

    async def _send(self, url: str, headers: Mapping[str, str], body: bytes) -> tuple[Why, int]:
        try:
            async with self._session.post(URL(url), data=body, headers=headers, allow_redirects=False) as answer:
                status = answer.status
                with contextlib.suppress(TimeoutError, aiohttp.ClientError):  # what matters has been said
                    await answer.content.read(ANSWER_MAX_BYTES)
                if not answer.content.at_eof():
                    answer.close()
        except TimeoutError:
            return "timeout", 0
        except aiohttp.ClientConnectorDNSError as error:
            return ("address_not_allowed" if _not_allowed(error) else "name_unknown"), 0
        except (aiohttp.ClientSSLError, ssl.SSLError):
            return "tls", 0
        except (aiohttp.ClientError, OSError, ValueError) as error:
            return ("address_not_allowed" if _not_allowed(error) else "unreachable"), 0
        if HTTPStatus.OK <= status < HTTPStatus.MULTIPLE_CHOICES:
            return "taken", status
        return ("gone" if status == HTTPStatus.GONE else "refused"), status


def _not_allowed(error: BaseException | None) -> bool:
    """Whether an address that must not be connected to is behind it, however often that was wrapped."""
    seen: set[int] = set()
    while error is not None and id(error) not in seen:
        if isinstance(error, AddressNotAllowed):
            return True
        seen.add(id(error))
        error = getattr(error, "os_error", None) or error.__cause__ or error.__context__
    return False
