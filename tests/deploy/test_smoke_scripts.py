"""The smoke scripts themselves: in CI a machine that cannot run them is a failure, elsewhere it is said and no more."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

CI = Path(__file__).parents[2] / ".ci"
SCRIPTS = ("systemd_smoke", "image_smoke")


@pytest.fixture
def as_an_ordinary_user(tmp_path: Path) -> dict[str, str]:
    """An environment in which `id -u` says 1000, so that nothing is mounted or installed here."""
    fake = tmp_path / "id"
    fake.write_text("#!/bin/sh\necho 1000\n")
    fake.chmod(0o755)
    return {"PATH": f"{tmp_path}:/usr/bin:/bin"}


def run(script: str, env: dict[str, str]) -> subprocess.CompletedProcess[str]:
    return subprocess.run(["bash", CI / script], env=env, capture_output=True, text=True, timeout=20)


@pytest.mark.parametrize("script", SCRIPTS)
def test_without_root_a_smoke_script_says_that_it_is_skipped(script: str, as_an_ordinary_user: dict[str, str]) -> None:
    result = run(script, as_an_ordinary_user)

    assert result.returncode == 0
    assert result.stdout.strip().endswith("skipped: it needs root")


@pytest.mark.parametrize("script", SCRIPTS)
def test_without_root_a_smoke_script_fails_in_ci(script: str, as_an_ordinary_user: dict[str, str]) -> None:
    result = run(script, {**as_an_ordinary_user, "CI": "true"})

    assert result.returncode == 1
    assert "FAILED: it needs root" in result.stdout


def test_what_boots_in_the_tree_refuses_to_run_anywhere_else() -> None:
    probe = (CI / "systemd_probe").read_text()
    guard = next(line for line in probe.splitlines() if "/src/mpsync" in line)

    assert guard.endswith("|| exit 1")
    assert probe.index(guard) < probe.index("exec >")


@pytest.mark.parametrize("script", [*SCRIPTS, "systemd_probe"])
def test_the_scripts_can_be_executed(script: str) -> None:
    assert os.access(CI / script, os.X_OK)
