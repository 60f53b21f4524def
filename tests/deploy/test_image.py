"""The image's recipe, as far as it can be read; .ci/image_smoke builds and runs it."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from sync.cli import COMMANDS

ROOT = Path(__file__).parents[2]
DOCKERFILE = (ROOT / "Dockerfile").read_text()
PIN = re.compile(r"^([a-z0-9.-]+)==([0-9][\w.]*)(?: ; (.+?))? \\$", flags=re.MULTILINE)
REQUIREMENTS = ("requirements.txt", "requirements-build.txt")


def steps(word: str) -> list[str]:
    joined = DOCKERFILE.replace("\\\n", " ")
    return [line.removeprefix(word).strip() for line in joined.splitlines() if line.startswith(f"{word} ")]


def test_the_image_is_run_by_an_ordinary_user_who_owns_its_volume() -> None:
    assert steps("USER") == ["10001:10001"]
    assert steps("VOLUME") == ['["/var/lib/mpsync"]']
    assert steps("WORKDIR")[-1] == "/var/lib/mpsync"
    assert "install -d -o mpsync -g mpsync -m 0700 /var/lib/mpsync" in DOCKERFILE


def test_the_image_runs_the_daemon_and_is_asked_whether_it_works() -> None:
    (health,) = steps("HEALTHCHECK")

    assert health.endswith('CMD ["mpsync", "healthcheck"]')
    assert "healthcheck" in COMMANDS
    assert steps("ENTRYPOINT") == ['["mpsync"]']
    assert steps("CMD") == ['["run"]']
    assert "run" in COMMANDS


def test_only_the_finished_environment_reaches_the_image() -> None:
    _, last = DOCKERFILE.split(" AS run\n")

    assert re.findall(r"^COPY (.+)$", last, flags=re.MULTILINE) == ["--from=build /opt/mpsync /opt/mpsync"]
    assert "pip" not in last


def test_nothing_is_downloaded_without_its_hash() -> None:
    installs = re.findall(r"pip install ([^\n&]+)", DOCKERFILE)

    assert len(installs) == 3
    for arguments in installs:
        assert "--require-hashes" in arguments or {"--no-deps", "--no-index"} <= set(arguments.split())


def test_the_build_sees_what_it_copies_and_nothing_else() -> None:
    ignored = [line for line in (ROOT / ".dockerignore").read_text().splitlines() if line and not line.startswith("#")]
    let_through = {line[1:] for line in ignored if line.startswith("!")}
    copied = {name for step in steps("COPY") if "--from" not in step for name in step.split()[:-1]}

    assert ignored[0] == "*"
    assert let_through == copied
    assert all((ROOT / name).exists() for name in copied)


@pytest.mark.parametrize("name", REQUIREMENTS)
def test_every_requirement_is_pinned_as_ci_tests_it_and_hashed(name: str) -> None:
    text = (ROOT / "deploy" / name).read_text()
    tested = set(re.findall(r"^([a-z0-9.-]+)==([^\s]+)", (ROOT / "constraints.txt").read_text(), flags=re.MULTILINE))
    pins = PIN.findall(text)

    assert pins
    for package, version, _ in pins:
        assert (package, version) in tested
    blocks = re.split(r"(?m)^(?=[a-z0-9.-]+==)", text)[1:]
    assert len(blocks) == len(pins)
    for block in blocks:
        assert "--hash=sha256:" in block


@pytest.mark.parametrize("name", REQUIREMENTS)
def test_the_hashed_requirements_name_no_host(name: str) -> None:
    lines = [line for line in (ROOT / "deploy" / name).read_text().splitlines() if not line.startswith("#")]

    assert [line for line in lines if "://" in line or "index" in line or "find-links" in line] == []
    for line in lines:
        assert PIN.match(line) or re.fullmatch(r"    --hash=sha256:[0-9a-f]{64}( \\)?", line), line


def test_every_dependency_is_among_the_hashed_requirements() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    needed = [*project["project"]["dependencies"], *project["project"]["optional-dependencies"]["postgres"]]
    run, build = (
        {package for package, _, _ in PIN.findall((ROOT / "deploy" / name).read_text())} for name in REQUIREMENTS
    )

    assert {canonicalize_name(Requirement(text).name) for text in needed} <= run
    assert {canonicalize_name(Requirement(text).name) for text in project["build-system"]["requires"]} <= build
    assert not {"pytest", "ruff", "mypy"} & run
