"""The options of `mpsync sandbox`, as click reads them."""

from __future__ import annotations

import pytest

from sync.cli.sandbox import command


@pytest.mark.parametrize(
    ("given", "quirks"),
    [
        ([], ()),
        (["--quirks", ""], ()),
        (["--quirks", "list"], ("list",)),
        (["--quirks", "cost-cut-2, cost-cut-2"], ("cost-cut-2",)),
    ],
    ids=["nothing", "an empty text", "list", "twice the same"],
)
def test_quirks_are_read_as_they_are_named(given: list[str], quirks: tuple[str, ...]) -> None:
    assert command.make_context("sandbox", given).params["quirks"] == quirks
