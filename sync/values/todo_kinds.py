"""What `v_todo` says of each kind of thing that needs a person: whether it must be decided now, and what it means.

`database/todo.py` writes these texts into a table that the view reads. Every kind of exception has an entry here, and
so has what needs a person without one.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Literal

from sync.values.exception_kinds import APPLY, AVAILABLE, ECHO, FROM, KEEP, KINDS, NONE, VOID, WAIT

Level = Literal["person", "waiting"]
"""`person`: to be decided now. `waiting`: held for review, short of stock, or a countdown that is far from its end."""


@dataclass(frozen=True, slots=True)
class Choice:
    """What a person can do: a name, and the command. `{id}` and `{subject}` stand for the row's own."""

    name: str
    command: str


@dataclass(frozen=True, slots=True)
class TodoKind:
    """A kind of thing to do. `meaning` is what it means for the books."""

    name: str
    level: Level
    meaning: str
    choices: tuple[Choice, ...]


NOT_ASKED = "MPW could not be asked"
READ_REFUSED = "waiting: {system} refuses the read"
"""How the reasons begin of what waits for an answer: `v_todo` finds such events and pushes by them."""

BEGINNINGS: Mapping[str, str] = {"events": NOT_ASKED, "pushes": READ_REFUSED.format(system="MPW")}

_NOT_IN_MPW = "MPW does not have it until this is settled: its stock and value there lack it."
_MAYBE_IN_MPW = "It may be in the books already or not: it is not sent again until that is known."
_STOPPED = "Until then MPservices keeps its count and cost of the item: no stock patch goes."

_MEANINGS: Mapping[str, str] = {
    # reading
    "credentials": "Nothing is read from this system or sent to it: the books stand still on that side.",
    "gap": "Movements of that time are in no books but MPservices' own, unless they are imported.",
    "short_window": f"MPW has what MPservices may not, or lacks what it has: what was not posted waits. {_STOPPED}",
    "mass_disappearance": "The rows stay in the ledger, though the source no longer shows them.",
    "deleted_in_mpw": "MPW's stock and value lack it, while the system it came from still has it.",
    "quarantined_row": f"What the row says is not in the ledger. {_STOPPED}",
    "unknown_value": "What bears the word is recorded, and nothing follows from it.",
    "rows_not_shown": "Orders of that day may be missing here; those are not approved.",
    "clock_wrong": "Where our clock is wrong nothing is sent: dates and waits would be wrong.",
    "learned_contradicted": "The vendor was seen to do otherwise than mpsync goes by; what was learnt stands.",
    # what people do in MPservices
    "movement_changed": f"MPW has it as it was before, MPservices as it is now. {_STOPPED}",
    "movement_deleted": f"MPW has it, MPservices no longer does. {_STOPPED}",
    "cost_restated": "Receipts in MPW carry the cost of the setting's old meaning: their value is wrong there.",
    "settings_differ": "Movements are not read and nothing is pushed while two instances read costs differently.",
    # what reconcile waits for
    "unmapped_item": "Movements of the item are recorded here and are not in MPW.",
    "unknown_part": "What names the part is recorded here and is not in MPW.",
    "odd_quantity": _NOT_IN_MPW,
    "fractional_issuance": _NOT_IN_MPW,
    "setting_missing": "What needs the setting waits; the books lack it on the other side.",
    "product_incomplete": "MPservices has no such product: its stock cannot be kept there.",
    "inbox_conflict": "The first document stands in the books; what the second one says is not in them.",
    "inbox_rejected": "It is in no books but the ERP's: the ERP has it, MPW does not.",
    # pushes
    "push_dead": "It is not sent any more: the books of the two systems differ by it.",
    "push_conflict": "Something else is under its key: which of the two is right is not known to mpsync.",
    "push_unknown": _MAYBE_IN_MPW,
    "push_undecidable": _MAYBE_IN_MPW,
    "push_other_quantity": "MPW has another quantity than was sent: stock and value differ by the rest.",
    "push_not_there": f"It counts as done, and MPW does not show it so. {_STOPPED}",
    "key_taken": f"Somebody else's row has its key, so it cannot be posted: MPW lacks it. {_STOPPED}",
    "not_enough_stock": "Nothing was posted: MPW still shows what was taken out.",
    "order_changed": "The order is not approved as it is now, or was approved on other terms.",
    "order_unknown": "The ERP's approval has no effect: MPW has no such order.",
    "order_unpriced": "The order is not approved: what it would commit is not clear.",
    "tracking_not_enabled": "MPW does not keep the part's stock until its tracking is switched on.",
    "unknown_product": "MPservices has no such product: its stock there is not kept.",
    # stock and cost
    "echo_undecided": f"A movement is either our own patch's or a person's; it is not in MPW. {_STOPPED}",
    "patch_without_echo": f"What MPservices has is not known. {_STOPPED}",
    "patch_fuse": f"Something changes MPservices' stock without movements. {_STOPPED}",
    "stock_drift": "MPservices' count was off, and MPW's stands in both now: the difference was booked nowhere.",
    "cost_is_wrong": f"Receipts that came from movements carry a wrong cost in MPW. {_STOPPED}",
    "cost_jump": "MPservices keeps the old cost until a person confirms the new one.",
    "stock_blocked": _STOPPED,
    "negative_stock": "MPW shows less than nothing; MPservices keeps its own count of it.",
    "unknown_cost": "The item has no value anywhere that mpsync knows of; MPservices keeps its cost.",
    # what two systems say of one event
    "books_differ": "The two systems value the same event differently: their books differ by it.",
    "odd_date": "It is recorded and not posted: its date would put it into the wrong period.",
    # the journal
    "journal_unmapped": "It is in the ledger and in no account: the inventory accounts lack it until a rule covers it.",
    "journal_late": "It is dated in a closed period and in no account yet: a person says whether it is booked.",
    "journal_delivery": "The journal goes on here; the ERP's books lack what was not given to it.",
    "journal_rejected": "The ERP refused the document: its books lack what is in it, and the journal has it.",
    "journal_twin": "It may be a transfer's arrival, which is booked already: until then it is in no account.",
}
"""What each kind of exception means for the books, those that are still to come included."""

_OPTIONS: Mapping[str, str] = {
    VOID: "the rows are gone: reverse them",
    APPLY: "have MPW corrected",
    KEEP: "leave MPW as it is",
    ECHO: "this movement is our patch's",
    NONE: "none of the movements is our patch's",
    AVAILABLE: "post what is there, drop the rest",
    FROM: "take what is missing from another warehouse",
    WAIT: "wait for stock",
}

_OPTIONS_OF: Mapping[tuple[str, str], str] = {
    ("odd_date", APPLY): "the date is right: post it",
    ("odd_date", KEEP): "do not post it",
    ("short_window", APPLY): "they were deleted: take them out of MPW",
    ("short_window", KEEP): "they are there: post what waits",
    ("books_differ", APPLY): "MPW is wrong: delete it there and post it again",
    ("books_differ", KEEP): "MPW is right, or both shall stay as they are",
    ("order_unpriced", APPLY): "approve it all the same",
    ("order_unpriced", KEEP): "leave it",
    ("cost_jump", APPLY): "the new cost is right: send it",
    ("cost_jump", KEEP): "keep the old cost",
    ("not_enough_stock", KEEP): "post nothing more of it",
}
"""What an option does where it is about something else than MPW's rows."""

_NAMES: Mapping[str, str] = {ECHO: "MOVEMENT_ID", FROM: "WAREHOUSE"}
"""What an option is to be told."""

_SHOW = Choice("look at it", "mpsync outbox show {subject}")
_RETRY = Choice("try it again", "mpsync outbox retry {subject}")
_DONE = Choice("it took effect", "mpsync outbox resolve {subject} --done --why TEXT")
_NOT_DONE = Choice("it did not: send it", "mpsync outbox resolve {subject} --not-done --why TEXT")
_DROP = Choice("drop it", "mpsync outbox discard {subject} --why TEXT")
_RELEASE = Choice("let it go", "mpsync outbox release {subject}")
_SETTLE = Choice("it is dealt with", "mpsync exceptions resolve {id} --why TEXT")

_OTHERS = (
    TodoKind("push_held", "waiting", "The other system does not have it until it is released.", (_RELEASE, _DROP)),
    TodoKind(
        "push_short_of_stock",
        "waiting",
        "MPW shows more than there is until stock is there and it is issued.",
        (_SHOW,),
    ),
    TodoKind(
        "source_failed",
        "waiting",
        "What happened there since is not in the books yet. It is tried again by itself.",
        (Choice("find out why", "mpsync doctor"),),
    ),
    TodoKind(
        "unasked",
        "waiting",
        "MPW does not have it yet: a question that must come before it got no answer. It is asked again by itself.",
        (Choice("find out why", "mpsync doctor"),),
    ),
    TodoKind(
        "window_closes",
        "waiting",
        "Movements that are not read in time are lost to every book but MPservices' own.",
        (
            Choice("find out why", "mpsync doctor"),
            Choice("take in what was exported from its screens", "mpsync import FILE --type movement"),
        ),
    ),
    TodoKind(
        "daemon_silent",
        "person",
        "Nothing is read and nothing is sent: the books of the systems drift apart.",
        (Choice("start it", "mpsync run"), Choice("do one cycle by hand", "mpsync once")),
    ),
    TodoKind(
        "run_failed",
        "waiting",
        "What that pass was to do is not done yet. It is tried again by itself.",
        (Choice("find out why", "mpsync doctor"),),
    ),
)
"""What needs a person and is no exception."""

PUSH_CHOICES: Mapping[str, tuple[Choice, ...]] = {
    "held": (_RELEASE, _DROP),
    "ready": (),
    "sending": (_SHOW,),
    "unknown": (_SHOW, _RETRY, _DONE, _NOT_DONE),
    "dead": (_SHOW, _RETRY, _DONE, _NOT_DONE, _DROP),
    "done": (_SHOW, _SETTLE),
    "superseded": (_SHOW, _SETTLE),
    "discarded": (_SHOW, _SETTLE),
}
"""What can be done to a push, by its state; an exception about it offers the same.

Of one that is ready, what the exception says: it goes by itself, and only what is in its way can be settled."""


ALONE: Mapping[str, tuple[Choice, ...]] = {
    "credentials": (Choice("find out why", "mpsync doctor"),),
    "gap": (Choice("take in what was exported from its screens", "mpsync import FILE --type movement"),),
    "quarantined_row": (Choice("find out why", "mpsync doctor"),),
    "inbox_rejected": (Choice("look at it", "mpsync inbox list --state rejected"),),
}
"""What can be done about a row of these kinds that no exception speaks of: there is no exception to resolve."""


def all_todo_kinds() -> list[TodoKind]:
    """Return every kind, and more choices: `push:STATE` of a push, `alone:KIND` of what no exception speaks of.

    `begins:WHAT` has for its meaning how the reasons begin of what waits for an answer.
    """
    kinds = [TodoKind(name, "person", meaning, tuple(_choices(name))) for name, meaning in _MEANINGS.items()]
    by_state = [TodoKind(f"push:{state}", "person", "", choices) for state, choices in PUSH_CHOICES.items() if choices]
    alone = [TodoKind(f"alone:{name}", "person", "", choices) for name, choices in ALONE.items()]
    begins = [TodoKind(f"begins:{what}", "waiting", text, ()) for what, text in BEGINNINGS.items()]
    return [*kinds, *_OTHERS, *by_state, *alone, *begins]


def _choices(name: str) -> Iterable[Choice]:
    known = KINDS.get(name)
    for option in known.choices if known is not None else ():
        given = f"{option} {_NAMES[option]}" if option in _NAMES else option
        yield Choice(
            _OPTIONS_OF.get((name, option), _OPTIONS[option]), f"mpsync exceptions resolve {{id}} {given} --why TEXT"
        )
    if known is None or not ({ECHO, APPLY, WAIT} & set(known.choices)):
        yield _SETTLE
