"""Bugs to plant (see `planted`) in what becomes of what people did to movements that were read before."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from sync.jobs import compare_stock, resolve
from sync.poll.feed import lines as movement_lines
from sync.poll.feed import window as movements
from sync.push.operations import stock as stock_operation
from sync.stock import facts as stock_facts
from sync.stock.rules import ItemFacts
from tests.simulation.planted import swapped


def correction_blocks_nothing() -> Any:
    """A person was told; the next comparison puts the stock right meanwhile."""
    real = stock_facts.item_facts

    def facts(*args: Any, **kwargs: Any) -> dict[str, ItemFacts]:
        return {name: replace(one, blocker=None) for name, one in real(*args, **kwargs).items()}

    return swapped((compare_stock, "item_facts", facts), (stock_operation, "item_facts", facts))


def correction_is_silent() -> Any:
    """The ledger says what the movement says now: there is nothing to tell."""
    return swapped((movement_lines, "note_correction", lambda *args, **kwargs: None))


def deletion_is_silent() -> Any:
    """What the feed no longer shows has left its window."""
    return swapped((movements, "note_deleted", lambda *args, **kwargs: None))


def applied_without_a_delete() -> Any:
    """A corrected movement is posted as corrected."""
    return swapped((resolve, "apply_deletion", lambda *args, **kwargs: None))
