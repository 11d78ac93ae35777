"""The domain's names in this dialect: camelCase, and a word of its own for a few things."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

NAMES: Final[Mapping[str, str]] = {
    "area_key": "areaId",
    "article": "articleId",
    "article_key": "articleId",
    "customer": "customerId",
    "group_key": "groupId",
    "line": "id",
    "option": "optionId",
    "option_template_keys": "optionTemplateIds",
    "parent_key": "parentId",
    "receipt": "id",
    "register": "registerId",
    "sources": "tableIds",
    "table": "tableId",
    "counted": "countedCash",
    "confirmed": "confirm",
    "through": "date",
    "staff": "staffId",
    "text": "q",
    "target": "targetTableId",
    "waiter": "staffId",
    "colour": "color",
    "rights": "cashPointRights",
    "nopublic": "noPublic",
    "apionly": "apiOnly",
    "needs_cleaning": "cleaningRequired",
}


def dialect_name(name: str) -> str:
    """``tax_class`` → ``taxClass``, ``group_key`` → ``groupId``; an index (``items[0]``) stays."""
    word, bracket, index = name.partition("[")
    if word in NAMES:
        return NAMES[word] + bracket + index
    first, *rest = word.split("_")
    return first + "".join(part.capitalize() for part in rest) + bracket + index
