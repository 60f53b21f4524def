"""Files as people have them: what a file is and how it is written is found out, and never guessed."""

from __future__ import annotations

import datetime
import io
import json
import re
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest

from sync.errors import ConfigError, FileNotTakenError
from sync.inbox.files.conventions import iso_date, number_way, plain_number
from sync.inbox.files.reading import Line, OpenedFile, Told, open_file
from sync.inbox.rules import columns_of

COLUMNS = columns_of("receipt")
HEADER = "api_key,part_number,warehouse_name,quantity_received,unit_cost,created_on,vendor_name"
ROW = ["k-1", "P-1", "WH1", "5", "9.99", "2024-03-15", "Müller"]
READ = {
    "api_key": "k-1",
    "part_number": "P-1",
    "warehouse_name": "WH1",
    "quantity_received": "5",
    "unit_cost": "9.99",
    "created_on": "2024-03-15",
    "vendor_name": "Müller",
}


def table(*rows: list[str], header: str = HEADER, separator: str = ",") -> str:
    return "".join(separator.join(row) + "\n" for row in [header.split(","), *rows])


@pytest.fixture
def opened(tmp_path: Path) -> Callable[..., OpenedFile]:
    def open_(content: str | bytes, name: str = "file.csv", **told: str) -> OpenedFile:
        path = tmp_path / name
        path.write_bytes(content.encode() if isinstance(content, str) else content)
        return open_file(path, COLUMNS, Told(**told))  # type: ignore[arg-type]

    return open_


Open = Callable[..., OpenedFile]


def refused(opened: Open, content: str | bytes, name: str = "file.csv") -> FileNotTakenError:
    with pytest.raises(FileNotTakenError) as caught:
        opened(content, name)
    assert name in caught.value.message
    return caught.value


# --- encoding and separator ---------------------------------------------------------------


@pytest.mark.parametrize("separator", [",", ";", "\t", "|"])
@pytest.mark.parametrize(
    ("encoding", "title"),
    [
        ("utf-8", "UTF-8"),
        ("utf-8-sig", "UTF-8"),
        ("utf-16", "UTF-16"),
        ("utf-16-le", "UTF-16"),
        ("utf-16-be", "UTF-16"),
        ("cp1252", "Windows-1252"),
    ],
)
def test_every_separator_is_read_in_every_encoding(opened: Open, separator: str, encoding: str, title: str) -> None:
    file = opened(table(ROW, separator=separator).encode(encoding))

    assert list(file.lines()) == [Line(2, READ)]
    assert file.found["encoding"] == title


def test_a_text_in_another_code_page_is_refused_and_told_how_to_save_it(opened: Open) -> None:
    rows = [["k", "Завод имени Кирова", "Склад запасных частей", "5", "1", "2024-03-15", "Поставщик"]]

    error = refused(opened, table(*rows).encode("cp1251"))

    assert "neither UTF-8 nor UTF-16 nor Windows-1252" in error.message
    assert "UTF-8" in (error.hint or "")


def test_a_separator_inside_quotes_is_part_of_the_text(opened: Open) -> None:
    file = opened(table([*ROW[:6], '"Müller; Söhne\nKG"'], separator=";"))

    assert list(file.lines()) == [Line(2, READ | {"vendor_name": "Müller; Söhne\nKG"})]


# --- the header ---------------------------------------------------------------------------


def test_the_header_is_found_below_title_lines(opened: Open) -> None:
    text = 'sep=;\n"Goods received, November"\n\nprinted by;Ann\n' + table(ROW, separator=";")

    file = opened(text)

    assert list(file.lines()) == [Line(6, READ)]
    assert file.found["header"] == "line 5"


def test_names_are_known_whatever_their_case_spaces_and_dashes(opened: Open) -> None:
    header = "API Key,Part-Number,Warehouse Name,QUANTITY_RECEIVED,Unit.Cost,Created On,vendorname,,"

    assert list(opened(table(ROW, header=header)).lines()) == [Line(2, READ)]


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        (HEADER.replace("quantity_received", "quantity_recieved"), "'quantity_recieved' meant for it"),
        (HEADER.replace("part_number", "part"), "it has no column part_number (is 'part' meant for it?)"),
        (HEADER.replace("vendor_name", "vendr_name"), "'vendr_name' is not known: is vendor_name meant?"),
        (HEADER.replace("vendor_name", "unit_cost"), "it names unit_cost twice"),
        (HEADER.replace("created_on,", ""), "it has no column created_on"),
        ("a,b,c,d,e,f,g", "has no header"),
        ("key,part,x,x,x,x,x", "is 'part' meant for part_number?"),
    ],
)
def test_a_near_miss_of_a_column_is_offered_and_nothing_is_taken(opened: Open, wrong: str, said: str) -> None:
    error = refused(opened, table(ROW, header=wrong))

    assert said in error.message
    assert "nothing is taken" in error.message
    assert "part_number" in (error.hint or "")


def test_unknown_columns_are_named_and_their_values_kept(opened: Open) -> None:
    file = opened(table([*ROW, "Ann"], header=f"{HEADER},buyer"))

    assert file.unknown == ("buyer",)
    assert list(file.lines()) == [Line(2, READ | {"buyer": "Ann"})]


# --- numbers ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "way"),
    [
        ("5", None),
        ("-5", None),
        ("1 234", None),
        ("9.99", "point"),
        ("9,99", "comma"),
        ("1,234.5", "point"),
        ("1.234,5", "comma"),
        ("1.234.567", "comma"),
        ("1,234,567", "point"),
        ("1.234", "either"),
        ("12,500", "either"),
        ("0.125", "point"),
        ("0,125", "comma"),
        ("1234.567", "point"),
        ("1.2345", "point"),
        (".5", "point"),
        ("1 234,567", "comma"),
        ("1\u202f234,5", "comma"),
        ("1'234.500", "point"),
        ("1.5E+3", "point"),
        ("ten", None),
        ("", None),
    ],
)
def test_a_number_tells_its_way_or_does_not(text: str, way: str | None) -> None:
    assert number_way(text) == way


@pytest.mark.parametrize(
    ("text", "numbers", "plain"),
    [
        ("1.234,56", "comma", "1234.56"),
        ("1,234.56", "point", "1234.56"),
        ("1\u00a0234,5", "comma", "1234.5"),
        ("-1.234", "comma", "-1234"),
        ("-1.234", "point", "-1.234"),
        ("5.", "point", "5"),
        (",5", "comma", "0.5"),
        ("ten", "comma", "ten"),
    ],
)
def test_a_number_is_read_in_the_files_way(text: str, numbers: str, plain: str) -> None:
    assert plain_number(text, numbers) == plain  # type: ignore[arg-type]


def test_one_number_tells_for_the_whole_file(opened: Open) -> None:
    rows = [["k-1", "P", "W", "1.250", "2,50", "2024-03-15"], ["k-2", "P", "W", "3", "1.000", "2024-03-15"]]

    file = opened(table(*rows, separator=";"))

    assert [(line.fields["quantity_received"], line.fields["unit_cost"]) for line in file.lines()] == [
        ("1250", "2.50"),
        ("3", "1000"),
    ]
    assert file.found["numbers"] == "comma"


def test_numbers_that_cannot_be_told_are_not_taken_and_the_option_is_named(opened: Open) -> None:
    text = table(["k-1", "P", "W", "1.250", "3", "2024-03-15"])

    error = refused(opened, text)

    assert "line 2: '1.250' has either decimals or thousands" in error.message
    assert "--numbers point" in (error.hint or "")
    assert "--numbers comma" in (error.hint or "")
    (line,) = opened(text, numbers="point").lines()
    assert line.fields["quantity_received"] == "1.250"
    (line,) = opened(text, numbers="comma").lines()
    assert line.fields["quantity_received"] == "1250"


def test_mixed_numbers_are_not_taken_and_both_places_are_named(opened: Open) -> None:
    rows = [["k-1", "P", "W", "1", "2.50", "2024-03-15"], ["k-2", "P", "W", "1", '"2,50"', "2024-03-15"]]

    error = refused(opened, table(*rows))

    assert "line 2: '2.50', line 3: '2,50'" in error.message
    assert "--numbers" in (error.hint or "")
    told = list(opened(table(*rows), numbers="point").lines())
    assert told[0].error is None
    assert "is not a number with a decimal point" in (told[1].error or "")


# --- dates --------------------------------------------------------------------------------


def dated(*days: str) -> str:
    return table(*(["k", "P", "W", "1", "1", day] for day in days))


@pytest.mark.parametrize(
    ("days", "read"),
    [
        (["03/04/2024", "15/04/2024"], ["2024-04-03", "2024-04-15"]),
        (["03/04/2024", "04/15/2024"], ["2024-03-04", "2024-04-15"]),
        (["03.04.2024"], ["2024-04-03"]),
        (["05/05/2024"], ["2024-05-05"]),
        (["2024/3/5"], ["2024-03-05"]),
        (["20240305"], ["2024-03-05"]),
        (["2024-03-05 10:00"], ["2024-03-05T10:00:00"]),
        (["3/15/2024 9:30:00 PM"], ["2024-03-15T21:30:00"]),
    ],
)
def test_one_date_tells_for_the_whole_file(opened: Open, days: list[str], read: list[str]) -> None:
    assert [line.fields["created_on"] for line in opened(dated(*days)).lines()] == read


def test_dates_that_cannot_be_told_are_not_taken_and_the_option_is_named(opened: Open) -> None:
    text = dated("05/05/2024", "03/04/2024")

    error = refused(opened, text)

    assert "line 3: in '03/04/2024' the day may come first or the month" in error.message
    assert "--dates dmy" in (error.hint or "")
    assert "--dates mdy" in (error.hint or "")
    assert [line.fields["created_on"] for line in opened(text, dates="mdy").lines()] == ["2024-05-05", "2024-03-04"]


@pytest.mark.parametrize(
    "days",
    [
        ["15/03/2024", "03/15/2024"],
        ["2024-03-15", "15/03/2024"],
        ["2024-03-04", "03/04/2024"],
        ["2024-03-04", "05/05/2024"],
    ],
)
def test_mixed_dates_are_not_taken(opened: Open, days: list[str]) -> None:
    error = refused(opened, dated(*days))

    assert f"line 2: {days[0]!r}, line 3: {days[1]!r}" in error.message
    assert "--dates" in (error.hint or "")


@pytest.mark.parametrize("text", ["15/03/24", "31/02/2024"])
def test_a_date_with_a_short_year_or_that_does_not_exist_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=re.escape(repr(text))):
        iso_date(text, "dmy")


# --- something else -----------------------------------------------------------------------


def zipped(*names: str) -> bytes:
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w") as archive:
        for name in names:
            archive.writestr(name, "x")
    return content.getvalue()


@pytest.mark.parametrize(
    ("content", "what"),
    [
        (b"", "is empty"),
        (b" \r\n\n", "is empty"),
        (b"\xef\xbb\xbf", "is empty"),
        (b"\xff\xfe", "is empty"),
        (b"%PDF-1.7\n%\xe2\xe3", "is a PDF"),
        (zipped("file.csv"), "is a zip archive"),
        (zipped("word/document.xml"), "is a document of Word"),
        (zipped("xl/workbook.xml"), "is no workbook that can be read"),
        (b"PK\x03\x04cut", "is cut off"),
        (b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + bytes(600), "is no workbook that can be read"),
        (b"<!DOCTYPE html><html><table>", "is an HTML page"),
        (b"\n<html xmlns:x='urn:schemas-microsoft-com:office:excel'>", "is an HTML page"),
        (b"<?xml version='1.0'?><Workbook>", "is XML"),
        (b"\x89PNG\r\n\x1a\n", "is a picture"),
        (b"\x1f\x8b\x08", "is compressed by gzip"),
        (HEADER.encode() + b"\n", "has a header, and nothing below it"),
        (b"[]", "holds no document"),
    ],
)
@pytest.mark.parametrize("name", ["file.csv", "file.xlsx", "file.xls", "file.json"])
def test_what_is_something_else_is_said_in_one_sentence(opened: Open, content: bytes, what: str, name: str) -> None:
    if content == b"[]" and name.endswith(".csv"):
        what = "has no header"
    if content.startswith(b"api_key") and name.endswith(".json"):
        pytest.skip("its lines are told one by one: none is JSON")

    assert what in refused(opened, content, name).message


def test_a_folder_is_no_file_and_one_that_is_not_there_is_a_mistake_of_the_command(tmp_path: Path) -> None:
    with pytest.raises(FileNotTakenError, match="is a folder"):
        open_file(tmp_path, COLUMNS)
    with pytest.raises(ConfigError, match="cannot read"):
        open_file(tmp_path / "none.csv", COLUMNS)


# --- workbooks ----------------------------------------------------------------------------

CONTENT_TYPES = """<?xml version="1.0"?><Types xmlns="http://schemas.openxmlformats.org/package/2006/content-types">
<Default Extension="rels" ContentType="application/vnd.openxmlformats-package.relationships+xml"/>
<Default Extension="xml" ContentType="application/xml"/></Types>"""
RELATIONS = """<?xml version="1.0"?><Relationships xmlns="http://schemas.openxmlformats.org/package/2006/relationships">
{}</Relationships>"""
OFFICE = "http://schemas.openxmlformats.org/officeDocument/2006/relationships"
MAIN = "http://schemas.openxmlformats.org/spreadsheetml/2006/main"
STYLES = f"""<?xml version="1.0"?><styleSheet xmlns="{MAIN}"><cellXfs count="2"><xf numFmtId="0"/><xf numFmtId="14"/>
</cellXfs></styleSheet>"""


def workbook(**sheets: list[list[object]]) -> bytes:
    """Return the least that a spreadsheet program writes: cells as texts, numbers and dates."""
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w") as archive:
        archive.writestr("[Content_Types].xml", CONTENT_TYPES)
        one = f'<Relationship Id="a" Type="{OFFICE}/officeDocument" Target="xl/workbook.xml"/>'
        archive.writestr("_rels/.rels", RELATIONS.format(one))
        listed = "".join(f'<sheet name="{name}" sheetId="{n}" r:id="s{n}"/>' for n, name in enumerate(sheets, 1))
        archive.writestr(
            "xl/workbook.xml", f'<workbook xmlns="{MAIN}" xmlns:r="{OFFICE}"><sheets>{listed}</sheets></workbook>'
        )
        related = f'<Relationship Id="st" Type="{OFFICE}/styles" Target="styles.xml"/>' + "".join(
            f'<Relationship Id="s{n}" Type="{OFFICE}/worksheet" Target="worksheets/sheet{n}.xml"/>'
            for n in range(1, len(sheets) + 1)
        )
        archive.writestr("xl/_rels/workbook.xml.rels", RELATIONS.format(related))
        archive.writestr("xl/styles.xml", STYLES)
        for n, rows in enumerate(sheets.values(), 1):
            text = "".join(
                f'<row r="{r}">{"".join(cell(value, r, c) for c, value in enumerate(row))}</row>'
                for r, row in enumerate(rows, 1)
            )
            archive.writestr(
                f"xl/worksheets/sheet{n}.xml", f'<worksheet xmlns="{MAIN}"><sheetData>{text}</sheetData></worksheet>'
            )
    return content.getvalue()


def cell(value: object, row: int, column: int) -> str:
    at = f"{chr(65 + column)}{row}"
    if value is None:
        return ""
    if isinstance(value, datetime.date):
        return f'<c r="{at}" s="1"><v>{(value - datetime.date(1899, 12, 30)).days}</v></c>'
    if isinstance(value, (int, float)):
        return f'<c r="{at}"><v>{value!r}</v></c>'
    return f'<c r="{at}" t="inlineStr"><is><t xml:space="preserve">{value}</t></is></c>'


CELLS: list[object] = ["k-1", 51503, "WH1", 5, 0.1 + 0.2, datetime.date(2024, 3, 15), "Müller"]


def test_a_workbook_is_read_by_the_type_of_its_cells(opened: Open) -> None:
    content = workbook(November=[["Goods received"], [], HEADER.split(","), CELLS], Notes=[["nothing"]])

    file = opened(content, "file.xlsx")

    assert list(file.lines()) == [Line(4, READ | {"part_number": "51503", "unit_cost": "0.3"})]
    assert (file.numbered, file.found["sheet"], file.found["header"]) == ("row", "November", "row 3")


def test_an_old_workbook_is_read_too(opened: Open) -> None:
    content = (Path(__file__).parent / "old_workbook.xls").read_bytes()

    assert list(opened(content, "file.xls").lines()) == [Line(3, READ | {"part_number": "51503"})]


@pytest.mark.parametrize(
    ("changed", "why"),
    [
        ({1: datetime.date(2024, 3, 5)}, "part_number: 2024-03-05 is a date in the sheet"),
        ({3: datetime.date(2024, 3, 5)}, "quantity_received: 2024-03-05 is a date in the sheet"),
        ({5: 45366}, "created_on: 45366 is a number in the sheet, not a date"),
        ({1: 1.2345678901234567e17}, "part_number: 1.23457e+17 is a number too long for a sheet"),
    ],
)
def test_what_a_spreadsheet_has_spoiled_is_refused_by_row(opened: Open, changed: dict[int, object], why: str) -> None:
    row = [changed.get(n, value) for n, value in enumerate(CELLS)]

    (line,) = opened(workbook(One=[HEADER.split(","), row]), "file.xlsx").lines()

    assert why in (line.error or "")


def test_dates_that_a_spreadsheet_understood_beside_some_that_it_did_not_are_mixed(opened: Open) -> None:
    """A file of months first, opened where the day comes first: 03/04 became 3 April, and 03/15 stayed a text."""
    other = ["k-2", *CELLS[1:5], "03/15/2024", "x"]

    error = refused(opened, workbook(One=[HEADER.split(","), CELLS, other]), "file.xlsx")

    assert "writes dates in two ways (row 2: '2024-03-15', row 3: '03/15/2024')" in error.message


def test_a_header_on_two_sheets_asks_which(opened: Open) -> None:
    rows = [HEADER.split(","), CELLS]
    content = workbook(One=rows, Two=[rows[0], ["k-2", *CELLS[1:]]])

    error = refused(opened, content, "file.xlsx")

    assert "several sheets (One, Two)" in error.message
    assert "--sheet" in (error.hint or "")
    (line,) = opened(content, "file.xlsx", sheet="Two").lines()
    assert line.fields["api_key"] == "k-2"
    with pytest.raises(FileNotTakenError, match="has no sheet 'Three'"):
        opened(content, "file.xlsx", sheet="Three")


def test_without_what_reads_workbooks_the_extra_is_named(opened: Open, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "python_calamine", None)

    error = refused(opened, workbook(One=[HEADER.split(","), CELLS]), "file.xlsx")

    assert "mpsync[excel]" in (error.hint or "")


# --- JSON ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("content", "numbered"),
    [
        (json.dumps([READ, READ], indent=2), "element"),
        (json.dumps({"data": [READ, READ]}), "element"),
        (json.dumps(READ) + "\n" + json.dumps(READ), "line"),
        (json.dumps([READ, READ]).encode("utf-16"), "element"),
        (json.dumps([READ, READ], ensure_ascii=False).encode("cp1252"), "element"),
    ],
)
def test_json_may_be_one_list_or_an_object_a_line(opened: Open, content: str | bytes, numbered: str) -> None:
    file = opened(content, "file.json")

    assert [(line.number, line.fields) for line in file.lines()] == [(1, READ), (2, READ)]
    assert file.numbered == numbered


def test_one_object_alone_is_one_document(opened: Open) -> None:
    assert [line.fields for line in opened(json.dumps(READ, indent=1), "file.json").lines()] == [READ]


def test_numbers_in_json_are_read_in_another_way_only_where_that_is_said(opened: Open) -> None:
    content = json.dumps([READ | {"unit_cost": "1,250"}])

    assert [line.fields["unit_cost"] for line in opened(content, "f.json").lines()] == ["1,250"]
    assert [line.fields["unit_cost"] for line in opened(content, "f.json", numbers="comma").lines()] == ["1.250"]
