"""Wiring of pos."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping

from libs.contracts.pos.permissions import DAY_CLOSE, ORDERS, PAYMENTS, SETTINGS
from libs.contracts.pos.permissions import SHIFTS as SHIFT_RIGHT
from libs.contracts.pos.permissions import TABLES as TABLE_RIGHT
from libs.runtime.records import record_parts
from libs.runtime.sealed import Sealed
from libs.runtime.secrets import Secrets
from libs.runtime.service import Host, Service
from services.pos import (
    documents,
    floor,
    house,
    paper_queries,
    receipts,
    reports,
    tabs,
    taking_back,
)
from services.pos.closing import Closings
from services.pos.configuring import Configuring
from services.pos.house_tables import DAYS, SHIFTS
from services.pos.house_tables import QUERIES as HOUSE_QUERIES
from services.pos.mail import Mails, Post, Smtp
from services.pos.offline import Offline
from services.pos.paying import Ports
from services.pos.payment_tables import UNDER_WAY
from services.pos.projections import RECEIPTS
from services.pos.queries import QUERIES
from services.pos.records import TABLE_GROUPS, TABLES
from services.pos.self_order import open_codes
from services.pos.signing import Signer, Signings
from services.pos.tabs.projections import TABS
from services.pos.tabs.queries import QUERIES as TAB_QUERIES
from services.pos.tenders import TenderPort
from services.pos.under_way import open_payments

SIGNERS: dict[str, Signer] = {}  # unit of the settings → what signs for it; none is shipped yet
TENDERS: dict[int, TenderPort] = {}  # kind of payment → the account it draws on; none is shipped yet, so those kinds are not accepted
SIGNED = ("receipt.sell", "receipt.pay_table", "receipt.void", "receipt.refund")


def extended(signers: Mapping[str, Signer], post: Post, tenders: Ports) -> Callable[[Host], Awaitable[None]]:
    """What pos does beyond answering: ``signers`` by the unit that the settings name, ``post`` carries mail away,
    ``tenders`` by the kind of payment that draws on them."""

    async def extend(host: Host) -> None:
        Closings(host).register()
        await open_codes(host)
        Offline(host).register()
        open_payments(host, tenders)
        secrets = Secrets(host.log_dsn, "pos")
        await secrets.open()
        host.on_stop(secrets.close)
        sealed = await Sealed.open(secrets)
        Configuring(host, sealed).register()
        Mails(host, sealed, post).register()
        signings = Signings(host, signers)
        host.dispatcher.on_append(signings.appended)
        for name in SIGNED:
            host.dispatcher.wait_after(name, signings.ended)
        host.run(signings.sweep())

    return extend


_groups, _tables = record_parts(TABLE_GROUPS), record_parts(TABLES)
SERVICE = Service(
    "pos",
    commands=(
        *_groups.commands,
        *(floor.guarded(command) for command in _tables.commands),
        floor.ARRANGE,
        *tabs.COMMANDS,
        *receipts.COMMANDS,
        *taking_back.COMMANDS,
        *documents.COMMANDS,
        *house.COMMANDS,
    ),
    projections=(
        *_groups.projections,
        *_tables.projections,
        TABS,
        RECEIPTS,
        UNDER_WAY,
        SHIFTS,
        DAYS,
    ),
    queries=(
        *_groups.queries,
        *_tables.queries,
        *TAB_QUERIES,
        *QUERIES,
        *HOUSE_QUERIES,
        *reports.QUERIES,
        *paper_queries.QUERIES,
    ),
    extend=extended(SIGNERS, Smtp(), TENDERS),
    doors={
        "house.configure": (SETTINGS, True),
        "receipt.mail": (PAYMENTS, True),
        "shift.settle": (SHIFT_RIGHT, True),
        "day.close": (DAY_CLOSE, True),
        "day.x_report": (DAY_CLOSE, False),
        "self_order_key": (TABLE_RIGHT, False),
        "till.sync": (ORDERS, True),
    },
)
