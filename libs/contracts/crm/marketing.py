"""Winning customers: opportunities, campaigns, mailing lists and who is on them."""

from __future__ import annotations

from typing import Final

from libs.domain.fields import PRIORITY, VISIBILITY, choice, line, moment, number, owner_group, owner_user, ref, stamps, text, whole
from libs.domain.records import OnDelete, RecordType
from libs.domain.rules import ONE_OWNER, ExactlyOne, Ordered, ValueWhen, When

CAMPAIGN_STATUS: Final = {
    0: "DRAFT",
    1: "NOTSTARTED",
    2: "AWAITINGAPPROVAL",
    3: "APPROVED",
    4: "DISMISSED",
    5: "ACTIVE",
    6: "INACTIVE",
    7: "INEVALUATION",
    8: "CANCELLED",
    9: "CLOSED",
}
OPPORTUNITY_STATUS: Final = {
    0: "UNEVALUATED",
    1: "ELIGIBLE",
    2: "FEEDBACKREQUIRED",
    3: "INNEGOTIATION",
    4: "OFFERED",
    5: "ACCEPTED",
    6: "REJECTED",
}

CAMPAIGN: Final = RecordType(
    name="campaign", resource="campaigns", service="crm", table="campaigns",
    read=("campaigns",), write=("campaigns",),
    tags=True, extdata=True,
    fields=(
        ref("assigneduser", "users"),
        *stamps(),
        moment("datefrom", required=True),
        moment("dateto"),
        text("description"),
        line("name", required=True, search=True),
        owner_group(),
        choice("status", CAMPAIGN_STATUS),
        choice("visibility", VISIBILITY),
    ),
    rules=(Ordered("datefrom", "dateto"),),
)  # fmt: skip

MAILING_LIST: Final = RecordType(
    name="mailing_list", resource="mailinglists", service="crm", table="mailinglists",
    read=("mailinglists",), write=("mailinglists",),
    tags=True, extdata=True,
    fields=(
        ref("assigneduser", "users"),
        ref("campaign", "campaigns"),
        *stamps(),
        text("description"),
        line("name", required=True, search=True),
        owner_group(),
        owner_user(),
        line("sender", "name and address", search=True),
        choice("visibility", VISIBILITY),
    ),
    rules=(ONE_OWNER,),
)  # fmt: skip

OPPORTUNITY: Final = RecordType(
    name="opportunity", resource="opportunities", service="crm", table="opportunities",
    read=("opportunities",), write=("opportunities",),
    tags=True, extdata=True,
    fields=(
        ref("account", "accounts"),
        ref("assigneduser", "users"),
        ref("campaign", "campaigns"),
        ref("contact", "contacts"),
        *stamps(),
        text("description"),
        moment("duedate"),
        number("mostlikely", "turnover expected", low=0),
        line("name", required=True, search=True),
        line("opportunitynum", search=True),
        owner_group(),
        choice("priority", PRIORITY, default=2),
        whole("probability", "percent; 100 once it is accepted", low=0, high=100),
        choice("status", OPPORTUNITY_STATUS),
        number("upside", "turnover at best", low=0),
        choice("visibility", VISIBILITY),
        number("worstcase", "turnover at worst", low=0),
    ),
    rules=(ValueWhen("probability", 100, When("status", (5,))),),
)  # fmt: skip

PARTICIPANT: Final = RecordType(
    name="participant", resource="participants", service="crm", table="participants",
    read=("mailinglists", "campaigns"), write=("mailinglists", "campaigns"),
    parents=("campaign", "mailinglist"), any_parent=True, extdata=True,
    fields=(
        ref("campaign", "campaigns", OnDelete.DELETE),
        ref("contact", "contacts"),
        *stamps(),
        line("email", search=True),
        ref("mailinglist", "mailinglists", OnDelete.DELETE),
        line("name", required=True, search=True),
        line("phone"),
    ),
    rules=(ExactlyOne(("campaign", "mailinglist")),),
)  # fmt: skip

RECORDS: Final = (CAMPAIGN, MAILING_LIST, OPPORTUNITY, PARTICIPANT)
