"""Workbooks: the cells of the one sheet that has the header."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from sync.errors import FileNotTakenError

if TYPE_CHECKING:
    from python_calamine import CalamineWorkbook

Cells = list[object]


def _rows(workbook: CalamineWorkbook, name: str) -> list[Cells]:
    """Return a sheet's rows from its very first, so that they are numbered as people see them."""
    return [list(row) for row in workbook.get_sheet_by_name(name).to_python(skip_empty_area=False)]


def sheets_of(path: Path, only: str | None) -> Mapping[str, list[Cells]]:
    """Return the rows of a workbook's visible sheets, by the sheet's name; `only`: of that one.

    A cell is a text (empty: nothing), a number, a truth value, a date, an instant or a time. Raises FileNotTakenError
    where python-calamine is not installed, or it cannot be read.
    """
    try:
        from python_calamine import CalamineError, CalamineWorkbook, PasswordError, SheetVisibleEnum
    except ImportError:
        raise FileNotTakenError(
            f"{path} is a workbook, and what reads those is not installed: nothing is taken",
            hint="pip install 'mpsync[excel]', or save it as CSV",
        ) from None
    try:
        workbook = CalamineWorkbook.from_path(str(path))
        names = [one.name for one in workbook.sheets_metadata if one.visible == SheetVisibleEnum.Visible]
        if only is not None and only not in workbook.sheet_names:
            raise FileNotTakenError(f"{path} has no sheet {only!r}", hint=f"it has {', '.join(workbook.sheet_names)}")
        wanted = names if only is None else [only]
        return {name: _rows(workbook, name) for name in wanted}
    except PasswordError:
        raise FileNotTakenError(f"{path} is locked by a password: nothing is taken", hint="save it without") from None
    except (CalamineError, OSError, ValueError) as error:
        why = " ".join(str(error).split())[:200]
        raise FileNotTakenError(f"{path} is no workbook that can be read ({why}): nothing is taken") from None
