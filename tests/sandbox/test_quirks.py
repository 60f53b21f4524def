"""`mpsync sandbox --quirks`: each habit through real HTTP."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from decimal import Decimal
from pathlib import Path
from typing import Any

import httpx
import pytest

from sync.sandbox.quirks import QUIRKS, TERSE, read_quirks
from sync.sandbox.server import Sandbox, introduction
from tests.sandbox.conftest import MAIN, StillClock, Vendor


@contextmanager
def quirky(*quirks: str) -> Iterator[tuple[Sandbox, Vendor, Vendor]]:
    """A sandbox with one part, 10 of it, and its item, 10 at 2; with quirks. And a client of each vendor."""
    with Sandbox(populate=False, clock=StillClock(), quirks=quirks) as sandbox:
        sandbox.mpw.add_part("1233", MAIN)
        sandbox.mpw.person_receives("1233", MAIN, 10, 2)
        sandbox.mpservices.add_product("1233", stock=10, cost=2)
        with (
            httpx.Client(base_url=sandbox.mpw_url, verify=False) as mpw,
            httpx.Client(base_url=sandbox.mpservices_url, headers={"token": sandbox.token}, verify=False) as mps,
        ):
            token = mpw.post("/authentication", data={"email": sandbox.email, "password": sandbox.password})
            mpw.headers["Authorization"] = f"Bearer {token.json()['access_token']}"
            yield sandbox, Vendor(mpw), Vendor(mps)


def patch(mps: Vendor, stock: str, cost: str = "2") -> Any:
    fields = {"external_id": "1233", "new_stock": stock, "new_cost": cost}
    return mps.call("PATCH", "/UpdateProductStockCost", data=fields)


def feed(mps: Vendor) -> Any:
    status, rows = mps.get("/FetchTenantsInventoryMovements")
    assert status == 200
    return rows


@pytest.mark.parametrize(
    ("quirk", "kept"),
    [
        ("rounded-2", "1.67"),
        ("rounded-1", "1.7"),
        ("rounded-0", "2"),
        ("cut-2", "1.66"),
        ("cut-1", "1.6"),
        ("cut-0", "1"),
    ],
)
def test_it_keeps_fewer_decimals(quirk: str, kept: str) -> None:
    with quirky(f"cost-{quirk}", f"stock-{quirk}") as (sandbox, _, mps):
        patch(mps, "1.666667", "1.666667")

        assert sandbox.mpservices.stock("1233") == Decimal(kept)
        assert [line["cost"] for line in feed(mps)[0]["movements"]] == [kept]


@pytest.mark.parametrize(
    ("quirks", "shown"),
    [((), ["10"]), (("zero-echo",), ["10", "0"]), (("no-echo",), []), (("no-op-patch",), ["10"])],
)
def test_what_a_patch_and_one_of_no_change_show(quirks: tuple[str, ...], shown: list[str]) -> None:
    with quirky(*quirks) as (sandbox, _, mps):
        assert patch(mps, "20")[0] == 200
        assert sandbox.mpservices.stock("1233") == (10 if "no-op-patch" in quirks else 20)
        assert patch(mps, "20")[0] == 200

        assert sorted(str(row["movements"][0]["quantity"]) for row in feed(mps)) == sorted(shown)


def test_a_patch_s_movement_is_of_a_type_and_has_a_reference_of_its_own() -> None:
    with quirky("unknown-types", "echo-reference") as (sandbox, _, mps):
        sandbox.mpservices.person_moves("Inbound", "1233", 1, 2, "Folio-1")
        patch(mps, "20")

        rows = {(row["type"], row["reference"]) for row in feed(mps)}
        assert rows == {("Adjustment", "API"), ("Inbound", "Folio-1")}


def test_movements_are_shown_late() -> None:
    with quirky("late-movements") as (sandbox, _, mps):
        patch(mps, "20")

        assert feed(mps) == []
        sandbox.clock.sleep(31)
        assert len(feed(mps)) == 1


def test_a_movement_s_cost_is_its_line_s_total() -> None:
    with quirky("total-costs") as (sandbox, _, mps):
        sandbox.mpservices.person_moves("Inbound", "1233", 3, "2.5")

        assert feed(mps)[0]["movements"][0]["cost"] == "7.5"


def test_the_vendors_clocks_differ() -> None:
    with quirky("mpservices-clock-ahead", "mpw-clock-behind") as (_, mpw, mps):
        patch(mps, "20")

        assert mpw.http.get("/receipts", params={"date": "2023-09-19"}).headers["date"].endswith("13:55:00 GMT")
        answer = mps.http.get("/FetchTenantsInventoryMovements")
        assert answer.headers["date"].endswith("14:05:00 GMT")
        assert answer.json()[0]["createdAt"] == "2023-09-19T14:05:00.000Z"


def receipts(mpw: Vendor, key: str = "r1") -> Any:
    return mpw.get("/receipts", api_key=key)[1]


def issuances(mpw: Vendor) -> Any:
    return mpw.get("/issuances", date="2023-09-19")[1]


def test_a_hollow_answer_hides_what_was_made() -> None:
    with quirky("hollow-answers") as (_, mpw, _):
        assert mpw.post_receipt() == (200, {"success": True})
        assert mpw.post_issuance() == (200, {"success": True})

        assert len(receipts(mpw)) == len(issuances(mpw)) == 1


@pytest.mark.parametrize("quirk", ["hollow-writes", "vanishing-rows"])
def test_a_key_s_first_post_comes_to_nothing(quirk: str) -> None:
    with quirky(quirk) as (_, mpw, _):
        first = [mpw.post_receipt(), mpw.post_issuance()]
        assert [status for status, _ in first] == [200, 200]
        assert ("id" in first[0][1]) == (quirk == "vanishing-rows")  # type: ignore[operator]
        assert (receipts(mpw), issuances(mpw)) == ([], [])

        assert [mpw.post_receipt()[0], mpw.post_issuance()[0]] == [200, 200]
        assert len(receipts(mpw)) == len(issuances(mpw)) == 1


def test_every_other_new_key_is_taken() -> None:
    with quirky("key-taken") as (_, mpw, _):
        assert receipts(mpw, "new-1")[0]["quantity_received"] == 7
        assert receipts(mpw, "new-2") == []
        status, told = mpw.post_issuance(api_key="new-3")

        assert status == 422
        assert "already exists" in told["message"]  # type: ignore[index,call-overload]
        assert [row["description"] for row in issuances(mpw)] == ["another program"]
        assert mpw.post_issuance(api_key="new-4")[0] == 200


@pytest.mark.parametrize(
    ("quirk", "quantity"), [("fractions-taken", Decimal("0.5")), ("fractions-made-whole", Decimal(1))]
)
def test_an_issuance_of_a_fraction_is_taken(quirk: str, quantity: Decimal) -> None:
    with quirky(quirk) as (_, mpw, _):
        assert mpw.post_issuance(quantity=0.5)[0] == 200

        assert issuances(mpw)[0]["quantity"] == quantity


@pytest.mark.parametrize(("quirk", "shown"), [("short-descriptions", "x" * 60), ("no-descriptions", None)])
def test_a_description_does_not_come_back_whole(quirk: str, shown: str | None) -> None:
    with quirky(quirk) as (_, mpw, _):
        mpw.post_issuance(description="x" * 100)

        assert issuances(mpw)[0]["description"] == shown


def test_refusals_are_terse() -> None:
    with quirky("strict-wordings") as (_, mpw, _):
        mpw.post_issuance()
        again, beyond, half = mpw.post_issuance(), mpw.post_issuance(api_key="i2", quantity=99), None
        half = mpw.post_issuance(api_key="i3", quantity=0.5)

        assert [told["message"] for _, told in (again, beyond, half)] == [*TERSE.values()]  # type: ignore[index,call-overload]


def test_pages_are_ignored() -> None:
    with quirky("page-ignored") as (sandbox, mpw, _):
        for _ in range(6):
            sandbox.mpw.add_order(warehouse_name=MAIN, lines=[("1233", 1, 1)])
        span = {"created_on_from": "2023-09-01", "created_on_to": "2023-09-30"}
        first, second = (mpw.get("/purchase_orders", **span, page=page)[1] for page in (1, 2))

        assert first == second
        assert len(first["purchase_orders"]) == 4  # type: ignore[index,call-overload]
        assert first["pagination"]["pageCount"] == 2  # type: ignore[index,call-overload]


@pytest.mark.parametrize("name", QUIRKS)
def test_every_quirk_changes_what_somebody_sees(name: str) -> None:
    """None is a name without an effect: the same acts, with it and without it, show something else."""
    acts: Callable[..., list[object]] = _acts

    assert acts(name) != acts()


def _acts(*quirks: str) -> list[object]:
    with quirky(*quirks) as (sandbox, mpw, mps):
        for _ in range(6):
            sandbox.mpw.add_order(warehouse_name=MAIN, lines=[("1233", 1, 1)])
        told: list[object] = [mpw.post_receipt(), receipts(mpw), mpw.post_issuance(description="x" * 100)]
        told += [mpw.post_issuance(), mpw.post_issuance(api_key="i2", quantity=0.5), issuances(mpw)]
        span = {"created_on_from": "2023-09-01", "created_on_to": "2023-09-30"}
        told += [mpw.get("/purchase_orders", **span, page=2)]
        told += [patch(mps, "20.666667", "1.666667"), patch(mps, "20.666667", "1.666667"), feed(mps)]
        told += [one.http.get("/").headers.get("date") for one in (mps,)]
        answer = mpw.http.get("/receipts", params={"date": "2023-09-19"})
        return [*told, answer.headers["date"], mps.http.get("/FetchTenantsInventoryMovements").headers["date"]]


def test_quirks_are_listed_a_line_each_and_told_at_the_start() -> None:
    program = [sys.executable, "-m", "sync", "sandbox", "--quirks", "list"]
    said = subprocess.run(program, capture_output=True, text=True, check=True).stdout

    assert [line.split()[0] for line in said.splitlines() if not line.startswith(" ")] == [*QUIRKS]
    assert max(map(len, said.splitlines())) <= 80
    assert QUIRKS["zero-echo"] in introduction(Sandbox(populate=False, quirks=("zero-echo",)))


def test_a_quirk_that_there_is_not_is_refused() -> None:
    assert read_quirks("zero-echo, no-op-patch,zero-echo") == ("zero-echo", "no-op-patch")
    with pytest.raises(ValueError, match="there is no quirk zero-ecko"):
        read_quirks("zero-ecko")

    program = [sys.executable, "-m", "sync", "sandbox", "--quirks", "zero-ecko"]
    done = subprocess.run(program, capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert "--quirks list" in done.stderr


def test_the_document_lists_every_quirk() -> None:
    page = (Path(__file__).parents[2] / "docs" / "sandbox.md").read_text(encoding="utf-8")

    assert [f"| `{name}` | {told} |" for name, told in QUIRKS.items() if f"| `{name}` | {told} |" not in page] == []
