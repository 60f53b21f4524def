"""A document of the ERP that is refused is told until its key is accepted, or a person sets it aside."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest

from sync.__main__ import main
from sync.database.engine import Store
from sync.jobs.import_file import import_file
from sync.jobs.resolve import resolve_by_person
from tests.clocks import FakeClock
from tests.worlds.reconcile_world import ISSUANCE, RECEIPT, World, make_world


@pytest.fixture
def world(store: Store, clock: FakeClock) -> World:
    return make_world(store, clock)


@pytest.fixture
def cli(database_url: str, world: World, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("DATABASE_URL", database_url)
    monkeypatch.chdir(tmp_path)


def opened(world: World) -> list[Any]:
    from sync.database.exceptions import open_exceptions

    with world.store.read() as conn:
        return open_exceptions(conn, kind="inbox_rejected")


def states(world: World) -> list[str]:
    return [state for state, _ in world.rows()]


@pytest.mark.parametrize("wrong", [{"quantity_received": "ten"}, {"created_on": "11/20/2026"}])
def test_an_erp_document_is_rejected_and_told_until_its_key_is_accepted(world: World, wrong: dict[str, str]) -> None:
    world.erp("receipt", "erp-1", RECEIPT | wrong)
    world.reconcile()

    (row,) = opened(world)
    assert row.subject == "receipt erp-1"
    assert next(iter(wrong)) in row.detail
    assert "nothing of it is recorded or sent" in row.detail

    world.erp("receipt", "erp-1", RECEIPT)  # as the hint says
    world.reconcile()

    assert world.told() == []
    assert states(world) == ["rejected", "accepted"]


def test_the_same_key_of_another_type_does_not_end_it(world: World) -> None:
    world.erp("receipt", "erp-1", {})
    world.erp("issuance", "erp-1", ISSUANCE)
    world.reconcile()

    assert world.told() == [("inbox_rejected", "receipt erp-1")]


def test_a_document_refused_and_corrected_in_one_batch_is_not_told(world: World) -> None:
    world.erp("receipt", None, {"api_key": "erp-1"})
    world.erp("receipt", "erp-1", RECEIPT)

    world.reconcile()

    assert world.told() == []


def test_an_import_tells_as_well_and_the_corrected_file_ends_it(world: World, tmp_path: Path) -> None:
    header = ",".join(["api_key", *RECEIPT])
    good = ",".join(["erp-1", *map(str, RECEIPT.values())])
    path = tmp_path / "in.csv"
    path.write_text(f"{header}\n{good.replace(',5,', ',ten,')}\n")
    import_file(world.ctx, path, "receipt")
    import_file(world.ctx, path, "receipt")

    assert world.told() == [("inbox_rejected", "receipt erp-1")]

    path.write_text(f"{header}\n{good}\n")
    import_file(world.ctx, path, "receipt")

    assert world.told() == []


def test_documents_without_a_key_are_told_together(world: World) -> None:
    for n in range(3):
        world.erp("receipt", None, RECEIPT | {"invoice_number": str(n)})
    world.reconcile()

    (row,) = opened(world)
    assert row.subject == "receipt without api_key"
    assert "3 such documents" in row.detail


def test_the_hint_is_followed_literally_and_ends_it(
    world: World, cli: None, capsys: pytest.CaptureFixture[str]
) -> None:
    world.erp("receipt", "erp-1", {"part_number": "P-1"})
    world.reconcile()
    (row,) = opened(world)
    capsys.readouterr()
    show, aside = re.findall("`mpsync ([^`]+)`", row.hint)

    assert main([*show.split(), "--json"]) == 0
    shown = json.loads(capsys.readouterr().out)
    assert json.loads(shown["document"]["payload"]) == {"part_number": "P-1"}
    assert shown["exceptions"][0]["kind"] == "inbox_rejected"
    assert main(aside.replace("TEXT", "not-ours").split()) == 0

    assert world.told() == []
    assert states(world) == ["set_aside"]


def test_what_was_set_aside_stays_so_and_another_content_is_told(world: World, cli: None) -> None:
    first = world.erp("receipt", "erp-1", {"part_number": "P-1"})
    world.reconcile()
    assert main(["inbox", "set-aside", str(first), "--why", "not ours"]) == 0

    world.erp("receipt", "erp-1", {"part_number": "P-1"})
    world.reconcile()
    assert world.told() == []
    assert states(world) == ["set_aside", "set_aside"]
    world.erp("receipt", "erp-1", {"part_number": "P-2"})
    world.reconcile()

    assert world.told() == [("inbox_rejected", "receipt erp-1")]


def test_one_of_several_without_a_key_is_set_aside_alone(world: World, cli: None) -> None:
    ids = [world.erp("receipt", None, {"part_number": f"P-{n}"}) for n in range(2)]
    world.reconcile()

    assert main(["inbox", "set-aside", str(ids[0]), "--why", "x"]) == 0
    assert world.told() == [("inbox_rejected", "receipt without api_key")]
    assert main(["inbox", "set-aside", str(ids[1]), "--why", "x"]) == 0

    assert world.told() == []


def test_a_persons_word_on_the_exception_sets_its_documents_aside(world: World) -> None:
    world.erp("receipt", "erp-1", {})
    world.erp("receipt", "erp-1", {"part_number": "P-1"})
    world.reconcile()
    (row,) = opened(world)

    assert resolve_by_person(world.ctx, ids=[row.id], why="not ours", by="ann") == 1

    assert states(world) == ["set_aside", "set_aside"]
    assert world.told() == []


def test_what_is_not_rejected_is_not_set_aside(world: World, cli: None, capsys: pytest.CaptureFixture[str]) -> None:
    row = world.erp("receipt", "erp-1", RECEIPT)
    world.reconcile()

    assert main(["inbox", "set-aside", str(row), "999", "--why", "x"]) == 1

    assert f"document {row} is accepted, not rejected" in capsys.readouterr().err
    assert main(["inbox", "show", "999"]) == 2
    assert states(world) == ["accepted"]
