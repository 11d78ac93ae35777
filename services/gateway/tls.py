"""TLS at the gateway itself, for a house without a proxy before it. A renewed certificate is taken up without a restart."""

from __future__ import annotations

import asyncio
import ssl
from pathlib import Path
from typing import Final

import structlog

from libs.runtime.config import SettingInvalid

log = structlog.get_logger(__name__)

LOOK_EVERY_S: Final = 60.0


class Certificate:
    """A certificate (with its chain) and its key, both PEM. Raises SettingInvalid if they cannot be used."""

    def __init__(self, cert: Path, key: Path) -> None:
        self._cert = cert
        self._key = key
        self._seen = self._stamp()
        self.context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self.context.minimum_version = ssl.TLSVersion.TLSv1_2
        try:
            self.context.load_cert_chain(cert, key)
        except (OSError, ssl.SSLError) as fault:
            raise SettingInvalid(f"THEKE_TLS_CERT={cert} THEKE_TLS_KEY={key}: cannot be used ({fault})") from None

    def _stamp(self) -> tuple[float, ...]:
        try:
            return tuple(path.stat().st_mtime for path in (self._cert, self._key))
        except OSError:
            return ()

    def look(self) -> bool:
        """Takes up what was renewed; True if it did. Half of a pair, or a broken one, is left alone: the one in use goes on."""
        stamp = self._stamp()
        if not stamp or stamp == self._seen:
            return False
        self._seen = stamp
        try:
            ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER).load_cert_chain(self._cert, self._key)
            self.context.load_cert_chain(self._cert, self._key)
        except (OSError, ssl.SSLError) as fault:
            log.error("the new certificate cannot be used", cert=str(self._cert), error=str(fault))
            return False
        log.info("certificate renewed", cert=str(self._cert))
        return True

    async def watch(self) -> None:
        while True:
            await asyncio.sleep(LOOK_EVERY_S)
            self.look()
