"""CONTRIBUTING.md: the places that a recipe names are there, and a place that was forgotten is found."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from sync.cli import outbox as outbox_commands
from sync.outbox import machine
from sync.push.operations.registry import operations
from sync.reconcile.commands import COMMAND_ROUTES
from sync.reconcile.rules import ROUTES as EVENT_ROUTES
from sync.settings import Settings
from sync.values.policy import ROUTES

ROOT = Path(__file__).parents[2]
TEXT = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
PLACE = re.compile(r"`((?:sync|tests|docs|migrations|\.ci)/[\w./]*\w/?)`")
PATHS = sorted({path for path in PLACE.findall(TEXT) if "NNNN" not in path})


@pytest.mark.parametrize("path", PATHS)
def test_a_place_that_a_recipe_names_is_there(path: str) -> None:
    assert (ROOT / path).exists()


def test_every_operation_that_is_named_is_in_the_registry() -> None:
    named = {
        value
        for name, value in vars(machine).items()
        if isinstance(value, str) and re.fullmatch(r"(POST|PATCH|CREATE|DELETE|APPROVE|PROBE)(_[A-Z]+)?", name)
    }

    assert set(operations()) == named


def test_every_route_has_its_setting_and_its_choice_and_is_used() -> None:
    settings = {name.removeprefix("sync_route_") for name in Settings.model_fields if name.startswith("sync_route_")}

    assert settings == set(ROUTES) == set(outbox_commands.ROUTES)
    assert {*EVENT_ROUTES.values(), *COMMAND_ROUTES.values()} <= set(ROUTES)


def test_the_makefile_has_the_loops_that_the_page_names() -> None:
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")

    for target in re.findall(r"`make (\w+)`", TEXT):
        assert re.search(rf"^{target}:", makefile, re.MULTILINE), target
