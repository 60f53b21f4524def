"""docs/where.md: every question is answered by a file that is there, and by something that the file defines."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
LINE = re.compile(r"^\| (\d+) \| ([^|]+\?) \| `([^`]+)` \| `([^`]+)` \|$", re.MULTILINE)
ANSWERS = LINE.findall((ROOT / "docs" / "where.md").read_text(encoding="utf-8"))


def test_there_are_thirty_questions() -> None:
    assert [int(number) for number, *_ in ANSWERS] == list(range(1, 31))


@pytest.mark.parametrize(("question", "file", "name"), [answer[1:] for answer in ANSWERS])
def test_the_answer_is_there(question: str, file: str, name: str) -> None:
    tree = ast.parse((ROOT / "sync" / file).read_text(encoding="utf-8"))
    defined = {one.name for one in tree.body if isinstance(one, ast.FunctionDef | ast.ClassDef)}

    assert name in defined, question
