"""The gateway with a certificate of its own."""

from __future__ import annotations

import asyncio
import os
import ssl
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from pathlib import Path

import aiohttp
import msgspec
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from libs.runtime.config import SettingInvalid
from services.gateway.app import Gateway
from services.gateway.tls import Certificate
from tests.house import Theke


def written(directory: Path, name: str) -> tuple[Path, Path]:
    """A certificate for this machine that signs itself, and its key."""
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    now = datetime.now(UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ip_address("127.0.0.1"))]), critical=False)
        .sign(key, hashes.SHA256())
    )
    cert_file, key_file = directory / "theke.crt", directory / "theke.key"
    cert_file.write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
    key_file.write_bytes(key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()))
    return cert_file, key_file


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    return written(tmp_path_factory.mktemp("tls"), "theke")


@pytest.fixture(scope="module")
async def secure(theke: Theke, files: tuple[Path, Path]) -> Gateway:
    settings = msgspec.structs.replace(theke.settings, tls_cert=files[0], tls_key=files[1])
    return await theke.another_gateway(settings)


async def test_it_speaks_tls_and_tells_browsers_to_stay_with_it(secure: Gateway, files: tuple[Path, Path]) -> None:
    assert secure.address.startswith("https://127.0.0.1:")
    trusting = ssl.create_default_context(cafile=str(files[0]))
    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(ssl=trusting)) as http:
        async with http.get(f"{secure.address}/healthz") as answer:
            assert answer.status == 200
            assert answer.headers["Strict-Transport-Security"] == "max-age=31536000"
        async with http.get(f"{secure.address}/api/v1/auth/me") as answer:
            assert answer.status == 401
            assert "Strict-Transport-Security" in answer.headers


async def test_a_request_without_tls_is_not_answered(secure: Gateway) -> None:
    host, port = secure.address.removeprefix("https://").split(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    writer.write(b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n")
    assert b"200" not in await reader.read(64)
    writer.close()


def test_a_renewed_certificate_is_taken_up_and_a_broken_one_is_not(tmp_path: Path) -> None:
    cert, key = written(tmp_path, "first")
    certificate = Certificate(cert, key)
    assert certificate.context.minimum_version is ssl.TLSVersion.TLSv1_2
    assert not certificate.look()
    cert.write_text("no certificate")
    os.utime(cert, (1, 1))
    assert not certificate.look()  # the one in use goes on
    written(tmp_path, "second")
    assert certificate.look()
    assert not certificate.look()


def test_a_pair_that_does_not_belong_together_is_no_reason_to_start_without(tmp_path: Path) -> None:
    cert, _ = written(tmp_path, "one")
    (tmp_path / "other").mkdir()
    _, key = written(tmp_path / "other", "other")
    with pytest.raises(SettingInvalid, match="THEKE_TLS_CERT"):
        Certificate(cert, key)
