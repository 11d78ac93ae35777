"""What goes with what, and the categories it is sorted into."""

from __future__ import annotations

from typing import Final

from libs.domain.fields import ENTITIES, OBJECT, json, line, owner_group, owner_user, ref_by, stamps, word
from libs.domain.records import RecordType, Unique
from libs.domain.rules import ONE_OWNER

ASSOCIATION: Final = RecordType(
    name="association", resource="associations", service="crm", table="associations",
    stamped=False,
    fields=(
        *stamps(),
        word("entity1", ENTITIES, required=True),
        word("entity2", ENTITIES, required=True),
        ref_by("index1", "entity1", required=True),
        ref_by("index2", "entity2", required=True),
        json("meta", "what an application notes about it", as_text=True, shape=OBJECT),
    ),
    uniques=(Unique(fields=("entity1", "index1", "entity2", "index2"), unordered=True),),
)  # fmt: skip

CATEGORY: Final = RecordType(
    name="category", resource="categories", service="crm", table="categories",
    stamped=False,
    fields=(
        *stamps(),
        line("entity", required=True),
        line("name", required=True),
        owner_group(),
        owner_user(),
    ),
    uniques=(Unique(fields=("entity", "name", "ownergroup", "owneruser"), nulls=True),),
    rules=(ONE_OWNER,),
)  # fmt: skip

RECORDS: Final = (ASSOCIATION, CATEGORY)
