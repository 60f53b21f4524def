"""v_todo: everything that needs a person, once, whatever its table."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any

import click
import pytest
from sqlalchemy import CheckConstraint, Connection, text

from sync.cli import cli
from sync.database import schema
from sync.database.engine import Store
from sync.database.facts import beat, expect_no_daemon, note_stop
from sync.jobs.reports import Record, view
from sync.ledger.books import Books
from sync.ledger.in_force import PROOF_SECONDS, WINDOW_SECONDS, note_in_force
from sync.values.exception_kinds import KINDS
from sync.values.todo_kinds import PUSH_CHOICES, all_todo_kinds
from tests.views.pinned import pin
from tests.views.story import add, done, entry, push

NOW = datetime.now(UTC)
TODAY = NOW.date()


def todo(store: Store) -> list[Record]:
    with store.read() as conn:
        return view(conn, "v_todo", order="level, since, id")


def one(store: Store) -> Record:
    (row,) = todo(store)
    return row


def ago(**past: float) -> datetime:
    return NOW - timedelta(**past)


def exception(kind: str, subject_type: str, subject: str, **changed: Any) -> dict[str, Any]:
    detail = {"detail": f"something about {subject}", "hint": "do something", "opened_at": ago(hours=1)}
    return {"kind": kind, "subject_type": subject_type, "subject": subject, **detail, **changed}


def dead(api_key: str, **changed: Any) -> dict[str, Any]:
    return push(api_key, state="dead", last_error="unknown vendor", finalized_at=ago(minutes=1), **changed)


# --- every table and state has a decision -------------------------------------------------

ORDINARY = None
"""Nothing that needs a person."""

Wrote = Callable[[Connection], None]


def _put(table: Any, **values: Any) -> Wrote:
    return lambda conn: add(conn, table, values)


def _push(**changed: Any) -> Wrote:
    return lambda conn: add(conn, schema.outbox, push("K-1", **changed))


FINAL = {"finalized_at": NOW}
JUST_SENT = {"last_sent_at": ago(minutes=1), "first_sent_at": ago(minutes=1)}
FAILING = {"source": "mpw.receipts", "error": "503"}
BAD = {"source": "mpw.receipts", "digest": "d", "reason": "odd", "raw": "{}", "seen_at": NOW}
DECIDED: dict[tuple[str, str], tuple[Wrote | None, str | None]] = {
    # (table, state): what writes such a row, and the level of its row in v_todo (None: needs no person)
    ("outbox", "held"): (_push(state="held"), "waiting"),
    ("outbox", "ready"): (_push(), ORDINARY),
    ("outbox", "ready, short of stock"): (_push(stock_awaited_since=ago(minutes=5)), "waiting"),
    ("outbox", "sending"): (_push(state="sending", lease_until=NOW), ORDINARY),
    ("outbox", "unknown"): (
        _push(state="unknown", **JUST_SENT),
        ORDINARY,
    ),
    ("outbox", "unknown for long"): (_push(state="unknown", last_sent_at=ago(minutes=31)), "person"),
    ("outbox", "done"): (_push(state="done", evidence="seen", **FINAL), ORDINARY),
    ("outbox", "dead"): (_push(state="dead", **FINAL), "person"),
    ("outbox", "superseded"): (_push(state="superseded", **FINAL), ORDINARY),
    ("outbox", "discarded"): (_push(state="discarded", **FINAL), ORDINARY),
    ("outbox", "ready, MPW refuses the read"): (
        _push(last_error="waiting: MPW refuses the read: 400 odd"),
        "waiting",
    ),
    # What waits for a person opens an exception when it is parked (Park.kind).
    ("parked", "for something"): (_put(schema.parked, kind="receipt", api_key="K", reason="no part"), ORDINARY),
    ("parked", "MPW gives no answer"): (
        _put(schema.parked, kind="receipt", api_key="K", reason="MPW could not be asked: expected an array"),
        "waiting",
    ),
    ("exceptions", "open"): (_put(schema.exceptions, **exception("gap", "source", "x")), "person"),
    ("exceptions", "resolved"): (_put(schema.exceptions, **exception("gap", "source", "x", resolved_at=NOW)), ORDINARY),
    ("inbox", "received"): (_put(schema.inbox, document_type="receipt", api_key="K", state="received"), ORDINARY),
    ("inbox", "accepted"): (_put(schema.inbox, document_type="receipt", api_key="K", state="accepted"), ORDINARY),
    ("inbox", "rejected"): (
        _put(schema.inbox, document_type="receipt", api_key="K", state="rejected", error="no", decided_at=NOW),
        "person",
    ),
    ("inbox", "set_aside"): (
        _put(schema.inbox, document_type="receipt", api_key="K", state="set_aside", error="no", decided_at=NOW),
        ORDINARY,
    ),
    ("feeds", "read"): (_put(schema.feeds, source="mpw.receipts", last_read_at=NOW), ORDINARY),
    ("feeds", "failing"): (
        _put(schema.feeds, **FAILING, failing_since=ago(hours=1)),
        "waiting",
    ),
    ("feeds", "failing for long"): (
        _put(schema.feeds, **FAILING, failing_since=ago(hours=7)),
        "person",
    ),
    ("feeds", "its window closes"): (
        _put(schema.feeds, source="mpservices.movements", last_read_at=ago(hours=30)),
        "person",
    ),
    ("feeds", "its window closes some day"): (
        _put(schema.feeds, source="mpservices.movements", last_read_at=ago(hours=7)),
        "waiting",
    ),
    ("coverage", "complete"): (_put(schema.coverage, source="mpw.receipts", day=TODAY, complete=True), ORDINARY),
    ("coverage", "incomplete"): (_put(schema.coverage, source="mpw.receipts", day=TODAY, complete=False), ORDINARY),
    ("coverage", "failed"): (
        _put(schema.coverage, source="mpw.receipts", day=TODAY, error="503", error_at=ago(hours=1)),
        "waiting",
    ),
    ("gaps", "open"): (
        _put(schema.gaps, source="mpservices.movements", gap_from=ago(hours=60), gap_to=ago(hours=50), opened_at=NOW),
        "person",
    ),
    ("gaps", "closed"): (
        _put(
            schema.gaps,
            source="mpservices.movements",
            gap_from=ago(hours=60),
            gap_to=ago(hours=50),
            opened_at=NOW,
            closed_at=NOW,
        ),
        ORDINARY,
    ),
    ("quarantine", "open"): (
        _put(schema.quarantine, **BAD),
        "person",
    ),
    ("quarantine", "resolved"): (
        _put(
            schema.quarantine, source="mpw.receipts", digest="d", reason="odd", raw="{}", seen_at=NOW, resolved_at=NOW
        ),
        ORDINARY,
    ),
    ("pauses", "paused"): (_put(schema.pauses, system="mpw", fingerprint="f", reason="HTTP 401", since=NOW), "person"),
    ("runs", "ok"): (_put(schema.runs, flow="reconcile", started_at=NOW, ended_at=NOW, outcome="ok"), ORDINARY),
    ("runs", "running"): (_put(schema.runs, flow="reconcile", started_at=NOW), ORDINARY),
    ("runs", "dropped"): (_put(schema.runs, flow="reconcile", started_at=NOW, outcome="dropped"), ORDINARY),
    ("runs", "failed"): (_put(schema.runs, flow="reconcile", started_at=NOW, outcome="failed", error="x"), "waiting"),
    ("facts", "heartbeat"): (lambda conn: beat(conn, "host", now=NOW), ORDINARY),
    ("facts", "old heartbeat"): (lambda conn: beat(conn, "host", now=ago(minutes=8)), "person"),
    # An order whose approval came to an exception has a dead push or an open exception: those are its rows.
    ("purchase_orders", "wanted"): (None, ORDINARY),
    ("purchase_orders", "sent"): (None, ORDINARY),
    ("purchase_orders", "done"): (None, ORDINARY),
    ("purchase_orders", "exception"): (None, ORDINARY),
    # A doubt that only a person can end opens echo_undecided or patch_without_echo.
    ("movement_lines", "event"): (None, ORDINARY),
    ("movement_lines", "echo"): (None, ORDINARY),
    ("movement_lines", "undecided"): (None, ORDINARY),
    ("issuance_parts", "planned"): (None, ORDINARY),
    ("issuance_parts", "done"): (None, ORDINARY),
    # A refusal opens journal_rejected in the same transaction.
    ("journal_documents", "cut"): (None, ORDINARY),
    ("journal_documents", "written"): (None, ORDINARY),
    ("journal_documents", "accepted"): (None, ORDINARY),
    ("journal_documents", "rejected"): (None, ORDINARY),
    ("todo_kinds", "person"): (None, ORDINARY),
    ("todo_kinds", "waiting"): (None, ORDINARY),
}

WITHOUT_STATES = {
    "account_rules": "the rules of accounts",
    "account_versions": "the rules of accounts",
    "attempts": "what a push tried; the push has the row",
    "book_differences": "what a person can decide opens books_differ; else a push or a person's word is behind it",
    "corrections": "what a person decided already",
    "documents": "what the vendors say; what is odd about them opens an exception",
    "echoes": "a doubt that only a person can end opens echo_undecided or patch_without_echo",
    "exception_items": "the items of exceptions, which have rows",
    "inventories": "readings",
    "item_states": "a reason that lasts opens stock_blocked",
    "item_warehouses": "the item map",
    "items": "the item map",
    "journal_batch_entries": "what the ERP was given",
    "journal_batches": "what the ERP was given; what cannot be written by itself opens journal_delivery",
    "journal_bills": "what the ERP says",
    "journal_entries": "what was booked",
    "journal_held": "a reason that a person can end opens journal_unmapped, journal_late or journal_twin",
    "journal_holds": "what a person decided already",
    "journal_positions": "what was booked",
    "learned": "what contradicts it opens learned_contradicted",
    "leases": "who leads; a daemon that does not work has a row by its heartbeat",
    "ledger_entries": "what was recorded; what is missing elsewhere is a push or parked",
    "pushed_rows": "whose rows of MPW's are ours",
    "settlements": "what a person decided already",
    "tallies": "numbers for /metrics",
    "unpushed": "what a person or the go-live cut decided already",
    "work_orders": "what the vendors say",
}
"""Tables no row of which needs a person by itself, and why."""


def _states() -> set[tuple[str, str]]:
    """Return every (table, word) that a CHECK of the schema lets a state be."""
    found: set[tuple[str, str]] = set()
    for table in schema.metadata.tables.values():
        for constraint in table.constraints:
            if isinstance(constraint, CheckConstraint) and str(constraint.name).endswith(
                ("_state", "_approval", "_role", "_level")
            ):
                words = str(constraint.sqltext).split(" in (")[1].split(")")[0]
                found |= {(table.name, word.strip(" '")) for word in words.split(",")}
    return found


def test_every_table_and_every_state_has_a_decision() -> None:
    assert {table for table, _ in DECIDED} | set(WITHOUT_STATES) == set(schema.metadata.tables)
    assert not {table for table, _ in DECIDED} & set(WITHOUT_STATES)
    assert _states() <= set(DECIDED)


@pytest.mark.parametrize("case", [case for case, (wrote, _) in DECIDED.items() if wrote is not None], ids=", ".join)
def test_what_needs_a_person_has_one_row_of_its_level_and_nothing_else_has(case: tuple[str, str], store: Store) -> None:
    wrote, level = DECIDED[case]
    assert wrote is not None
    with store.write() as conn:
        note_in_force(Books(conn, now=NOW), {WINDOW_SECONDS: 48 * 3600, PROOF_SECONDS: 1800})
        wrote(conn)
    pin(store, NOW)

    found = todo(store)

    assert [row["level"] for row in found] == ([] if level is None else [level])
    assert all(row["what"] and row["meaning"] and row["since"] and row["subject"] for row in found)
    commands = [choice["command"] for row in found for choice in json.loads(row["choices"])]
    assert bool(commands) == bool(found)
    assert [command for command in commands if "  " in command or command.endswith(" ")] == []


@pytest.mark.parametrize("kind", sorted(KINDS))
def test_every_kind_of_exception_says_what_it_means_and_what_can_be_done(kind: str, store: Store) -> None:
    with store.write() as conn:
        add(conn, schema.outbox, dead("K-1"))
        subject_type = KINDS[kind].subjects[0]
        add(conn, schema.exceptions, exception(kind, subject_type, "1" if subject_type == "push" else "S"))

    found = [row for row in todo(store) if row["id"] == "exception:1"]

    assert [(row["kind"], row["level"]) for row in found] == [(kind, "person")]
    assert found[0]["meaning"].endswith(".")
    assert json.loads(found[0]["choices"])


# --- one row each -------------------------------------------------------------------------


def test_a_push_that_an_exception_speaks_of_has_one_row(store: Store) -> None:
    with store.write() as conn:
        add(conn, schema.outbox, dead("K-1"), dead("K-2"))
        add(conn, schema.exceptions, exception("push_dead", "push", "1"))

    assert sorted(row["id"] for row in todo(store)) == ["exception:1", "push:2"]


def test_a_dead_push_whose_exception_was_closed_still_needs_a_person(store: Store) -> None:
    with store.write() as conn:
        add(conn, schema.outbox, dead("K-1"))
        add(conn, schema.exceptions, exception("push_dead", "push", "1", resolved_at=NOW))

    assert [row["id"] for row in todo(store)] == ["push:1"]


def test_a_gap_a_bad_row_and_a_pause_that_exceptions_speak_of_have_one_row_each(store: Store) -> None:
    about = [
        exception("gap", "source", "mpservices.movements x", facts='{"gap_id": 1, "source": "mpservices.movements"}'),
        exception("quarantined_row", "row", "mpw.receipts 7", facts='{"digest": "d", "source": "mpw.receipts"}'),
        exception("credentials", "source", "mpw"),
    ]
    with store.write() as conn:
        for table, state in (("gaps", "open"), ("quarantine", "open"), ("pauses", "paused")):
            wrote = DECIDED[table, state][0]
            assert wrote is not None
            wrote(conn)
        add(conn, schema.exceptions, *about)

    assert sorted(row["id"] for row in todo(store)) == ["exception:1", "exception:2", "exception:3"]


def test_a_bad_row_that_a_person_has_settled_is_not_asked_about_again(store: Store) -> None:
    settled = exception("quarantined_row", "row", "x", facts='{"digest": "d"}', resolved_at=NOW, resolved_by="ann")
    with store.write() as conn:
        DECIDED["quarantine", "open"][0](conn)  # type: ignore[misc]
        add(conn, schema.exceptions, settled)

    assert todo(store) == []


def test_a_document_that_was_refused_is_over_once_its_key_is_accepted(store: Store) -> None:
    refused = {"document_type": "receipt", "api_key": "ERP-77", "state": "rejected", "error": "quantity: ten"}
    with store.write() as conn:
        add(conn, schema.inbox, refused, {**refused, "api_key": "ERP-78"})
        add(conn, schema.inbox, {"document_type": "receipt", "api_key": "ERP-77", "state": "accepted"})

    row = one(store)

    assert row["what"] == "receipt ERP-78 from the ERP was refused: quantity: ten"


@pytest.mark.parametrize(
    ("document_type", "api_key", "subject"),
    [
        ("receipt", "ERP-77", "receipt ERP-77"),
        ("receipt", None, "receipt without api_key"),
        (None, None, "a document without api_key"),
        ("receipt", None, "receipt ERP-77"),
    ],
)
def test_a_refused_document_that_an_exception_speaks_of_has_one_row(
    document_type: str | None, api_key: str | None, subject: str, store: Store
) -> None:
    refused = {"document_type": document_type, "api_key": api_key, "state": "rejected", "error": "quantity: ten"}
    with store.write() as conn:
        add(conn, schema.inbox, refused, {**refused, "document_type": "issuance", "api_key": "ERP-78"})
        add(conn, schema.exceptions, exception("inbox_rejected", "row", subject))

    assert sorted(row["id"] for row in todo(store)) == ["exception:1", "inbox:2"]


def test_a_source_of_a_paused_system_is_not_told_apart(store: Store) -> None:
    with store.write() as conn:
        add(conn, schema.feeds, {"source": "mpw.receipts", "error": "401", "failing_since": NOW})
        add(conn, schema.pauses, {"system": "mpw", "fingerprint": "f", "reason": "HTTP 401", "since": NOW})

    assert one(store)["kind"] == "credentials"


# --- what it says -------------------------------------------------------------------------


def test_a_held_receipt_shows_its_amount_and_how_to_let_it_go(store: Store) -> None:
    with store.write() as conn:
        add(conn, schema.ledger_entries, entry("erp", "receipt", "GR-1", "4"))
        add(conn, schema.outbox, push("GR-1", state="held", reason="the ERP has receipt GR-1"))

    row = one(store)

    assert row["what"] == "Receipt GR-1 of P-1 is held for review: the ERP has receipt GR-1"
    assert row["amount"] == Decimal(10)
    assert (row["subject_type"], row["subject"]) == ("push", "1")
    assert {choice["command"] for choice in json.loads(row["choices"])} == {
        "mpsync outbox release 1",
        "mpsync outbox discard 1 --why TEXT",
    }


def test_a_corrected_receipt_shows_the_amount_of_its_event(store: Store) -> None:
    again = {"kind": "receipt", "api_key": "GR-1", "n": 2, "pushed_key": "GR-1_c2", "created_at": NOW}
    with store.write() as conn:
        add(conn, schema.ledger_entries, entry("erp", "receipt", "GR-1", "4"))
        add(conn, schema.corrections, again)
        add(conn, schema.outbox, push("GR-1_c2", state="held"))

    assert one(store)["amount"] == 10


def test_a_held_stock_patch_shows_by_how_much_the_value_changes(store: Store) -> None:
    both = {"mpw_quantity": Decimal(50), "mpw_unit_cost": Decimal("2.5")}
    theirs = {"mps_quantity": Decimal(5), "mps_unit_cost": Decimal(3)}
    patch = {"operation": "patch_stock", "route": "stock_cost", "kind": None, "item": "EXT-1"}
    with store.write() as conn:
        add(conn, schema.item_states, {"external_id": "EXT-1", **both, **theirs})
        add(conn, schema.outbox, push("s-1", state="held", **patch))
        add(conn, schema.exceptions, exception("stock_drift", "item", "mps:EXT-1"))

    assert [row["amount"] for row in todo(store)] == [Decimal(110), Decimal(110)]


def test_a_stock_of_more_than_64_bits_of_millionths_squared_is_no_trouble(store: Store) -> None:
    huge = {"mpw_quantity": Decimal(9_000_000_000), "mpw_unit_cost": Decimal(900)}
    patch = {"operation": "patch_stock", "route": "stock_cost", "kind": None, "item": "E"}
    with store.write() as conn:
        add(conn, schema.item_states, {"external_id": "E", **huge, "mps_quantity": 0, "mps_unit_cost": 0})
        add(conn, schema.outbox, push("s-1", state="held", **patch))

    assert one(store)["amount"] == Decimal(8_100_000_000_000)


def test_an_approval_shows_the_orders_total(store: Store) -> None:
    order = {"number": "1005", "status": "requisition", "created_on": date(2024, 3, 14), "total_cost": Decimal(500)}
    rest = {"lines": 1, "terms_digest": "t", "digest": "d", "raw": "{}", "final": False}
    read = {"first_read_at": NOW, "last_read_at": NOW, "changed_at": NOW}
    approval = {"operation": "approve", "route": "approvals", "kind": None, "entity_key": "po:1005", "item": None}
    with store.write() as conn:
        add(conn, schema.purchase_orders, {**order, **rest, **read})
        add(conn, schema.outbox, push("ap-1", state="held", **approval))

    row = one(store)

    assert (row["amount"], row["what"].split(" is held")[0]) == (500, "Approval of order 1005")


def test_an_exception_about_an_event_shows_its_amount_and_choices_by_its_options(store: Store) -> None:
    with store.write() as conn:
        add(conn, schema.ledger_entries, entry("mpservices", "issuance", "mps-1", "-4"))
        add(conn, schema.exceptions, exception("fractional_issuance", "event", "issuance mps-1"))

    row = one(store)

    assert row["amount"] == -10
    assert "mpsync exceptions resolve 1 --keep --why TEXT" in row["choices"]


def test_an_exception_about_a_push_names_the_push_in_words_and_offers_what_its_state_allows(store: Store) -> None:
    with store.write() as conn:
        add(conn, schema.outbox, dead("GR-1"))
        add(conn, schema.exceptions, exception("push_dead", "push", "1", detail="refused: no such vendor"))

    row = one(store)

    assert row["what"] == "Receipt GR-1 of P-1: refused: no such vendor"
    assert {"mpsync outbox retry 1", "mpsync outbox discard 1 --why TEXT"} <= {
        choice["command"] for choice in json.loads(row["choices"])
    }


def test_movements_unread_for_30_hours_count_down(store: Store) -> None:
    with store.write() as conn:
        note_in_force(Books(conn, now=NOW), {WINDOW_SECONDS: 48 * 3600})
        add(conn, schema.feeds, {"source": "mpservices.movements", "last_read_at": ago(hours=30)})

    row = one(store)

    assert row["what"] == (
        "mpservices.movements was last read 30 h ago: in 18 h movements are lost for good. Export them from MPservices'"
        " screens now"
    )
    assert row["level"] == "person"


def test_a_window_that_was_learnt_to_be_shorter_counts_down_sooner(store: Store) -> None:
    learnt = {"system": "mpservices", "fact": "window_hours", "value": "36", "evidence": "x", "seen_at": NOW}
    with store.write() as conn:
        note_in_force(Books(conn, now=NOW), {WINDOW_SECONDS: 48 * 3600})
        add(conn, schema.learned, learnt)
        add(conn, schema.feeds, {"source": "mpservices.movements", "last_read_at": ago(hours=40)})

    assert "movements are lost" in one(store)["what"]
    assert "36 h" in one(store)["what"]


def test_a_window_of_a_system_that_is_off_does_not_count_down(store: Store) -> None:
    with store.write() as conn:
        note_in_force(Books(conn, now=NOW), {WINDOW_SECONDS: 0})
        add(conn, schema.feeds, {"source": "mpservices.movements", "last_read_at": ago(days=30)})

    assert todo(store) == []


def test_a_daemon_dead_for_8_minutes_is_said_and_one_that_was_stopped_too(store: Store) -> None:
    died = NOW - timedelta(minutes=8)
    pin(store, NOW)
    with store.write() as conn:
        beat(conn, "host", now=died)
    assert one(store)["what"] == "no daemon is at work: its last sign of life is 8 min old"

    with store.write() as conn:
        note_stop(conn, now=died)
    assert one(store)["what"] == "the daemon was stopped 8 min ago"


def test_where_cycles_by_hand_took_the_place_of_a_stopped_daemon_none_is_missed(store: Store) -> None:
    with store.write() as conn:
        beat(conn, "host", now=ago(minutes=8))
        note_stop(conn, now=ago(minutes=8))
        expect_no_daemon(conn)

    assert todo(store) == []


def test_a_cycle_by_hand_does_not_hide_that_a_daemon_died(store: Store) -> None:
    with store.write() as conn:
        note_stop(conn, now=ago(minutes=80))
        beat(conn, "host", now=ago(minutes=8))
        expect_no_daemon(conn)

    assert one(store)["kind"] == "daemon_silent"


def test_an_unknown_patch_that_is_sent_again_and_again_is_told_after_a_day(store: Store) -> None:
    with store.write() as conn:
        add(
            conn,
            schema.outbox,
            push("K-1", state="unknown", first_sent_at=ago(hours=25), last_sent_at=ago(minutes=1), attempts=9),
        )

    assert one(store)["level"] == "person"


# --- the choices --------------------------------------------------------------------------

COMMANDS = sorted({choice.command for kind in all_todo_kinds() for choice in kind.choices})


@pytest.mark.parametrize("command", COMMANDS)
def test_every_choice_is_a_command_as_it_is_typed(command: str) -> None:
    words = command.replace("{id}", "1").replace("{subject}", "1").replace("FILE", __file__).split()
    assert words[0] == "mpsync"
    context = click.Context(cli)
    found: click.Command | None = cli
    arguments = words[1:]
    while isinstance(found, click.Group):
        found = found.get_command(context, arguments.pop(0))
    assert found is not None

    found.make_context("x", arguments, resilient_parsing=False)


def test_every_state_of_a_push_has_its_choices() -> None:
    assert {("outbox", state) for state in PUSH_CHOICES} == {case for case in _states() if case[0] == "outbox"}


def test_the_list_of_a_long_history_is_found_by_index(store: Store) -> None:
    with store.write() as conn:
        add(conn, schema.ledger_entries, *(entry("mpw", "receipt", f"k-{n}", "1") for n in range(300)))
        add(conn, schema.outbox, *(done(f"k-{n}") for n in range(300)))
        conn.exec_driver_sql("analyze")

    with store.read() as conn:
        how = "explain query plan " if store.is_sqlite else "explain "
        plan = "\n".join(str(row) for row in conn.execute(text(how + "select * from v_todo")))

    assert "SCAN o'" not in plan
    assert "SCAN l'" not in plan
    assert "Seq Scan on outbox" not in plan
    assert "Seq Scan on ledger_entries" not in plan


@pytest.mark.parametrize(("hours", "level"), [(1, "waiting"), (7, "person")])
def test_a_document_of_the_erp_s_that_gets_no_answer_for_hours_is_to_be_decided_now(
    hours: int, level: str, store: Store
) -> None:
    seen = NOW - timedelta(hours=hours)
    document = {"system": "erp", "type": "stock_cost", "remote_id": "SC-1", "source": "erp.inbox", "raw": "{}"}
    with store.write() as conn:
        note_in_force(Books(conn, now=NOW), {WINDOW_SECONDS: 48 * 3600, PROOF_SECONDS: 1800})
        add(conn, schema.documents, {**document, "digest": "d", "first_seen_at": seen, "last_seen_at": seen})
        reason = "MPW could not be asked for its part: 500 odd"
        add(conn, schema.parked, {"kind": "stock_cost", "api_key": "SC-1", "reason": reason})
    pin(store, NOW)

    found = todo(store)

    assert [(row["kind"], row["level"]) for row in found] == [("unasked", level)]
