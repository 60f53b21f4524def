from __future__ import annotations

import re

from hypothesis import given
from hypothesis import strategies as st

from sync.values.keys import (
    child_key,
    correction_key,
    is_child_key,
    is_child_of,
    is_correction_key,
    is_key,
    marker,
    markers,
    movement_key,
    mpw_issuance_key,
    mpw_receipt_key,
    with_marker,
)

UUID = "612f8bdb-b42e-42ea-be45-5a7156dacdf5"


def test_keys_are_derived_from_the_systems_own_ids() -> None:
    assert mpw_receipt_key("236252") == "mpw-r-236252"
    assert mpw_issuance_key("43381") == "mpw-i-43381"
    assert movement_key(UUID, 1) == "mps-612f8bdbb42e42eabe455a7156dacdf5-1"


def test_our_keys_of_ordinary_ids_have_at_most_forty_characters() -> None:
    assert len(movement_key("4fbd13b5-4cdd-4b8e-b67c-2bdfd2ec71234e", 9)) <= 40
    assert len(mpw_receipt_key("9" * 20)) <= 40


def test_an_id_stands_in_its_key_as_it_is_up_to_what_forty_characters_leave() -> None:
    assert movement_key("a" * 34, 9) == f"mps-{'a' * 34}-9"
    assert movement_key("-" * 9 + "a" * 34, 9) == f"mps-{'a' * 34}-9"
    assert "a" * 35 not in movement_key("a" * 35, 9)
    assert movement_key("a.b", 1) != movement_key("ab", 1)


def test_a_part_s_key_is_told_from_others() -> None:
    assert is_child_of("key_s1", "key")
    assert is_child_of("key_s2_s12", "key_s2")
    assert not any(is_child_of(key, "key") for key in ("key", "key_s0", "keys_s1", "key_s1_s1", "key_c2"))


@given(st.text(min_size=1), st.integers(1, 999))
def test_every_id_gives_a_key_that_may_stand_in_a_path(text: str, n: int) -> None:
    assert is_key(movement_key(text, n))
    assert is_key(movement_key(text, n, hashed=True))
    assert is_key(mpw_receipt_key(text))


@given(st.lists(st.text(min_size=1), min_size=2, max_size=2, unique=True))
def test_two_ids_share_a_key_only_if_their_dashes_are_all_that_differs(ids: list[str]) -> None:
    first, second = ids

    if movement_key(first, 1) == movement_key(second, 1):
        assert re.sub("-", "", first) == re.sub("-", "", second)
        assert movement_key(first, 1, hashed=True) != movement_key(second, 1, hashed=True)


def test_a_key_holds_nothing_that_a_path_would_change() -> None:
    assert is_key("12ABC")
    assert is_key("a_b-C")
    for text in ("", "a b", "a/b", "a.b", "ä", "a\n", "[a]", None, "x" * 101):
        assert not is_key(text)


def test_a_marker_is_found_wherever_a_person_left_it() -> None:
    assert marker("Folio-198 [mps-1-1]") == "mps-1-1"
    assert marker("[mps-1-1] and more") == "mps-1-1"
    assert markers("[urgent] see [mps-1-1]") == ["urgent", "mps-1-1"]
    assert marker("no [key here] at all []") is None
    assert marker(None) is None


@given(st.one_of(st.none(), st.text()), st.from_regex(r"[A-Za-z0-9_-]{1,40}", fullmatch=True))
def test_what_is_marked_is_found_again_and_marked_once(description: str | None, key: str) -> None:
    marked = with_marker(description, key)

    assert marker(marked) == key
    assert with_marker(marked, key) == marked


def test_a_split_issuance_has_children_named_after_it() -> None:
    assert child_key("mps-1-1", 2) == "mps-1-1_s2"
    assert is_child_key("mps-1-1_s2")
    for key in ("mps-1-1", "_s2", "a_s", "a_s0", "a_s2b"):
        assert not is_child_key(key)


def test_what_is_posted_again_for_a_corrected_movement_has_a_key_that_nobody_else_makes() -> None:
    assert correction_key("mps-1-1", 2) == "mps-1-1_c2"
    assert is_correction_key("mps-1-1_c2")
    for key in ("mps-1-1", "mps-1-1_c", "mps-1-1_c0", "_c2", "mps_c2-1", "mps-1-1_s2", "mps-1-1_C2"):
        assert not is_correction_key(key)


def test_a_description_that_is_too_long_is_cut_before_the_marker_never_in_it() -> None:
    said = with_marker("Oil filter for the loader", "erp-1", longest=24)

    assert said == "Oil filter [erp-1]"
    assert len(said.replace("erp-1", "erp-1_s100")) <= 24
    assert with_marker("Oil filter", "erp-1", longest=5) == "[erp-1]"
    assert with_marker("Oil filter [erp-1]", "erp-1", longest=100) == "Oil filter [erp-1]"


def test_a_description_without_a_limit_is_kept_whole() -> None:
    assert with_marker("x" * 5000, "erp-1") == "x" * 5000 + " [erp-1]"
