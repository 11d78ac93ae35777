"""The bare floor of a sale: an HTTP handler that decodes the same body and inserts one row, fsync and all. Nothing else."""

from __future__ import annotations

import asyncio
import sys

import asyncpg
import msgspec
import uvloop
from aiohttp import web

from services.gateway.dikas.payments import DirectSaleBody

POOL_SIZE = 16
TABLE = """
create table if not exists floor_sales (
  id bigint generated always as identity primary key, register text not null, number bigint not null, body jsonb not null,
  at timestamptz not null default clock_timestamp());
create index if not exists floor_sales_number on floor_sales (register, number);
create index if not exists floor_sales_at on floor_sales (at);
"""
INSERT = "insert into floor_sales (register, number, body) values ($1, $2, $3) returning id, at"


async def main(dsn: str, port: int) -> None:
    pool = await asyncpg.create_pool(dsn, min_size=POOL_SIZE, max_size=POOL_SIZE)
    await pool.execute(TABLE)
    decoder = msgspec.json.Decoder(DirectSaleBody)
    encoder = msgspec.json.Encoder()

    async def sale(request: web.Request) -> web.Response:
        raw = await request.read()
        decoder.decode(raw)
        row = await pool.fetchrow(INSERT, "1", 1, raw.decode())
        return web.Response(status=201, body=encoder.encode({"id": row["id"], "at": row["at"]}), content_type="application/json")

    app = web.Application()
    app.router.add_post("/sale", sale)
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", port).start()
    print("ready", flush=True)
    await asyncio.Event().wait()


if __name__ == "__main__":
    uvloop.run(main(sys.argv[1], int(sys.argv[2])))
