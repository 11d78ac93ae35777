"""Auth as a process of its own, to be killed: ``python -m tests.integration.auth.process LOG_DSN READ_DSN NATS_URL``; says when it is
ready."""

from __future__ import annotations

import sys

import uvloop

from libs.runtime.config import Settings
from libs.runtime.service import Host
from services.auth.service import SERVICE


async def serve(log_dsn: str, read_dsn: str, nats_url: str) -> None:
    settings = Settings(postgres_dsn=log_dsn, nats_url=nats_url, webhook_private=True)
    host = Host(SERVICE, settings, log_dsn=log_dsn, read_dsn=read_dsn)
    await host.start()
    sys.stdout.write("ready\n")
    sys.stdout.flush()
    await host.connection.closed.wait()


if __name__ == "__main__":
    uvloop.run(serve(*sys.argv[1:]))
