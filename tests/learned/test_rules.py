"""Which row is believed when rows, or a row and a person, say different things of a vendor."""

from __future__ import annotations

import pytest

from sync.learned.rules import (
    FACTS,
    WORDINGS_MAX,
    Contrary,
    Fact,
    Known,
    detail_of,
    facts_named,
    hint_of,
    overruled,
    set_by_person,
    weigh,
)

SURVIVES = FACTS["mpw", "marker_survives"]
COST_IS = FACTS["mpservices", "cost_is"]
WINDOW = FACTS["mpservices", "window_hours"]
SKEW = FACTS["mpw", "clock_skew_seconds"]
EXISTS = FACTS["mpw", "exists_words"]


def after(fact: Fact, known: Known | None, *rows: tuple[str, str]) -> tuple[Known | None, list[str]]:
    """Return what is known after these rows, and what became of each: believed, contradicted, quiet."""
    became = []
    for value, evidence in rows:
        weighed = weigh(fact, known, value, evidence)
        if weighed is None:
            became.append("nothing")
            continue
        known = weighed.known
        became.append("believed" if weighed.believed else "contradicted" if weighed.contradicted else "quiet")
    return known, became


def test_the_first_row_is_believed_with_what_it_showed() -> None:
    known, became = after(SURVIVES, None, ("yes", "issuance 1"))

    assert became == ["believed"]
    assert known == Known("yes", "issuance 1")


def test_one_odd_row_turns_nothing_over_and_is_told_of() -> None:
    known, became = after(SURVIVES, Known("yes", "issuance 1"), ("no", "issuance 2"))

    assert became == ["contradicted"]
    assert known is not None
    assert known.value == "yes"


def test_the_same_row_read_again_and_again_counts_once() -> None:
    known, became = after(SURVIVES, Known("yes", "issuance 1"), *[("no", "issuance 2")] * 10)

    assert became == ["contradicted", *["nothing"] * 9]
    assert known is not None
    assert known.value == "yes"


def test_three_different_rows_in_a_row_are_believed_and_say_what_was_before() -> None:
    rows = [("no", f"issuance {n}") for n in (2, 3, 4)]

    known, became = after(SURVIVES, Known("yes", "issuance 1"), *rows)

    assert became == ["contradicted", "contradicted", "believed"]
    assert known is not None
    assert known.value == "no"
    assert "issuance 4" in known.evidence
    assert "it was yes until then: issuance 1" in known.evidence


def test_rows_that_disagree_with_each_other_are_never_believed_by_themselves() -> None:
    rows = [("no" if n % 3 else "yes", f"issuance {n}") for n in range(1, 40)]

    known, became = after(SURVIVES, Known("yes", "issuance 0"), *rows)

    assert known is not None
    assert known.value == "yes"
    assert "believed" not in became


def test_what_a_row_s_cost_means_is_turned_over_by_a_person_only() -> None:
    known, became = after(COST_IS, Known("unit", "echo a"), *[("total", f"echo {n}") for n in range(50)])

    assert known is not None
    assert known.value == "unit"
    assert "believed" not in became


def test_what_a_person_set_stands_whatever_rows_show() -> None:
    known = set_by_person(SURVIVES, None, "yes", why="MPW's support says so", by="ann")

    known_after, became = after(SURVIVES, known, *[("no", f"issuance {n}") for n in range(20)])

    assert known_after is not None
    assert (known_after.value, known_after.set_by) == ("yes", "ann")
    assert became[0] == "contradicted"
    assert "believed" not in became


def test_what_a_person_has_overruled_is_said_no_more_and_another_value_is() -> None:
    known, _ = after(WINDOW, Known("48", "x"), ("24", "movement 1"))
    known = set_by_person(WINDOW, known, "48", why="that one was deleted", by="ann")

    _, became = after(WINDOW, known, ("24", "movement 2"), ("24.5", "movement 3"), ("12", "movement 4"))

    assert became == ["nothing", "nothing", "contradicted"]


def test_a_value_that_a_person_replaced_is_overruled_too() -> None:
    known = set_by_person(SURVIVES, Known("yes", "issuance 1"), "no", why="I see none", by="ann")

    _, became = after(SURVIVES, known, ("yes", "issuance 2"))

    assert became == ["nothing"]


def test_a_contradiction_that_a_person_settled_is_quiet_and_still_counts() -> None:
    known, _ = after(SURVIVES, Known("yes", "issuance 1"), ("no", "issuance 2"))
    assert known is not None

    known, became = after(SURVIVES, overruled(known), ("no", "issuance 3"), ("no", "issuance 4"))

    assert became == ["quiet", "believed"]


def test_a_clock_s_skew_is_what_it_was_last_and_never_a_contradiction() -> None:
    known, became = after(SKEW, None, ("3", "a"), ("3600", "b"), ("2.5", "c"))

    assert became == ["believed"] * 3
    assert known == Known("2.5", "c")


def test_a_new_wording_is_added_to_those_that_are_known_and_the_oldest_goes() -> None:
    known, became = after(EXISTS, None, *[(f"words {n}", f"answer {n}") for n in range(WORDINGS_MAX + 1)])

    assert set(became) == {"believed"}
    assert known is not None
    assert known.value.split(" | ") == [f"words {n}" for n in range(1, WORDINGS_MAX + 1)]
    assert weigh(EXISTS, known, "words 3", "again") is None


def test_numbers_within_the_tolerance_are_the_same_value() -> None:
    assert weigh(WINDOW, Known("47.5", "x"), "48.2", "y") is None
    assert weigh(WINDOW, Known("47.5", "x"), "24", "y") is not None


@pytest.mark.parametrize(
    ("system", "name", "value", "read"),
    [
        ("mpw", "page_honoured", " YES ", "yes"),
        ("mpservices", "window_is", "Calendar", "calendar"),
        ("mpservices", "cost_decimals", "2", "2"),
        ("mpservices", "window_hours", "47.50", "47.5"),
        ("mpservices", "clock_skew_seconds", "-12.5", "-12.5"),
        ("mpw", "exists_words", "is  in use |has been used", "is in use | has been used"),
    ],
)
def test_a_value_is_kept_in_one_form(system: str, name: str, value: str, read: str) -> None:
    assert FACTS[system, name].read(value) == read


@pytest.mark.parametrize(
    ("system", "name", "value"),
    [
        ("mpw", "page_honoured", "perhaps"),
        ("mpservices", "cost_decimals", "2.5"),
        ("mpservices", "cost_decimals", "7"),
        ("mpservices", "window_hours", "NaN"),
        ("mpservices", "window_hours", "-1"),
        ("mpservices", "window_hours", "two days"),
        ("mpw", "description_max", "0"),
        ("mpw", "exists_words", " | "),
        ("mpw", "exists_words", "x" * 400),
    ],
)
def test_a_value_that_cannot_be_is_refused_and_the_message_says_what_can(system: str, name: str, value: str) -> None:
    fact = FACTS[system, name]

    with pytest.raises(ValueError, match=r"is (a|yes|text)") as raised:
        fact.read(value)

    assert fact.takes.what in str(raised.value)


def test_every_fact_says_all_there_is_to_say() -> None:
    for fact in FACTS.values():
        assert fact.meaning, fact.name
        assert fact.assumed, fact.name
        assert fact.used, fact.name
    assert len(facts_named("clock_skew_seconds")) == 2


def test_the_hint_names_commands_that_end_it() -> None:
    known, _ = after(WINDOW, Known("48", "movement 0"), ("24", "movement 1"))
    assert known is not None

    hint, detail = hint_of(WINDOW, known, "24"), detail_of(WINDOW, known, "24")

    assert "`mpsync learned set window_hours 24 --why TEXT`" in hint
    assert "`mpsync learned set window_hours 48 --why TEXT`" in hint
    assert "movement 0" in detail
    assert "movement 1" in detail


@pytest.mark.parametrize("value", ["-90", "45"])
def test_a_measurement_that_differs_is_taken_whether_it_is_larger_or_smaller(value: str) -> None:
    known, became = after(SKEW, Known("5", "an answer"), (value, "another"))

    assert became == ["believed"]
    assert known == Known(value, "another")
    assert after(SKEW, Known("5", "an answer"), ("5", "another"))[1] == ["nothing"]


@pytest.mark.parametrize(("one", "other"), [("yes", "no"), ("no", "yes")])
def test_texts_are_the_same_only_where_they_are(one: str, other: str) -> None:
    assert SURVIVES.same(one, one)
    assert not SURVIVES.same(one, other)


def test_of_a_bound_a_larger_number_is_taken_at_once_and_a_smaller_one_is_not() -> None:
    assert {key for key, fact in FACTS.items() if fact.grows} == {
        ("mpservices", "cost_decimals"),
        ("mpservices", "stock_decimals"),
        ("mpw", "description_max"),
    }
    longest = FACTS["mpw", "description_max"]

    assert after(longest, Known("100", "a row"), ("101", "another"))[1] == ["believed"]
    assert after(longest, Known("100", "a row"), ("99", "another"))[1] == ["contradicted"]
    assert after(longest, Known("100", "a person", set_by="ann"), ("101", "another"))[1] == ["contradicted"]


def test_a_value_that_was_shown_again_ends_the_row_of_contraries_only() -> None:
    before = Known("yes", "issuance 1", contrary={"no": Contrary(("issuance 2",), 2)})

    weighed = weigh(SURVIVES, before, "yes", "issuance 3")

    assert weighed is not None
    assert weighed.known == Known("yes", "issuance 1", contrary={"no": Contrary(("issuance 2",), 0)})
    assert (weighed.believed, weighed.contradicted) == (False, None)
    assert weigh(SURVIVES, weighed.known, "yes", "issuance 4") is None


def test_what_a_person_settled_is_overruled_each_of_it() -> None:
    known = Known("yes", "a", contrary={"no": Contrary(("b",), 1), "perhaps": Contrary(("c",))})

    assert [one.overruled for one in overruled(known).contrary.values()] == [True, True]


def test_a_description_holds_whole_characters() -> None:
    assert FACTS["mpw", "description_max"].read("100") == "100"
    with pytest.raises(ValueError, match="whole number"):
        FACTS["mpw", "description_max"].read("100.5")


@pytest.mark.parametrize(
    ("evidence", "said"), [(("issuance 2",), "a row of"), (("issuance 2", "issuance 3"), "2 rows of")]
)
def test_a_contradiction_says_how_many_rows_showed_it(evidence: tuple[str, ...], said: str) -> None:
    known = Known("yes", "issuance 1", None, {"no": Contrary(evidence)})

    assert said in detail_of(SURVIVES, known, "no")
