"""docs/install.md and docs/upgrade.md name only what exists."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from sync.cli import COMMANDS
from sync.settings import variable_names

ROOT = Path(__file__).parents[2]
DOCS = ("install.md", "upgrade.md")


def read(name: str) -> str:
    return (ROOT / "docs" / name).read_text()


@pytest.mark.parametrize("name", DOCS)
def test_every_command_in_the_docs_exists(name: str) -> None:
    said = re.findall(r"(?:`|    |exec \w+ |-- )(?:mpsync|mpsyncctl)(?: -i acme)? ([a-z]+)", read(name))
    said += re.findall(r"run --rm mpsync ([a-z]+)", read(name))

    assert len(said) > 5
    assert set(said) <= set(COMMANDS)


@pytest.mark.parametrize("name", DOCS)
def test_every_setting_in_the_docs_exists(name: str) -> None:
    said = set(re.findall(r"\b(?:MPW|MPSERVICES|SYNC)_[A-Z_]+|\bDATABASE_URL(?:_FILE)?\b", read(name)))

    assert said
    assert said <= set(variable_names())


@pytest.mark.parametrize("name", DOCS)
def test_every_file_and_heading_that_the_docs_point_to_is_there(name: str) -> None:
    for target in re.findall(r"\]\(([^)]+)\)", read(name)):
        path, _, heading = target.partition("#")
        assert (ROOT / "docs" / path).exists(), target
        if heading:
            headings = re.findall(r"^#+ (.+)$", read(path or name), flags=re.MULTILINE)
            assert heading in {text.lower().replace(" ", "-").replace(",", "") for text in headings}, target
    for path in re.findall(r"\bdeploy/[\w./@-]*\w", read(name)):
        made_by_the_reader = path.startswith("deploy/secrets") or path in ("deploy/mpsync.env", "deploy/mpsync")
        assert made_by_the_reader or (ROOT / path).exists(), path


def test_the_smoke_test_installs_and_backs_up_as_the_docs_say() -> None:
    smoke = (ROOT / ".ci" / "systemd_smoke").read_text()
    probe = (ROOT / ".ci" / "systemd_probe").read_text()
    backup = next(line.strip() for line in read("upgrade.md").splitlines() if "vacuum into" in line)

    assert backup in probe
    assert "/opt/mpsync/bin/pip install --require-hashes -r deploy/requirements.txt" in read("install.md")
    for step in (
        "--require-hashes -r deploy/requirements.txt",
        "--no-deps .",
        "deploy/systemd/mpsyncctl /usr/local/bin/",
    ):
        assert step in smoke
        assert step in read("install.md")
