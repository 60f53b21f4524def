"""The size of the house: files, lines, the median module and function, comments per 100 lines of code.

python -m bench.house [FOLDER]      # FOLDER: a checkout, this one unless given
"""

from __future__ import annotations

import ast
import io
import sys
import tokenize
from pathlib import Path
from statistics import median

ROOT = Path(__file__).parents[1]


def measured(folder: Path) -> dict[str, str]:
    """Return the figures of the Python files below a folder."""
    lines, functions, code, comments = [], [], 0, 0
    for path in sorted(folder.rglob("*.py")):
        text = path.read_text(encoding="utf-8")
        lines.append(len(text.splitlines()))
        functions += [
            node.end_lineno - node.lineno + 1
            for node in ast.walk(ast.parse(text))
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and node.end_lineno is not None
        ]
        code += sum(1 for line in text.splitlines() if line.strip())
        tokens = tokenize.generate_tokens(io.StringIO(text).readline)
        comments += sum(1 for one in tokens if one.type == tokenize.COMMENT)
    return {
        "files": f"{len(lines):,}",
        "lines": f"{sum(lines):,}",
        "median module": f"{median(lines):.0f} lines",
        "longest module": f"{max(lines)} lines",
        "median function": f"{median(functions):.0f} lines",
        "longest function": f"{max(functions)} lines",
        "comments per 100 lines": f"{100 * comments / code:.1f}",
    }


def main() -> None:
    """Print the figures of the program and of its tests."""
    root = Path(sys.argv[1]) if len(sys.argv) > 1 else ROOT
    sync, tests = measured(root / "sync"), measured(root / "tests")
    print(f"{'':24}{'sync':>14}{'tests':>14}")
    for name in sync:
        print(f"{name:24}{sync[name]:>14}{tests[name]:>14}")


if __name__ == "__main__":
    main()
