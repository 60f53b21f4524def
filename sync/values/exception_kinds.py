"""Every kind of exception, once: what it is about, what it stops, who ends it, and how.

`open_exception` refuses a kind that is not here. `docs/runbook.md` has an entry for each, under its name.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from sync.values.subjects import SubjectType

VOID, APPLY, KEEP, ECHO, NONE = "--void", "--apply", "--keep", "--echo", "--none"
AVAILABLE, FROM, WAIT = "--available", "--from", "--wait"
"""The options by which `mpsync exceptions resolve` is told what to do, beside why."""

PROGRAM = "mpsync"
"""Who resolved what resolved itself: no person goes by this name (`name_of_person`)."""


def name_of_person(login: str) -> str:
    """Return the name that a person's word is filed under: that of the login, unless the program goes by it.

    The image and the systemd unit run as a user of that name, so that whoever resolves something there does, too. Their
    word would else be taken for the program's, on which nobody acts.
    """
    return f"a person, as {login}" if login == PROGRAM else login


@dataclass(frozen=True, slots=True)
class ExceptionKind:
    """A kind of exception.

    `subjects`: the types of what it may be about. `blocks_patch`: the stock of one side is unknown, so that the items
    that its facts name (`external_id`, `external_ids`) get no stock patch while it is open; the patch that finds out
    what stock there is (docs/adr/0004) is exempt. A document that was refused, or a shortage, leaves both stocks
    known, and stops nothing. `resolves_itself`: the program ends it once its cause is gone. `choices`: the options of
    `exceptions resolve` that it takes.
    """

    name: str
    subjects: tuple[SubjectType, ...]
    blocks_patch: bool = False
    resolves_itself: bool = False
    choices: tuple[str, ...] = ()

    @property
    def runbook(self) -> str:
        """Where `docs/runbook.md` explains it."""
        return f"docs/runbook.md#{self.name}"


_ALL = (
    # reading
    ExceptionKind("credentials", ("source",), resolves_itself=True),
    ExceptionKind("gap", ("source",)),
    ExceptionKind("short_window", ("source",), blocks_patch=True, resolves_itself=True, choices=(APPLY, KEEP)),
    ExceptionKind("mass_disappearance", ("source",), resolves_itself=True, choices=(VOID,)),
    ExceptionKind("deleted_in_mpw", ("event",), resolves_itself=True),
    ExceptionKind("quarantined_row", ("row",), blocks_patch=True, resolves_itself=True),
    ExceptionKind("unknown_value", ("source",)),
    ExceptionKind("rows_not_shown", ("day",), resolves_itself=True),
    ExceptionKind("clock_wrong", ("source", "setting"), resolves_itself=True),
    ExceptionKind("learned_contradicted", ("setting",), resolves_itself=True),
    # what people do in MPservices
    ExceptionKind("movement_changed", ("row",), blocks_patch=True, choices=(APPLY, KEEP)),
    ExceptionKind("movement_deleted", ("row",), blocks_patch=True, resolves_itself=True, choices=(APPLY, KEEP)),
    # stops nothing: it is about a cost that MPW has wrong, and both stocks are known. A patch meanwhile carries MPW's
    # average cost as it is, and the one after the correction the right one
    ExceptionKind("cost_restated", ("setting",), resolves_itself=True, choices=(APPLY, KEEP)),
    ExceptionKind("settings_differ", ("setting",), resolves_itself=True),
    # what two systems say of one event; stops nothing: MPW's stock is what MPW shows, whichever of them is right
    ExceptionKind("books_differ", ("event",), resolves_itself=True, choices=(APPLY, KEEP)),
    # what reconcile waits for
    ExceptionKind("unmapped_item", ("item",), resolves_itself=True, choices=(KEEP,)),
    ExceptionKind("unknown_part", ("item",), resolves_itself=True, choices=(KEEP,)),
    ExceptionKind("odd_quantity", ("event",), resolves_itself=True, choices=(KEEP,)),
    ExceptionKind("odd_date", ("event",), resolves_itself=True, choices=(APPLY, KEEP)),
    ExceptionKind("fractional_issuance", ("event",), resolves_itself=True, choices=(KEEP,)),
    ExceptionKind("setting_missing", ("setting",), resolves_itself=True),
    ExceptionKind("product_incomplete", ("item",), resolves_itself=True),
    ExceptionKind("inbox_conflict", ("row",)),
    ExceptionKind("inbox_rejected", ("row",), resolves_itself=True),
    # pushes
    ExceptionKind("push_dead", ("push",), resolves_itself=True),
    ExceptionKind("push_conflict", ("push",), resolves_itself=True),
    ExceptionKind("push_unknown", ("push",), resolves_itself=True),
    ExceptionKind("push_undecidable", ("push",), resolves_itself=True),
    ExceptionKind("push_other_quantity", ("push",), resolves_itself=True),
    ExceptionKind("push_not_there", ("push", "event"), blocks_patch=True, resolves_itself=True),
    ExceptionKind("key_taken", ("push",), blocks_patch=True, resolves_itself=True),
    ExceptionKind("not_enough_stock", ("push",), resolves_itself=True, choices=(AVAILABLE, FROM, KEEP, WAIT)),
    ExceptionKind("order_changed", ("push", "order"), resolves_itself=True),
    ExceptionKind("order_unpriced", ("order",), resolves_itself=True, choices=(APPLY, KEEP)),
    ExceptionKind("order_unknown", ("push",), resolves_itself=True),
    ExceptionKind("tracking_not_enabled", ("push",)),
    ExceptionKind("unknown_product", ("push",), resolves_itself=True),
    # stock and cost
    ExceptionKind("echo_undecided", ("event",), blocks_patch=True, choices=(ECHO, NONE)),
    ExceptionKind("patch_without_echo", ("push", "item"), blocks_patch=True, resolves_itself=True),
    ExceptionKind("patch_fuse", ("item",), blocks_patch=True, resolves_itself=True),
    ExceptionKind("stock_drift", ("item",), resolves_itself=True),
    ExceptionKind("cost_is_wrong", ("setting", "item"), blocks_patch=True, resolves_itself=True),
    ExceptionKind("cost_jump", ("item",), resolves_itself=True, choices=(APPLY, KEEP)),
    ExceptionKind("stock_blocked", ("item",), resolves_itself=True),
    ExceptionKind("negative_stock", ("item",), resolves_itself=True),
    ExceptionKind("unknown_cost", ("item",), resolves_itself=True),
    # the journal
    ExceptionKind("journal_unmapped", ("source",), resolves_itself=True),
    ExceptionKind("journal_late", ("source",), resolves_itself=True),
    ExceptionKind("journal_delivery", ("source",), resolves_itself=True),
    ExceptionKind("journal_rejected", ("row",), resolves_itself=True),
    ExceptionKind("journal_twin", ("source",), resolves_itself=True),
)

KINDS: Mapping[str, ExceptionKind] = {kind.name: kind for kind in _ALL}

BLOCKING = tuple(kind.name for kind in _ALL if kind.blocks_patch)
"""Kinds that stop the patches of the items that their facts name."""


STAY_RESOLVED = ("stock_blocked", "negative_stock", "unknown_cost", "unknown_part", "stock_drift")
"""Kinds that, about the stock of an item, are not told again after a person's word while they would say the same.

`v_stock.blocked_reason` goes on to say why the item is not patched.
"""

OF_IGNORED_ITEMS = ("quarantined_row", "short_window", "mass_disappearance", "unknown_value")
"""Kinds that are told even where they are about items alone that the item map ignores: what we read is in question."""


def kinds_about(type_: SubjectType) -> tuple[str, ...]:
    """Return the kinds that may be about a subject of that type."""
    return tuple(kind.name for kind in _ALL if type_ in kind.subjects)
