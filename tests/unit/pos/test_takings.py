"""What stays in the house when guests hand over more than is due."""

from __future__ import annotations

import random

import pytest

from libs.contracts.pos.events import PaymentTaken
from services.pos.takings import Taking, takings

CASH, CARD, NET_CASH = 0, 1, 3


def paid(*payments: tuple[int, int]) -> list[PaymentTaken]:
    return [PaymentTaken(type=type_, amount=amount) for type_, amount in payments]


@pytest.mark.parametrize(
    ("payments", "change", "tip", "stayed"),
    [
        ([], 0, 0, ()),
        ([(CARD, 700)], 0, 0, (Taking(CARD, 700),)),
        ([(CASH, 1000)], 300, 0, (Taking(CASH, 700, 300),)),
        ([(CASH, 1000)], 250, 50, (Taking(CASH, 750, 250, 50),)),
        ([(CASH, 1000), (CARD, 500)], 100, 0, (Taking(CASH, 900, 100), Taking(CARD, 500))),
        ([(CARD, 500), (CASH, 1000)], 100, 200, (Taking(CARD, 500), Taking(CASH, 900, 100, 200))),
        ([(CASH, 500), (CARD, 1000)], 0, 200, (Taking(CASH, 500), Taking(CARD, 1000, 0, 200))),
        ([(CARD, 500), (CASH, 100)], 0, 200, (Taking(CARD, 500, 0, 100), Taking(CASH, 100, 0, 100))),
        ([(CASH, 1000), (NET_CASH, 100)], 300, 0, (Taking(CASH, 800, 200), Taking(NET_CASH, 0, 100))),
        ([(CARD, -500), (CASH, -1000)], -100, -200, (Taking(CARD, -500), Taking(CASH, -900, -100, -200))),
        ([(CASH, -450)], 0, 0, (Taking(CASH, -450),)),
        ([(CARD, -500)], 0, 100, (Taking(CARD, -500, 0, 100),)),
    ],
    ids=str,
)
def test_change_comes_out_of_the_last_cash_and_the_tip_out_of_what_came_last(
    payments: list[tuple[int, int]], change: int, tip: int, stayed: tuple[Taking, ...]
) -> None:
    assert takings(paid(*payments), change, tip) == stayed


def test_nothing_is_lost_and_a_void_is_the_mirror() -> None:
    dice = random.Random(7)
    for _ in range(500):
        given = [(dice.choice((CASH, CARD, NET_CASH)), dice.randint(1, 5000)) for _ in range(dice.randint(1, 5))]
        change = dice.randint(0, sum(amount for type_, amount in given if type_ != CARD))
        tip = dice.randint(0, sum(amount for _, amount in given) - change)
        found = takings(paid(*given), change, tip)
        assert [one.amount + one.change for one in found] == [amount for _, amount in given]
        assert (sum(one.change for one in found), sum(one.tip for one in found)) == (change, tip)
        assert all(0 <= one.tip <= one.amount and one.change >= 0 for one in found)
        assert all(not one.change for one in found if one.type == CARD)
        mirrored = takings(paid(*((type_, -amount) for type_, amount in given)), -change, -tip)
        assert mirrored == tuple(Taking(one.type, -one.amount, -one.change, -one.tip) for one in found)
