"""How each kind of setting reads its text. A ValueError says what is wrong and what would be right.

Its message never quotes a value that may hold a secret: tokens, passwords, anything in a URL but its scheme and host.
"""

from __future__ import annotations

import difflib
import importlib.util
import ipaddress
import re
from collections.abc import Callable
from datetime import UTC, date, datetime, time
from decimal import Decimal
from pathlib import Path
from typing import NamedTuple, TypeVar
from urllib.parse import SplitResult, urlsplit
from zoneinfo import ZoneInfo, available_timezones

from sqlalchemy.engine import URL, make_url
from sqlalchemy.exc import ArgumentError

POSTGRES_DRIVERS = {"postgres", "postgresql", "postgresql+psycopg"}
SQLITE_DRIVERS = {"sqlite", "sqlite+pysqlite"}
T = TypeVar("T")

TRUE, FALSE = {"true", "1", "yes", "on"}, {"false", "0", "no", "off"}


class Address(NamedTuple):
    """Where to listen."""

    host: str
    port: int


def optional(read: Callable[[str], T]) -> Callable[[str], T | None]:
    """Make empty text mean "not set"."""
    return lambda text: read(text) if text else None


def truth(text: str) -> bool:
    """Read a switch."""
    if text.lower() in TRUE | FALSE:
        return text.lower() in TRUE
    raise ValueError(f"{quoted(text)} is neither true nor false; write true or false")


def one_of(*words: str) -> Callable[[str], str]:
    """Read one of a few words, whatever their case."""

    def read(text: str) -> str:
        if text.lower() in words:
            return text.lower()
        raise ValueError(f"{quoted(text)} is not known; write {_either(words)}")

    return read


def some_of(*words: str) -> Callable[[str], tuple[str, ...]]:
    """Read any of a few words, commas between; `none` is none of them."""

    def read(text: str) -> tuple[str, ...]:
        given = tuple(dict.fromkeys(part.strip().lower() for part in text.split(",") if part.strip()))
        if given == ("none",):
            return ()
        for one in given:
            if one not in words:
                raise ValueError(f"{quoted(one)} is not known; write any of {', '.join(words)}, or none")
        return given

    return read


def time_of_day(text: str) -> time:
    """Read a time of day, HH:MM."""
    if re.fullmatch(r"([01][0-9]|2[0-3]):[0-5][0-9]", text):
        return time.fromisoformat(text)
    raise ValueError(f"{quoted(text)} is not a time of day; write it as HH:MM, like 05:30")


def folder(text: str) -> Path:
    """Read a folder's path; it must be there."""
    if Path(text).is_dir():
        return Path(text)
    raise ValueError(f"there is no folder {quoted(text)}; make it, or name one that is there")


def pairs(*names: str) -> Callable[[str], dict[str, str]]:
    """Read NAME=VALUE, semicolons between, of a few names."""

    def read(text: str) -> dict[str, str]:
        found = {}
        for part in filter(None, (one.strip() for one in text.split(";"))):
            name, _, value = part.partition("=")
            if name.strip() not in names or not value.strip():
                raise ValueError(f"{quoted(part)} is not understood; write {names[0]}=…, of {', '.join(names)}")
            found[name.strip()] = value.strip()
        return found

    return read


def currency(text: str) -> str:
    """Read the code of a currency (ISO 4217)."""
    if re.fullmatch(r"[A-Za-z]{3}", text):
        return text.upper()
    raise ValueError(f"{quoted(text)} is not a currency's code; write three letters, like USD")


def number(*, at_most: int) -> Callable[[str], Decimal]:
    """Read a number that is not negative, exactly; fractions are welcome."""

    def read(text: str) -> Decimal:
        if not re.fullmatch(r"[0-9]{1,20}(\.[0-9]{1,20})?", text):
            raise ValueError(f"{quoted(text)} is not a number like 0, 0.5 or 30; write one from 0 to {at_most}")
        if Decimal(text) > at_most:
            raise ValueError(f"{quoted(text)} is too large; write a number from 0 to {at_most}")
        return Decimal(text)

    return read


def factor(*, at_most: int) -> Callable[[str], Decimal]:
    """Read a number that is one or more."""
    read = number(at_most=at_most)

    def above(text: str) -> Decimal:
        if (value := read(text)) < 1:
            raise ValueError(f"{quoted(text)} is too small; write a number from 1 to {at_most}")
        return value

    return above


def duration(*, at_most: int) -> Callable[[str], float]:
    """Read seconds, minutes or a rate: a number that is not negative."""
    read = number(at_most=at_most)
    return lambda text: float(read(text))


def whole(*, at_most: int) -> Callable[[str], int]:
    """Read a count."""

    def read(text: str) -> int:
        if not re.fullmatch(r"[0-9]{1,9}", text) or int(text) > at_most:
            raise ValueError(f"{quoted(text)} is not a whole number; write one from 0 to {at_most}")
        return int(text)

    return read


def day(text: str) -> date:
    """Read a calendar day, YYYY-MM-DD."""
    try:
        if re.fullmatch(r"[0-9]{4}-[0-9]{2}-[0-9]{2}", text):
            return date.fromisoformat(text)
    except ValueError:
        pass
    raise ValueError(f"{quoted(text)} is not a day of the calendar; write it as YYYY-MM-DD, like 2024-01-31")


def instant(text: str, zone: ZoneInfo) -> datetime:
    """Read an instant with its offset, or a plain day: that day's midnight in `zone`. The answer is in UTC."""
    right = "write an instant with its offset, like 2024-01-31T08:00:00Z, or a day, like 2024-01-31"
    if re.fullmatch(r"[0-9]{4}-[0-9]{2}-[0-9]{2}", text):
        return _in_utc(datetime.combine(day(text), time.min, tzinfo=zone), text)
    try:
        read = datetime.fromisoformat(text)
    except ValueError:
        raise ValueError(f"{quoted(text)} is not an instant; {right}") from None
    if read.tzinfo is None:
        raise ValueError(f"{quoted(text)} has no offset, so nobody knows when it is; {right}")
    return _in_utc(read, text)


def _in_utc(read: datetime, text: str) -> datetime:
    try:
        return read.astimezone(UTC)
    except OverflowError:
        raise ValueError(f"{quoted(text)} is outside the calendar; write a day of this century") from None


ABBREVIATION_MAX = 5
ABBREVIATIONS = {
    "CST": "America/Chicago",
    "CDT": "America/Chicago",
    "EDT": "America/New_York",
    "MDT": "America/Denver",
    "PST": "America/Los_Angeles",
    "PDT": "America/Los_Angeles",
    "AKST": "America/Anchorage",
    "CEST": "Europe/Berlin",
    "BST": "Europe/London",
    "AEST": "Australia/Sydney",
}
"""What people write for a zone: a name that merely looks alike may be of another offset."""


def zone(text: str) -> ZoneInfo:
    """Read a time zone of the IANA database, whatever its case."""
    try:
        return ZoneInfo(text)
    except (ValueError, OSError, LookupError):
        known = {name.lower(): name for name in available_timezones()}
    if found := known.get(text.lower()):
        return ZoneInfo(found)
    if text.isalpha() and len(text) <= ABBREVIATION_MAX:
        example = ABBREVIATIONS.get(text.upper())
        such = f"such as {example}, if that is what it stands for" if example else "such as America/Chicago or UTC"
        raise ValueError(f"{quoted(text)} is an abbreviation, which says no zone for sure; write a zone's name, {such}")
    close = difflib.get_close_matches(text.lower(), known, n=1)
    suggestion = f"did you mean {known[close[0]]}?" if close else "write a name like America/Chicago or UTC"
    raise ValueError(f"{quoted(text)} is not a time zone; {suggestion}")


def names(text: str) -> tuple[str, ...]:
    """Read names with commas between them; blanks around them and repeats do not count."""
    return tuple(dict.fromkeys(part.strip() for part in text.split(",") if part.strip()))


def base_url(text: str) -> str:
    """Read a vendor's address; the slash at its end is dropped."""
    parts = split_url(text)
    if parts is None or parts.scheme not in ("http", "https") or not parts.hostname:
        raise ValueError("this is not the address of a service; write one like https://host.example/path")
    if parts.username is not None or parts.query or parts.fragment:
        raise ValueError("user names, ? and # have no place in this address; write only https://host/path")
    return text.rstrip("/")


def split_url(text: str) -> SplitResult | None:
    """Take an address apart; None where it is unreadable or has blanks or control characters in it."""
    if re.search(r"[\s\x00-\x1f\x7f]", text):
        return None
    try:
        parts = urlsplit(text)
        parts.port  # noqa: B018 - a port that is no number is only noticed here
    except ValueError:
        return None
    return parts


def is_loopback(host: str) -> bool:
    """Tell whether a host name can only mean this machine."""
    if host == "localhost" or host.endswith(".localhost"):
        return True
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        return False
    return address.is_loopback or address.is_unspecified


def url_path(text: str) -> str:
    """Read the path of an endpoint below its base address; empty: switched off."""
    if not text:
        return ""
    if re.search(r"[\s?#\x00-\x1f\x7f]", text) or "://" in text or text.startswith("//"):
        raise ValueError(f"{quoted(text)} is not a path below the base address; write one like /FetchWorkOrders")
    return "/" + text.lstrip("/")


def token(text: str) -> str:
    """Read a secret that travels in an HTTP header."""
    if not re.fullmatch(r"[\x21-\x7e]+", text):
        raise ValueError("it has blanks, line breaks or letters that no HTTP header can carry; copy it again, whole")
    return text


def listening_address(text: str) -> Address:
    """Read host:port; an IPv6 host stands in brackets."""
    match = re.fullmatch(r"(\[[0-9a-fA-F:.]+\]|[^\s:\[\]/@]+):([0-9]{1,5})", text)
    if match is None or int(match[2]) > 65535:
        raise ValueError(f"{quoted(text)} is not host:port; write one like 127.0.0.1:9090")
    return Address(match[1].strip("[]"), int(match[2]))


def database_url(text: str) -> str:
    """Read the database's address; PostgreSQL's is always given its driver, `+psycopg`."""
    try:
        url = make_url(text)
    except (ArgumentError, ValueError):
        raise ValueError(
            "this is not a database address; write sqlite:///mpsync.db or postgresql+psycopg://user:password@host/name"
        ) from None
    if url.drivername in SQLITE_DRIVERS:
        return _sqlite(url)
    if url.drivername in POSTGRES_DRIVERS:
        return _postgresql(url)
    raise ValueError(
        f"{quoted(url.drivername)} is not a database that mpsync works with; write sqlite:/// or postgresql+psycopg://"
    )


def _sqlite(url: URL) -> str:
    if url.host is not None:
        raise ValueError(
            "an address of SQLite names no host; write sqlite:///mpsync.db or, absolute, sqlite:////a/b.db"
        )
    if not url.database or url.database.startswith(":memory:"):
        raise ValueError("a database in memory forgets what was pushed; name a file, like sqlite:///mpsync.db")
    if url.database.startswith("file:"):
        raise ValueError("a file: address is not understood; name the file itself, like sqlite:////a/b.db")
    folder = Path(url.database).parent
    if not folder.is_dir():
        raise ValueError(f"the folder {quoted(str(folder))} does not exist; make it, or name another file")
    return url.set(drivername="sqlite").render_as_string(hide_password=False)


def _postgresql(url: URL) -> str:
    if importlib.util.find_spec("psycopg") is None:
        raise ValueError("PostgreSQL needs its driver; install it: pip install 'psycopg[binary]'")
    url = url.set(drivername="postgresql+psycopg")
    given = url.query.get("password")
    if url.password is None and isinstance(given, str):  # libpq takes it there too; where it belongs it is hidden
        url = url.set(password=given).difference_update_query(["password"])
    return url.render_as_string(hide_password=False)


def quoted(text: str) -> str:
    """Show a value in a message: escaped, and never long."""
    return repr(text if len(text) <= 60 else text[:60] + "…")


def _either(words: tuple[str, ...]) -> str:
    return f"{', '.join(words[:-1])} or {words[-1]}"
