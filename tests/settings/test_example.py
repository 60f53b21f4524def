"""settings.example.env and the code say the same."""

from __future__ import annotations

import re
from pathlib import Path

from sync.settings import load_settings, variable_names
from tests.settings.example import render_example

EXAMPLE = Path(__file__).parents[2] / "settings.example.env"


def test_the_example_lists_every_setting_in_order_with_its_default() -> None:
    assert EXAMPLE.read_text() == render_example(), "remake it: python -m tests.settings.example > settings.example.env"


def test_each_setting_of_the_example_stands_below_exactly_one_line_of_comment() -> None:
    blocks = EXAMPLE.read_text().strip().split("\n\n")[1:]

    assert [block.split("\n")[1].split("=")[0] for block in blocks] == list(variable_names())
    assert all(re.fullmatch(r"# .+\n[A-Z_]+=.*", block) for block in blocks)
    assert all(len(line) <= 120 for line in EXAMPLE.read_text().splitlines())


def test_a_copy_of_the_example_gives_the_defaults() -> None:
    assert load_settings({}, EXAMPLE) == load_settings({}, None)
