"""``theke``: one command, a subcommand per job. Every subcommand module has ``add(subcommands)`` and a ``run(arguments, settings)``."""

from __future__ import annotations

import argparse
import logging
import os
import sys
from collections.abc import Sequence
from typing import Final

import structlog

from libs.cli import applications, endpoints, events, exits, groups, instances, projections, records, restart, status, up, verify, webhooks
from libs.runtime.config import SettingInvalid, Settings

EPILOG: Final = """\
first steps:
  make run                      everything with demo data on this machine
  theke up                      the same without demo data
  theke status                  what runs, where, since when
  theke status --json           the same for programs
  theke restart                 services and gateways one after the other, somebody always answers
  theke verify                  prove that nothing was lost
  theke events tail --follow    what happens, as it happens
  theke projections list        query tables: how far they are, what is held; rebuild them while tills sell
  theke instances create NAME   another business on this installation
  theke applications create INSTANCE IDENTIFIER   a program that connects to the ERP's API
  theke groups --help           who may do what in the ERP
  theke records put --help      rows of the ERP out of a file
  theke webhooks --help         where events are sent to
  theke endpoints               how much of the dialect is built, by section

settings (environment):
  THEKE_PORT=5015               port of the gateway
  THEKE_HOST=127.0.0.1          address it listens on
  THEKE_DATA=.theke             state directory, made if absent
  THEKE_DEMO=0                  1: instance "demo" with sample data, login admin/admin, loopback only
  THEKE_POSTGRES_DSN=           postgres://…: use this server (or several, with a standby) instead of an embedded one
  THEKE_NATS_URL=               nats://…: use this server (or nats://…,nats://… of a cluster) instead of an embedded one
  THEKE_STREAM_REPLICAS=1       3 or 5: servers of a NATS cluster that hold each stream
  THEKE_REPLICAS=               pos=2,gateway=2: more than one process of these
  THEKE_INSTANCE=               instance of requests that name none; default: the only one
  THEKE_WEBHOOK_PRIVATE=0       1: webhooks may go to private addresses and without TLS
  THEKE_LOG_LEVEL=info          debug, info, warning or error

exit codes:
  0  done
  1  failed; the reason is on stderr
  2  wrong usage or a setting with an impossible value
  3  Theke is not running on this state directory
  4  the state directory is in use by another Theke
  5  what was to be proved does not hold
"""


def parser() -> argparse.ArgumentParser:
    whole = argparse.ArgumentParser(
        prog="theke",
        description="The event-sourced back office behind points of sale.",
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    subcommands = whole.add_subparsers(title="commands", dest="command", required=True, metavar="COMMAND")
    for module in (up, status, restart, verify, events, projections, instances, applications, groups, records, webhooks, endpoints):
        module.add(subcommands)
    return whole


def main(arguments: Sequence[str] | None = None) -> int:
    """The exit code, as EPILOG lists them."""
    chosen = parser().parse_args(arguments)
    try:
        settings = Settings.from_env(os.environ)
        if chosen.command != "up":  # what goes wrong is said by the command itself
            structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.CRITICAL))
        return int(chosen.run(chosen, settings))
    except SettingInvalid as fault:
        print(f"theke: {fault}", file=sys.stderr)
        return exits.USAGE


if __name__ == "__main__":
    sys.exit(main())
