"""Reading lists: whole or nothing, good rows land, bad ones are kept with their reason."""

from __future__ import annotations

import json
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sync.clients.http import decode
from sync.clients.mpw.wire import Issuance, read_issuances, read_receipts
from sync.clients.rows import BAD_ROWS_MAX, Parsed
from sync.errors import MalformedResponseError

ROW: dict[str, object] = {
    "id": 1,
    "part_number": "P1",
    "created_on": "2026-03-01",
    "quantity": 2.0,
    "unit_cost": 9.99,
    "overdraft": False,
    "description": "d",
    "warehouse_name": "WH",
    "inventory_name": "name",
}


def issuance(**changes: object) -> dict[str, object]:
    return ROW | changes


def read(*rows: object) -> Parsed[Issuance]:
    return read_issuances(json.dumps(list(rows)).encode())


def only(parsed: Parsed[Issuance]) -> Issuance:
    assert parsed.bad == []
    (row,) = parsed.rows
    return row


def reason(**changes: object) -> str:
    parsed = read(issuance(**changes), issuance(id=2))
    assert [row.id for row in parsed.rows] == ["2"], "the good row lands"
    (bad,) = parsed.bad
    return bad.reason


def test_numbers_keep_every_digit_and_integers_their_size() -> None:
    assert decode(b'{"a":1.10,"b":123456789012345678901234567890,"c":1e-7}') == {
        "a": Decimal("1.10"),
        "b": 123456789012345678901234567890,
        "c": Decimal("1e-7"),
    }


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"NaN",
        b"[Infinity]",
        b"[1,]",
        b"[1",
        b"<html>",
        b'"\xff"',
        b"[" * 500_000,
        b'{"a":' * 500_000,
        b"9" * 9000,
        b"1e99999999999999999999",
        '{"a":”b”}'.encode(),
    ],
)
def test_what_is_no_json_is_a_value_error_with_a_reason(body: bytes) -> None:
    with pytest.raises(ValueError, match=r"."):
        decode(body)


@given(st.binary(max_size=60))
def test_no_bytes_make_the_readers_fail_otherwise(body: bytes) -> None:
    try:
        parsed = read_issuances(body)
    except MalformedResponseError:
        return
    assert parsed.rows == []


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
        lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(list(ROW)), inner, max_size=9),
        max_leaves=12,
    )
)
def test_an_odd_element_never_costs_its_neighbour(element: object) -> None:
    parsed = read(element, issuance(id=987654321987654321))

    assert parsed.rows[-1].id == "987654321987654321"
    assert len(parsed.rows) + len(parsed.bad) == 2


@pytest.mark.parametrize(
    ("body", "says"),
    [
        (b'{"message":"Unauthorized"}', "Unauthorized"),
        (b'{"Errors":["no access"]}', "no access"),
        (b'{"issuances":[]}', "an object"),
        (b"null", "null"),
        (b'"text"', "a text"),
        (b"7", "a number"),
        (b"", "no whole JSON"),
        (b"<!DOCTYPE html><title>Log in</title>", "an HTML page"),
        (b'[{"id":1,"part_number":"P1"', "no whole JSON"),
        (b"[NaN,", "no whole JSON"),
        (b"[1 NaN]", "no whole JSON"),
        (b"[1,NaN,]", "no whole JSON"),
        (b"[NaN]]", "no whole JSON"),
    ],
)
def test_an_answer_that_is_no_whole_list_changes_nothing(body: bytes, says: str) -> None:
    with pytest.raises(MalformedResponseError) as caught:
        read_issuances(body)

    assert says in caught.value.message
    assert caught.value.body == body.decode()[:2000]


def test_an_empty_list_is_an_answer() -> None:
    assert read_issuances(b" [ ] ") == Parsed()
    assert read_issuances(b"\xef\xbb\xbf[]") == Parsed()


def test_more_bad_rows_than_anyone_can_look_at_are_no_list_with_bad_rows() -> None:
    good = json.dumps(issuance()).encode()
    bad = b",".join(b"%d" % n for n in range(BAD_ROWS_MAX))

    parsed = read_issuances(b"[" + good + b"," + bad + b"]")
    with pytest.raises(
        MalformedResponseError, match="5000 of its rows cannot be read, the first because not an object"
    ):
        read_issuances(b"[" + good + b"," + bad + b",7]")

    assert (len(parsed.rows), len(parsed.bad)) == (1, BAD_ROWS_MAX)


@pytest.mark.parametrize("element", [b"NaN", b'{"id":5,"quantity":NaN}', b'{"a":"\\ud800"}', b'{"a":"\xff"}', b"7"])
def test_an_element_that_is_no_json_to_the_letter_costs_only_itself(element: bytes) -> None:
    good = json.dumps(issuance(description="ü]}")).encode()

    parsed = read_issuances(b"[ " + good + b" ,\n" + element + b", " + good.replace(b'"id": 1', b'"id": 2') + b" ]")

    assert [row.id for row in parsed.rows] == ["1", "2"]
    assert parsed.rows[0].description == "ü]}"
    assert len(parsed.bad) == 1


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"id": None}, "id is null"),
        ({"id": ""}, "id is empty"),
        ({"id": True}, "id is not usable"),
        ({"id": {}}, "id is not usable"),
        ({"part_number": ""}, "part_number is empty"),
        ({"part_number": "  "}, "part_number is not usable"),
        ({"part_number": None}, "part_number is null"),
        ({"part_number": ["x"]}, "part_number is not a text but a list"),
        ({"part_number": "a\x00b"}, "part_number holds a NUL"),
        ({"warehouse_name": None}, "warehouse_name is null"),
        ({"quantity": None}, "quantity is null"),
        ({"quantity": "two"}, "quantity: not a number"),
        ({"quantity": True}, "quantity: not a number"),
        ({"quantity": 10**20}, "quantity: too large"),
        ({"unit_cost": None}, "unit_cost is null"),
        ({"unit_cost": {}}, "unit_cost: not a number"),
        ({"created_on": None}, "created_on is null"),
        ({"created_on": "01.03.2026"}, "created_on: no date"),
        ({"created_on": "2026-3-1"}, "created_on: no date"),
        ({"created_on": "2026-02-30"}, "created_on: "),
        ({"created_on": "20260301"}, "created_on: no date"),
        ({"created_on": 20260301}, "created_on is not a date"),
        ({"overdraft": "perhaps"}, "overdraft is neither"),
        ({"description": {"a": 1}}, "description is not a text"),
    ],
)
def test_a_row_that_does_not_read_is_kept_with_its_reason(changes: dict[str, object], said: str) -> None:
    assert reason(**changes).startswith(said)


def test_a_missing_field_is_said_to_be_missing() -> None:
    row = {key: value for key, value in ROW.items() if key != "unit_cost"}

    (bad,) = read(row).bad

    assert (bad.reason, bad.remote_id) == ("unit_cost is missing", "1")


def test_a_bad_row_keeps_its_exact_text_up_to_64_kib() -> None:
    exact = '{ "id" : 7,  "quantity":2.50, "Ümlaut":"\\u00fc" }'

    (bad,) = read_issuances(f"[{exact}]".encode()).bad
    (long,) = read({"x": "y" * 100_000}).bad

    assert (bad.raw, bad.remote_id) == (exact, "7")
    assert len(long.raw) == 64 * 1024


def test_a_row_keeps_its_exact_text_with_unknown_fields() -> None:
    exact = '{ "new":{"a":[1.0]},' + json.dumps(ROW)[1:-1] + " }"

    assert only(read_issuances(f"[{exact}]".encode())).raw == exact


def test_the_case_of_field_names_does_not_matter() -> None:
    odd = {key.title(): value for key, value in ROW.items()}

    assert only(read(odd)).digest == only(read(ROW)).digest


@pytest.mark.parametrize("twin", ['"quantity":3', '"Quantity":2.0'])
def test_a_field_that_we_read_and_that_comes_twice_makes_the_row_bad(twin: str) -> None:
    (bad,) = read_issuances(f"[{json.dumps(ROW)[:-1]},{twin}}}]".encode()).bad

    assert bad.reason == "quantity occurs twice in one object"


def test_a_field_that_we_do_not_read_may_come_twice_and_inside_others() -> None:
    more = '"x":1,"x":2,"inner":{"id":9,"quantity":7},"note":"\\"quantity\\":3","also":"quantity"'

    row = only(read_issuances(f"[{json.dumps(ROW)[:-1]},{more}}}]".encode()))

    assert (row.id, row.quantity) == ("1", Decimal(2))


def test_spellings_of_one_content_have_one_digest() -> None:
    base = only(read(ROW)).digest

    same = [
        issuance(quantity="2.00"),
        issuance(quantity=2, id="1"),
        issuance(overdraft="false", added_by_the_vendor=1),
        issuance(created_on="2026-03-01T23:59:00-06:00", inventory_name="renamed"),
        dict(reversed(list(ROW.items()))),
    ]

    assert [only(read(row)).digest for row in same] == [base] * len(same)
    assert len(base) == 32


@pytest.mark.parametrize(
    "change",
    [
        {"id": 2},
        {"part_number": "p1"},
        {"part_number": " P1"},
        {"warehouse_name": "WH2"},
        {"created_on": "2026-03-02"},
        {"quantity": 2.000001},
        {"unit_cost": 9.98},
        {"overdraft": True},
        {"description": None},
        {"api_key": "k"},
    ],
)
def test_another_content_has_another_digest(change: dict[str, object]) -> None:
    assert only(read(issuance(**change))).digest != only(read(ROW)).digest


def test_an_id_that_comes_twice_with_the_same_content_is_one_row() -> None:
    parsed = read(issuance(), issuance(id=2), issuance(quantity="2"))

    assert [row.id for row in parsed.rows] == ["1", "2"]
    assert parsed.bad == []


def test_an_id_that_comes_twice_with_different_content_keeps_the_last_and_shows_the_other() -> None:
    parsed = read(issuance(quantity=2), issuance(id=2), issuance(quantity=5))

    assert [(row.id, row.quantity) for row in parsed.rows] == [("1", 5), ("2", 2)]
    (bad,) = parsed.bad
    assert bad.remote_id == "1"
    assert json.loads(bad.raw)["quantity"] == 2
    assert "twice" in bad.reason


def test_what_remains_of_a_receipt_is_read_and_makes_no_new_version() -> None:
    row = issuance(quantity_received=10, quantity_remaining=10)
    del row["quantity"]

    full, used, unsaid = (
        read_receipts(json.dumps([row | change]).encode()).rows[0]
        for change in ({}, {"quantity_remaining": 4.5}, {"quantity_remaining": None})
    )

    assert (full.quantity_remaining, used.quantity_remaining, unsaid.quantity_remaining) == (10, Decimal("4.5"), None)
    assert full.digest == used.digest == unsaid.digest


def test_numbers_round_half_even_to_six_decimals_and_are_never_floats() -> None:
    row = only(read_issuances(json.dumps([ROW]).replace("9.99", "0.1234565").encode()))

    assert row.unit_cost == Decimal("0.123456")
    assert type(row.quantity) is Decimal
