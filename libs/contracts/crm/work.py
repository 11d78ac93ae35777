"""Work: projects, tickets, tasks and the steps in which it was done."""

from __future__ import annotations

from typing import Final

from libs.contracts.line_items import lines
from libs.domain.fields import (
    CALCULATION,
    PRIORITY,
    VISIBILITY,
    choice,
    line,
    moment,
    owner_group,
    owner_user,
    ref,
    stamps,
    text,
    whole,
)
from libs.domain.records import RecordType
from libs.domain.rules import ONE_OWNER, AtMostOne

STEP_STATUS: Final = {0: "DRAFT", 1: "COMPLETED", 2: "CANCELLED", 3: "BOOKED"}
PROJECT_STATUS: Final = {
    0: "DRAFT",
    1: "NOTSTARTED",
    2: "AWAITINGAPPROVAL",
    3: "APPROVED",
    4: "DISMISSED",
    5: "ACTIVE",
    6: "INACTIVE",
    7: "TESTING",
    8: "CANCELLED",
    9: "COMPLETED",
    10: "FAILED",
    11: "BOOKED",
}
WORK_STATUS: Final = {
    0: "NOTSTARTED",
    1: "AWAITINGACCEPTANCE",
    2: "ACCEPTED",
    3: "REJECTED",
    4: "ACTIVE",
    5: "INACTIVE",
    6: "FEEDBACKREQUIRED",
    7: "TESTING",
    8: "CANCELLED",
    9: "COMPLETED",
    10: "FAILED",
    11: "BOOKED",
}

ACTION_STEP: Final = RecordType(
    name="action_step", resource="actionsteps", service="crm", table="actionsteps",
    read=("actionsteps",), write=("actionsteps",),
    tags=True, extdata=True,
    fields=(
        ref("account", "accounts"),
        line("actionnum", search=True),
        ref("assigneduser", "users"),
        *stamps(),
        moment("date", on_create=True),
        text("description"),
        moment("duedate"),
        whole("effort", "minutes", low=0),
        line("name", required=True, search=True),
        owner_group(),
        owner_user(),
        choice("status", STEP_STATUS),
        ref("task", "tasks"),
        ref("ticket", "tickets"),
        ref("transaction", "transactions"),
    ),
    rules=(
        AtMostOne(("account", "task", "ticket")),
        ONE_OWNER,
    ),
)  # fmt: skip

PROJECT: Final = RecordType(
    name="project", resource="projects", service="crm", table="projects",
    read=("projects",), write=("projects",),
    tags=True, extdata=True,
    fields=(
        ref("account", "accounts"),
        ref("assigneduser", "users"),
        *stamps(),
        text("description"),
        line("name", required=True, search=True),
        owner_group(),
        owner_user(),
        line("projectnum", search=True),
        choice("status", PROJECT_STATUS),
        choice("visibility", VISIBILITY),
    ),
    rules=(ONE_OWNER,),
)  # fmt: skip

TASK: Final = RecordType(
    name="task", resource="tasks", service="crm", table="tasks",
    read=("tasks",), write=("tasks",),
    tags=True, extdata=True,
    fields=(
        ref("assigneduser", "users"),
        *stamps(),
        moment("datefrom"),
        ref("davserver", "davservers", doc="where it is synchronised with"),
        text("description"),
        moment("duedate"),
        line("name", required=True, search=True),
        owner_group(),
        owner_user(),
        choice("priority", PRIORITY, default=2),
        ref("project", "projects"),
        whole("projectedeffort", "minutes", low=0),
        choice("status", WORK_STATUS),
        line("tasknum", search=True),
        ref("ticket", "tickets"),
        choice("visibility", VISIBILITY),
    ),
    rules=(
        AtMostOne(("project", "ticket")),
        ONE_OWNER,
    ),
)  # fmt: skip

TICKET: Final = RecordType(
    name="ticket", resource="tickets", service="crm", table="tickets",
    read=("tickets",), write=("tickets",),
    tags=True, extdata=True,
    fields=(
        ref("account", "accounts"),
        ref("assigneduser", "users"),
        lines("billingitems"),
        choice("calculation", CALCULATION),
        *stamps(),
        moment("date", on_create=True),
        text("description"),
        moment("duedate"),
        line("name", required=True, search=True),
        owner_group(),
        choice("priority", PRIORITY, default=2),
        lines("procurementitems"),
        ref("project", "projects"),
        choice("status", WORK_STATUS),
        line("ticketnum", search=True),
        choice("visibility", VISIBILITY),
    ),
    rules=(AtMostOne(("account", "project")),),
)  # fmt: skip

RECORDS: Final = (ACTION_STEP, PROJECT, TASK, TICKET)
