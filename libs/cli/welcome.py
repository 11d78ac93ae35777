"""What a person sees once everything runs: where, who, and a first sale to copy and paste."""

from __future__ import annotations

from typing import Final

from libs.cli.instances import Created
from libs.runtime.config import Settings
from libs.runtime.endpoints import Endpoints

FIELD: Final = 'python3 -c "import json,sys; print(json.load(sys.stdin){path})"'

RUNNING: Final = """
  Theke is ready at {url}
  State: {data}   Stop: Ctrl-C   Processes: theke status
"""

FIRST_START: Final = """
  First start: instance {name}, login {username}, password {password}
  The password is shown this once and kept nowhere. More businesses: theke instances create NAME
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


def welcome(endpoints: Endpoints, settings: Settings, created: Created | None = None) -> None:
    """``created``: the instance that this first start made."""
    print(RUNNING.format(url=endpoints.gateway_url, data=settings.data), flush=True)
    if settings.demo:
        print(first_sale(endpoints.gateway_url), flush=True)
    elif created is not None:
        print(FIRST_START.format(name=created.name, username=created.username, password=created.password), flush=True)


def first_sale(url: str) -> str:
    """Shell lines that log in, pick an article and sell it; they need curl and python3, nothing else."""
    return FIRST_SALE.format(
        url=url,
        token=FIELD.format(path="['data']['accessToken']"),
        article=FIELD.format(path="['data'][0]['id']"),
    )
