"""Which sources this program reads, by its settings: what it does not read is neither late nor missing."""

from __future__ import annotations

from sync.app import App
from sync.ledger.coverage import DAY_SOURCES, EQUIPMENT, MOVEMENTS, MPSERVICES_WORK_ORDERS, PURCHASE_ORDERS, WORK_ORDERS


def sources_of(app: App) -> tuple[str, ...]:
    """Return the sources that are on, in the order in which they are shown."""
    found: list[str] = []
    if app.settings.mpw_on:
        found += [*DAY_SOURCES, PURCHASE_ORDERS, WORK_ORDERS]
        found += [EQUIPMENT] if app.policy.gps_providers else []
    if app.settings.mpservices_on:
        found += [MOVEMENTS]
        found += [MPSERVICES_WORK_ORDERS] if app.policy.work_orders_path else []
    return tuple(found)


def systems_of(app: App) -> tuple[str, ...]:
    """Return the vendors that are on."""
    return tuple(name for name, on in (("mpw", app.settings.mpw_on), ("mpservices", app.settings.mpservices_on)) if on)
