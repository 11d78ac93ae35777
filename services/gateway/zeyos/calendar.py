"""What Theke adds to appointments: every time they take place."""

from __future__ import annotations

from typing import Final

import msgspec

from libs.runtime.resources import Asked
from services.gateway.dikas.call import Call, Route
from services.gateway.zeyos import bodies
from services.gateway.zeyos.serve import Body

_queries: Final = msgspec.json.Encoder(decimal_format="number")


async def occurrences(call: Call) -> Body:
    """Those between `from` and `to`, of the appointments that `filters` and `query` find."""
    asked = {**call.request.query, **await bodies.read(call.request)}
    return Body(call.stream("crm", "appointment.occurrences", Asked(_queries.encode(asked)), bytes))


ROUTES: Final = (Route("POST", "/{instance}/api/v1/occurrences", "occurrences", occurrences, asks=("crm.appointment.occurrences",)),)
