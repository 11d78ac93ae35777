"""Appointments, who is invited to them, and dates of anything else."""

from __future__ import annotations

from typing import Final

from libs.domain.fields import (
    COLOUR,
    ENTITIES,
    OBJECT,
    VISIBILITY,
    choice,
    json,
    line,
    moment,
    owner_group,
    owner_user,
    ref,
    ref_by,
    stamps,
    text,
    whole,
    word,
)
from libs.domain.records import OnDelete, RecordType
from libs.domain.rules import ONE_OWNER, Ordered, Together

APPOINTMENT_RECURRENCE: Final = {0: "DAY", 1: "WORKDAY", 2: "WEEK", 3: "MONTH", 4: "YEAR"}
INVITATION_FLAG: Final = {0: "UNANSWERED", 1: "CONFIRMED", 2: "REJECTED"}

APPOINTMENT: Final = RecordType(
    name="appointment", resource="appointments", service="crm", table="appointments",
    read=("calendar",), write=("calendar",),
    tags=True, extdata=True,
    fields=(
        ref("assigneduser", "users"),
        line("color", "hexadecimal, without #", pattern=COLOUR),
        *stamps(),
        moment("datefrom", required=True),
        moment("daterecurrence", "when it recurs for the last time"),
        moment("dateto", required=True),
        ref("davserver", "davservers", doc="where it is synchronised with"),
        text("description"),
        whole("interval", "between two recurrences", low=1, high=32767, default=1),
        line("location", search=True),
        line("name", required=True, search=True),
        owner_group(),
        owner_user(),
        choice("recurrence", APPOINTMENT_RECURRENCE, "null: it happens once", default=None),
        choice("visibility", VISIBILITY),
    ),
    rules=(
        Ordered("datefrom", "dateto"),
        ONE_OWNER,
    ),
)  # fmt: skip

CALENDAR_EVENT: Final = RecordType(
    name="calendar_event", resource="events", service="crm", table="events",
    fields=(
        line("color", "hexadecimal, without #", pattern=COLOUR),
        *stamps(),
        moment("datefrom", required=True),
        moment("dateto", required=True),
        word("entity", ENTITIES),
        ref_by("index", "entity"),
        json("meta", "what an application notes about it", as_text=True, shape=OBJECT),
        line("name", required=True),
        owner_group(),
        owner_user(),
    ),
    rules=(
        Ordered("datefrom", "dateto"),
        Together(("entity", "index")),
        ONE_OWNER,
    ),
)  # fmt: skip

INVITATION: Final = RecordType(
    name="invitation", resource="invitations", service="crm", table="invitations",
    read=("calendar",), write=("calendar",),
    parents=("appointment",),
    fields=(
        ref("appointment", "appointments", OnDelete.DELETE, required=True),
        ref("contact", "contacts"),
        *stamps(),
        line("email"),
        choice("flag", INVITATION_FLAG),
        line("name", required=True),
    ),
)  # fmt: skip

RECORDS: Final = (APPOINTMENT, CALENDAR_EVENT, INVITATION)
