"""Keeps tables of its own in SQLite: every receipt of one instance, and the takings of each business day.

    THEKE_DOWNSTREAM=nats://i1:…@127.0.0.1:23456 python receipts_table.py receipts.db

Each receipt counts exactly once, whatever dies: how far this program has read is kept in the same database and moves in the same
transaction as what it made of the events. Nothing is acknowledged to NATS and NATS remembers nothing: after a start, a lost connection or
a restored backup of the database it asks for what comes behind its own position. To begin anew, delete the file.
"""

from __future__ import annotations

import asyncio
import json
import os
import sqlite3
import sys

import nats
from nats.aio.client import Client
from nats.aio.msg import Msg
from nats.js.api import AckPolicy, ConsumerConfig, DeliverPolicy

STREAM = "EVT_pos"
WANTED = "evt.pos.*.receipt.issued"
BATCH_MESSAGES = 50
WAIT_S = 1.0  # for a batch; nothing happened is no failure
AGAIN_AFTER_S = 1.0
CONSUMER_KEPT_S = 60.0  # by the server, after this program is gone

SCHEMA = """
create table if not exists receipts (
  position integer primary key, receipt text not null unique, register text not null, number integer, business_day text not null,
  gross_cents integer not null, voids text
);
create table if not exists takings (business_day text primary key, receipts integer not null, gross_cents integer not null);
create table if not exists places (stream text primary key, position integer not null);
"""


def place(database: sqlite3.Connection) -> int:
    """The position up to which everything is in the tables."""
    row = database.execute("select position from places where stream = ?", (STREAM,)).fetchone()
    return row[0] if row else 0


def take(database: sqlite3.Connection, messages: list[Msg]) -> None:
    """All of these, or none: one transaction. What was taken before is passed over."""
    with database:
        done = place(database)
        for message in messages:
            position = message.metadata.sequence.stream
            if position > done:
                book(database, json.loads(message.data))
                done = position
        database.execute("insert into places values (?, ?) on conflict (stream) do update set position = excluded.position", (STREAM, done))


def book(database: sqlite3.Connection, event: dict) -> None:
    """One receipt. Amounts are integers of minor units; a void has them negated, so sums are right."""
    receipt = event["data"]
    number = event.get("number") or receipt.get("own_number")
    row = (
        event["position"],
        receipt["receipt"],
        receipt["register"],
        number,
        receipt["business_day"],
        receipt["gross"],
        receipt.get("voids"),
    )
    database.execute("insert into receipts values (?, ?, ?, ?, ?, ?, ?)", row)
    database.execute(
        "insert into takings values (?, 1, ?) on conflict (business_day) "
        "do update set receipts = receipts + 1, gross_cents = gross_cents + excluded.gross_cents",
        (receipt["business_day"], receipt["gross"]),
    )


async def follow(connection: Client, database: sqlite3.Connection) -> None:
    """Until something fails, or a message was lost on its way here: the consumer counts what it sends."""
    wanted = ConsumerConfig(
        deliver_policy=DeliverPolicy.BY_START_SEQUENCE,
        opt_start_seq=place(database) + 1,
        ack_policy=AckPolicy.NONE,
        inactive_threshold=CONSUMER_KEPT_S,
    )
    consumer = await connection.jetstream().pull_subscribe(WANTED, stream=STREAM, config=wanted)
    received = 0
    while True:
        try:
            messages = await consumer.fetch(BATCH_MESSAGES, timeout=WAIT_S)
        except TimeoutError:  # also those of nats-py
            await consumer.consumer_info()  # raises if the server lost the consumer, as it does when it is restarted
            continue
        if messages[-1].metadata.sequence.consumer != received + len(messages):
            return
        received += len(messages)
        take(database, messages)


async def main(path: str) -> None:
    database = sqlite3.connect(path)
    database.executescript(SCHEMA)
    connection = await nats.connect(os.environ["THEKE_DOWNSTREAM"], name="receipts-table", max_reconnect_attempts=-1)
    while True:
        try:
            await follow(connection, database)
        except (nats.errors.Error, TimeoutError) as problem:
            print(f"again from {place(database)}: {problem!r}", file=sys.stderr)
            await asyncio.sleep(AGAIN_AFTER_S)


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
