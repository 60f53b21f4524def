"""An order is read again just before and just after its approval: what was expected is compared at its decimals."""

from __future__ import annotations

from decimal import Decimal

import pytest

from sync.reconcile.approval_terms import Terms, changes


@pytest.mark.parametrize(
    ("expected", "same"), [("33.33", True), ("33.3333", True), ("33.3330", False), ("33", False), ("ten", False)]
)
def test_what_the_erp_expected_is_compared_at_its_decimals(expected: str, same: bool) -> None:
    told = changes({"expected_total": expected}, Terms(Decimal("33.333300"), "d"))

    assert (told is None) is same
