"""How far back a feed of "the last two days" reaches, and whether by the clock or by the calendar (edge case S2).

The document says "in the last two days" and no more. What shows it is the feed's edge: the youngest movement that it
no longer shows, and the oldest that it still does. People delete movements, too, so an edge that is younger than the
setting counts only once a second one, of another reading, agrees with it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

HOUR = timedelta(hours=1)
DAY = timedelta(days=1)

EDGES_KEPT_MAX = 8
TIGHT = 2 * HOUR
"""An edge seen more roughly than this (few movements, or a long time between two readings) tells no reach."""

SAME = HOUR
"""Reaches no further apart than this are taken for the same."""


@dataclass(frozen=True, slots=True)
class Edge:
    """Where the window began at an instant: after `lost` (no longer shown), at or before `oldest` (still shown)."""

    at: datetime
    lost: datetime
    lost_id: str
    oldest: datetime
    oldest_id: str

    @property
    def shown(self) -> timedelta:
        """How far back the feed surely reached."""
        return self.at - self.oldest

    @property
    def not_shown(self) -> timedelta:
        """How far back it did not reach."""
        return self.at - self.lost

    def midnight(self, zone: ZoneInfo) -> datetime | None:
        """Return the midnight of a zone that lies in the edge, or None."""
        day = self.oldest.astimezone(zone).replace(hour=0, minute=0, second=0, microsecond=0)
        return day if day > self.lost else None


@dataclass(frozen=True, slots=True)
class Reach:
    """What a feed's readings have shown of its reach: the longest, and its last edges, oldest first."""

    longest: timedelta = timedelta(0)
    edges: tuple[Edge, ...] = ()


@dataclass(frozen=True, slots=True)
class Shows:
    """A fact that the readings show, with what shows it."""

    fact: str
    value: str
    evidence: str


def edge_of(at: datetime, shown: Mapping[str, datetime], known: Mapping[str, datetime]) -> Edge | None:
    """Return the edge that an answer shows; None where it lacks no movement older than all that it shows.

    `shown` and `known` are movements with their createdAt: those of the answer, and those that the feed has shown
    before. `at` is the vendor's own time.
    """
    if not shown:
        return None
    oldest_id = min(shown, key=lambda id_: (shown[id_], id_))
    lost = {id_: created for id_, created in known.items() if id_ not in shown and created < shown[oldest_id]}
    if not lost:
        return None
    lost_id = max(lost, key=lambda id_: (lost[id_], id_))
    return Edge(at, lost[lost_id], lost_id, shown[oldest_id], oldest_id)


def watch(
    before: Reach, at: datetime, shown: Mapping[str, datetime], edge: Edge | None, *, zone: ZoneInfo, setting: timedelta
) -> tuple[Reach, list[Shows]]:
    """Return what is known of a feed's reach after an answer, and the facts that this answer adds to.

    Facts are given only with an edge that is new: a movement has dropped out, an hour or more after the last one; who
    deletes several movements does it within an hour.
    """
    longest = max([before.longest, *(at - created for created in shown.values())])
    if edge is None or any(edge.lost_id == one.lost_id or abs(edge.at - one.at) < HOUR for one in before.edges):
        return replace(before, longest=longest), []
    edges = (*before.edges, edge)[-EDGES_KEPT_MAX:]
    short = [one for one in edges if one.not_shown + SAME < longest]
    by_day = _calendar(short, zone)
    if by_day is not None:
        return Reach(longest, edges), by_day
    if short:
        agreeing = [one for one in short if abs(one.not_shown - edge.not_shown) <= SAME]
        if edge not in short or len(agreeing) < 2:
            # one movement that dropped out early was deleted; a second would say that the window is shorter now
            kept = tuple(one for one in edges if one not in short or one is edge)
            return Reach(longest, kept), []
        longest, edges = max(one.shown for one in agreeing), tuple(agreeing)
    return Reach(longest, edges), _rolling(edges, edge, zone, setting)


def _calendar(short: Sequence[Edge], zone: ZoneInfo) -> list[Shows] | None:
    """Two edges at midnight, younger than what was shown at other times: the window goes by days."""
    for where in (zone, ZoneInfo("UTC")):
        found = [(one, midnight) for one in short if (midnight := one.midnight(where)) is not None]
        if len(found) < 2 or len(found) < len(short):
            continue
        days = min((one.at - midnight) // DAY for one, midnight in found)
        evidence = (
            f"movement {found[-1][0].lost_id} of {_text(found[-1][0].lost)} was gone and {found[-1][0].oldest_id} of "
            f"{_text(found[-1][0].oldest)} was shown at {_text(found[-1][0].at)}; so at midnight ({where.key}) before"
        )
        return [Shows("window_is", "calendar", evidence), Shows("window_hours", str(days * 24), evidence)]
    return None


def _rolling(edges: Sequence[Edge], edge: Edge, zone: ZoneInfo, setting: timedelta) -> list[Shows]:
    tight = [one for one in edges if one.not_shown - one.shown <= TIGHT and one.shown > timedelta(0)]
    if edge not in tight:
        return []
    same = [one for one in tight if abs(one.shown - edge.shown) <= TIGHT]
    if edge.not_shown < setting - SAME and len(same) < 2:
        return []
    hours = (10 * edge.shown // HOUR) / 10
    evidence = (
        f"movement {edge.lost_id} of {_text(edge.lost)} was gone and {edge.oldest_id} of {_text(edge.oldest)} was "
        f"shown at {_text(edge.at)}"
    )
    found = [Shows("window_hours", f"{hours:g}", evidence)]
    zones = (zone, ZoneInfo("UTC"))
    if len(same) > 1 and all(edge.midnight(where) is None for where in zones):
        found.append(Shows("window_is", "rolling", evidence))
    return found


def _text(instant: datetime) -> str:
    return instant.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


# --- a gap ---------------------------------------------------------------------------------

SURELY = HOUR
"""No feed of "two days" reaches less far: a movement that is gone after a shorter silence was deleted."""


def gap_after(
    last_read_at: datetime,
    began_at: datetime,
    *,
    reach: timedelta,
    shown: Mapping[str, datetime],
    known: Mapping[str, datetime],
) -> datetime | None:
    """Return up to when movements may have been missed since the last reading; None: none were.

    1. A movement that the last reading had shown is shown again: the window reaches back behind that reading, and all
       since then is in the answer, whatever the window is thought to be.
    2. The silence was longer than the reach: what was created before `began_at - reach` was missed.
    3. Movements that should still be shown by that reach are gone, all of them: it reaches less far than believed, so
       all before the oldest that is shown may have been missed. Not after a silence of an hour: they were deleted.
    """
    if any(id_ in shown and created <= last_read_at for id_, created in known.items()):
        return None
    reaches = began_at - reach
    if last_read_at < reaches:
        return reaches
    young = [created for created in known.values() if reaches + timedelta(minutes=5) < created <= last_read_at]
    if young and began_at - last_read_at > SURELY:
        return max(last_read_at, min(shown.values(), default=began_at))
    return None
