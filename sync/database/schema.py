"""The tables. Every constraint is named; a CHECK states each rule the program relies on.

Public names are the views of the migrations (`v_…`, docs/sql.md); these tables may change.
"""

from __future__ import annotations

from sqlalchemy import (
    BigInteger,
    Boolean,
    CheckConstraint,
    Column,
    Date,
    ForeignKey,
    Index,
    Integer,
    MetaData,
    PrimaryKeyConstraint,
    Table,
    Text,
    UniqueConstraint,
    false,
    text,
    true,
)

from sync.database.types import Fixed, Id, Instant

metadata = MetaData(
    naming_convention={
        "pk": "pk_%(table_name)s",
        "fk": "fk_%(table_name)s_%(column_0_name)s",
        "uq": "uq_%(table_name)s_%(column_0_name)s",
        "ck": "ck_%(table_name)s_%(constraint_name)s",
        "ix": "ix_%(table_name)s_%(column_0_N_name)s",
    }
)

# --- what the systems say -----------------------------------------------------------------

CHANGED = "last_seen_at > first_seen_at"
"""Documents that were stored again after they were first seen: retention finds the others by their ids alone."""

documents = Table(
    "documents",
    metadata,
    Column("id", Id, primary_key=True),
    Column("system", Text, nullable=False),  # mpw, mpservices, erp
    Column("type", Text, nullable=False),  # issuance, receipt, movement, equipment, inbox type …
    Column("remote_id", Text, nullable=False),
    Column("source", Text, nullable=False),  # coverage source it was read from: mpw.receipts …
    Column("day", Date),  # business date: the coverage day it belongs to
    Column("raw", Text, nullable=False),  # the element exactly as it came
    Column("digest", Text, nullable=False),
    Column("api_key", Text),
    Column("item", Text),
    Column("warehouse", Text),
    Column("remaining", Fixed),  # MPW's quantity_remaining; no part of the digest
    Column("entry_id", Id),  # the live original in ledger_entries; null: voided, or no ledger document
    Column("first_seen_at", Instant, nullable=False),
    Column("last_seen_at", Instant, nullable=False),  # when its content was last stored
    Column("missing_since", Instant),  # fetch start of the first complete read that lacked it
    Column("voided_at", Instant),
    Column("provider", Text),  # equipment: the GPS provider that reported it
    UniqueConstraint("system", "type", "remote_id", name="uq_documents_remote"),
    CheckConstraint(
        "system = 'mpw' or system = 'mpservices' or system = 'erp'", name="system"
    ),  # `in` costs SQLite more
    CheckConstraint("voided_at is null or entry_id is null", name="voided_has_no_entry"),
    Index("ix_documents_source_day", "source", "day"),
    Index("ix_documents_changed", "last_seen_at", sqlite_where=text(CHANGED), postgresql_where=text(CHANGED)),
)

ledger_entries = Table(
    "ledger_entries",
    metadata,
    # id is also seq: appends are serialised, so ids follow commit order
    Column("id", Id, primary_key=True),
    Column("system", Text, nullable=False),
    Column("kind", Text, nullable=False),
    Column("api_key", Text, nullable=False),
    Column("remote_id", Text, nullable=False),
    Column("entry_type", Text, nullable=False),
    Column("reverses_id", Id, ForeignKey("ledger_entries.id")),
    Column("item", Text, nullable=False),  # the item's name in that system
    Column("warehouse", Text),
    Column("quantity", Fixed, nullable=False),  # + in, - out
    Column("unit_cost", Fixed, nullable=False),
    Column("amount", Fixed, nullable=False),
    Column("occurred_on", Date, nullable=False),
    Column("occurred_at", Instant),  # where the system gives an instant
    Column("posted_on", Date, nullable=False),
    Column("recorded_at", Instant, nullable=False),
    Column("run_id", Id),
    CheckConstraint("system = 'mpw' or system = 'mpservices' or system = 'erp'", name="system"),
    CheckConstraint(
        "kind = 'receipt' or kind = 'issuance' or kind = 'transfer' or kind = 'adjustment'",
        name="kind",
    ),
    CheckConstraint(
        "(entry_type = 'original' and reverses_id is null) or (entry_type = 'reversal' and reverses_id is not null)",
        name="entry_type",
    ),
    CheckConstraint("posted_on >= occurred_on", name="posted_not_before_occurred"),
    Index(
        "uq_ledger_entries_reverses_id",
        "reverses_id",
        unique=True,
        sqlite_where=text("reverses_id is not null"),
        postgresql_where=text("reverses_id is not null"),
    ),
    Index("ix_ledger_entries_event", "api_key", "kind"),
    Index("ix_ledger_entries_item", "item", "system"),
    Index("ix_ledger_entries_occurred_on", "occurred_on", postgresql_using="brin"),
)

movement_lines = Table(
    "movement_lines",
    metadata,
    Column("movement_id", Text, nullable=False),
    Column("n", Integer, nullable=False),  # given at first sight, kept
    Column("api_key", Text, nullable=False),
    Column("digest", Text, nullable=False),
    Column("external_id", Text, nullable=False),  # item_external_id, else item_id
    Column("named", Boolean, nullable=False, server_default=true()),  # it gave an item_external_id
    Column("quantity", Fixed, nullable=False),  # signed: + Inbound, - Outbound
    Column("unit_cost", Fixed, nullable=False),  # without the mark of our patches
    Column("created_at", Instant, nullable=False),
    Column("place", Integer, nullable=False),  # order among equal created_at, older first
    Column("single", Boolean, nullable=False),  # its movement has one line
    Column("role", Text, nullable=False),  # event, echo, undecided
    Column("entry_id", Id),
    Column("shown_cost", Fixed, nullable=False, server_default="0"),  # as it was shown, per unit or in total
    Column("seen_seq", Id, nullable=False, server_default="0"),  # the ledger's number at which it was first seen
    Column("asked_of", Id),  # the expectation in question that it may be the echo of
    PrimaryKeyConstraint("movement_id", "n", name="pk_movement_lines"),
    UniqueConstraint("api_key", name="uq_movement_lines_api_key"),
    CheckConstraint("role in ('event', 'echo', 'undecided')", name="role"),
    Index("ix_movement_lines_feed", "external_id", "created_at", "place"),
    Index("ix_movement_lines_created_at", "created_at"),
)

coverage = Table(
    "coverage",
    metadata,
    Column("source", Text, nullable=False),
    Column("day", Date, nullable=False),
    Column("complete", Boolean, nullable=False, server_default=false()),
    Column("rows", Integer, nullable=False, server_default="0"),
    Column("last_read_at", Instant),  # last successful read
    Column("fetch_began_at", Instant),  # when the stored read's fetch began; null: our clock was wrong then
    Column("digest", Text),  # of the body; null: always read in full
    Column("parser", Integer, nullable=False, server_default="0"),
    Column("unclean", Boolean, nullable=False, server_default=false()),  # holds missing or quarantined rows
    Column("error", Text),
    Column("error_at", Instant),
    Column("began_no", Id),  # the run that made the stored read: drawn before its fetch began
    Column("read_no", Id),  # the newest run when it was taken in: reads of runs up to it are dropped
    PrimaryKeyConstraint("source", "day", name="pk_coverage"),
    Index("ix_coverage_day", "day"),
)

feeds = Table(
    "feeds",
    metadata,
    Column("source", Text, primary_key=True),
    Column("first_read_at", Instant),
    Column("last_read_at", Instant),  # last complete read
    Column("covered_from", Instant),  # start of the unbroken stretch that ends at last_read_at
    Column("error", Text),
    Column("failing_since", Instant),
    Column("read_no", Id),  # the newest run when the last complete read was taken in
    Column("vendor_read_at", Instant),  # the vendor's clock at the last complete read, from its Date header
)

gaps = Table(
    "gaps",
    metadata,
    Column("id", Id, primary_key=True),
    Column("source", Text, nullable=False),
    Column("gap_from", Instant, nullable=False),
    Column("gap_to", Instant, nullable=False),
    Column("opened_at", Instant, nullable=False),
    Column("closed_at", Instant),
    Column("note", Text),
    CheckConstraint("gap_to > gap_from", name="bounds"),
)

quarantine = Table(
    "quarantine",
    metadata,
    Column("id", Id, primary_key=True),
    Column("source", Text, nullable=False),
    Column("day", Date),
    Column("digest", Text, nullable=False),
    Column("reason", Text, nullable=False),
    Column("raw", Text, nullable=False),
    Column("seen_at", Instant, nullable=False),
    Column("resolved_at", Instant),
    Index(
        "uq_quarantine_open",
        "source",
        "day",
        "digest",
        unique=True,
        sqlite_where=text("resolved_at is null"),
        postgresql_where=text("resolved_at is null"),
    ),
)

purchase_orders = Table(
    "purchase_orders",
    metadata,
    Column("number", Text, primary_key=True),
    Column("status", Text, nullable=False),  # as MPW writes it
    Column("created_on", Date, nullable=False),
    Column("vendor_name", Text),
    Column("warehouse_name", Text),
    Column("total_cost", Fixed),
    Column("lines", Integer, nullable=False),
    Column("terms_digest", Text, nullable=False),  # of total and lines: what an approval approves
    Column("digest", Text, nullable=False),
    Column("raw", Text, nullable=False),
    Column("final", Boolean, nullable=False),
    Column("first_read_at", Instant, nullable=False),
    Column("last_read_at", Instant, nullable=False),  # when its content was last stored
    Column("changed_at", Instant, nullable=False),  # when its terms or status last changed
    Column("approval", Text),
    Column("ordered_at", Instant),  # when the reading began that last saw its status become ordered
    CheckConstraint("approval is null or approval in ('wanted', 'sent', 'done', 'exception')", name="approval"),
    Index("ix_purchase_orders_created_on", "created_on"),
    Index(
        "ix_purchase_orders_open",
        "created_on",
        "number",
        sqlite_where=text("not final"),
        postgresql_where=text("not final"),
    ),
)

work_orders = Table(
    "work_orders",
    metadata,
    Column("system", Text, nullable=False),
    Column("number", Text, nullable=False),
    Column("title", Text),
    Column("status", Text),
    Column("scheduled_on", Date),
    Column("completed_on", Date),
    Column("parts_cost", Fixed),
    Column("total_cost", Fixed),
    Column("digest", Text, nullable=False),
    Column("raw", Text, nullable=False),
    Column("last_read_at", Instant, nullable=False),
    PrimaryKeyConstraint("system", "number", name="pk_work_orders"),
)

# --- items and stock ----------------------------------------------------------------------

items = Table(
    "items",
    metadata,
    Column("external_id", Text, primary_key=True),
    Column("part_number", Text, nullable=False),
    Column("factor", Fixed, nullable=False),  # MPW quantity = MPservices quantity × factor
    Column("ignored", Boolean, nullable=False, server_default=false()),  # never pushed, never patched; part may be ''
    CheckConstraint("factor > 0", name="factor"),
    Index("ix_items_part_number", "part_number"),
    Index("ix_items_ignored", "external_id", sqlite_where=text("ignored = 1"), postgresql_where=text("ignored")),
)

item_warehouses = Table(
    "item_warehouses",
    metadata,
    Column("part_number", Text, nullable=False),
    Column("warehouse", Text, nullable=False),
    Column("external_id", Text, ForeignKey("items.external_id", ondelete="CASCADE"), nullable=False),
    Column("position", Integer, nullable=False),  # 0 takes the pushes
    PrimaryKeyConstraint("part_number", "warehouse", name="pk_item_warehouses"),
    UniqueConstraint("external_id", "position", name="uq_item_warehouses_position"),
)

item_states = Table(
    "item_states",
    metadata,
    Column("external_id", Text, primary_key=True),
    Column("managed", Boolean, nullable=False, server_default=false()),  # a movement named it, mapped, or created by us
    Column("dirty_at", Instant),
    Column("look_at", Instant),  # not before: waiting on a push, a pause, coverage
    Column("mpw_quantity", Fixed),
    Column("mpw_unit_cost", Fixed),
    Column("mpw_read_at", Instant),
    # what we believe of MPservices: the base, plus the lines after it in the feed's order
    Column("base_quantity", Fixed),
    Column("base_at", Instant),
    Column("base_place", Integer),
    Column("base_verified", Boolean, nullable=False, server_default=false()),
    Column("mps_quantity", Fixed),
    Column("mps_unit_cost", Fixed),
    Column("patches", Integer, nullable=False, server_default="0"),
    Column("last_patched_at", Instant),
    Column("audited_at", Instant),
    Column("blocked_reason", Text),
    Column("base_seq", Id, nullable=False, server_default="0"),  # what the ledger knew then
    Column("base_cost", Fixed),  # what the patch that it rests on sent
    Column("unfit_patches", Integer, nullable=False, server_default="0"),  # in a row, whose own movement surprised us
    Column("mpw_cost", Fixed),  # of one in MPW, by its ledger where its inventory shows none
    Column("ledger_gap", Fixed),  # MPW's stock less its ledger's, when both were last believed
    Column("gap_since", Instant),  # since when they differ by anything else
    Index(
        "ix_item_states_dirty",
        "dirty_at",
        sqlite_where=text("dirty_at is not null"),
        postgresql_where=text("dirty_at is not null"),
    ),
    Index(
        "ix_item_states_audit",
        "audited_at",
        sqlite_where=text("managed = 1 and dirty_at is null"),
        postgresql_where=text("managed and dirty_at is null"),
    ),
)

inventories = Table(
    "inventories",
    metadata,
    Column("warehouse", Text, nullable=False),
    Column("part_number", Text, nullable=False),
    Column("found", Boolean, nullable=False),
    Column("quantity", Fixed),
    Column("unit_cost", Fixed),
    Column("read_at", Instant, nullable=False),
    PrimaryKeyConstraint("warehouse", "part_number", name="pk_inventories"),
)

# --- outbox -------------------------------------------------------------------------------

# coalesce, or SQLite would rather look through all that is done, by another index
DELETED = "coalesce(state, '') = 'done' and coalesce(operation, '') in ('delete_receipt', 'delete_issuance')"

OPEN = "state in ('held', 'ready', 'sending', 'unknown', 'dead')"
"""Pushes that may still be sent, or that a person may still decide on."""

WHOLE = "coalesce(state, '') = 'done' and substr(payload, 1, 12) <> '{\"pruned_on\"'"
"""Done, and its payload not yet forgotten: what retention looks through."""

outbox = Table(
    "outbox",
    metadata,
    Column("id", Id, primary_key=True),
    Column("route", Text, nullable=False),
    Column("operation", Text, nullable=False),
    Column("kind", Text),  # of the event: receipt, issuance, transfer
    Column("api_key", Text, nullable=False),
    Column("entity_key", Text, nullable=False),
    Column("item", Text),  # MPW part number, or external_id for stock and products
    Column("rank", Integer, nullable=False, server_default="5"),  # within an entity: receipts 0, issuances 1
    Column("state", Text, nullable=False),
    Column("attempts", Integer, nullable=False, server_default="0"),  # that may have reached the vendor
    Column("tries", Integer, nullable=False, server_default="0"),  # attempt rows
    Column("fence", Integer, nullable=False, server_default="0"),
    Column("lease_owner", Text),
    Column("lease_until", Instant),
    Column("due_at", Instant, nullable=False),
    Column("ambiguous", Boolean, nullable=False, server_default=false()),
    Column("first_sent_at", Instant),
    Column("last_sent_at", Instant),
    Column("payload", Text, nullable=False),  # frozen: these bytes are sent
    Column("facts", Text, nullable=False, server_default="{}"),  # JSON: what the rules knew when it was derived
    Column("reason", Text),
    Column("last_error", Text),
    Column("evidence", Text),  # what proves that it is done
    Column("remote_id", Text),
    Column("created_at", Instant, nullable=False),
    Column("finalized_at", Instant),
    Column("stock_awaited_since", Instant),  # start of its tries in a row that found no stock
    Column("settled_no", Id),  # the newest run when it last changed its state: later ones show what it did
    Column("unseen_since", Instant),  # done by an answer alone, then: no poll has shown its row yet
    Column("stock_seen", Fixed),  # what MPW had of it when it was last looked at and found short
    Column("stock_seen_at", Instant),
    UniqueConstraint("operation", "api_key", name="uq_outbox_operation"),
    CheckConstraint(
        "state in ('held', 'ready', 'sending', 'unknown', 'done', 'dead', 'superseded', 'discarded')", name="state"
    ),
    CheckConstraint("(state = 'sending') = (lease_until is not null) or state = 'unknown'", name="sending_has_a_lease"),
    CheckConstraint("state <> 'superseded' or tries = 0", name="superseded_was_never_sent"),
    CheckConstraint("state <> 'done' or evidence is not null", name="done_has_evidence"),
    CheckConstraint(
        "(finalized_at is not null) = (state in ('done', 'dead', 'superseded', 'discarded'))", name="finalized"
    ),
    Index(
        "uq_outbox_in_flight",
        "entity_key",
        unique=True,
        sqlite_where=text("state in ('sending', 'unknown')"),
        postgresql_where=text("state in ('sending', 'unknown')"),
    ),
    Index("ix_outbox_state_due", "state", "due_at", "id"),
    Index(
        "ix_outbox_queue",
        "entity_key",
        "rank",
        "id",
        sqlite_where=text("state = 'ready'"),
        postgresql_where=text("state = 'ready'"),
    ),
    Index(
        "ix_outbox_awaiting_stock",
        "stock_awaited_since",
        sqlite_where=text("state = 'ready' and stock_awaited_since is not null"),
        postgresql_where=text("state = 'ready' and stock_awaited_since is not null"),
    ),
    Index(
        "ix_outbox_unseen",
        "unseen_since",
        sqlite_where=text("unseen_since is not null"),
        postgresql_where=text("unseen_since is not null"),
    ),
    Index("ix_outbox_deleted", "finalized_at", sqlite_where=text(DELETED), postgresql_where=text(DELETED)),
    Index("ix_outbox_open", "route", "state", "created_at", sqlite_where=text(OPEN), postgresql_where=text(OPEN)),
    Index("ix_outbox_forgettable", "finalized_at", sqlite_where=text(WHOLE), postgresql_where=text(WHOLE)),
    Index("ix_outbox_event", "api_key", "kind"),
    Index("ix_outbox_item", "item", "state"),
)

attempts = Table(
    "attempts",
    metadata,
    Column("outbox_id", Id, ForeignKey("outbox.id"), nullable=False),
    Column("n", Integer, nullable=False),
    Column("fence", Integer, nullable=False),
    Column("batch_id", Text),  # attempts sent in one call share it
    Column("started_at", Instant, nullable=False),
    Column("ended_at", Instant),
    Column("answered_at", Instant),  # the vendor's clock, from its Date header
    Column("http_status", Integer),
    Column("outcome", Text),
    Column("error", Text),
    Column("sent_key", Text),  # the key this try carried: the event's, or a child's
    Column("before", Text),  # JSON: what was read just before (transfer: stocks; approval: the order)
    PrimaryKeyConstraint("outbox_id", "n", name="pk_attempts"),
)

issuance_parts = Table(
    "issuance_parts",
    metadata,
    Column("outbox_id", Id, ForeignKey("outbox.id"), nullable=False),
    Column("n", Integer, nullable=False),
    Column("api_key", Text, nullable=False),  # key_s1, key_s2 …
    Column("quantity", Fixed, nullable=False),  # positive
    Column("state", Text, nullable=False),  # planned, done
    Column("remote_id", Text),
    PrimaryKeyConstraint("outbox_id", "n", name="pk_issuance_parts"),
    UniqueConstraint("api_key", name="uq_issuance_parts_api_key"),
    CheckConstraint("state in ('planned', 'done')", name="state"),
    CheckConstraint("quantity > 0", name="quantity"),
)

pushed_rows = Table(
    "pushed_rows",
    metadata,
    # remote rows that an answer or a verification showed to be ours: polls file them under their event's key
    Column("type", Text, nullable=False),  # receipt, issuance
    Column("remote_id", Text, nullable=False),
    Column("api_key", Text, nullable=False),  # the event's key
    Column("outbox_id", Id, ForeignKey("outbox.id"), nullable=False),
    PrimaryKeyConstraint("type", "remote_id", name="pk_pushed_rows"),
)

echoes = Table(
    "echoes",
    metadata,
    # one expectation per attempt of a stock patch: the movement that the attempt itself makes. Ids follow time.
    Column("id", Id, primary_key=True),
    Column("outbox_id", Id, ForeignKey("outbox.id"), nullable=False),
    Column("n", Integer, nullable=False),  # the attempt
    Column("external_id", Text, nullable=False),
    Column("new_stock", Fixed, nullable=False),
    Column("new_cost", Fixed, nullable=False),  # wanted
    Column("sent_cost", Fixed, nullable=False),  # with the attempt's mark
    Column("believed_quantity", Fixed),  # believed stock when it was sent; null: unknown
    Column("claimed_seq", Id, nullable=False),  # the ledger's number at its claim: what has a higher one was seen later
    Column("read_after", Id),  # the last run's id when the call had ended; null: it has not, or nobody saw it
    Column("follow_stock", Fixed),  # what a follow-up patch sets, while it is in question
    Column("movement_id", Text),  # the echo, once found
    Column("line_n", Integer),
    Column("quantity", Fixed),  # what it moved
    Column("drift", Fixed),  # by how much the real stock was above the believed one
    # found; none: changed nothing; asking: a follow-up is to tell; no_movement: it had to make one;
    # absent: without an effect; several: a person is to say; null: open
    Column("outcome", Text),
    Column("closed_at", Instant),
    UniqueConstraint("outbox_id", "n", name="uq_echoes_attempt"),
    Index("ix_echoes_item", "external_id", "id"),
    Index(
        "ix_echoes_open",
        "external_id",
        sqlite_where=text("closed_at is null"),
        postgresql_where=text("closed_at is null"),
    ),
    Index(
        "ix_echoes_asking",
        "external_id",
        sqlite_where=text("outcome = 'asking'"),
        postgresql_where=text("outcome = 'asking'"),
    ),
)

# --- doors and queues for people ----------------------------------------------------------

inbox = Table(
    "inbox",
    metadata,
    # the ERP inserts (document_type, api_key, payload); nothing here may make that INSERT fail
    Column("id", Id, primary_key=True),
    Column("document_type", Text),
    Column("api_key", Text),
    Column("payload", Text),
    Column("state", Text, server_default="received"),
    Column("error", Text),
    Column("received_at", Instant),  # the migration gives it the database's clock as default
    Column("decided_at", Instant),
    Column("digest", Text),
    Index("ix_inbox_key", "document_type", "api_key"),
    Index("ix_inbox_state", "state", "id"),
)

# what the program resolved is resolved by 'mpsync' (values/exception_kinds.py, PROGRAM); no person goes by that name
TO_ACT = "kind = 'echo_undecided' and resolved_by <> 'mpsync' and acted_at is null"

exceptions = Table(
    "exceptions",
    metadata,
    Column("id", Id, primary_key=True),
    Column("kind", Text, nullable=False),
    Column("subject", Text, nullable=False),
    Column("detail", Text, nullable=False),
    Column("hint", Text, nullable=False),
    Column("facts", Text, nullable=False, server_default="{}"),  # JSON for the program: what `resolve` acts on
    Column("opened_at", Instant, nullable=False),
    Column("resolved_at", Instant),
    Column("resolved_by", Text),
    Column("resolution", Text),
    Column("subject_type", Text, nullable=False),
    Column("acted_at", Instant),  # when a person's answer to a doubt was carried out
    CheckConstraint(
        "subject_type = 'push' or subject_type = 'order' or subject_type = 'item' or subject_type = 'event'"
        " or subject_type = 'day' or subject_type = 'source' or subject_type = 'setting' or subject_type = 'row'",
        name="subject_type",
    ),
    Index(
        "uq_exceptions_open",
        "kind",
        "subject_type",
        "subject",
        unique=True,
        sqlite_where=text("resolved_at is null"),
        postgresql_where=text("resolved_at is null"),
    ),
    # the last of a subject, open or not; led by the kind it would be taken for those that look for what is open
    Index("ix_exceptions_told", "subject", "subject_type", "kind", "id"),
    Index("ix_exceptions_to_act", "id", sqlite_where=text(TO_ACT), postgresql_where=text(TO_ACT)),
)

exception_items = Table(
    "exception_items",
    metadata,
    # the items that an exception stops: asked for before every comparison, so that open ones are found by item
    Column("external_id", Text, nullable=False),
    Column("exception_id", Id, ForeignKey("exceptions.id"), nullable=False),
    PrimaryKeyConstraint("external_id", "exception_id", name="pk_exception_items"),
    Index("ix_exception_items_exception_id", "exception_id"),
)

parked = Table(
    "parked",
    metadata,
    # events that could not be pushed yet; looked at again when due, or when the map or a setting changes
    Column("kind", Text, nullable=False),
    Column("api_key", Text, nullable=False),
    Column("reason", Text, nullable=False),
    Column("due_at", Instant),  # null: only on a change of map or settings
    PrimaryKeyConstraint("kind", "api_key", name="pk_parked"),
    Index("ix_parked_due_at", "due_at"),
)

corrections = Table(
    "corrections",
    metadata,
    # what is posted again in MPW after a correction: the n-th content of an event, under a key of its own
    Column("kind", Text, nullable=False),
    Column("api_key", Text, nullable=False),  # the event's
    Column("n", Integer, nullable=False),
    Column("pushed_key", Text, nullable=False),
    Column("created_at", Instant, nullable=False),
    PrimaryKeyConstraint("kind", "api_key", "n", name="pk_corrections"),
    UniqueConstraint("pushed_key", "kind", name="uq_corrections_pushed_key"),
)

unpushed = Table(
    "unpushed",
    metadata,
    # recorded, not pushed: imported movements until the feed shows them or an import says --push, and what people said
    Column("kind", Text, nullable=False),
    Column("api_key", Text, nullable=False),
    Column("why", Text, nullable=False),
    PrimaryKeyConstraint("kind", "api_key", name="pk_unpushed"),
)

book_differences = Table(
    "book_differences",
    metadata,
    # events that two systems have and not alike, as reconcile last saw them; `v_events` shows what differs
    Column("kind", Text, nullable=False),
    Column("api_key", Text, nullable=False),
    Column("difference", Text, nullable=False),
    Column("since", Instant, nullable=False),
    Column("waits", Boolean, nullable=False, server_default=false()),  # for a push: a person is asked once it has ended
    PrimaryKeyConstraint("api_key", "kind", name="pk_book_differences"),
    Index("ix_book_differences_waits", "api_key", sqlite_where=text("waits = 1"), postgresql_where=text("waits")),
)

settlements = Table(
    "settlements",
    metadata,
    # a person's word that an event was dealt with by hand: never pushed, and no longer open
    Column("kind", Text, nullable=False),
    Column("api_key", Text, nullable=False),
    Column("why", Text, nullable=False),
    Column("made_by", Text, nullable=False),
    Column("mpw_id", Text),  # the row of MPW's that it was keyed in as, where the person named it
    Column("made_at", Instant, nullable=False),
    PrimaryKeyConstraint("api_key", "kind", name="pk_settlements"),
)

# --- the daemon ---------------------------------------------------------------------------

GOOD = "outcome = 'ok'"

runs = Table(
    "runs",
    metadata,
    Column("id", Id, primary_key=True),
    Column("flow", Text, nullable=False),
    Column("started_at", Instant, nullable=False),
    Column("ended_at", Instant),
    Column("outcome", Text),  # ok, failed; null: running or killed
    Column("seen", Integer, nullable=False, server_default="0"),
    Column("added", Integer, nullable=False, server_default="0"),
    Column("changed", Integer, nullable=False, server_default="0"),
    Column("voided", Integer, nullable=False, server_default="0"),
    Column("unchanged", Integer, nullable=False, server_default="0"),
    Column("quarantined", Integer, nullable=False, server_default="0"),
    Column("error", Text),
    Index("ix_runs_flow", "flow", "id"),
    Index("ix_runs_good", "flow", "id", sqlite_where=text(GOOD), postgresql_where=text(GOOD)),
)

tallies = Table(
    "tallies",
    metadata,
    # a row for each change of what /metrics counts, written by triggers; `database/tallies.py` adds them up
    Column("id", Id, primary_key=True),
    Column("name", Text, nullable=False),
    Column("label", Text, nullable=False),
    Column("number", BigInteger, nullable=False),
)

leases = Table(
    "leases",
    metadata,
    Column("name", Text, primary_key=True),
    Column("owner", Text, nullable=False),
    Column("token", Integer, nullable=False),  # grows with every new holder
    Column("expires_at", Instant, nullable=False),
)

facts = Table(
    "facts",
    metadata,
    # small truths that outlive a run: first run, go-live cut, reconciled seq, heartbeat
    Column("name", Text, primary_key=True),
    Column("value", Text, nullable=False),
    Column("updated_at", Instant, nullable=False),
)

learned = Table(
    "learned",
    metadata,
    # what a vendor does that its document does not say
    Column("system", Text, nullable=False),
    Column("fact", Text, nullable=False),
    Column("value", Text, nullable=False),
    Column("evidence", Text, nullable=False),  # the row or answer that showed it
    Column("seen_at", Instant, nullable=False),
    Column("set_by", Text),  # the person whose word it is; null: learnt
    Column("contrary", Text, nullable=False, server_default="{}"),  # JSON: the rows that have said otherwise since
    PrimaryKeyConstraint("system", "fact", name="pk_learned"),
)

todo_kinds = Table(
    "todo_kinds",
    metadata,
    # what v_todo says of a kind: the program's own texts, written by `database/todo.py`
    Column("kind", Text, primary_key=True),
    Column("level", Text, nullable=False),
    Column("meaning", Text, nullable=False),
    Column("choices", Text, nullable=False),  # JSON: [{"name": …, "command": …}]
    CheckConstraint("level in ('person', 'waiting')", name="level"),
)

pauses = Table(
    "pauses",
    metadata,
    # a system whose credentials were refused: left alone until their fingerprint changes
    Column("system", Text, primary_key=True),
    Column("fingerprint", Text, nullable=False),
    Column("reason", Text, nullable=False),
    Column("since", Instant, nullable=False),
    Column("tried_at", Instant),  # when they were last refused
)

__all__ = [
    "attempts",
    "book_differences",
    "corrections",
    "coverage",
    "documents",
    "echoes",
    "exception_items",
    "exceptions",
    "facts",
    "feeds",
    "gaps",
    "inbox",
    "inventories",
    "issuance_parts",
    "item_states",
    "item_warehouses",
    "items",
    "learned",
    "leases",
    "ledger_entries",
    "metadata",
    "movement_lines",
    "outbox",
    "parked",
    "pauses",
    "purchase_orders",
    "pushed_rows",
    "quarantine",
    "runs",
    "settlements",
    "tallies",
    "todo_kinds",
    "unpushed",
    "work_orders",
]

# --- the journal --------------------------------------------------------------------------

journal_entries = Table(
    "journal_entries",
    metadata,
    # in commit order, as the ledger's: a safe cursor
    Column("id", Id, primary_key=True, autoincrement=False),
    Column("ledger_id", Id),  # the ledger entry that it books; null: a handover, an adjustment, a reclassification
    Column("reverses_id", Id),  # the journal entry that it takes back, hands over or books elsewhere
    Column("origin", Text, nullable=False),
    Column("kind", Text, nullable=False),
    Column("api_key", Text, nullable=False),
    Column("item", Text, nullable=False),
    Column("warehouse", Text),
    Column("quantity", Fixed, nullable=False),  # + into the item's stock, - out of it
    Column("counter_warehouse", Text),  # a transfer's giving warehouse: the counter account holds stock too
    Column("counter_quantity", Fixed),
    Column("occurred_on", Date, nullable=False),
    Column("posted_on", Date, nullable=False),
    Column("account", Text, nullable=False),
    Column("amount", Fixed, nullable=False),  # + debit, - credit
    Column("counter_account", Text, nullable=False),
    Column("counter_amount", Fixed, nullable=False),
    Column("rounding_account", Text),
    Column("rounding_amount", Fixed, nullable=False),
    Column("cost_center", Text),
    Column("vendor", Text),
    Column("purchase_order", Text),
    Column("invoice", Text),
    Column("equipment", Text),
    Column("work_order", Text),
    Column("why", Text),  # a person's words, where a person made it
    Column("made_by", Text),
    Column("booked_by", Text, nullable=False),
    Column("rules_version", Integer, nullable=False),
    Column("run_id", Id),
    Column("derived_at", Instant, nullable=False),
    CheckConstraint("amount + counter_amount + rounding_amount = 0", name="balanced"),
    CheckConstraint("rounding_amount = 0 or rounding_account is not null", name="rounding_has_an_account"),
    CheckConstraint(
        "origin = 'ledger' or origin = 'handover' or origin = 'adjust' or origin = 'reclass'", name="origin"
    ),
    CheckConstraint("(origin = 'ledger') = (ledger_id is not null)", name="ledger_entry"),
    CheckConstraint("origin <> 'adjust' or (why is not null and made_by is not null)", name="adjust_has_a_reason"),
    CheckConstraint("booked_by = 'mpsync' or booked_by = 'erp' or booked_by = 'opening'", name="booked_by"),
    CheckConstraint("(counter_warehouse is null) = (counter_quantity is null)", name="counter_position"),
    CheckConstraint("posted_on >= occurred_on", name="posted_not_before_occurred"),
    Index("uq_journal_entries_ledger_id", "ledger_id", unique=True),
    Index("ix_journal_entries_event", "api_key", "kind"),
    Index(
        "ix_journal_entries_reverses_id",
        "reverses_id",
        sqlite_where=text("reverses_id is not null"),
        postgresql_where=text("reverses_id is not null"),
    ),
)

journal_positions = Table(
    "journal_positions",
    metadata,
    Column("item", Text, nullable=False),
    Column("warehouse", Text, nullable=False),  # '': MPW's row names none
    Column("account", Text, nullable=False),  # `expense`: what is received is expensed at once
    Column("quantity", Fixed, nullable=False),
    Column("value", Fixed, nullable=False),  # exact: the ledger's amounts
    Column("booked", Fixed, nullable=False),  # rounded: what the account holds of it
    PrimaryKeyConstraint("item", "warehouse", name="pk_journal_positions"),
)

journal_held = Table(
    "journal_held",
    metadata,
    Column("ledger_id", Id, primary_key=True, autoincrement=False),
    Column("reason", Text, nullable=False),
    Column("detail", Text, nullable=False),
    Column("held_at", Instant, nullable=False),
    CheckConstraint("reason in ('unmapped', 'late', 'transfer', 'twin', 'original', 'dropped')", name="reason"),
    Index("ix_journal_held_reason", "reason", "ledger_id"),
)

account_versions = Table(
    "account_versions",
    metadata,
    Column("version", Integer, primary_key=True, autoincrement=False),
    Column("imported_at", Instant, nullable=False),
    Column("imported_by", Text, nullable=False),
    Column("rules", Integer, nullable=False),
)

account_rules = Table(
    "account_rules",
    metadata,
    Column("version", Integer, ForeignKey("account_versions.version"), nullable=False),
    Column("n", Integer, nullable=False),  # its place in the file
    Column("use", Text, nullable=False),
    Column("work_order", Text, nullable=False),  # '': any
    Column("equipment", Text, nullable=False),
    Column("part", Text, nullable=False),
    Column("vendor", Text, nullable=False),
    Column("category", Text, nullable=False),
    Column("warehouse", Text, nullable=False),
    Column("account", Text, nullable=False),
    Column("cost_center", Text, nullable=False),
    Column("from_on", Date),  # null: always
    Column("name", Text, nullable=False),
    PrimaryKeyConstraint("version", "n", name="pk_account_rules"),
)

journal_batches = Table(
    "journal_batches",
    metadata,
    Column("id", Id, primary_key=True, autoincrement=False),
    Column("channel", Text, nullable=False),
    Column("format", Text, nullable=False),
    Column("mode", Text, nullable=False),
    Column("options", Text, nullable=False),  # JSON: all that the file's bytes depend on besides the entries
    Column("entries", Integer, nullable=False),
    Column("documents", Integer, nullable=False),
    Column("lines", Integer, nullable=False),
    Column("debit", Fixed, nullable=False),
    Column("digest", Text),  # of the files, once they were written
    Column("files", Text, nullable=False, server_default="[]"),  # JSON: their names
    Column("cut_at", Instant, nullable=False),
    Column("cut_by", Text, nullable=False),
    Column("written_at", Instant),
    CheckConstraint("mode = 'summary' or mode = 'detail'", name="mode"),
)

journal_documents = Table(
    "journal_documents",
    metadata,
    Column("id", Id, primary_key=True, autoincrement=False),
    Column("number", Text, nullable=False),
    Column("batch_id", Id, ForeignKey("journal_batches.id"), nullable=False),
    Column("booked_on", Date, nullable=False),
    Column("cost_center", Text),
    Column("debit", Fixed, nullable=False),
    Column("state", Text, nullable=False),
    Column("erp_reference", Text),
    Column("erp_booked_on", Date),
    Column("reason", Text),
    UniqueConstraint("number", name="uq_journal_documents_number"),
    CheckConstraint("state in ('cut', 'written', 'accepted', 'rejected')", name="state"),
    Index("ix_journal_documents_batch_id", "batch_id", "id"),
)

journal_batch_entries = Table(
    "journal_batch_entries",
    metadata,
    # in at most one batch: that is the primary key
    Column("entry_id", Id, ForeignKey("journal_entries.id"), primary_key=True, autoincrement=False),
    Column("document_id", Id, ForeignKey("journal_documents.id"), nullable=False),
    Index("ix_journal_batch_entries_document_id", "document_id", "entry_id"),
)

journal_holds = Table(
    "journal_holds",
    metadata,
    Column("id", Id, primary_key=True),
    Column("entry_id", Id, ForeignKey("journal_entries.id"), nullable=False),
    Column("held", Boolean, nullable=False),  # kept out of batches from then on, or let go
    Column("why", Text, nullable=False),
    Column("made_by", Text, nullable=False),
    Column("made_at", Instant, nullable=False),
    Index("ix_journal_holds_entry_id", "entry_id", "id"),
)

journal_bills = Table(
    "journal_bills",
    metadata,
    Column("api_key", Text, primary_key=True),  # of the ERP's document
    Column("purchase_order", Text, nullable=False),
    Column("invoice", Text, nullable=False),
    Column("amount", Fixed, nullable=False),
    Column("billed_on", Date, nullable=False),
    Column("told_at", Instant, nullable=False),
    Index("ix_journal_bills_purchase_order", "purchase_order"),
)
