"""What a person sees once everything runs: where, who, and a first sale to copy and paste."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Final

from libs.runtime.config import Settings
from libs.runtime.endpoints import Endpoints

FIELD: Final = 'python3 -c "import json,sys; print(json.load(sys.stdin){path})"'

RUNNING: Final = """
  Theke is ready at {url}
  State: {data}   Stop: Ctrl-C   Processes: theke status
"""

FIRST_SALE: Final = """
  Demo login: admin / admin.  A first sale, in another terminal:

URL={url}
TOKEN=$(curl -s $URL/api/v1/auth/login -H 'Content-Type: application/json' \\
  -d '{{"username":"admin","password":"admin"}}' | {token})
ARTICLE=$(curl -s $URL/api/v1/articles -H "Authorization: Bearer $TOKEN" | {article})
curl -s $URL/api/v1/payments/direct-sale -H "Authorization: Bearer $TOKEN" \\
  -H 'Content-Type: application/json' -H "Idempotency-Key: first-sale-$(date +%s)" \\
  -d '{{"items":[{{"articleId":"'$ARTICLE'","quantity":1}}],"payments":[{{"type":0,"amount":3.5}}]}}'
"""


async def welcome(endpoints: Endpoints, settings: Settings, load_demo: Callable[[], Awaitable[None]] | None = None) -> None:
    """Load the demo data if asked to, then print."""
    if load_demo:
        await load_demo()
    print(RUNNING.format(url=endpoints.gateway_url, data=settings.data), flush=True)
    if settings.demo:
        print(first_sale(endpoints.gateway_url), flush=True)


def first_sale(url: str) -> str:
    """Shell lines that log in, pick an article and sell it; they need curl and python3, nothing else."""
    return FIRST_SALE.format(
        url=url,
        token=FIELD.format(path="['data']['accessToken']"),
        article=FIELD.format(path="['data'][0]['id']"),
    )
