"""The bare floor: HTTP handlers that decode the same bodies and work on plain tables, fsync and all. Nothing else: no identity, no rules,
no taxes, no change, no log; numbers come from an identity column."""

from __future__ import annotations

import asyncio
import sys
from typing import Any

import asyncpg
import msgspec
import uvloop
from aiohttp import web

from services.gateway.dikas.open_bons import OrderBody
from services.gateway.dikas.payments import DirectSaleBody, TablePaymentBody

POOL_SIZE = 16
TABLES = """
create table if not exists floor_sales (
  id bigint generated always as identity primary key, register text not null, number bigint not null, body jsonb not null,
  at timestamptz not null default clock_timestamp());
create index if not exists floor_sales_number on floor_sales (register, number);
create index if not exists floor_sales_at on floor_sales (at);
create table if not exists floor_orders (
  id bigint generated always as identity primary key, table_id text not null, at timestamptz not null default clock_timestamp());
create table if not exists floor_receipts (
  number bigint generated always as identity primary key, table_id text not null, total numeric not null, paid jsonb not null,
  at timestamptz not null default clock_timestamp());
create table if not exists floor_items (
  id bigint generated always as identity primary key, order_id bigint not null references floor_orders, table_id text not null,
  article text, quantity numeric not null, receipt bigint references floor_receipts);
create index if not exists floor_items_open on floor_items (table_id) where receipt is null;
create index if not exists floor_items_receipt on floor_items (receipt);
"""
SALE = "insert into floor_sales (register, number, body) values ($1, $2, $3) returning id, at"
ORDER = """
with placed as (insert into floor_orders (table_id) values ($1) returning id, at),
items as (insert into floor_items (order_id, table_id, article, quantity)
  select p.id, $1, i.article, i.quantity from placed p, unnest($2::text[], $3::numeric[]) i(article, quantity) returning id)
select p.id, p.at, (select array_agg(id) from items) as items from placed p"""
PAY = """
with bill as (insert into floor_receipts (table_id, total, paid)
  select $1, coalesce(sum(i.quantity * 5), 0), $2 from floor_items i where i.table_id = $1 and i.receipt is null
  returning number, total, at),
items as (update floor_items i set receipt = b.number from bill b where i.table_id = $1 and i.receipt is null returning i.id)
select b.number, b.total, b.at, (select array_agg(id) from items) as items from bill b"""
RECEIPT = """
select r.number, r.total, r.paid, r.at, (
  select json_agg(json_build_object('id', i.id, 'articleId', i.article, 'quantity', i.quantity))
  from floor_items i where i.receipt = r.number) as items
from floor_receipts r where r.number = $1"""
STATE = """
select $1 as id, count(*) as open_items, coalesce(sum(i.quantity * 5), 0) as open_amount
from floor_items i where i.table_id = $1 and i.receipt is null"""


async def main(dsn: str, port: int) -> None:
    pool = await asyncpg.create_pool(dsn, min_size=POOL_SIZE, max_size=POOL_SIZE)
    await pool.execute(TABLES)
    sales, orders, payments = (msgspec.json.Decoder(type_) for type_ in (DirectSaleBody, OrderBody, TablePaymentBody))
    encoder = msgspec.json.Encoder()

    def answer(row: Any, status: int = 200) -> web.Response:
        return web.Response(status=status, body=encoder.encode(dict(row)), content_type="application/json")

    async def sale(request: web.Request) -> web.Response:
        raw = await request.read()
        sales.decode(raw)
        return answer(await pool.fetchrow(SALE, "1", 1, raw.decode()), 201)

    async def order(request: web.Request) -> web.Response:
        body = orders.decode(await request.read())
        items = [item.article_id for item in body.items], [item.quantity for item in body.items]
        return answer(await pool.fetchrow(ORDER, body.table_id, *items), 201)

    async def pay(request: web.Request) -> web.Response:
        raw = await request.read()
        return answer(await pool.fetchrow(PAY, payments.decode(raw).table_id, raw.decode()), 201)

    async def receipt(request: web.Request) -> web.Response:
        return answer(await pool.fetchrow(RECEIPT, int(request.match_info["number"])))

    async def state(request: web.Request) -> web.Response:
        return answer(await pool.fetchrow(STATE, request.match_info["id"]))

    app = web.Application()
    app.add_routes(
        [
            web.post("/sale", sale),
            web.post("/order", order),
            web.post("/pay", pay),
            web.get("/receipts/{number}", receipt),
            web.get("/tables/{id}", state),
        ]
    )
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", port).start()
    print("ready", flush=True)
    await asyncio.Event().wait()


if __name__ == "__main__":
    uvloop.run(main(sys.argv[1], int(sys.argv[2])))
