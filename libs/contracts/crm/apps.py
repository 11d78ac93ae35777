"""The parts of applications: pages, services and widgets. Clients only read them."""

from __future__ import annotations

from typing import Final

from libs.contracts.line_items import NAMES_BY_LANGUAGE
from libs.domain.fields import (
    ACTIVITY,
    COLOUR,
    IDENTIFIER,
    IDENTIFIER_MAX_CHARS,
    MEDIA_TYPE,
    TEXT_MAX_CHARS,
    choice,
    flag,
    json,
    line,
    ref,
    stamps,
    whole,
    word,
)
from libs.domain.records import OnDelete, RecordType, Unique
from libs.domain.rules import OnlyWhen, When

CODE_TYPES: Final = ("application/ixml+xml", "text/x-zymba")
APP_SERVICE_TYPE: Final = {
    0: "TIMING",
    1: "REMOTECALL",
    2: "AFTERCREATION",
    3: "BEFOREMODIFICATION",
    4: "AFTERMODIFICATION",
    5: "AFTERCREATIONORMODIFICATION",
    6: "BEFOREDELETION",
    7: "AFTERDELETION",
}
WEBLET_TYPE: Final = {
    0: "INTEGRATED",
    1: "STANDALONE",
    2: "DETACHED",
    3: "POPUP_FRAMED",
    4: "POPUP_PLAIN",
    5: "EMBEDDED_FRAMED",
    6: "EMBEDDED_COLLAPSED",
    7: "EMBEDDED_PLAIN",
}

APP_RESOURCE: Final = RecordType(
    name="app_resource", resource="resources", service="crm", table="resources",
    read=("dev",), write=None,
    fields=(
        choice("activity", ACTIVITY),
        ref("application", "applications", OnDelete.DELETE, "null: it stands alone"),
        *stamps(),
        line("identifier", required=True, max_chars=IDENTIFIER_MAX_CHARS, pattern=IDENTIFIER, search=True),
        line("mimetype", pattern=MEDIA_TYPE, default="text/x-zymba"),
        line("name", required=True, search=True),
        flag("public", "anybody may get it"),
    ),
    uniques=(Unique(fields=("identifier",)),),
)  # fmt: skip

APP_SERVICE: Final = RecordType(
    name="app_service", resource="services", service="crm", table="services",
    read=("dev",), write=None,
    fields=(
        choice("activity", ACTIVITY),
        ref("application", "applications", OnDelete.DELETE, "null: it stands alone"),
        *stamps(),
        line("entity", "whose rows it runs for"),
        line("identifier", required=True, max_chars=IDENTIFIER_MAX_CHARS, pattern=IDENTIFIER, search=True),
        whole("interval", "minutes between two runs", low=1, high=1440, default=1),
        word("mimetype", CODE_TYPES, default="text/x-zymba"),
        line("name", required=True, search=True),
        whole("schedule", "minute of the day", low=0),
        choice("type", APP_SERVICE_TYPE, default=None),
    ),
    uniques=(Unique(fields=("identifier",)),),
    rules=(
        OnlyWhen("entity", When("type", (2, 3, 4, 5, 6, 7))),
        OnlyWhen("interval", When("type", (0,)), blank=1),
        OnlyWhen("schedule", When("type", (0,)), blank=0),
    ),
)  # fmt: skip

WEBLET: Final = RecordType(
    name="weblet", resource="weblets", service="crm", table="weblets",
    read=("dev",), write=None,
    fields=(
        choice("activity", ACTIVITY),
        ref("application", "applications", OnDelete.DELETE, "null: it stands alone"),
        line("color", "hexadecimal, without #", pattern=COLOUR),
        *stamps(),
        whole("height", "pixels; 0: all there is", low=0, high=32767),
        line("identifier", required=True, max_chars=IDENTIFIER_MAX_CHARS, pattern=IDENTIFIER, search=True),
        json("langaliases", "names by language", shape=NAMES_BY_LANGUAGE),
        word("mimetype", CODE_TYPES, default="text/x-zymba"),
        line("name", required=True, search=True),
        line("svgpath", "of its icon, a square", max_chars=TEXT_MAX_CHARS),
        choice("type", WEBLET_TYPE),
        line("view", "where it is shown"),
        whole("width", "pixels; 0: all there is", low=0, high=32767),
    ),
    uniques=(Unique(fields=("identifier",)),),
)  # fmt: skip

RECORDS: Final = (APP_RESOURCE, APP_SERVICE, WEBLET)
