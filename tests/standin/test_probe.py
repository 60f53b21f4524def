"""`mpsync probe` against the stand-in: what it writes, what it learns, and that nothing of it stays."""

from __future__ import annotations

from datetime import timedelta

import pytest

from tests.standin.world import MAIN, PART, World

ARGUMENTS = ("probe", "--item", PART, "--part", PART, "--warehouse", MAIN, "--yes")


@pytest.fixture(autouse=True)
def long_lease(monkeypatch: pytest.MonkeyPatch) -> None:
    """The world's clock jumps when the program sleeps, and nobody renews the lease in between."""
    monkeypatch.setattr("sync.work.lead.TRUSTED", timedelta(hours=2))
    monkeypatch.setattr("sync.work.lead.LASTS", timedelta(hours=3))


def test_a_probe_learns_and_leaves_nothing_behind(fresh: World) -> None:
    code, said = fresh.mpsync(*ARGUMENTS)

    print(said)
    assert code == 0, said
    assert fresh.stocks() == (100, 100)
