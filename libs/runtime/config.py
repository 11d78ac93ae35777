"""Settings come from ``THEKE_*`` variables and from nowhere else."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

import msgspec

KEY_FILE: Final = Path("nats") / "users.key"
PROJECT: Final = Path(__file__).resolve().parents[2]
POSTGRES_SCHEMES: Final = ("postgres", "postgresql")
NATS_SCHEMES: Final = ("nats", "tls")
STREAM_REPLICAS: Final = ("1", "3", "5")
LOG_LEVELS: Final = ("debug", "info", "warning", "error")
INSTANCE_NAME: Final = re.compile(r"[a-z][a-z0-9-]{1,30}")
HIGHEST_PORT: Final = 65_535
REPLICAS_MAX: Final = 8  # of one service or of the gateway on one machine
SERVICES: Final = ("auth", "inventory", "crm", "billing", "pos")
GATEWAY: Final = "gateway"
RATE_LIMIT_MAX: Final = 100_000  # requests a second


class SettingInvalid(ValueError):
    """A variable has a value it cannot have; the message is one line naming the variable and what is allowed."""


class Settings(msgspec.Struct, frozen=True, kw_only=True):
    """What an operator may choose. ``postgres_dsn`` and ``nats_url`` empty: the supervisor runs embedded servers.
    ``instance`` empty: the only one there is. ``replicas``: processes of a service or of the gateway, by name; one where none is named.
    ``stream_replicas``: servers of a NATS cluster that hold each stream. ``operations_port`` 0: a free one for every process.
    ``rate_limit``: requests a second that a client may go on with, 0: as many as it likes. ``passwords``: a directory with those of the
    services' database roles, where they do not follow from the owner's. ``tls_cert`` and ``tls_key``: the gateway speaks TLS.
    ``otlp_endpoint``: where spans go, ``trace_sample``: of which share of requests. ``bus_key_file``: what the
    passwords of the bus's users are made from, unless it lies with the embedded server; ``streams_kept``: this process may not declare
    streams, a keeper does. ``webhook_private``: webhooks may be sent to any
    address, also without TLS."""

    host: str = "127.0.0.1"
    port: int = 5015
    data: Path = PROJECT / ".theke"
    demo: bool = False
    postgres_dsn: str = ""
    nats_url: str = ""
    stream_replicas: int = 1
    log_level: str = "info"
    instance: str = ""
    replicas: Mapping[str, int] = msgspec.field(default_factory=dict)
    operations_host: str = "127.0.0.1"
    operations_port: int = 0
    rate_limit: int = 500
    passwords: Path | None = None
    tls_cert: Path | None = None
    tls_key: Path | None = None
    otlp_endpoint: str = ""
    trace_sample: float = 0.01
    bus_key_file: Path | None = None
    streams_kept: bool = False
    webhook_private: bool = False

    @property
    def bus_key(self) -> Path:
        return self.bus_key_file or self.data / KEY_FILE

    @classmethod
    def from_env(cls, environ: Mapping[str, str]) -> Settings:
        """Raises SettingInvalid. A variable that is set but empty counts as not set. An address may stand in a file instead, which
        ``THEKE_POSTGRES_DSN_FILE`` or ``THEKE_NATS_URL_FILE`` names."""
        environ = {**environ, **_out_of_files(environ, ("THEKE_POSTGRES_DSN", "THEKE_NATS_URL"))}
        settings = cls(
            host=environ.get("THEKE_HOST") or "127.0.0.1",
            port=_port("THEKE_PORT", environ.get("THEKE_PORT") or "5015"),
            data=_directory("THEKE_DATA", environ.get("THEKE_DATA") or str(PROJECT / ".theke")),
            demo=_flag("THEKE_DEMO", environ.get("THEKE_DEMO") or "0"),
            postgres_dsn=_address("THEKE_POSTGRES_DSN", environ.get("THEKE_POSTGRES_DSN", ""), POSTGRES_SCHEMES),
            nats_url=_address("THEKE_NATS_URL", environ.get("THEKE_NATS_URL", ""), NATS_SCHEMES),
            stream_replicas=int(_one_of("THEKE_STREAM_REPLICAS", environ.get("THEKE_STREAM_REPLICAS") or "1", STREAM_REPLICAS)),
            log_level=_one_of("THEKE_LOG_LEVEL", environ.get("THEKE_LOG_LEVEL") or "info", LOG_LEVELS),
            instance=_instance("THEKE_INSTANCE", environ.get("THEKE_INSTANCE", "")),
            replicas=_replicas("THEKE_REPLICAS", environ.get("THEKE_REPLICAS", "")),
            operations_host=environ.get("THEKE_OPERATIONS_HOST") or "127.0.0.1",
            operations_port=_number("THEKE_OPERATIONS_PORT", environ.get("THEKE_OPERATIONS_PORT") or "0", HIGHEST_PORT),
            passwords=_present("THEKE_ROLE_PASSWORDS", environ.get("THEKE_ROLE_PASSWORDS", "")),
            tls_cert=_file("THEKE_TLS_CERT", environ.get("THEKE_TLS_CERT", "")),
            tls_key=_file("THEKE_TLS_KEY", environ.get("THEKE_TLS_KEY", "")),
            otlp_endpoint=_address("THEKE_OTLP_ENDPOINT", environ.get("THEKE_OTLP_ENDPOINT", ""), ("http", "https")),
            trace_sample=_share("THEKE_TRACE_SAMPLE", environ.get("THEKE_TRACE_SAMPLE") or "0.01"),
            rate_limit=_number("THEKE_RATE_LIMIT", environ.get("THEKE_RATE_LIMIT") or "500", RATE_LIMIT_MAX),
            bus_key_file=_maybe_file("THEKE_BUS_KEY", environ.get("THEKE_BUS_KEY", "")),
            streams_kept=_flag("THEKE_STREAMS_KEPT", environ.get("THEKE_STREAMS_KEPT") or "0"),
            webhook_private=_flag("THEKE_WEBHOOK_PRIVATE", environ.get("THEKE_WEBHOOK_PRIVATE") or "0"),
        )
        if settings.demo and not is_loopback(settings.host):
            raise SettingInvalid(
                f"THEKE_HOST={settings.host}: with THEKE_DEMO=1 everybody knows the password, so only 127.0.0.1 (loopback) is allowed"
            )
        if (settings.tls_cert is None) != (settings.tls_key is None):
            raise SettingInvalid("THEKE_TLS_CERT and THEKE_TLS_KEY: both or none, a certificate and its key")
        return settings

    def environ(self) -> dict[str, str]:
        """The same settings as variables, for a child process."""
        return {
            "THEKE_HOST": self.host,
            "THEKE_PORT": str(self.port),
            "THEKE_DATA": str(self.data),
            "THEKE_DEMO": "1" if self.demo else "0",
            "THEKE_POSTGRES_DSN": self.postgres_dsn,
            "THEKE_NATS_URL": self.nats_url,
            "THEKE_STREAM_REPLICAS": str(self.stream_replicas),
            "THEKE_LOG_LEVEL": self.log_level,
            "THEKE_INSTANCE": self.instance,
            "THEKE_REPLICAS": ",".join(f"{name}={count}" for name, count in self.replicas.items()),
            "THEKE_OPERATIONS_HOST": self.operations_host,
            "THEKE_OPERATIONS_PORT": str(self.operations_port),
            "THEKE_RATE_LIMIT": str(self.rate_limit),
            "THEKE_ROLE_PASSWORDS": str(self.passwords or ""),
            "THEKE_TLS_CERT": str(self.tls_cert or ""),
            "THEKE_TLS_KEY": str(self.tls_key or ""),
            "THEKE_OTLP_ENDPOINT": self.otlp_endpoint,
            "THEKE_TRACE_SAMPLE": f"{self.trace_sample:g}",
            "THEKE_BUS_KEY": str(self.bus_key_file or ""),
            "THEKE_STREAMS_KEPT": "1" if self.streams_kept else "0",
            "THEKE_WEBHOOK_PRIVATE": "1" if self.webhook_private else "0",
        }


def is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _port(name: str, text: str) -> int:
    if text.isascii() and text.isdigit() and 1 <= int(text) <= HIGHEST_PORT:
        return int(text)
    raise SettingInvalid(f"{name}={text}: a port is allowed, 1 to {HIGHEST_PORT}")


def _out_of_files(environ: Mapping[str, str], names: tuple[str, ...]) -> dict[str, str]:
    """What files hold that variables name; a variable with the value itself goes first."""
    found = {}
    for name in names:
        file = environ.get(f"{name}_FILE", "")
        if file and not environ.get(name):
            try:
                found[name] = Path(file).read_text().strip()
            except (OSError, UnicodeDecodeError) as fault:
                raise SettingInvalid(f"{name}_FILE={file}: cannot be read ({getattr(fault, 'strerror', 'no text')})") from None
    return found


def _present(name: str, text: str) -> Path | None:
    if text and not Path(text).is_dir():
        raise SettingInvalid(f"{name}={text}: a directory is allowed, with a file for each service")
    return Path(text) if text else None


def _file(name: str, text: str) -> Path | None:
    if text and not Path(text).is_file():
        raise SettingInvalid(f"{name}={text}: a file is allowed, this is none")
    return Path(text).absolute() if text else None


def _share(name: str, text: str) -> float:
    if re.fullmatch(r"0|1|[01]?\.[0-9]{1,6}", text) and float(text) <= 1:
        return float(text)
    raise SettingInvalid(f"{name}={text}: a share from 0 to 1 is allowed, with up to six decimals")


def _number(name: str, text: str, most: int) -> int:
    if text.isascii() and text.isdigit() and int(text) <= most:
        return int(text)
    raise SettingInvalid(f"{name}={text}: a whole number is allowed, 0 to {most}")


def _directory(name: str, text: str) -> Path:
    path = Path(text).expanduser().absolute()
    if path.exists() and not path.is_dir():
        raise SettingInvalid(f"{name}={text}: a directory is allowed, this is a file")
    return path


def _maybe_file(name: str, text: str) -> Path | None:
    path = Path(text).expanduser().absolute() if text else None
    if path is not None and path.is_dir():
        raise SettingInvalid(f"{name}={text}: a file is allowed, this is a directory")
    return path


def _flag(name: str, text: str) -> bool:
    return _one_of(name, text, ("0", "1")) == "1"


def _one_of(name: str, text: str, allowed: tuple[str, ...]) -> str:
    if text in allowed:
        return text
    raise SettingInvalid(f"{name}={text}: {', '.join(allowed[:-1])} or {allowed[-1]} is allowed")


def _address(name: str, text: str, schemes: tuple[str, ...]) -> str:
    """Of one server, or of several, as its kind of client writes them: ``nats://…,nats://…``, ``postgres://user@one:5432,two:5432/…``.
    The value is not repeated in the message: it holds a password."""
    if not text:
        return ""
    several = text.split(",") if schemes == NATS_SCHEMES else _one_host_each(text)
    if not several or not all(_is_address(one, schemes) for one in several):
        allowed = " or ".join(f"{scheme}://…" for scheme in schemes)
        raise SettingInvalid(f"{name}: {allowed} with a host is allowed")
    return text


def _one_host_each(text: str) -> list[str]:
    """An address with several hosts as addresses of one host each."""
    scheme, _, rest = text.partition("://")
    place, slash, tail = rest.partition("/")
    account, at, hosts = place.rpartition("@")
    return [f"{scheme}://{account}{at}{host}{slash}{tail}" for host in hosts.split(",")]


def _is_address(text: str, schemes: tuple[str, ...]) -> bool:
    try:
        parts = urlsplit(text)
        return parts.scheme in schemes and bool(parts.hostname) and (parts.port is None or parts.port > 0)
    except ValueError:
        return False


def _instance(name: str, text: str) -> str:
    if not text or INSTANCE_NAME.fullmatch(text):
        return text
    raise SettingInvalid(f"{name}={text}: 2 to 31 of a-z, 0-9 and - are allowed, a letter first")


def _replicas(name: str, text: str) -> dict[str, int]:
    found: dict[str, int] = {}
    for part in text.replace(",", " ").split():
        which, _, count = part.partition("=")
        if which not in (*SERVICES, GATEWAY) or not (count.isascii() and count.isdigit() and 1 <= int(count) <= REPLICAS_MAX):
            allowed = f"pos=2,gateway=2 and the like is allowed: one of {', '.join(SERVICES)}, {GATEWAY}, 1 to {REPLICAS_MAX} of each"
            raise SettingInvalid(f"{name}={text}: {allowed}")
        found[which] = int(count)
    return found
