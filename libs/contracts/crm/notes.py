"""What is kept for later: notes, links, files, and whatever else an application keeps."""

from __future__ import annotations

from typing import Final

from libs.domain.fields import (
    MEDIA_TYPE,
    URL_MAX_CHARS,
    VISIBILITY,
    choice,
    file,
    hidden,
    json,
    line,
    listed,
    owner_group,
    owner_user,
    ref,
    secret,
    stamps,
    text,
    whole,
)
from libs.domain.records import OnDelete, RecordType
from libs.domain.rules import ONE_OWNER, ExactlyOne

BINFILE: Final = RecordType(
    name="binfile", resource="binfiles", service="crm", table="binfiles",
    write=None, stamped=False,
    fields=(
        line("hash", "MD5, as \\x and 32 hexadecimal digits", required=True),
        hidden("named_by", "the resource of the row that it was made with"),
        hidden("sha256", "under which its content is found"),
        whole("size", "bytes", low=1, required=True),
    ),
    indexes=(("sha256",),), revision=2,
)  # fmt: skip

ATTACHMENT: Final = RecordType(
    name="attachment", resource="files", service="crm", table="files",
    parents=("comment", "record"), any_parent=True, stamped=False,
    fields=(
        file("binfile"),
        ref("comment", "comments", OnDelete.DELETE),
        *stamps(),
        line("filename", search=True),
        line("mimetype", pattern=MEDIA_TYPE, default="application/octet-stream"),
        ref("record", "records", OnDelete.DELETE),
        whole("size", "bytes", low=0),
    ),
    rules=(ExactlyOne(("comment", "record")),),
)  # fmt: skip

LINK: Final = RecordType(
    name="link", resource="links", service="crm", table="links",
    read=("links",), write=None,
    fields=(
        ref("assigneduser", "users"),
        *stamps(),
        text("description"),
        line("name", required=True, search=True),
        owner_group(),
        owner_user(),
        secret("password"),
        line("url", max_chars=URL_MAX_CHARS, search=True),
        line("username"),
        choice("visibility", VISIBILITY),
        whole("visits"),
    ),
    rules=(ONE_OWNER,),
)  # fmt: skip

NOTE: Final = RecordType(
    name="note", resource="notes", service="crm", table="notes",
    read=("notes",), write=("notes",),
    tags=True, extdata=True,
    fields=(
        ref("assigneduser", "users"),
        listed("attachments", str, "file names"),
        file("binfile"),
        line("contenttype", "of the file"),
        *stamps(),
        text("description"),
        line("name", required=True, search=True),
        owner_group(),
        owner_user(),
        whole("size", "bytes", low=0),
        text("text", "as plain text"),
        choice("visibility", VISIBILITY),
    ),
    rules=(ONE_OWNER,),
)  # fmt: skip

CUSTOM_OBJECT: Final = RecordType(
    name="custom_object", resource="objects", service="crm", table="objects",
    tags=True, extdata=True,
    fields=(
        ref("assigneduser", "users"),
        file("binfile"),
        *stamps(),
        json("data", "an object or a list", as_text=True),
        text("description"),
        line("entity", "what kind of object, in the words of the application", required=True),
        line("name", required=True, search=True),
        owner_group(),
        owner_user(),
        choice("visibility", VISIBILITY),
    ),
    rules=(ONE_OWNER,),
)  # fmt: skip

RECORDS: Final = (BINFILE, ATTACHMENT, LINK, NOTE, CUSTOM_OBJECT)
