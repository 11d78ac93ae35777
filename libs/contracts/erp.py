"""All records of the ERP by the name of their resource, whichever service keeps them. Items, users and applications are not among
them: those are seen through what the services keep anyway. ``SEEN`` says which of their columns refer to rows of the ERP."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from libs.contracts.auth import access
from libs.contracts.auth.users import USER_ROW
from libs.contracts.billing import records as billing
from libs.contracts.crm import records as crm
from libs.contracts.inventory import pricing, stock
from libs.contracts.inventory.items import ITEM
from libs.domain.records import RecordType

OWNERS: Final = (access, billing, crm, pricing, stock)
RECORDS: Final[Mapping[str, RecordType]] = {record.resource: record for owner in OWNERS for record in owner.RECORDS}
SEEN: Final[Mapping[str, RecordType]] = {record.resource: record for record in (ITEM, USER_ROW)}
