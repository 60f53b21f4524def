"""Habits of real vendors that no document excludes, as switches: `mpsync sandbox --quirks NAME,…`.

A quirk that strikes "at first" strikes the first time that a key (or an item) is met, and lets the next try pass: that
is what lets one see how mpsync comes to rest.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from decimal import ROUND_DOWN, ROUND_HALF_UP, Decimal

from sync.clock import Clock
from sync.sandbox.answers import Answer
from sync.sandbox.app import Call, Handler
from sync.sandbox.forms import enveloped, urlencoded
from sync.sandbox.mpservices import MpservicesModel
from sync.sandbox.mpw import MpwModel
from sync.sandbox.mpw_state import Part
from sync.values.money import plain

LATE_SECONDS = 30
AHEAD_SECONDS = 300
DESCRIPTION_MAX = 60
PAGE_SIZE = 4
OTHER_TYPE, OTHER_REFERENCE = "Adjustment", "API"
SAYS_NOTHING: Answer = (200, {"success": True})

_PLACES = {"2": "two decimals", "1": "one decimal", "0": "no decimals"}

QUIRKS: Mapping[str, str] = {
    **{
        f"{what}-{how}-{places}": f"MPservices keeps {told} of a {what}, and {verb} the rest"
        for what in ("cost", "stock")
        for how, verb in (("rounded", "rounds"), ("cut", "cuts off"))
        for places, told in _PLACES.items()
    },
    "zero-echo": "a stock patch that changes nothing makes a movement of 0",
    "no-echo": "a stock patch makes no movement that the feed shows",
    "no-op-patch": "an item's first stock patch is answered with 200 and does nothing, and so on by turns",
    "unknown-types": f"a stock patch's movement is of the type {OTHER_TYPE}, which no document names",
    "echo-reference": f"a stock patch's movement shows the reference {OTHER_REFERENCE}",
    "late-movements": f"the feed shows a movement {LATE_SECONDS} seconds after its createdAt",
    "total-costs": "a movement's cost is the total of its line (MPSERVICES_COST_IS=total)",
    "mpservices-clock-ahead": f"MPservices' clock is {AHEAD_SECONDS // 60} minutes ahead",
    "mpw-clock-behind": f"MPW's clock is {AHEAD_SECONDS // 60} minutes behind",
    "hollow-answers": "MPW's answers to posts say success and show no row",
    "hollow-writes": "a key's first post is answered with success, and MPW does nothing",
    "vanishing-rows": "a key's first post is answered perfectly, and its row is gone at once",
    "key-taken": "every other new key is another program's already, the first one too",
    "fractions-taken": "MPW takes issuances of fractions",
    "fractions-made-whole": "MPW takes an issuance of a fraction and issues the next whole number",
    "short-descriptions": f"MPW keeps {DESCRIPTION_MAX} characters of an issuance's description",
    "no-descriptions": "MPW shows no description of what the API issued",
    "strict-wordings": "MPW's refusals of issuances are terse: no word of theirs says what is wrong",
    "page-ignored": f"MPW takes no notice of page=n; a page has {PAGE_SIZE} rows",
}
"""Every quirk and what it does, one line each."""

TERSE: Mapping[str, str] = {
    "already exists": "E1021 api_key conflict",
    "maximum quantity": "E2040 quantity out of range",
    "must be an Integer": "E2041 quantity not permitted",
}
"""How strict-wordings says what a refusal of an issuance says plainly, by some of its words."""


def read_quirks(text: str) -> tuple[str, ...]:
    """Return the quirks that a text names, commas between; ValueError for one that is not there."""
    names = tuple(dict.fromkeys(name.strip() for name in text.split(",") if name.strip()))
    if unknown := [name for name in names if name not in QUIRKS]:
        raise ValueError(f"there is no quirk {', '.join(unknown)}")
    return names


class AheadClock:
    """A vendor's clock that is off by some seconds."""

    def __init__(self, clock: Clock, ahead: timedelta) -> None:
        self._clock = clock
        self._ahead = ahead

    def now(self) -> datetime:
        """Return the instant it shows."""
        return self._clock.now() + self._ahead

    def monotonic(self) -> float:
        """Return seconds that never go back."""
        return self._clock.monotonic()

    def sleep(self, seconds: float, wake: object | None = None) -> bool:
        """Wait, as the right clock does."""
        return self._clock.sleep(seconds)


@dataclass(slots=True)
class Quirks:
    """The quirks of one sandbox, and what they have struck."""

    names: Collection[str] = ()
    _patched: dict[str, int] = field(default_factory=dict)
    _posted: set[tuple[str, str]] = field(default_factory=set)
    _keys: dict[tuple[str, str], bool] = field(default_factory=dict)

    def __contains__(self, name: object) -> bool:
        """Tell whether the sandbox has a quirk."""
        return name in self.names

    def clock_of(self, system: str, clock: Clock) -> Clock:
        """Return a vendor's clock."""
        if system == "mpservices" and "mpservices-clock-ahead" in self:
            return AheadClock(clock, timedelta(seconds=AHEAD_SECONDS))
        if system == "mpw" and "mpw-clock-behind" in self:
            return AheadClock(clock, timedelta(seconds=-AHEAD_SECONDS))
        return clock

    def set_options(self, mpw: MpwModel, mpservices: MpservicesModel) -> None:
        """Set what the models have switches for."""
        if "page-ignored" in self:
            mpw.options.page_parameter, mpw.options.page_size = False, PAGE_SIZE
        if "fractions-taken" in self or "fractions-made-whole" in self:
            mpw.options.allow_fractions = True
        mpw.options.whole_issuances = "fractions-made-whole" in self
        if "short-descriptions" in self:
            mpw.options.description_max = DESCRIPTION_MAX
        if "no-descriptions" in self:
            mpw.options.description_max = 0
        mpservices.options.patch_zero_delta_movement = "zero-echo" in self
        for name in self.names:
            what, _, rest = name.partition("-")
            how, _, places = rest.partition("-")
            if what in ("cost", "stock") and how in ("rounded", "cut"):
                keeps = _keeping(int(places), cuts=how == "cut")
                if what == "cost":
                    mpservices.options.keeps_cost = keeps
                else:
                    mpservices.options.keeps_stock = keeps

    # ------------------------------------------------------------------ endpoints

    def around(
        self, endpoints: list[tuple[str, str, str, Handler]], mpw: MpwModel, mpservices: MpservicesModel
    ) -> list[tuple[str, str, str, Handler]]:
        """Return the endpoints, each with the quirks that are about it."""
        wrappers: Mapping[str, Callable[[Handler], Handler]] = {
            "mpservices.movements": lambda handler: self._feed(handler, mpservices),
            "mpservices.patch_stock": self._patch,
            "mpw.receipts": lambda handler: self._reading_receipts(handler, mpw),
            "mpw.post_receipt": lambda handler: self._posting("receipt", handler, mpw),
            "mpw.post_issuance": lambda handler: self._posting("issuance", handler, mpw),
        }
        if not self.names:
            return endpoints
        unchanged: Callable[[Handler], Handler] = lambda handler: handler  # noqa: E731 - a wrapper that wraps nothing
        return [
            (name, method, path, wrappers.get(name, unchanged)(handler)) for name, method, path, handler in endpoints
        ]

    def _feed(self, handler: Handler, model: MpservicesModel) -> Handler:
        def answer(call: Call) -> Answer:
            status, rows = handler(call)
            if status != 200 or not isinstance(rows, list):
                return status, rows
            ours = {movement.id for movement in model.all_movements if movement.by_patch}
            until = model.clock.now() - timedelta(seconds=LATE_SECONDS)
            shown = [self._shown(row, by_patch=row["id"] in ours) for row in rows]
            if "no-echo" in self:
                shown = [row for row in shown if row["id"] not in ours]
            if "late-movements" in self:
                shown = [row for row in shown if datetime.fromisoformat(str(row["createdAt"])) <= until]
            return status, shown

        return answer

    def _shown(self, row: dict[str, object], *, by_patch: bool) -> dict[str, object]:
        if by_patch and "unknown-types" in self:
            row = row | {"type": OTHER_TYPE}
        if by_patch and "echo-reference" in self:
            row = row | {"reference": OTHER_REFERENCE}
        lines = row["movements"]
        if "total-costs" in self and isinstance(lines, list):
            total = [
                line | {"cost": plain(Decimal(str(line["cost"])) * Decimal(str(line["quantity"])))} for line in lines
            ]
            row = row | {"movements": total}
        return row

    def _patch(self, handler: Handler) -> Handler:
        def answer(call: Call) -> Answer:
            if "no-op-patch" not in self:
                return handler(call)
            item = urlencoded(call.content_type, call.body).get("external_id", "")
            self._patched[item] = self._patched.get(item, 0) + 1
            return SAYS_NOTHING if self._patched[item] % 2 else handler(call)

        return answer

    def _reading_receipts(self, handler: Handler, model: MpwModel) -> Handler:
        def answer(call: Call) -> Answer:
            key = call.query.get("api_key")
            if key and self._is_taken("receipt", key) and key not in model.receipt_by_key:
                _by_a_stranger("receipt", key, model)
            return handler(call)

        return answer

    def _posting(self, kind: str, handler: Handler, model: MpwModel) -> Handler:
        def answer(call: Call) -> Answer:
            key = str(enveloped(call.content_type, call.body, kind).get("api_key") or "")
            known = model.receipt_by_key if kind == "receipt" else model.issuances_by_key
            if self._is_taken(kind, key) and key not in known:
                _by_a_stranger(kind, key, model)
            first = (kind, key) not in self._posted
            self._posted.add((kind, key))
            if first and "hollow-writes" in self:
                return SAYS_NOTHING
            status, body = handler(call)
            if status != 200:
                return self._worded(status, body) if kind == "issuance" else (status, body)
            if first and "vanishing-rows" in self:
                (model.delete_receipt if kind == "receipt" else model.delete_issuance)(key)
            return SAYS_NOTHING if "hollow-answers" in self else (status, body)

        return answer

    def _worded(self, status: int, body: object) -> Answer:
        said = str(body.get("message")) if isinstance(body, dict) else ""
        terse = next((text for words, text in TERSE.items() if words in said), None)
        return (status, {"message": terse}) if terse is not None and "strict-wordings" in self else (status, body)

    def _is_taken(self, kind: str, key: str) -> bool:
        if "key-taken" not in self or not key:
            return False
        return self._keys.setdefault((kind, key), len(self._keys) % 2 == 0)


def _by_a_stranger(kind: str, key: str, model: MpwModel) -> None:
    """Let another program have used a key: a receipt of 7, or an issuance of 1, of the first part that has enough."""
    with model.lock:
        part = next((one for one in model.parts.values() if _has_plenty(one)), None)
        if kind == "receipt" and part is not None:
            model.new_receipt(part, model.today(), Decimal(7), Decimal(1), api_key=key)
        elif part is not None:
            model.issue(part, model.today(), Decimal(1), api_key=key, description="another program")


def _has_plenty(part: Part) -> bool:
    return part.available >= 5 and not part.warehouse.hidden


def _keeping(places: int, *, cuts: bool) -> Callable[[Decimal], Decimal]:
    unit, rounding = Decimal(1).scaleb(-places), ROUND_DOWN if cuts else ROUND_HALF_UP
    return lambda value: value.quantize(unit, rounding)


__all__ = ["QUIRKS", "TERSE", "Quirks", "read_quirks"]
