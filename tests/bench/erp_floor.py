"""The bare floor of the ERP: handlers that decode the same bodies, run SQL written by hand and encode what it gives. Nobody is identified,
no row is hidden, nothing is a language; lists read the very tables that Theke reads, writes go to a table of their own, fsync and all."""

from __future__ import annotations

import asyncio
import sys
from typing import Any

import asyncpg
import msgspec
import uvloop
from aiohttp import web

POOL_SIZE = 16
TABLES = """
create table if not exists floor_accounts (
  id bigint generated always as identity primary key, lastname text not null, currency text not null, description text not null default '',
  type int not null default 0, creationdate timestamptz not null default clock_timestamp());
create index if not exists floor_accounts_lastname on floor_accounts (lastname);
create index if not exists floor_accounts_type on floor_accounts (type);
"""
INSERT = "insert into floor_accounts (lastname, currency, type) values ($1, $2, $3) returning *"
UPDATE = "update floor_accounts set description = $2 where id = $1 returning *"
DELETE = "delete from floor_accounts where id = $1"


async def main(log_dsn: str, read_dsn: str, port: int) -> None:
    writes = await asyncpg.create_pool(log_dsn, min_size=POOL_SIZE, max_size=POOL_SIZE)
    reads = await asyncpg.create_pool(read_dsn, min_size=POOL_SIZE, max_size=POOL_SIZE)
    await writes.execute(TABLES)
    revision = await reads.fetchval("select active from theke.revisions where service = 'crm' and projection = 'customers'")
    listing = (
        'select a.id as "ID", a.lastname, a.customernum, c.lastname as "contact.lastname", c.city as "contact.city" '
        f"from crm.accounts_r{revision} a left join crm.contacts_r{revision} c on c.instance = a.instance and c.id = a.contact "
        "where a.instance = $1 and a.ownergroup = $2 and a.type = $3 and a.visibility = 0 order by a.lastname_order, a.id limit $4"
    )
    decoder, encoder = msgspec.json.Decoder(), msgspec.json.Encoder()

    def answer(found: Any, status: int = 200) -> web.Response:
        return web.Response(status=status, body=encoder.encode(found), content_type="application/json")

    async def listed(request: web.Request) -> web.Response:
        asked = decoder.decode(await request.read())
        filters = asked["filters"]
        rows = await reads.fetch(listing, int(request.match_info["instance"]), filters["ownergroup"], filters["type"], asked["limit"])
        return answer([dict(row) for row in rows])

    async def created(request: web.Request) -> web.Response:
        body = decoder.decode(await request.read())
        return answer(dict(await writes.fetchrow(INSERT, body["lastname"], body["currency"], body["type"])), 201)

    async def changed(request: web.Request) -> web.Response:
        body = decoder.decode(await request.read())
        return answer(dict(await writes.fetchrow(UPDATE, int(request.match_info["id"]), body["description"])))

    async def deleted(request: web.Request) -> web.Response:
        await writes.execute(DELETE, int(request.match_info["id"]))
        return web.Response(status=204, headers={"Content-Length": "0"})

    app = web.Application()
    app.add_routes(
        [
            web.post("/{instance}/accounts", listed),
            web.put("/accounts", created),
            web.patch("/accounts/{id}", changed),
            web.delete("/accounts/{id}", deleted),
        ]
    )
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", port).start()
    print("ready", flush=True)
    await asyncio.Event().wait()


if __name__ == "__main__":
    uvloop.run(main(sys.argv[1], sys.argv[2], int(sys.argv[3])))
