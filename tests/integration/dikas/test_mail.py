"""Receipts by mail, against real mail servers on this machine: obliging, refusing, silent, and with a certificate nobody vouches for."""

from __future__ import annotations

import asyncio
import io
import ssl
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from email import message_from_bytes, policy
from email.message import EmailMessage
from pathlib import Path
from typing import Any

import pytest
from aiosmtpd.smtp import SMTP, AuthResult, LoginPassword
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from pypdf import PdfReader

from services.pos import mail
from tests.house import Inn, Theke, Till, done, item, refused

PASSWORD = "ganz geheim"
pytestmark = pytest.mark.filterwarnings("ignore:Requiring AUTH while not requiring TLS:UserWarning")


class Mailbox:
    """A mail server's handler: keeps what it takes; ``refuses`` (RCPT, DATA) answers those commands with a refusal."""

    def __init__(self) -> None:
        self.messages: list[EmailMessage] = []
        self.logins: list[tuple[bytes, bytes]] = []
        self.recipients: list[list[str]] = []
        self.refuses: set[str] = set()

    async def handle_RCPT(self, _server: Any, _session: Any, envelope: Any, address: str, _options: Any) -> str:
        if "RCPT" in self.refuses:
            return "550 no such user"
        envelope.rcpt_tos.append(address)
        return "250 OK"

    async def handle_DATA(self, _server: Any, _session: Any, envelope: Any) -> str:
        if "DATA" in self.refuses:
            return "554 not today"
        self.recipients.append(list(envelope.rcpt_tos))
        self.messages.append(message_from_bytes(envelope.content, policy=policy.default))  # type: ignore[arg-type]
        return "250 OK"

    def login(self, _server: Any, _session: Any, _envelope: Any, _mechanism: str, data: LoginPassword) -> AuthResult:
        self.logins.append((data.login, data.password))
        return AuthResult(success=data.password == PASSWORD.encode(), handled=False)


@asynccontextmanager
async def serving(factory: Callable[[], asyncio.BaseProtocol]) -> AsyncIterator[int]:
    """The port at which it serves."""
    server = await asyncio.get_running_loop().create_server(factory, "127.0.0.1", 0)
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        server.close()


@pytest.fixture
async def mailbox() -> Mailbox:
    return Mailbox()


@pytest.fixture
async def port(mailbox: Mailbox) -> AsyncIterator[int]:
    """A mail server without TLS that wants a login."""
    async with serving(
        lambda: SMTP(mailbox, hostname="test", auth_required=True, auth_require_tls=False, authenticator=mailbox.login)
    ) as found:
        yield found


async def configure(till: Till, port: int, **more: Any) -> None:
    server = {
        "host": "127.0.0.1",
        "port": port,
        "security": "none",
        "user": "schwan",
        "sender": "kasse@schwan.example",
        "password": PASSWORD,
    }
    done(await till.put("config", {"mail": {**server, **more}, "letterhead": {"company": "Gasthaus zum Schwan & Söhne"}}))


async def events(inn: Inn, theke: Theke) -> list[str]:
    """What the log says about mail."""
    recorded = await theke.hosts["pos"].log.read(inn.instance, 0, 5_000)
    return [event.type for event in recorded if "mail" in event.type]


async def send(till: Till, receipt: str, to: str = "gast@example.com", *, key: str | None = None, **more: Any) -> Any:
    return await till.post(f"receipts/{receipt}/email", {"to": to, **more}, key=key)


async def test_the_guest_gets_the_receipt_as_pdf(inn: Inn, theke: Theke, mailbox: Mailbox, port: int) -> None:
    till = await inn.till()
    await configure(till, port)
    receipt = await till.sell(item(inn.menu["Cola"]))
    sent = done(await send(till, receipt["id"]))
    assert (sent["receiptId"], sent["to"]) == (receipt["id"], "gast@example.com")
    [message] = mailbox.messages
    assert mailbox.recipients == [["gast@example.com"]]
    assert mailbox.logins == [(b"schwan", PASSWORD.encode())]
    assert (message["From"], message["To"]) == ("kasse@schwan.example", "gast@example.com")
    assert message["Subject"] == "Ihr Beleg 1 von Gasthaus zum Schwan & Söhne"
    body = message.get_body()
    assert body is not None
    assert "im Anhang finden Sie Ihren Beleg 1" in body.get_content()
    [attachment] = message.iter_attachments()
    assert (attachment.get_content_type(), attachment.get_filename()) == ("application/pdf", "Beleg-1-1.pdf")
    shown = PdfReader(io.BytesIO(attachment.get_content())).pages[0].extract_text()
    assert "Cola" in shown
    assert "Gasthaus zum Schwan & Söhne" in shown
    assert await events(inn, theke) == ["receipt.mail_requested", "receipt.mailed"]


async def test_in_the_language_that_is_asked_for(inn: Inn, mailbox: Mailbox, port: int) -> None:
    till = await inn.till()
    await configure(till, port)
    receipt = await till.sell(item(inn.menu["Cola"]))
    done(await send(till, receipt["id"], language="en"))
    done(await till.post(f"receipts/{receipt['id']}/email", {"to": "guest@example.com"}, headers={"Accept-Language": "en"}))
    assert [message["Subject"][:14] for message in mailbox.messages] == ["Your receipt 1"] * 2
    refused(await send(till, receipt["id"], language="fr"), 400, "language")


async def test_a_repeat_sends_nothing_twice(inn: Inn, theke: Theke, mailbox: Mailbox, port: int) -> None:
    till = await inn.till()
    await configure(till, port)
    receipt = await till.sell(item(inn.menu["Cola"]))
    answers = await asyncio.gather(*(send(till, receipt["id"], key="mail-1") for _ in range(4)))
    answers.append(await send(till, receipt["id"], key="mail-1"))
    assert len({done(answer)["id"] for answer in answers}) == 1
    assert len(mailbox.messages) == 1
    assert await events(inn, theke) == ["receipt.mail_requested", "receipt.mailed"]


async def test_a_repeat_that_looked_before_the_end_and_came_after_it_sends_nothing(
    inn: Inn, mailbox: Mailbox, port: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The log is slow to answer one of two requests: it finds the mail under way, or its end, never neither."""
    till = await inn.till()
    await configure(till, port)
    receipt = await till.sell(item(inn.menu["Cola"]))
    whole, first = mail.Mails._outcome, asyncio.Event()

    async def slow(self: mail.Mails, command: Any) -> str | None:
        found = await whole(self, command)
        if not first.is_set():
            first.set()
            await asyncio.sleep(0.3)
        return found

    monkeypatch.setattr(mail.Mails, "_outcome", slow)
    answers = await asyncio.gather(*(send(till, receipt["id"], key="mail-1") for _ in range(2)))
    assert len({done(answer)["id"] for answer in answers}) == 1
    assert len(mailbox.messages) == 1


async def test_without_a_mail_server_nothing_is_requested(inn: Inn, theke: Theke) -> None:
    till = await inn.till()
    receipt = await till.sell(item(inn.menu["Cola"]))
    refused(await send(till, receipt["id"]), 409, "E-Mail ist nicht eingerichtet")
    assert await events(inn, theke) == []


@pytest.mark.parametrize(
    ("refuses", "status", "text"), [("RCPT", 422, "nimmt für diese Adresse nichts an"), ("DATA", 503, "nicht angenommen")]
)
async def test_what_the_server_refuses_is_said_and_can_be_repeated(
    inn: Inn, theke: Theke, mailbox: Mailbox, port: int, refuses: str, status: int, text: str
) -> None:
    till = await inn.till()
    await configure(till, port)
    receipt = await till.sell(item(inn.menu["Cola"]))
    mailbox.refuses = {refuses}
    refused(await send(till, receipt["id"], key="mail-1"), status, text)
    mailbox.refuses = set()
    done(await send(till, receipt["id"], key="mail-1"))
    assert len(mailbox.messages) == 1
    assert await events(inn, theke) == ["receipt.mail_requested", "receipt.mail_failed", "receipt.mailed"]


async def test_a_wrong_password_is_said(inn: Inn, port: int, mailbox: Mailbox) -> None:
    till = await inn.till()
    await configure(till, port, password="falsch")
    receipt = await till.sell(item(inn.menu["Cola"]))
    answer = await send(till, receipt["id"])
    refused(answer, 503, "weist Benutzer oder Passwort ab")
    assert b"falsch" not in answer.raw
    assert mailbox.messages == []


async def test_nobody_there(inn: Inn) -> None:
    till = await inn.till()
    async with serving(asyncio.Protocol) as port:
        pass
    await configure(till, port)
    receipt = await till.sell(item(inn.menu["Cola"]))
    refused(await send(till, receipt["id"]), 503, "nicht erreichbar")


async def test_a_server_that_says_nothing_is_left(inn: Inn, theke: Theke, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(mail, "SEND_WITHIN_S", 0.3)
    till = await inn.till()
    async with serving(asyncio.Protocol) as port:
        await configure(till, port)
        receipt = await till.sell(item(inn.menu["Cola"]))
        refused(await send(till, receipt["id"]), 503, "nicht rechtzeitig")
    assert await events(inn, theke) == ["receipt.mail_requested", "receipt.mail_failed"]


async def test_no_password_goes_over_a_line_that_should_be_encrypted(inn: Inn, mailbox: Mailbox, port: int) -> None:
    """The settings ask for STARTTLS, the server does not offer it."""
    till = await inn.till()
    await configure(till, port, security="starttls")
    receipt = await till.sell(item(inn.menu["Cola"]))
    assert (await send(till, receipt["id"])).status == 503
    assert (mailbox.logins, mailbox.messages) == ([], [])


def self_signed(directory: Path) -> ssl.SSLContext:
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "127.0.0.1")])
    now = datetime.now(UTC)
    built = x509.CertificateBuilder().subject_name(name).issuer_name(name).public_key(key.public_key()).serial_number(1)
    certificate = built.not_valid_before(now - timedelta(days=1)).not_valid_after(now + timedelta(days=1)).sign(key, hashes.SHA256())
    pem = key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    file = directory / "mail.pem"
    file.write_bytes(pem + certificate.public_bytes(serialization.Encoding.PEM))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(file)
    return context


async def test_a_certificate_nobody_vouches_for_is_not_trusted(inn: Inn, mailbox: Mailbox, tmp_path: Path) -> None:
    context = self_signed(tmp_path)
    till = await inn.till()
    receipt = await till.sell(item(inn.menu["Cola"]))
    async with serving(lambda: SMTP(mailbox, hostname="test", tls_context=context, authenticator=mailbox.login)) as port:
        await configure(till, port, security="starttls")
        refused(await send(till, receipt["id"]), 503, "Zertifikat")
    assert (mailbox.logins, mailbox.messages) == ([], [])


@pytest.mark.parametrize(
    "to",
    [
        "", "gast", "a@b\r\nBcc: c@example.com", "a@b.de\nSubject: x", "a@b.de, c@d.de", "Gast <a@b.de>", "a b@c.de", "a@-b.de",
        "a..b@c.de", "ä@b.de", '"a b"@c.de', "x" * 250 + "@b.de",
    ],
)  # fmt: skip
async def test_no_address_can_become_a_header(inn: Inn, theke: Theke, mailbox: Mailbox, port: int, to: str) -> None:
    till = await inn.till()
    await configure(till, port)
    receipt = await till.sell(item(inn.menu["Cola"]))
    refused(await send(till, receipt["id"], to), 400, "Feld 'to'")
    assert (mailbox.messages, await events(inn, theke)) == ([], [])


async def test_strangers_and_foreign_receipts(inn: Inn, shared_inn: Inn, port: int) -> None:
    till = await inn.till()
    await configure(till, port)
    foreign = await (await shared_inn.till()).sell(item(shared_inn.menu["Cola"]))
    refused(await send(till, foreign["id"]), 404)
    own = await till.sell(item(inn.menu["Cola"]))
    refused(await send(await inn.till("Kitchen"), own["id"]), 403)
