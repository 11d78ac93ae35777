"""The records of crm."""

from __future__ import annotations

from typing import Final

from libs.contracts.crm import apps, calendar, customers, feed, mail, marketing, notes, relations, work

RECORDS: Final = (
    *customers.RECORDS,
    *work.RECORDS,
    *calendar.RECORDS,
    *marketing.RECORDS,
    *mail.RECORDS,
    *notes.RECORDS,
    *feed.RECORDS,
    *relations.RECORDS,
    *apps.RECORDS,
)
