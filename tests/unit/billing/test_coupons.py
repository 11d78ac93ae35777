"""A code belongs to nobody else, and is used once while it is valid."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from libs.domain.errors import Kind
from libs.records.numbered import Change, Create
from services.billing.records import ERP
from tests.unit.desk import Desk
from tests.unit.given import NOON

NOW = int(NOON.timestamp())
DAY = 86_400
BOOKED, RESERVED, CANCELLED = 0, 1, 2


class Coupons(Desk):
    def __init__(self) -> None:
        super().__init__(ERP.family)
        self.coupon = self.create("coupon", name="Gutschein", type=1)
        self.first, self.second = (self.create("transaction", transactionnum=num, type=3, currency="EUR") for num in ("R-1", "R-2"))

    def code(self, code: str = "AB-1", **values: Any) -> int:
        return self.create("coupon_code", coupon=values.pop("coupon", self.coupon), code=code, **values)

    def why_not(self, code: int, **values: Any) -> str:
        refusal = self.refused("coupon_code.change", Change(id=code, values=values))
        assert refusal.kind is Kind.CONFLICT, refusal
        return refusal.reason


@pytest.fixture
def desk() -> Coupons:
    return Coupons()


def test_a_code_is_used_once(desk: Coupons) -> None:
    code = desk.code()
    desk.change("coupon_code", code, transaction=desk.first)
    assert desk.why_not(code, transaction=desk.second) == "coupon_used"
    assert desk.why_not(code, flag=RESERVED) == "coupon_used"  # or it could be moved on from there
    desk.change("coupon_code", code, transaction=desk.first, value=5)  # the same use
    desk.change("coupon_code", code, transaction=None)  # taken back
    desk.change("coupon_code", code, transaction=desk.second)


def test_a_reservation_goes_on_to_the_invoice(desk: Coupons) -> None:
    code = desk.code(flag=RESERVED, transaction=desk.first)
    desk.change("coupon_code", code, transaction=desk.second, flag=BOOKED)
    assert desk.why_not(code, transaction=desk.first) == "coupon_used"


def test_a_code_whose_transaction_is_deleted_is_free_again(desk: Coupons) -> None:
    code = desk.code(transaction=desk.first)
    desk.delete("transaction", desk.first)
    desk.change("coupon_code", code, transaction=desk.second)


@pytest.mark.parametrize("of", ["code", "coupon"])
@pytest.mark.parametrize(
    ("begins", "ends", "valid"), [(-1, 1, True), (0, 0, True), (1, 2, False), (-2, -1, False), (None, -1, False), (1, None, False)]
)
def test_a_code_is_used_while_it_and_its_coupon_are_valid(
    desk: Coupons, of: str, begins: int | None, ends: int | None, valid: bool
) -> None:
    days = {"datefrom": begins, "dateto": ends}
    window = {name: None if day is None else NOW + day * DAY for name, day in days.items()}
    code = desk.code(**window if of == "code" else {})
    if of == "coupon":
        desk.change("coupon", desk.coupon, **window)
    if valid:
        desk.change("coupon_code", code, transaction=desk.first)
    else:
        assert desk.why_not(code, transaction=desk.first) == "coupon_not_valid"


def test_what_was_used_stays_used_when_its_time_is_over(desk: Coupons) -> None:
    code = desk.code(dateto=NOW + DAY, transaction=desk.first)
    desk.at = NOON + timedelta(days=2)
    desk.change("coupon_code", code, value=3)
    desk.code("AB-2", dateto=NOW + DAY, date=NOW, transaction=desk.second)  # history that is brought in
    refusal = desk.refused(
        "coupon_code.create", Create(values={"coupon": desk.coupon, "code": "X", "dateto": NOW, "transaction": desk.first})
    )
    assert refusal.reason == "coupon_not_valid"


def test_nothing_cancelled_or_deactivated_is_used(desk: Coupons) -> None:
    code = desk.code(flag=CANCELLED)
    assert desk.why_not(code, transaction=desk.first) == "coupon_inactive"
    used = desk.code("AB-2", transaction=desk.first)
    desk.change("coupon_code", used, flag=CANCELLED)
    desk.change("coupon", desk.coupon, activity=1)
    assert desk.why_not(used, flag=BOOKED) == "coupon_inactive"
    assert desk.why_not(desk.code("AB-3"), transaction=desk.first) == "coupon_inactive"


def test_a_code_is_none_of_the_promotions_either(desk: Coupons) -> None:
    desk.create("coupon", name="Sommer", type=0, code="SUMMER")
    assert desk.refused("coupon_code.create", Create(values={"coupon": desk.coupon, "code": "SUMMER"})).reason == "claim_taken"
    code = desk.code("AB-9")
    refusal = desk.refused("coupon.create", Create(values={"name": "Herbst", "type": 0, "code": "AB-9"}))
    assert (refusal.reason, refusal.params["scope"]) == ("claim_taken", "coupon.code")
    desk.change("coupon_code", code, flag=CANCELLED)
    desk.create("coupon", name="Herbst", type=0, code="AB-9")
    assert desk.refused("coupon_code.change", Change(id=code, values={"flag": BOOKED})).reason == "claim_taken"
