"""What the repository promises about itself: set-up lines, pinned versions, and what CI runs."""

from __future__ import annotations

import os
import re
import tomllib
from pathlib import Path

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).parents[2]
RUN_LINE = "python3 -m venv .venv && .venv/bin/pip install -e . && .venv/bin/mpsync demo"
TEST_LINE = "python3 -m venv .venv && .venv/bin/pip install -e '.[dev]' && .venv/bin/pytest"


def pins() -> dict[str, str]:
    lines = (ROOT / "constraints.txt").read_text().splitlines()
    pinned = [line.split(";")[0].strip() for line in lines if not line.startswith("#")]
    return {canonicalize_name(name): version for name, version in (line.split("==") for line in pinned)}


def test_the_readme_has_both_set_up_lines_and_ci_runs_the_one_for_tests() -> None:
    readme = [line.strip() for line in (ROOT / "README.md").read_text().splitlines()]

    assert RUN_LINE in readme
    assert TEST_LINE in readme
    assert TEST_LINE in [line.strip() for line in (ROOT / ".ci" / "run").read_text().splitlines()]


def test_ci_can_be_executed_and_stops_at_the_first_failure() -> None:
    script = ROOT / ".ci" / "run"

    assert os.access(script, os.X_OK)
    assert script.read_text().startswith("#!/usr/bin/env bash\n")
    assert "set -euo pipefail" in script.read_text()


def test_every_dependency_is_pinned_at_a_version_that_we_allow() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    extras = project["optional-dependencies"]

    required = [Requirement(text) for text in [*project["dependencies"], *extras["postgres"], *extras["dev"]]]

    assert len(required) > 15
    for requirement in required:
        version = pins()[canonicalize_name(requirement.name)]
        assert requirement.specifier.contains(version), f"{requirement} but pinned {version}"


def test_the_pinned_versions_name_no_host_and_no_option_of_pip() -> None:
    for line in (ROOT / "constraints.txt").read_text().splitlines():
        assert line.startswith("#") or re.fullmatch(r"[a-z0-9.-]+==[0-9][\w.]*( ; .+)?", line), line


def test_tests_and_the_postgres_extra_take_the_same_driver() -> None:
    extras = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]

    assert set(extras["postgres"]) <= set(extras["dev"])
