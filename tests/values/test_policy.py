"""What the rules can read is what is watched for a change: there is no second list of it."""

from __future__ import annotations

import ast
import json
import tomllib
from collections.abc import Mapping
from dataclasses import fields, replace
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from sync.values.policy import ROUTES, Policy, Rules

ROOT = Path(__file__).parents[2]
OTHER: Mapping[str, Any] = {
    "timezone": ZoneInfo("America/Chicago"),
    "warehouse": "Main",
    "create_parts": True,
    "fractional_issuances": True,
    "description_marker": False,
    "push_from": datetime(2024, 1, 1, tzinfo=UTC),
    "routes": dict.fromkeys(ROUTES, "push"),
    "approve_up_to": Decimal(100),
    "approve_after": timedelta(minutes=31),
    "poll_recent": timedelta(seconds=301),
    "retry_base": timedelta(seconds=16),
    "create_product_path": "/products",
    "description_max": 100,
    "fractions_refused": True,
    "start_date": date(2024, 1, 1),
    "mpservices_ahead": timedelta(hours=1),
}
OF_FIELDS = {"day", "route", "push_from_there"}
"""What `Rules` works out of its own fields, and of nothing else."""


@pytest.mark.parametrize("name", [one.name for one in fields(Rules)])
def test_a_change_of_anything_that_the_rules_can_read_changes_the_fingerprint(name: str) -> None:
    before, after = Policy(), replace(Policy(), **{name: OTHER[name]})

    assert before.fingerprint() != after.fingerprint()


def test_what_the_rules_cannot_read_is_not_in_the_fingerprint() -> None:
    other = replace(Policy(), concurrency=9, lock_date=date(2024, 1, 1), poll_week=timedelta(1))

    assert other.fingerprint() == Policy().fingerprint()


def test_the_fingerprint_outlives_a_restart() -> None:
    kept = json.loads(json.dumps(replace(Policy(), **OTHER).fingerprint(), sort_keys=True))

    assert kept == replace(Policy(), **OTHER).fingerprint()


def pure_modules() -> list[Path]:
    """Return the modules that import-linter holds to be pure, the values aside, where `Policy` is defined."""
    contracts = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["tool"]["importlinter"][
        "contracts"
    ]
    names = next(one["source_modules"] for one in contracts if one["name"].startswith("rules are pure"))
    patterns = [name.replace(".", "/") + ".py" for name in names if name != "sync.values"]
    return sorted(path for pattern in patterns for path in ROOT.glob(pattern))


@pytest.mark.parametrize("path", pure_modules(), ids=lambda path: path.relative_to(ROOT / "sync").as_posix())
def test_the_rules_are_given_nothing_but_rules(path: Path) -> None:
    """mypy refuses to read a field of a Policy through `Rules`; so the rules must not name a Policy at all."""
    tree = ast.parse(path.read_text(encoding="utf-8"))

    named = {node.id for node in ast.walk(tree) if isinstance(node, ast.Name)}
    imported = {alias.name for node in ast.walk(tree) if isinstance(node, ast.ImportFrom) for alias in node.names}
    read = {
        node.attr
        for node in ast.walk(tree)
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id == "policy"
    }

    assert "Policy" not in named | imported
    assert read <= {one.name for one in fields(Rules)} | OF_FIELDS
    assert "getattr" not in named
