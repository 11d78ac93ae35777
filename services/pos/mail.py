"""Sending receipts by mail. That it is to be sent stands in the log before anybody is asked to; what became of it follows.

A process that dies in between leaves a request without an end, and nobody sends it unasked: whoever wanted it repeats the request with the
same key, and it is sent then. Only in that case may a guest get a receipt twice.
"""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Mapping
from email.message import EmailMessage
from email.policy import SMTP
from email.utils import format_datetime, make_msgid
from typing import Any, Final, Protocol
from uuid import uuid4

import aiosmtplib
import msgspec
import structlog

from libs.bus.client import Reply
from libs.bus.server import Request
from libs.bus.subjects import Call, subject_name
from libs.contracts.pos.documents import EndMail, Mail, MailReceipt
from libs.contracts.pos.house import HouseSettings, MailServer
from libs.domain.decider import Command
from libs.domain.errors import DomainError, FieldError, Kind, invalid, not_found
from libs.domain.principal import system
from libs.runtime.dispatcher import command_of, decoded, principal_of
from libs.runtime.sealed import Sealed
from libs.runtime.service import Host
from libs.texts.catalogue import Language
from libs.texts.paper import MAIL_SUBJECT, MAIL_TEXT
from services.pos.documents import END_MAIL, REQUEST_MAIL, mail_key
from services.pos.house_tables import settings_of
from services.pos.papers import Papers
from services.pos.pdf import pdf_of
from services.pos.queries import receipt_by_key
from services.pos.receipts import RECEIPT, ReceiptState

log = structlog.get_logger(__name__)

SEND_WITHIN_S: Final = 10.0  # the whole conversation with the mail server
END_WITHIN_S: Final = 3.0
SENDING_MAX: Final = 32  # conversations at once


class NotSent(Exception):
    """The mail server did not take it; ``reason`` is a key of ``REFUSALS``."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


class Post(Protocol):
    """Whoever carries mail away."""

    async def send(self, server: MailServer, password: str, message: EmailMessage) -> None:
        """Returns when the server took it. Raises NotSent."""
        ...


class Smtp:
    """A mail server over SMTP. Certificates are checked. What it says is never passed on: it may repeat what it was told."""

    async def send(self, server: MailServer, password: str, message: EmailMessage) -> None:
        try:
            async with asyncio.timeout(SEND_WITHIN_S):
                await aiosmtplib.send(
                    message,
                    hostname=server.host,
                    port=server.port,
                    use_tls=server.security == "tls",
                    start_tls=server.security == "starttls",
                    username=server.user or None,
                    password=password or None,
                    timeout=SEND_WITHIN_S,
                )
        except (TimeoutError, aiosmtplib.SMTPTimeoutError):
            raise NotSent("mail_server_timeout") from None
        except aiosmtplib.SMTPAuthenticationError:
            raise NotSent("mail_login_refused") from None
        except (aiosmtplib.SMTPRecipientsRefused, aiosmtplib.SMTPRecipientRefused):
            raise NotSent("mail_recipient_refused") from None
        except (aiosmtplib.SMTPConnectError, aiosmtplib.SMTPServerDisconnected, ssl.SSLError, OSError):
            raise NotSent("mail_server_unreachable") from None
        except aiosmtplib.SMTPException:
            raise NotSent("mail_refused") from None


class Mails:
    """The handler of a running pos that sends receipts."""

    def __init__(self, host: Host, sealed: Sealed, post: Post) -> None:
        self._host = host
        self._sealed = sealed
        self._post = post
        self._papers = Papers(host.tables)
        self._turns = asyncio.Semaphore(SENDING_MAX)
        self._sending: dict[str, asyncio.Task[None]] = {}

    def register(self) -> None:
        self._host.server.register(Call.COMMAND, subject_name("receipt.mail"), self.mail)

    async def mail(self, request: Request) -> Reply:
        """Returns when the mail server has taken the receipt. Raises ``mail_not_configured``, or why it was not taken."""
        asked: MailReceipt = decoded(request.body, MailReceipt)
        principal = principal_of(request)
        if not principal.may(REQUEST_MAIL.permission, write=True):
            raise DomainError(Kind.FORBIDDEN, "missing_right", {"right": REQUEST_MAIL.permission})
        if request.command_id is None:
            raise invalid(FieldError("command_id", "required"))
        command = command_of(request, principal, asked)
        if await receipt_by_key(self._host.tables, principal.instance, asked.receipt) is None:
            raise not_found("receipt_not_found", id=asked.receipt)
        settings = await settings_of(self._host.tables, principal.instance)
        if not settings.mail.host:
            raise DomainError(Kind.CONFLICT, "mail_not_configured")
        found, behind = await self._host.dispatcher.execute(REQUEST_MAIL, command, timeout=request.left())
        mail: Mail = found
        task = self._sending.get(mail.id)
        if task is None:
            task = self._sending[mail.id] = asyncio.get_running_loop().create_task(self._send(command, settings))
            task.add_done_callback(lambda _: self._sending.pop(mail.id, None))
        await asyncio.shield(task)
        return Reply(msgspec.msgpack.encode(mail), behind)

    async def _outcome(self, command: Command[MailReceipt]) -> str | None:
        """What has become of it so far, from the log: a repeat may find it sent."""
        instance = command.instance
        head = (await self._host.log.heads()).get(instance, 0)
        state: ReceiptState = RECEIPT.initial
        for event in await self._host.log.read_stream(instance, RECEIPT.stream(command.body.receipt), head):
            state = RECEIPT.evolve(state, event)
        return state.mails.get(mail_key(command))

    async def _send(self, command: Command[MailReceipt], settings: HouseSettings) -> None:
        """Looks for the end first: only the one task that sends this mail may ask, or two could see none and both send."""
        if await self._outcome(command) == "":
            return
        reason = ""
        try:
            async with self._turns:
                message = await self._message(command, settings)
                await self._post.send(settings.mail, await self._password(command.instance, settings.mail), message)
        except NotSent as refusal:
            reason = refusal.reason
        body = EndMail(receipt=command.body.receipt, mail=mail_key(command), reason=reason)
        end = Command(uuid4(), command.at, system(command.instance, "pos"), body)
        await self._host.dispatcher.execute(END_MAIL, end, timeout=END_WITHIN_S)
        if reason:
            log.warning("a receipt was not mailed", receipt=command.body.receipt, reason=reason)
            raise _refusal(reason)

    async def _password(self, instance: int, server: MailServer) -> str:
        return (await self._sealed.get(instance, server.secret) or "") if server.secret else ""

    async def _message(self, command: Command[MailReceipt], settings: HouseSettings) -> EmailMessage:
        body, language = command.body, Language(command.body.language)
        receipt = await receipt_by_key(self._host.tables, command.instance, body.receipt)
        if receipt is None:
            raise not_found("receipt_not_found", id=body.receipt)
        paper = await self._papers.paper(command.instance, receipt, language)
        names: Mapping[str, Any] = {"number": receipt.number, "company": settings.letterhead.company or settings.mail.sender}
        message = EmailMessage(policy=SMTP)
        message["From"] = settings.mail.sender
        message["To"] = body.to
        message["Subject"] = MAIL_SUBJECT(language, names)
        message["Date"] = format_datetime(command.at)
        message["Message-ID"] = make_msgid(mail_key(command), settings.mail.sender.rpartition("@")[2])
        message.set_content(MAIL_TEXT(language, names))
        name = f"{'Beleg' if language is Language.GERMAN else 'receipt'}-{receipt.register}-{receipt.number}.pdf"
        message.add_attachment(await pdf_of(paper), maintype="application", subtype="pdf", filename=name)
        return message


# why it was not sent → what the caller is told. Without a time to repeat it after: only a person decides that
REFUSALS: Final[Mapping[str, DomainError]] = {
    refusal.reason: refusal
    for refusal in (
        DomainError(Kind.UNPROCESSABLE, "mail_recipient_refused"),
        DomainError(Kind.UNAVAILABLE, "mail_server_unreachable"),
        DomainError(Kind.UNAVAILABLE, "mail_server_timeout"),
        DomainError(Kind.UNAVAILABLE, "mail_login_refused"),
        DomainError(Kind.UNAVAILABLE, "mail_refused"),
    )
}


def _refusal(reason: str) -> DomainError:
    return DomainError(REFUSALS[reason].kind, reason)
