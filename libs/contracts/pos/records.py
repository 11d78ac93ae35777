"""The records of pos: the tables of the house and the areas they stand in."""

from __future__ import annotations

from typing import Final

from libs.contracts.pos.permissions import TABLES
from libs.domain.records import Field, FieldType, RecordType

SHAPES: Final = (0, 1, 2, 3)  # rectangle, circle, square, oval

TABLE_GROUP: Final = RecordType(
    name="table_group",
    service="pos",
    table="table_groups",
    prefix="tblgrp",
    permission=TABLES,
    fields=(
        Field(name="name", type=FieldType.TEXT, required=True, searchable=True),
        Field(name="colour", type=FieldType.TEXT, max_chars=30),
        Field(name="sort_order", type=FieldType.INTEGER, default=0),
        Field(name="show_plan", type=FieldType.BOOLEAN, default=True, doc="drawn as a plan, else a list"),
        Field(name="seat_selection", type=FieldType.BOOLEAN, default=False),
    ),
)

TABLE: Final = RecordType(
    name="table",
    service="pos",
    table="tables",
    prefix="tbl",
    permission=TABLES,
    fields=(
        Field(name="number", type=FieldType.INTEGER, required=True, low=1, high=99_999, unique=True, searchable=True),
        Field(name="name", type=FieldType.TEXT, searchable=True, doc="as printed; without one, its number"),
        Field(name="group_key", type=FieldType.REFERENCE, refers="table_group"),
        Field(name="seats", type=FieldType.INTEGER, low=0, high=999, default=4),
        Field(name="shape", type=FieldType.INTEGER, choices=SHAPES, default=0),
        Field(name="width", type=FieldType.INTEGER, low=0, high=10_000, doc="pixels of the plan"),
        Field(name="height", type=FieldType.INTEGER, low=0, high=10_000),
        Field(name="x", type=FieldType.INTEGER, low=-100_000, high=100_000),
        Field(name="y", type=FieldType.INTEGER, low=-100_000, high=100_000),
        Field(name="rotation", type=FieldType.INTEGER, low=-90, high=90, default=0, doc="degrees"),
        Field(name="colour", type=FieldType.TEXT, max_chars=30),
        Field(name="sort_order", type=FieldType.INTEGER, default=0),
        Field(name="needs_cleaning", type=FieldType.BOOLEAN, default=False, doc="guests who paid leave it to be cleaned first"),
        Field(name="is_active", type=FieldType.BOOLEAN, default=True),
    ),
)
