"""The three systems, by the names that tables hold and people read."""

from __future__ import annotations

MPW = "mpw"
MPSERVICES = "mpservices"

_NAMES = {"mpw": "MPW", "mpservices": "MPservices", "erp": "the ERP"}


def name_of(system: str) -> str:
    """Return a system's name for people: "MPservices" for "mpservices"."""
    return _NAMES.get(system, system)
