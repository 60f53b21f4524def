"""The wheel is whole: installed without the checkout, the program finds its migrations and runs."""

from __future__ import annotations

import sqlite3
import subprocess
import sys
import sysconfig
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
DEPENDENCIES = sysconfig.get_paths()["purelib"]
RUN = """
import sys
sys.path[:0] = sys.argv[1:3]
from sync.__main__ import main
code = main(sys.argv[3:])
assert sys.modules["sync"].__file__.startswith(sys.argv[1]), "the checkout was imported, not the wheel"
sys.exit(code)
"""


@pytest.fixture(scope="session")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Build the wheel with what is installed: no network."""
    out = tmp_path_factory.mktemp("wheel")
    build = [sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", str(out), str(ROOT)]
    result = subprocess.run(build, capture_output=True, text=True, timeout=120)
    assert result.returncode == 0, result.stdout + result.stderr
    (built,) = out.glob("*.whl")
    return built


@pytest.fixture(scope="session")
def installed(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Unpack the wheel into a folder of its own, which is what installing it does."""
    folder = tmp_path_factory.mktemp("installed")
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(folder)
    return folder


def run_installed(installed: Path, folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run the unpacked program. -S leaves out the .pth file through which the checkout would be found."""
    command = [sys.executable, "-I", "-S", "-c", RUN, str(installed), DEPENDENCIES, *arguments]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=180)


def test_the_wheel_holds_the_program_its_migrations_and_no_test(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        names = archive.namelist()

    migrations = {path.name for path in (ROOT / "migrations" / "versions").glob("*.py")}
    assert migrations
    assert {Path(name).name for name in names if name.startswith("sync/_migrations/versions/")} == migrations
    assert {"sync/__main__.py", "sync/py.typed", "sync/_migrations/env.py"} <= set(names)
    assert {name.split("/")[0] for name in names if ".dist-info" not in name} == {"sync"}


def test_an_installed_wheel_makes_its_schema(installed: Path, tmp_path: Path) -> None:
    result = run_installed(installed, tmp_path, "db", "upgrade")

    assert result.returncode == 0, result.stdout + result.stderr
    connection = sqlite3.connect(tmp_path / "mpsync.db")
    assert connection.execute("select count(*) from v_ledger").fetchone() == (0,)
    connection.close()


def test_an_installed_wheel_runs_the_demo(installed: Path, tmp_path: Path) -> None:
    result = run_installed(installed, tmp_path, "demo")

    assert result.returncode == 0, result.stdout + result.stderr
    connection = sqlite3.connect(tmp_path / "mpsync-demo.db")
    done = dict(connection.execute("select operation, count(*) from v_outbox where state = 'done' group by operation"))
    connection.close()
    assert {"post_receipt", "post_issuance", "patch_stock", "approve"} <= set(done)
