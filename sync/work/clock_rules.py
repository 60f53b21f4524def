"""Whose clock is wrong: ours, or a vendor's.

A vendor's clock is known from the Date header of its answers. One that differs alone has a skew of its own, which is
learnt and allowed for. Where all others agree that ours differs, ours is wrong (docs/adr/0005).
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from datetime import timedelta

WRONG = timedelta(minutes=2)
"""A clock that differs by more is wrong: what people see of times, and what is due when, begins to be off."""

HALT = timedelta(minutes=10)
"""Beyond this no decision that rests on time is taken: whether a lost call can still land, whether a day is over."""

AGREE = timedelta(minutes=2)
"""Clocks that differ by no more than this show the same time: each is known to some seconds only."""

NOTICED = timedelta(seconds=15)
"""A skew that changed by less is the same one: every reading would write it down again."""

DATABASE = "the database server"
NOTHING = timedelta(0)


@dataclass(frozen=True, slots=True)
class Verdict:
    """What the clocks tell together.

    `behind`: how far our clock is behind the right time; negative where it is ahead. `certain` False: the clocks
    disagree, or one of them has not told its time yet (`silent` names it), so that nobody can tell whose is wrong. `by`
    names who says so. `skews`: how far the clock of each vendor that was asked is ahead of the right time. `ahead`: how
    far each is ahead of ours, which is its skew if ours is right after all.
    """

    behind: timedelta = NOTHING
    certain: bool = True
    by: tuple[str, ...] = ()
    silent: tuple[str, ...] = ()
    skews: Mapping[str, timedelta] = field(default_factory=dict)
    ahead: Mapping[str, timedelta] = field(default_factory=dict)

    @property
    def asked(self) -> bool:
        """Whether all clocks that can be asked have told their time."""
        return not self.silent

    @property
    def wrong(self) -> bool:
        """Whether a person is to be told: also of what only one clock shows so far, where that halts the work."""
        return abs(self.behind) > WRONG and (self.asked or self.halts)

    @property
    def halts(self) -> bool:
        """Whether nothing that rests on time may be done: push, void, prune, call complete, record as a gap."""
        return abs(self.behind) > HALT


def judge(
    ahead: Mapping[str, timedelta],
    known: Mapping[str, timedelta],
    *,
    vendors: Collection[str],
    server: timedelta | None = None,
    words: Collection[str] = (),
) -> Verdict:
    """Return what the clocks tell.

    `ahead`: how far each vendor's clock is ahead of ours, of those that have told their time. `known`: the skew that
    each is known to have. `vendors`: those that can be asked. `server`: how far the database server's clock is ahead of
    this machine's; None where there is none (SQLite). With it our clock, for `ahead`, is the server's. `words`: the
    vendors whose skew is known by a person's word.

    1. The server's clock differs from this machine's: ours is wrong.
    2. All vendors differ from ours, and alike: ours is wrong; though a skew of one may have been learnt of that. Unless
       they differ as a person has said of each.
    3. None differs from what is known of it, or one of several does not: ours is right, the others have a skew.
    4. All differ from what is known of them, and alike: ours is wrong. Unless their clocks are less off if it is right:
       then what is known of them was learnt of a clock of ours that was wrong.
    5. One vendor alone can be asked, or the server agrees with ours: the skew is the vendor's.
    6. They differ otherwise, or one was not asked yet: nobody can tell.
    """
    if server is not None and abs(server) > WRONG:  # 1
        return Verdict(behind=server, by=(DATABASE,))
    names = tuple(sorted(ahead))
    if not names:
        return Verdict()
    change = {name: ahead[name] - known.get(name, NOTHING) for name in names}
    as_said = all(name in words and abs(change[name]) <= WRONG for name in names)
    if len(names) > 1 and not as_said and (common := _alike(ahead.values())) is not None:  # 2
        return Verdict(behind=common, by=names, ahead=dict(ahead))
    if any(abs(one) <= WRONG for one in change.values()):  # 3
        return Verdict(by=names, skews=dict(ahead))
    if len(names) > 1 and (common := _alike(change.values())) is not None:  # 4
        if sum(map(abs, ahead.values()), NOTHING) < sum((abs(known.get(name, NOTHING)) for name in names), NOTHING):
            return Verdict(by=names, skews=dict(ahead))
        return Verdict(behind=common, by=names, ahead=dict(ahead))
    if server is not None or (set(vendors) <= set(names) and len(names) == 1):  # 5
        return Verdict(by=names, skews=dict(ahead))
    least = min(change.values(), key=abs)
    silent = tuple(sorted(set(vendors) - set(names)))
    return Verdict(behind=least, certain=False, by=names, silent=silent, ahead=dict(ahead))  # 6


def _alike(values: Collection[timedelta]) -> timedelta | None:
    """Return by how much all differ, where all differ by more than `WRONG` and agree."""
    if any(abs(one) <= WRONG for one in values) or max(values) - min(values) > AGREE:
        return None
    return sum(values, start=NOTHING) / len(values)


def noticed(verdict: Verdict, known: Mapping[str, timedelta]) -> dict[str, timedelta]:
    """Return the skews that differ from those that are known, in whole seconds.

    Where all clocks differ from ours alike, if only by a minute, it is ours that differs: nothing is learnt of that,
    but a skew that they contradict is forgotten.
    """
    skews = verdict.skews
    if not skews:
        return {}
    off, spread = min(map(abs, skews.values())), max(skews.values()) - min(skews.values())
    if len(skews) > 1 and off > NOTICED >= spread:
        return {name: NOTHING for name, skew in skews.items() if abs(skew - known.get(name, NOTHING)) > WRONG}
    changed = {name: skew for name, skew in skews.items() if abs(skew - known.get(name, NOTHING)) > NOTICED}
    return {name: timedelta(seconds=round(skew.total_seconds())) for name, skew in changed.items()}


def told(behind: timedelta) -> str:
    """Say how far a clock is off, in a unit that people use: "2 h ahead"."""
    seconds = abs(behind).total_seconds()
    units = (("d", 86400), ("h", 3600), ("min", 60), ("s", 1))
    unit, size = next(((unit, size) for unit, size in units if seconds >= 2 * size or size == 1))
    return f"{round(seconds / size)} {unit} {'behind' if behind > NOTHING else 'ahead'}"
