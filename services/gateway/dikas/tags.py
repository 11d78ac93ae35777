"""ETags: ``"<record>"``, or ``"<record>-<rest>"`` where an answer also shows what is no part of the record (a table's guests, values
inherited from a group). If-None-Match compares all of it; If-Match compares the record, which is what a write would change."""

from __future__ import annotations

import re
from hashlib import md5
from typing import Any, Final

from libs.domain.errors import FieldError, invalid
from libs.domain.etags import etag
from services.gateway.dikas.call import Call
from services.gateway.dikas.params import IF_MATCH, IF_NONE_MATCH, Param

TAGS_MAX: Final = 20
REST_CHARS: Final = 8
_TAGS: Final = re.compile(r'\s*(?:W/)?"[\x21\x23-\x7e]{0,100}"\s*(?:,\s*(?:W/)?"[\x21\x23-\x7e]{0,100}"\s*)*')
_TAG: Final = re.compile(r'(W/)?"([^"]*)"')
ANYTHING: Final = "*"


def tag(call: Call, type_: str, view: Any, *, live: bool) -> None:
    """Gives the answer the tag of this view."""
    call.tag, call.tag_live = etag(call.principal.instance, type_, view.id, view.version), live


def tag_shown(call: Call, type_: str, key: str) -> None:
    """Gives the answer a tag over all it shows: for what nobody edits, but more may become of (a receipt is voided, a shift settled)."""
    call.tag, call.tag_live = etag(call.principal.instance, type_, key, 0), True


def of_answer(call: Call, body: bytes) -> str:
    rest = f"-{md5(body, usedforsecurity=False).hexdigest()[:REST_CHARS]}" if call.tag_live else ""
    return f'"{call.tag}{rest}"'


def if_match(call: Call) -> tuple[str, ...]:
    """The records' tags of which one must be that of the record; none if anything will do. Raises ``invalid``."""
    found = _named(call, IF_MATCH)
    if found is None or ANYTHING in found:
        return ()
    return tuple(dict.fromkeys(text.partition("-")[0] for weak, text in found if not weak)) or ("",)  # a weak tag matches nothing


def has_already(call: Call, whole: str) -> bool:
    found = _named(call, IF_NONE_MATCH)
    return found is not None and (ANYTHING in found or any(f'"{text}"' == whole for _, text in found))


def _named(call: Call, header: Param) -> Any:
    """The tags of a header as (weak, text), or the word for anything; None without the header."""
    text = call.header(header)
    if text is None:
        return None
    if text.strip() == ANYTHING:
        return (ANYTHING,)
    found = _TAG.findall(text) if _TAGS.fullmatch(text) else []
    if not 1 <= len(found) <= TAGS_MAX:
        raise invalid(FieldError(header.name, "not_a_tag"))
    return found
