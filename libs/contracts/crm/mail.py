"""Messages, and the servers that mail, contacts, calendars and feeds come from."""

from __future__ import annotations

from typing import Final

from libs.domain.fields import (
    ACTIVITY,
    OBJECT,
    TEXT_MAX_CHARS,
    URL_MAX_CHARS,
    choice,
    file,
    flag,
    json,
    line,
    listed,
    moment,
    owner_group,
    owner_user,
    ref,
    stamps,
    text,
    whole,
    whose,
)
from libs.domain.records import OnDelete, RecordType, Unique
from libs.domain.rules import ONE_OWNER, AtMostOne, Distinct, OnlyWhen, When

DAV_SERVER_TYPE: Final = {0: "CONTACTS", 1: "TASKS", 2: "APPOINTMENTS"}
MESSAGE_MAILBOX: Final = {0: "INBOX", 1: "DRAFTS", 2: "SENT", 3: "TEMPLATES", 4: "MAILINGS", 5: "ARCHIVE", 6: "TRASH", 7: "JUNK"}

DAV_SERVER: Final = RecordType(
    name="dav_server", resource="davservers", service="crm", table="davservers",
    tags=True, extdata=True,
    fields=(
        choice("activity", ACTIVITY),
        *stamps(),
        line("ctag", "state of the collection"),
        text("description"),
        line("name", required=True, search=True),
        owner_group(),
        owner_user(),
        ref("recipientgroup", "groups"),
        ref("recipientuser", "users"),
        line("synctoken", "RFC 6578"),
        choice("type", DAV_SERVER_TYPE, fixed=True),
        line("url", required=True, max_chars=URL_MAX_CHARS, search=True, fixed=True),
        line("username"),
    ),
    rules=(
        AtMostOne(("recipientgroup", "recipientuser")),
        ONE_OWNER,
    ),
)  # fmt: skip

FEED_SERVER: Final = RecordType(
    name="feed_server", resource="feedservers", service="crm", table="feedservers",
    tags=True, extdata=True,
    fields=(
        choice("activity", ACTIVITY),
        ref("channel", "channels", doc="where new records go"),
        *stamps(),
        text("description"),
        line("etag", "of the feed as it was last read"),
        line("name", required=True, search=True),
        flag("notify", "tell of new records"),
        owner_group(),
        owner_user(),
        ref("recipientgroup", "groups"),
        ref("recipientuser", "users"),
        line("url", required=True, max_chars=URL_MAX_CHARS, search=True),
        line("username"),
    ),
    rules=(
        AtMostOne(("recipientgroup", "recipientuser")),
        ONE_OWNER,
    ),
)  # fmt: skip

MAIL_SERVER: Final = RecordType(
    name="mail_server", resource="mailservers", service="crm", table="mailservers",
    tags=True, extdata=True,
    fields=(
        choice("activity", ACTIVITY),
        file("autoreplybinfile", "the answer to all that comes in"),
        *stamps(),
        text("description"),
        json("folders", "per IMAP folder the number of its mailbox and a tag", as_text=True, shape=OBJECT),
        line("name", required=True, search=True),
        owner_group(),
        owner_user(),
        ref("recipientgroup", "groups"),
        ref("recipientuser", "users"),
        line("sender", "name and address", search=True),
        line("serverin", search=True),
        line("serverout", search=True),
        file("signaturebinfile", "below all that goes out"),
        json("ticketing", "values of tickets made of mail", as_text=True, shape=OBJECT),
        line("usernamein"),
        line("usernameout"),
    ),
    rules=(
        AtMostOne(("recipientgroup", "recipientuser")),
        ONE_OWNER,
    ),
)  # fmt: skip

MESSAGE_READ: Final = RecordType(
    name="message_read", resource="messagereads", service="crm", table="messagereads",
    read=("messages",), write=("messages",), creator_writes=True,
    parents=("message",), stamped=False,
    fields=(
        *whose("who read it"),
        ref("message", "messages", OnDelete.DELETE, required=True),
    ),
    uniques=(Unique(fields=("message", "creator")),),
)  # fmt: skip

MESSAGE: Final = RecordType(
    name="message", resource="messages", service="crm", table="messages",
    read=("messages",), write=("messages",),
    tags=True, extdata=True,
    fields=(
        listed("attachments", str, "file names"),
        line("bcc", max_chars=TEXT_MAX_CHARS),
        file("binfile"),
        line("cc", max_chars=TEXT_MAX_CHARS),
        line("contenttype", "of the file"),
        *stamps(),
        moment("date", on_create=True),
        choice("mailbox", MESSAGE_MAILBOX),
        ref("mailinglist", "mailinglists"),
        ref("mailserver", "mailservers"),
        ref("opportunity", "opportunities"),
        owner_group(),
        owner_user(),
        ref("reference", "messages", doc="the one it answers"),
        moment("senddate", "when it is to be sent"),
        line("sender", "name and address", search=True),
        line("sender_email"),
        line("sender_name"),
        text("senderror", "why it could not be sent"),
        whole("size", "bytes", low=0),
        line("subject", search=True),
        text("text", "as plain text"),
        ref("ticket", "tickets"),
        line("to", max_chars=TEXT_MAX_CHARS, search=True),
        whole("to_count", "recipients, without copies", low=0),
        line("to_email", "of the first recipient"),
        line("to_name", "of the first recipient"),
        flag("verified", "the sender is who it says"),
    ),
    rules=(
        AtMostOne(("opportunity", "ticket")),
        Distinct("reference", "ID"),
        OnlyWhen("senderror", When("senddate", (None,), otherwise=True)),
        ONE_OWNER,
    ),
)  # fmt: skip

RECORDS: Final = (DAV_SERVER, FEED_SERVER, MAIL_SERVER, MESSAGE_READ, MESSAGE)
