"""Articles as the ERP sees them: items. One table says which column shows what, and which field a write of it goes to."""

from __future__ import annotations

from typing import Final

from libs.domain.resources import Column, ColumnType, Join, Resource

TODAY: Final = "(now() at time zone 'Europe/Berlin')::date"  # business days may begin later; rates change at new year
TAX_RATE_TODAY: Final = (
    "(select r.rate from {inventory.tax_rates} r where r.instance = $1 and r.tax_class = @.tax_class "
    f"and r.valid_from <= {TODAY} order by r.valid_from desc limit 1)"
)
VISIBILITY: Final = {0: "REGULAR", 1: "ARCHIVED"}


def _text(name: str, field: str, doc: str, *, order: str = "") -> Column:
    """A text of an item is never null."""
    return Column(name=name, type=ColumnType.TEXT, sql=f"coalesce(@.{field}, '')", order=order, field=field, doc=doc)


def _number(name: str, field: str, doc: str) -> Column:
    return Column(name=name, type=ColumnType.NUMBER, sql=f"coalesce(@.{field}, 0)", field=field, doc=doc)


def _time(name: str, column: str, doc: str) -> Column:
    return Column(name=name, type=ColumnType.TIME, sql=f"floor(extract(epoch from @.{column}))::bigint", doc=doc)


ITEMS: Final = Resource(
    name="items",
    table="inventory.articles",
    type="article",
    read=("inventory",),
    keyed=True,
    columns=(
        Column(name="ID", type=ColumnType.INTEGER, sql="@.id", doc="the article's number, given out by Theke"),
        _text("barcode", "barcode", "EAN"),
        _time("creationdate", "created_at", "only read"),
        Column(
            name="creator",
            type=ColumnType.INTEGER,
            sql="(select u.id from {auth.users} u where u.instance = $1 and u.key = @.creator)",
            doc="only read; null if Theke itself made it",
        ),
        _text("description", "description", "up to 2,000 characters"),
        _text("itemnum", "plu", "the article's number at the till (PLU), unique"),
        _time("lastmodified", "changed_at", "set by Theke, ignored in writes"),
        _text("manufacturer", "manufacturer", "up to 100 characters"),
        _text("name", "name", "required", order="@.name_order"),
        _number("purchaseprice", "purchase_price", "per unit"),
        _number("sellingprice", "price", "gross, per unit: what the till charges"),
        Column(
            name="taxrate",
            type=ColumnType.NUMBER,
            sql=f"coalesce({TAX_RATE_TODAY}, 0)",
            field="tax_class",
            doc="percent; the article's tax class is the first whose rate this is today",
        ),
        _text("unit", "unit", "up to 20 characters"),
        Column(
            name="visibility",
            type=ColumnType.INTEGER,
            sql="(case when @.is_active then 0 else 1 end)",
            field="is_active",
            choices=VISIBILITY,
            doc="0 REGULAR: sold; 1 ARCHIVED: not sold",
        ),
        _number("weight", "weight", "kilograms per unit"),
    ),
    joins={"creator": Join(resource="users", on="@.key = t.creator")},
    search="@.search_text",
)
# what items have in the ERP's own schema and articles do not
MISSING: Final = ("applicability", "forcestock", "foreigntaxrates", "model", "ownergroup", "picbinfile", "subitems", "type")
