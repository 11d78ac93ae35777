"""The feed: what was said about anything, who likes it and who follows it."""

from __future__ import annotations

from typing import Final

from libs.domain.fields import ENTITIES, OBJECT, choice, json, line, moment, owner_group, owner_user, ref, ref_by, stamps, text, whose, word
from libs.domain.records import OnDelete, RecordType, Unique
from libs.domain.rules import ONE_OWNER, Distinct, Together, ValueWhen, When

FOLLOWED: Final = tuple(sorted((*ENTITIES, "records")))
FEED_RECORD_FLAG: Final = {0: "REGULAR", 1: "ASSOCONLY", 2: "MINDLOGONLY", 3: "MONITOR", 4: "FEED"}

CHANNEL: Final = RecordType(
    name="channel", resource="channels", service="crm", table="channels",
    stamped=False,
    fields=(
        *stamps(),
        line("name", required=True, search=True),
    ),
    uniques=(Unique(fields=("name",)),),
)  # fmt: skip

COMMENT: Final = RecordType(
    name="comment", resource="comments", service="crm", table="comments",
    creator_writes=True,
    parents=("record",), stamped=False,
    fields=(
        *stamps(),
        ref("record", "records", OnDelete.DELETE, required=True),
        line("sender", "as shown"),
        text("text", "Markdown"),
    ),
)  # fmt: skip

CHANNEL_ENTRY: Final = RecordType(
    name="channel_entry", resource="entities2channels", service="crm", table="entities2channels",
    parents=("channel",), stamped=False,
    fields=(
        ref("channel", "channels", OnDelete.DELETE, required=True),
        *stamps(),
        word("entity", ENTITIES, required=True),
        ref_by("index", "entity", required=True),
    ),
    uniques=(Unique(fields=("entity", "index")),),
)  # fmt: skip

FOLLOW: Final = RecordType(
    name="follow", resource="follows", service="crm", table="follows",
    creator_writes=True, stamped=False,
    fields=(
        *whose("who follows"),
        word("entity", FOLLOWED, required=True),
        ref_by("index", "entity", required=True),
    ),
    uniques=(Unique(fields=("entity", "creator", "index")),),
)  # fmt: skip

LIKE: Final = RecordType(
    name="like", resource="likes", service="crm", table="likes",
    creator_writes=True,
    parents=("record",), stamped=False,
    fields=(
        *whose("who likes it"),
        ref("record", "records", OnDelete.DELETE, required=True),
    ),
    uniques=(Unique(fields=("record", "creator")),),
)  # fmt: skip

FEED_RECORD: Final = RecordType(
    name="feed_record", resource="records", service="crm", table="records",
    creator_writes=True,
    tags=True, unsearched=When("flag", (3,)),
    fields=(
        ref("assigneduser", "users", OnDelete.DELETE, "whom it is for"),
        *stamps(),
        moment("date", on_create=True),
        word("entity", ENTITIES),
        choice("flag", FEED_RECORD_FLAG, "clients write any but 3, which Theke itself writes about rows that are followed"),
        ref_by("index", "entity"),
        json("meta", "what an application notes about it", as_text=True, shape=OBJECT),
        owner_group(),
        owner_user(),
        line("sender", "as shown", search=True),
        text("text", "Markdown", search=True),
    ),
    rules=(
        Distinct("assigneduser", "creator"),
        ValueWhen("flag", 0, When("entity", (None,))),
        Together(("entity", "index")),
        ONE_OWNER,
    ),
)  # fmt: skip

RECORDS: Final = (CHANNEL, COMMENT, CHANNEL_ENTRY, FOLLOW, LIKE, FEED_RECORD)
