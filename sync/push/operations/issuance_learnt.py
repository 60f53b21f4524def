"""What MPW's answers to issuances show that its document does not say: wordings, fractions, whether markers survive."""

from __future__ import annotations

import json
from dataclasses import dataclass
from decimal import Decimal

from sync.database.facts import fact
from sync.errors import RejectedError
from sync.learned.rows import learn, learned
from sync.learned.rules import BETWEEN
from sync.ledger.books import Books
from sync.outbox.issuance_parts import Part, oldest_remaining
from sync.push.operations.issuance_day import Wanted
from sync.push.operations.payload_fields import text
from sync.push.refusals import maximum_in, says_exists, says_short, says_whole, wording
from sync.values.money import plain
from sync.values.systems import MPW
from sync.work.context import Context

EXISTS_WORDS = "exists_words"
MAXIMUM_WORDS = "maximum_words"
EXISTS_SAID = "exists_words_said"
SAID_MAX = 20
"""Refusals whose words wait for a proof: the newest."""

FRACTIONS_TAKEN = "fractions_taken"
MARKER_SURVIVES = "marker_survives"
_MEANT = ("part_number", "warehouse_name", "created_on", "description", "equipment_unit_number", "task_name")


def shows_markers(ctx: Context) -> bool:
    """Tell whether an issuance of ours would show its key: not where MPW was seen to drop it from the description."""
    with ctx.read() as conn:
        return learned(conn, MPW, MARKER_SURVIVES) != "no"


@dataclass(frozen=True, slots=True)
class Refusal:
    """A refused issuance. What is learnt of it is written at once: no transaction is open, and the call is over.

    A wording that the program knows is kept when the books prove its meaning. One that it does not know is believed
    when they have proved it for two different keys: a refusal about something else may stand beside an effect that an
    earlier call had.
    """

    ctx: Context
    api_key: str
    part: Part
    wanted: Wanted
    error: RejectedError

    def says_exists(self) -> bool:
        """Tell whether it says that the key is there, in words that we know or have learnt."""
        return says_exists(self.error.message, self.error.status) or self._learnt(EXISTS_WORDS)

    def says_short(self) -> bool:
        """Tell whether it says that the receipt holds less, in words that we know or have learnt."""
        return says_short(self.error.message) or self._learnt(MAXIMUM_WORDS)

    def meant_exists(self, evidence: str) -> None:
        """The issuance was found under its key: that is what the refusal said."""
        knew = says_exists(self.error.message, self.error.status)
        self._keep(EXISTS_WORDS, f"{self._words()}; {evidence}", knew=knew)

    def perhaps_meant_exists(self) -> None:
        """It says in words that we know that the key is there, and nothing shows it yet: kept until a poll does."""
        with self.ctx.anyone_writes() as books:
            said = json.loads(fact(books.conn, EXISTS_SAID) or "{}")
            said = dict([*((key, one) for key, one in said.items() if key != self.api_key)][1 - SAID_MAX :])
            said[self.api_key] = [self._wording(), self._words()]
            books.note_fact(EXISTS_SAID, json.dumps(said))

    def named_the_maximum(self) -> None:
        """It is about the quantity; where it names what remains of the oldest receipt, these are the words for it."""
        remaining = self._remaining()
        if remaining is not None and remaining == self._named():
            self._keep(MAXIMUM_WORDS, f"{self._words()}; {plain(remaining)} remain of the oldest receipt", knew=True)

    def was_neither(self) -> None:
        """It says nothing that we know. It may be about a fraction, or name what remains in words of its own."""
        if self._is_fraction() and says_whole(self.error.message):
            with self.ctx.anyone_writes() as books:
                learn(books.conn, MPW, FRACTIONS_TAKEN, "no", evidence=self._words(), now=books.now)
            return
        remaining = self._remaining()
        if remaining is not None and remaining == self._named():
            self._keep(MAXIMUM_WORDS, f"{self._words()}; {plain(remaining)} remain of the oldest receipt", knew=False)

    def _learnt(self, name: str) -> bool:
        with self.ctx.read() as conn:
            known = learned(conn, MPW, name)
        return known is not None and self._wording() in known.casefold().split(BETWEEN)

    def _keep(self, name: str, evidence: str, *, knew: bool) -> None:
        words = self._wording()
        if not words.strip("…#. "):
            return
        with self.ctx.anyone_writes() as books:
            if not knew:
                seen_name = f"{name}_seen"
                seen = json.loads(fact(books.conn, seen_name) or "{}")
                if seen.get(words, self.api_key) == self.api_key:
                    kept = {**dict(list(seen.items())[-20:]), words: self.api_key}
                    books.note_fact(seen_name, json.dumps(kept))
                    return
            learn(books.conn, MPW, name, words, evidence=evidence, now=books.now)

    def _wording(self) -> str:
        return wording(self.error.message, ignore=self._texts())

    def _texts(self) -> list[str]:
        return [self.part.api_key, self.api_key, *(text(self.wanted.fields.get(name)) for name in _MEANT)]

    def _words(self) -> str:
        return f"issuance {self.part.api_key} was refused: {self.error.message[:300]}"

    def _is_fraction(self) -> bool:
        return self.wanted.quantity != self.wanted.quantity.to_integral_value()

    def _named(self) -> Decimal | None:
        return maximum_in(self.error.message, self.wanted.quantity, ignore=self._texts())

    def _remaining(self) -> Decimal | None:
        """Return what remains of the part's oldest receipt, as far as the last polls know."""
        fields = self.wanted.fields
        with self.ctx.read() as conn:
            return oldest_remaining(conn, text(fields.get("part_number")), text(fields.get("warehouse_name")))


def learn_exists_said(books: Books, api_key: str, evidence: str) -> None:
    """The issuance was found under its key after MPW had refused it as one that exists: these are the words for it."""
    said = json.loads(fact(books.conn, EXISTS_SAID) or "{}")
    if api_key not in said:
        return
    words, refusal = said.pop(api_key)
    books.note_fact(EXISTS_SAID, json.dumps(said))
    if words.strip("…#. "):
        learn(books.conn, MPW, EXISTS_WORDS, words, evidence=f"{refusal}; {evidence}", now=books.now)


def learn_fraction(ctx: Context, wanted: Wanted, answered: Decimal, ids: tuple[str, ...]) -> None:
    """Learn from the answer to an issuance of a fraction: it was taken as sent, or made whole."""
    if wanted.quantity == wanted.quantity.to_integral_value():
        return
    if answered != wanted.quantity and answered != answered.to_integral_value():
        return
    value = "yes" if answered == wanted.quantity else "no"
    evidence = (
        f"issuance {wanted.api_key} of {plain(wanted.quantity)} was answered as {plain(answered)}, id {', '.join(ids)}"
    )
    with ctx.anyone_writes() as books:
        learn(books.conn, MPW, FRACTIONS_TAKEN, value, evidence=evidence, now=books.now)
