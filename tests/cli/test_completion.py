"""Shell completion: the script, and what it is answered."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys

import pytest

from sync.__main__ import main


def completed(words: str) -> list[str]:
    number = len(words.split(" ")) - 1
    environment = {"COMP_WORDS": words, "COMP_CWORD": str(number), "_MPSYNC_COMPLETE": "bash_complete"}
    done = subprocess.run(
        [sys.executable, "-m", "sync"], env=os.environ | environment, capture_output=True, text=True, timeout=60
    )
    assert done.returncode == 0, done.stderr
    return [line.partition(",")[2] for line in done.stdout.splitlines()]


def test_commands_subcommands_and_options_are_completed() -> None:
    assert completed("mpsync do") == ["doctor"]
    assert set(completed("mpsync outbox re")) == {"release", "retry", "resolve"}
    assert "--dry-run" in completed("mpsync outbox release --d")


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_the_script_is_printed_and_the_shell_understands_it(shell: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["completion", shell]) == 0

    out, err = capsys.readouterr()
    assert "_MPSYNC_COMPLETE" in out
    assert err == ""
    if shutil.which(shell):
        assert subprocess.run([shell, "-n"], input=out, text=True, timeout=30).returncode == 0


def test_another_shell_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["completion", "tcsh"]) == 2
    assert "bash" in capsys.readouterr().err
