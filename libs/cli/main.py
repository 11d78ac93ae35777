"""``theke``: one command, a subcommand per job. Every subcommand module has ``add(subcommands)`` and a ``run(arguments, settings)``."""

from __future__ import annotations

import argparse
import importlib
import logging
import os
import sys
from collections.abc import Sequence
from typing import Final

import structlog

from libs.cli import exits
from libs.runtime.config import SettingInvalid, Settings

EPILOG: Final = """\
first steps:
  make run                      everything with demo data on this machine
  theke up                      the same without demo data
  theke status                  what runs, where, since when
  theke status --json           the same for programs
  theke restart                 services and gateways one after the other, somebody always answers
  theke doctor                  what is wrong with machine, servers, settings, streams, tables
  theke verify                  prove that nothing was lost
  theke events tail --follow    what happens, as it happens; `replay`: what was published, once more
  theke projections list        query tables: how far they are, what is held; rebuild them while tills sell
  theke processes list          what services do by themselves, what stops it
  theke log new-life            go on after a log lost its tail
  theke instances create NAME   another business on this installation
  theke downstream credentials INSTANCE   what a system that subscribes to its events logs in with
  theke instances export NAME DIR   everything it booked, to take along; `delete` closes it
  theke operators create USER   somebody who runs the installation
  theke users password INSTANCE USER    a new password, shown once
  theke apikeys create INSTANCE NAME --scope SCOPE   a program that reads
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
  THEKE_OPERATIONS_HOST=127.0.0.1, THEKE_OPERATIONS_PORT=0   where each process shows /metrics, /healthz, /readyz; 0: any port
  THEKE_ROLE_PASSWORDS=         directory with passwords of the services' database roles; default: they follow from the owner's
  THEKE_TLS_CERT=, THEKE_TLS_KEY=   PEM files: the gateway speaks TLS
  THEKE_OTLP_ENDPOINT=, THEKE_TRACE_SAMPLE=0.01   where spans for OpenTelemetry go, and of which share of requests
  THEKE_RATE_LIMIT=500          requests a second that one client may go on with; 0: no limit
  THEKE_BUS_KEY=                file that passwords of NATS users are made from; default: beside the embedded server's data
  THEKE_STREAMS_KEPT=0          1: a keeper declares streams for this process, whose user of the bus may not
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


JOBS: Final = (
    *("up", "status", "restart", "doctor", "verify"),
    *("events", "projections", "processes", "log"),
    *("instances", "downstream", "webhooks", "operators", "users", "apikeys", "applications", "groups", "records", "endpoints"),
)


def parser(jobs: Sequence[str] = JOBS) -> argparse.ArgumentParser:
    """Of these subcommands; nothing of the others is loaded."""
    whole = argparse.ArgumentParser(
        prog="theke",
        description="The event-sourced back office behind points of sale.",
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    subcommands = whole.add_subparsers(title="commands", dest="command", required=True, metavar="COMMAND")
    for job in jobs:
        importlib.import_module(f"libs.cli.{job}").add(subcommands)
    return whole


def main(arguments: Sequence[str] | None = None) -> int:
    """The exit code, as EPILOG lists them."""
    words = sys.argv[1:] if arguments is None else arguments
    chosen = parser(words[:1] if words and words[0] in JOBS else JOBS).parse_args(words)
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
