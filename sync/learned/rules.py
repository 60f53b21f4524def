"""What the vendors do that their documents do not say: each fact once, and when a row that says otherwise is believed.

A fact is learnt from the rows of ordinary work, or set by a person. The rule for a row that says other than is known
stands here, and nowhere else (`weigh`):

1. Nothing is known: the row is believed. Until then the assumption of docs/assumptions.md holds.
2. A measurement (a clock's skew) has no right value: the newest replaces the last.
3. A wording is one of several that the vendor uses: a new one is added.
4. A person has set it: it stands, whatever rows show. The first row that says otherwise opens `learned_contradicted`;
   a value that the person has then overruled opens it no more.
5. It was learnt: it stands at first, and `learned_contradicted` is open. `believed_after` *different* rows that show
   the same new value, none that shows the known one among them, replace it. So no single odd row turns over what
   decides about money; rows that disagree leave it to a person, as does a fact without `believed_after`.
6. It is a bound, and was learnt: one row that shows more proves that the known one is not it (`grows`). So it is with
   decimals, since 7.1 may be 7.10: more are believed at once. Fewer are told where a shown cost cannot have more.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from decimal import Decimal, InvalidOperation
from typing import Literal

from sync.values.money import plain
from sync.values.systems import name_of

MPW = "mpw"
MPSERVICES = "mpservices"

BETWEEN = " | "
"""What stands between the wordings of one fact."""

WORDINGS_MAX = 8
TEXT_CHARACTERS_MAX = 300
EVIDENCE_KEPT_MAX = 5


@dataclass(frozen=True, slots=True)
class Takes:
    """Which values a fact takes: `what` says it to a person, `read` returns one as it is kept or raises ValueError."""

    what: str
    read: Callable[[str], str]


def _one_of(*words: str) -> Takes:
    def read(value: str) -> str:
        if value.strip().casefold() not in words:
            raise ValueError(value)
        return value.strip().casefold()

    return Takes(" or ".join(words), read)


def _number(lowest: str, highest: str, *, whole: bool, unit: str) -> Takes:
    def read(value: str) -> str:
        try:
            number = Decimal(value.strip())
        except InvalidOperation:
            raise ValueError(value) from None
        if not number.is_finite() or not Decimal(lowest) <= number <= Decimal(highest):
            raise ValueError(value)
        if whole and number != number.to_integral_value():
            raise ValueError(value)
        return plain(number)

    return Takes(f"{'a whole number' if whole else 'a number'} of {unit}, {lowest} to {highest}", read)


def _text(value: str) -> str:
    text = " ".join(value.split())
    if not text or len(text) > TEXT_CHARACTERS_MAX:
        raise ValueError(value)
    return text


def _texts(value: str) -> str:
    return BETWEEN.join(dict.fromkeys(_text(part) for part in value.split(BETWEEN.strip()) if part.strip())) or _text(
        ""
    )


YES_OR_NO = _one_of("yes", "no")
TEXT = Takes(f"a text of up to {TEXT_CHARACTERS_MAX} characters", _text)
TEXTS = Takes(f"texts with `{BETWEEN.strip()}` between them", _texts)
DECIMALS = _number("0", "6", whole=True, unit="decimals")
CUT_OR_ROUNDED = _one_of("cut", "rounded")


@dataclass(frozen=True, slots=True)
class Fact:
    """Something that a vendor does in one way or another."""

    system: str
    name: str
    meaning: str
    takes: Takes
    assumed: str
    """What holds while nothing is known: docs/assumptions.md, in a few words, or the value itself."""
    used: str
    """What it decides, said so that a person sees what a wrong value would do to the books."""
    setting: str | None = None
    """The setting that says the same, or is about the same."""
    believed_after: int | None = 3
    """How many rows in a row replace a learnt value; None: only a person does."""
    kind: Literal["value", "measurement", "wordings"] = "value"
    grows: bool = False
    """It is a bound: one row that shows a larger number replaces a learnt one."""
    tolerance: Decimal = Decimal(0)
    """Numbers no further apart than this are the same value."""
    assumed_value: str | None = None
    """The assumption as a value, where it is one and no setting says it: what differs from it is marked."""

    def read(self, value: str) -> str:
        """Return a value as it is kept; raises ValueError, which says what it takes, on any other."""
        try:
            return self.takes.read(value)
        except ValueError:
            raise ValueError(f"{self.name} is {self.takes.what}, not {value[:80]!r}") from None

    def same(self, one: str, other: str) -> bool:
        """Tell whether two values say the same."""
        if one == other or not self.tolerance:
            return one == other
        return abs(Decimal(one) - Decimal(other)) <= self.tolerance


def _facts() -> Sequence[Fact]:
    """Return all facts: MPservices' patches and echo first, then its feed, then MPW's."""
    mps, mpw = MPSERVICES, MPW
    echo = "recognising the movement that our own patch makes"
    return (
        Fact(
            mps,
            "cost_decimals",
            "how many decimals of a cost MPservices keeps",
            DECIMALS,
            assumed="6",
            used=f"{echo}, and whether an item's cost differs enough to patch it",
            assumed_value="6",
            believed_after=2,
            grows=True,
        ),
        Fact(
            mps,
            "cost_cut",
            "whether MPservices cuts or rounds the decimals of a cost that it does not keep",
            CUT_OR_ROUNDED,
            assumed="rounded",
            used=f"{echo}, and whether an item's cost differs enough to patch it",
            assumed_value="rounded",
        ),
        Fact(
            mps,
            "stock_decimals",
            "how many decimals of a stock MPservices keeps",
            DECIMALS,
            assumed="6",
            used=f"{echo}, and whether an item's stock differs enough to patch it",
            assumed_value="6",
            believed_after=2,
            grows=True,
        ),
        Fact(
            mps,
            "stock_cut",
            "whether MPservices cuts or rounds the decimals of a stock that it does not keep",
            CUT_OR_ROUNDED,
            assumed="rounded",
            used=f"{echo}, and whether an item's stock differs enough to patch it",
            assumed_value="rounded",
        ),
        Fact(
            mps,
            "mark_survives",
            "whether the digit in the sixth decimal of a patched cost comes back in the patch's own movement",
            YES_OR_NO,
            assumed="unknown: a mark counts once an echo that was proved otherwise has carried it",
            used=echo,
            setting="MPSERVICES_COST_MARK",
        ),
        Fact(
            mps,
            "zero_echo",
            "whether a patch that changes no stock makes a movement, of quantity 0",
            YES_OR_NO,
            assumed="unknown: either is taken",
            used=f"{echo}, and whether a patch without one is sent once more",
        ),
        Fact(
            mps,
            "echo_type",
            "the type of the movements that our patches make",
            TEXTS,
            assumed="Inbound, Outbound, or a type that we do not know",
            used=f"{echo}: where follow-ups leave several movements open, and all proven ones had the same",
            kind="wordings",
        ),
        Fact(
            mps,
            "echo_sign",
            "whether the type of the movement that our patch makes says if stock came in or went out",
            _one_of("signed", "unsigned"),
            assumed="signed: Inbound came in, Outbound went out",
            used=echo,
            assumed_value="signed",
            kind="measurement",
        ),
        Fact(
            mps,
            "echo_reference",
            "the reference of the movements that our patches make",
            TEXTS,
            assumed="unknown",
            used=f"{echo}: where follow-ups leave several movements open, and all proven ones had the same",
            kind="wordings",
        ),
        Fact(
            mps,
            "cost_is",
            "whether a movement's cost is one unit's or the total of the line",
            _one_of("unit", "total"),
            assumed="what MPSERVICES_COST_IS says",
            used="the value of every movement in the ledger and the cost of every patch",
            setting="MPSERVICES_COST_IS",
            believed_after=None,
        ),
        Fact(
            mps,
            "window_hours",
            "how far back MPservices' feed of movements surely reaches",
            _number("0", "8784", whole=False, unit="hours"),
            assumed="what MPSERVICES_WINDOW_HOURS says",
            used="after how long without a reading movements may be lost, and a gap is recorded",
            setting="MPSERVICES_WINDOW_HOURS",
            believed_after=2,
            tolerance=Decimal(1),
        ),
        Fact(
            mps,
            "window_is",
            "whether the feed's window moves with the clock or with the calendar's days",
            _one_of("rolling", "calendar"),
            assumed="rolling",
            used="how far back the feed reaches at its worst: a window by calendar is shortest just before midnight",
            setting="MPSERVICES_WINDOW_HOURS",
            believed_after=2,
            assumed_value="rolling",
        ),
        Fact(
            mps,
            "clock_skew_seconds",
            "by how many seconds MPservices' clock is ahead of ours",
            _number("-31622400", "31622400", whole=False, unit="seconds"),
            assumed="0",
            used="the go-live cut, the window and the time of an echo",
            kind="measurement",
            assumed_value="0",
            tolerance=Decimal(120),
        ),
        Fact(
            mpw,
            "clock_skew_seconds",
            "by how many seconds MPW's clock is ahead of ours",
            _number("-31622400", "31622400", whole=False, unit="seconds"),
            assumed="0",
            used="which day is over at MPW",
            kind="measurement",
            assumed_value="0",
            tolerance=Decimal(120),
        ),
        Fact(
            mpw,
            "page_honoured",
            "whether `page=2` brings the second page of purchase orders and work orders",
            YES_OR_NO,
            assumed="yes, until the first page comes again",
            used="whether long answers are read page by page, or by ever shorter spans of days",
            believed_after=2,
            assumed_value="yes",
        ),
        Fact(
            mpw,
            "marker_survives",
            "whether GET /issuances shows the `[api_key]` that we put into an issuance's description",
            YES_OR_NO,
            assumed="yes",
            used="whether an issuance that shows no key of ours may be ours all the same",
            setting="MPW_DESCRIPTION_MARKER",
            assumed_value="yes",
        ),
        Fact(
            mpw,
            "description_max",
            "how many characters of an issuance's description MPW keeps",
            _number("1", "100000", whole=True, unit="characters"),
            assumed="all",
            used="where a description is cut before it is sent, so that the `[api_key]` at its end survives",
            setting="MPW_DESCRIPTION_MARKER",
            assumed_value="all",
            grows=True,
        ),
        Fact(
            mpw,
            "exists_words",
            "MPW's wording of a refusal that means: an issuance with this api_key exists",
            TEXTS,
            assumed="any text with words such as exists, already, taken, duplicate",
            used="whether a refused issuance is looked for in its day, or goes to a person",
            kind="wordings",
        ),
        Fact(
            mpw,
            "maximum_words",
            "MPW's wording of a refusal that means: more than the current receipt holds",
            TEXTS,
            assumed="any text with words such as maximum, available, exceeds, not enough",
            used="whether a refused issuance is split to what the receipt holds, or goes to a person",
            kind="wordings",
        ),
        Fact(
            mpw,
            "fractions_taken",
            "whether MPW takes an issuance of a fraction",
            YES_OR_NO,
            assumed="no, unless MPW_FRACTIONAL_ISSUANCES says so",
            used="whether an issuance of a fraction is sent or waits for a person",
            setting="MPW_FRACTIONAL_ISSUANCES",
            believed_after=2,
        ),
    )


FACTS: Mapping[tuple[str, str], Fact] = {(fact.system, fact.name): fact for fact in _facts()}
"""Every fact by system and name."""


def facts_named(name: str) -> list[Fact]:
    """Return the facts of a name: one of each system that has it."""
    return [fact for fact in FACTS.values() if fact.name == name]


# --- the rule ------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Contrary:
    """Rows that showed another value than is known. `in_a_row`: since the last row that showed the known one."""

    evidence: tuple[str, ...] = ()
    in_a_row: int = 0
    overruled: bool = False
    """A person has set the known value, or settled the contradiction, with these rows before their eyes."""


@dataclass(frozen=True, slots=True)
class Known:
    """What is known of a fact. `contrary`: by the value that rows showed instead."""

    value: str
    evidence: str
    set_by: str | None = None
    contrary: Mapping[str, Contrary] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Weighed:
    """What a row does to what is known.

    `known`: what to keep from now on. `believed`: its value is new. `contradicted`: the contrary value, if the row has
    shown one that a person should hear of.
    """

    known: Known
    believed: bool = False
    contradicted: str | None = None


def weigh(fact: Fact, known: Known | None, value: str, evidence: str) -> Weighed | None:
    """Return what a row that shows a value changes; None: nothing. The rule stands at the head of this module."""
    if known is None:
        return Weighed(Known(value, evidence), believed=True)
    if fact.kind == "wordings":
        return _another_wording(known, value, evidence)
    if fact.kind == "measurement":
        if known.set_by is not None or known.value == value:
            return None
        return Weighed(Known(value, evidence), believed=True)
    if fact.same(known.value, value):
        return _confirmed(known)
    if fact.grows and known.set_by is None and Decimal(value) > Decimal(known.value):
        told = f"{evidence} (it was {known.value} until then: {known.evidence})"
        return Weighed(Known(value, told[:2000]), believed=True)
    return _contrary(fact, known, value, evidence)


def _another_wording(known: Known, value: str, evidence: str) -> Weighed | None:
    """A wording is added to those that were learnt; what a person set is complete."""
    wordings = known.value.split(BETWEEN)
    if known.set_by is not None or value in wordings:
        return None
    return Weighed(Known(BETWEEN.join([*wordings, value][-WORDINGS_MAX:]), evidence), believed=True)


def _confirmed(known: Known) -> Weighed | None:
    """The known value was shown again: the rows that said otherwise are no longer in a row."""
    if not any(other.in_a_row for other in known.contrary.values()):
        return None
    counted = {value: replace(other, in_a_row=0) for value, other in known.contrary.items()}
    return Weighed(replace(known, contrary=counted))


def _contrary(fact: Fact, known: Known, value: str, evidence: str) -> Weighed | None:
    same = next((other for other in known.contrary if fact.same(other, value)), value)
    before = known.contrary.get(same, Contrary())
    if evidence in before.evidence or (before.overruled and known.set_by is not None):
        return None
    seen = Contrary((*before.evidence, evidence)[-EVIDENCE_KEPT_MAX:], before.in_a_row + 1, before.overruled)
    if known.set_by is None and fact.believed_after is not None and seen.in_a_row >= fact.believed_after:
        shown = "; ".join(seen.evidence[-fact.believed_after :])
        return Weighed(
            Known(value, f"{shown} (it was {known.value} until then: {known.evidence})"[:2000]), believed=True
        )
    others = {other: replace(one, in_a_row=0) for other, one in known.contrary.items() if other != same}
    heard = before.overruled  # a person has said that they know of it
    return Weighed(replace(known, contrary={**others, same: seen}), contradicted=None if heard else same)


def overruled(known: Known) -> Known:
    """Return what is known once a person has settled its contradiction without setting a value."""
    return replace(known, contrary={value: replace(one, overruled=True) for value, one in known.contrary.items()})


def set_by_person(fact: Fact, known: Known | None, value: str, *, why: str, by: str) -> Known:
    """Return what is known once a person has set it; the rows that said otherwise are overruled."""
    contrary = dict(known.contrary) if known is not None else {}
    if known is not None and not fact.same(known.value, value):
        contrary[known.value] = Contrary((known.evidence,))
    overruled = {other: replace(one, in_a_row=0, overruled=True) for other, one in contrary.items()}
    return Known(value, why, by, {other: one for other, one in overruled.items() if not fact.same(other, value)})


# --- what is said of it --------------------------------------------------------------------


def detail_of(fact: Fact, known: Known, contrary: str) -> str:
    """Return what `learned_contradicted` says: both values, the evidence of each, and what the fact decides."""
    seen = known.contrary[contrary]
    whose = f"as {known.set_by} set it" if known.set_by is not None else "as learnt"
    rows = f"{len(seen.evidence)} rows" if len(seen.evidence) > 1 else "a row"
    return (
        f"{fact.name} ({fact.meaning}) is {known.value}, {whose} ({known.evidence}); {rows} of {name_of(fact.system)} "
        f"now said {contrary}: {seen.evidence[-1]}. It decides {fact.used}; {known.value} holds until this is settled"
    )


def hint_of(fact: Fact, known: Known, contrary: str) -> str:
    """Return what a person should do; each of the commands in it ends the exception."""
    command = f"mpsync learned set {fact.name} %s --why TEXT"
    if len(facts_named(fact.name)) > 1:
        command += f" --system {fact.system}"
    wins = ""
    if known.set_by is None and fact.believed_after is not None:
        wins = f"; {fact.believed_after} such rows in a row settle it without you"
    return (
        f"ask {name_of(fact.system)}, or look at the row: `{command % _word(contrary)}` if it is so now, "
        f"`{command % _word(known.value)}` if the row is an odd one{wins}"
    )


def _word(value: str) -> str:
    return value if re.fullmatch(r"[A-Za-z0-9._-]+", value) else "'" + value.replace("'", "'\\''") + "'"
