"""The units of systemd, as far as they can be looked at without booting one; .ci/systemd_smoke boots one."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest

from sync.settings import FILE_FORMS, variable_names

SYSTEMD = Path(__file__).parents[2] / "deploy" / "systemd"
UNITS = ("mpsync.service", "mpsync@.service")
EXPOSURE_MAX = "15"
"""In tenths, as `systemd-analyze security --threshold` takes it."""


def analyze(*arguments: str) -> subprocess.CompletedProcess[str]:
    if shutil.which("systemd-analyze") is None:
        if os.environ.get("CI") == "true":
            pytest.fail("systemd-analyze is not here")
        pytest.skip("systemd-analyze is not here")
    return subprocess.run(["systemd-analyze", *arguments], capture_output=True, text=True, timeout=60)


def lines_of(name: str) -> list[str]:
    text = (SYSTEMD / name).read_text()
    return [line for line in text.splitlines() if line and not line.startswith("#")]


def values(name: str, key: str) -> list[str]:
    return [line.partition("=")[2] for line in lines_of(name) if line.startswith(f"{key}=")]


@pytest.fixture
def installed(tmp_path: Path) -> Path:
    """Copy the units to where systemd may read them with their instances and drop-ins."""
    for name in UNITS:
        shutil.copy(SYSTEMD / name, tmp_path / name)
    (tmp_path / "mpsync.service.d").mkdir()
    shutil.copy(SYSTEMD / "postgresql.conf", tmp_path / "mpsync.service.d")
    return tmp_path


@pytest.mark.parametrize("unit", ["mpsync.service", "mpsync@acme.service"])
def test_systemd_has_nothing_to_say_about_a_unit(unit: str, installed: Path) -> None:
    if "@" in unit:
        shutil.copy(installed / "mpsync@.service", installed / unit)

    result = analyze("verify", "--man=no", str(installed / unit))

    assert (result.returncode, result.stdout + result.stderr) == (0, "")


def test_systemd_does_find_a_misspelt_line(installed: Path) -> None:
    unit = installed / "mpsync.service"
    unit.write_text(unit.read_text().replace("WatchdogSec=", "WatchdogSecs="))

    assert "WatchdogSecs" in analyze("verify", "--man=no", str(unit)).stderr


@pytest.mark.parametrize("name", UNITS)
def test_a_unit_is_exposed_to_little(name: str, installed: Path) -> None:
    result = analyze("security", "--offline=true", f"--threshold={EXPOSURE_MAX}", str(installed / name))

    assert result.returncode == 0, result.stdout.splitlines()[-1]
    assert "Overall exposure level" in result.stdout


@pytest.mark.parametrize("name", UNITS)
def test_the_work_itself_feeds_the_watchdog_of_a_unit(name: str) -> None:
    assert {"Type=notify", "NotifyAccess=main", "Restart=on-failure", "DynamicUser=yes"} <= set(lines_of(name))
    assert [int(seconds) >= 60 for seconds in values(name, "WatchdogSec")] == [True]


@pytest.mark.parametrize("name", [*UNITS, "postgresql.conf"])
def test_secrets_come_as_credentials_into_settings_that_exist(name: str) -> None:
    loaded = {value.partition(":")[0] for value in values(name, "LoadCredential")}
    (command,) = [value for value in values(name, "ExecStart") if value]
    given = dict(re.findall(r"(\w+_FILE)=%d/([\w-]+)", command))

    assert set(given) <= {f"{field.upper()}_FILE" for field in FILE_FORMS}
    assert loaded <= set(given.values())
    assert name == "postgresql.conf" or loaded == set(given.values())
    assert command.endswith(" /opt/mpsync/bin/mpsync run")


def test_the_drop_in_for_postgresql_only_adds_the_database() -> None:
    (before,) = values("mpsync.service", "ExecStart")
    empty, after = values("postgresql.conf", "ExecStart")

    assert empty == ""
    assert after.replace("DATABASE_URL= DATABASE_URL_FILE=%d/database-url ", "") == before


def test_an_instance_differs_from_the_service_in_its_names_only() -> None:
    def anonymous(line: str) -> str:
        return (
            line.replace("/etc/mpsync/%i", "/etc/mpsync")
            .replace("mpsync-%i", "mpsync")
            .replace("mpsync for %i", "mpsync")
        )

    assert [anonymous(line) for line in lines_of("mpsync@.service")] == lines_of("mpsync.service")
    assert "User=mpsync-%i" in lines_of("mpsync@.service"), "instances would share a user, and read each other"


def test_the_commands_take_the_credentials_that_the_service_takes() -> None:
    script = (SYSTEMD / "mpsyncctl").read_text()
    pairs = dict(re.findall(r"\b([A-Z_]+):([a-z][a-z-]+)", script))

    assert pairs == {field.upper(): field.replace("_", "-") for field in FILE_FORMS}
    for secret in pairs.values():
        assert re.search(rf"for secret in .*\b{secret}\b", script)


def test_the_commands_are_refused_to_ordinary_users_with_what_to_do(tmp_path: Path) -> None:
    ordinary = tmp_path / "id"
    ordinary.write_text("#!/bin/sh\necho 1000\n")
    ordinary.chmod(0o755)
    env = {"PATH": f"{tmp_path}:/usr/bin:/bin"}

    result = subprocess.run([SYSTEMD / "mpsyncctl", "status"], env=env, capture_output=True, text=True, timeout=10)

    assert result.returncode == 2
    assert "sudo mpsyncctl status" in result.stderr


def test_the_settings_to_decide_exist_and_hold_no_secret() -> None:
    names = re.findall(r"^(\w+)=", (SYSTEMD.parent / "mpsync.example.env").read_text(), flags=re.MULTILINE)

    assert names
    assert set(names) <= set(variable_names())
    assert not {field.upper() for field in FILE_FORMS} & set(names)
