"""Settings of every kind of nonsense: exit 2 with the variable's name and what would be right, and no secret shown."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from sync.errors import ConfigError
from sync.settings import FILE_FORMS, Settings, load_settings, variable_names
from tests.hostile.commands import mpsync, surroundings
from tests.hostile.profile import examples

PLAIN = [name for name in variable_names() if not name.endswith("_FILE")]
SECRETS = ("MPW_PASSWORD", "MPSERVICES_TOKEN", "DATABASE_URL")
ODD = st.sampled_from(
    [
        *("NaN", "inf", "-1", "1e400", "1_000", "٣", "0x10", "1,5", "9" * 400, "0.0000001", " ", "\t", "\n", "\x00"),
        *("true false", "TRUE", "None", "null", "push ", "PUSH", "https://", "http://evil.example", "//x", "ftp://a/b"),
        *("https://user:pw@host/", "https://host:99999/", "https://[::1", "https://a b/", "javascript:alert(1)"),
        *("sqlite://", "sqlite:///:memory:", "sqlite:////no/such/folder/x.db", "mysql://a/b", "postgresql://\x00"),
        *("postgresql+psycopg://u:p%zz@h/d", "sqlite:///file:x?mode=ro", "..", "/../etc", "/a?b#c", "'; DROP TABLE x"),
        *("2024-02-30", "0000-00-00", "9999-12-31", "0001-01-01T00:00:00+14:00", "2024-01-01T00:00", "UTC\x00"),
        *(
            "../../etc/passwd",
            "Europe/Nowhere",
            "127.0.0.1",
            "127.0.0.1:99999",
            "[::1]:0",
            ":80",
            "host:-1",
            "👩‍🔧",
            "\ud800",
        ),
    ]
)
VALUES = ODD | st.text(max_size=20)


def without_nul(text: str) -> str:
    """An environment holds no NUL; half surrogates are how Python shows bytes that are no text."""
    return text.replace("\x00", "")


@pytest.mark.parametrize("name", PLAIN)
@examples(25)
@given(value=VALUES)
def test_a_setting_is_read_or_refused_by_name(name: str, value: str) -> None:
    environment = {name: value}
    if name in ("MPW_EMAIL", "MPW_PASSWORD"):
        environment = {"MPW_EMAIL": "user@example.com", "MPW_PASSWORD": "welcome"} | environment

    check(environment, name, value)


def check(environment: dict[str, str], name: str, value: str) -> None:
    try:
        read = load_settings(environment, dotenv=None)
    except ConfigError as error:
        problem: ConfigError | None = error
    else:
        problem = None
        assert isinstance(read, Settings)
    if problem is None:
        return
    assert name in problem.message, "the variable is named"
    assert problem.hint
    if name in SECRETS and len(value) > 3:
        assert value not in problem.message, "and its value, where it is secret, is not shown"


@pytest.mark.parametrize("field", FILE_FORMS)
@examples(20)
@given(content=st.binary(max_size=30) | st.sampled_from([b"", b"\n", b"\xff\xfe", b"\x00", b"a\nb", b"\xef\xbb\xbfx"]))
def test_a_settings_file_is_read_or_refused_by_name(field: str, content: bytes, tmp_path: Path) -> None:
    path = tmp_path / "secret"
    path.write_bytes(content)
    environment = {f"{field.upper()}_FILE": str(path)}
    if field == "mpw_password":
        environment["MPW_EMAIL"] = "user@example.com"

    check(environment, field.upper(), content.decode("utf-8", "replace"))


@pytest.mark.parametrize("path", ["/", "/no/such/file", "", ".", "/dev/null", "\x00", "a" * 5000, "\ud800"])
@pytest.mark.parametrize("field", FILE_FORMS)
def test_a_settings_file_that_cannot_be_read_is_refused_by_name(field: str, path: str) -> None:
    check({f"{field.upper()}_FILE": path}, field.upper(), "")


@examples(60)
@given(content=st.binary(max_size=80) | st.text(max_size=60).map(lambda text: text.encode("utf-8", "replace")))
@example(content=b"MPW_EMAIL")
@example(content=b'MPW_EMAIL="never closed\nSYNC_LOG_LEVEL=debug\n')
@example(content=b"MPW_EMAIL=a\xff\n")
@example(content=b"export MPW_EMAIL='a'\n\x00=1\n")
@example(content=b"SYNC_ROUTE_RECEIPTS=$(rm -rf /)\n")
@example(content=b"SYNC_ROUTE_RECEIPTS=${HOME}\n")
def test_a_dotenv_file_is_read_or_refused_by_name(content: bytes, tmp_path: Path) -> None:
    path = tmp_path / ".env"
    path.write_bytes(content)

    try:
        load_settings({}, dotenv=path)
    except ConfigError as error:
        message = error.message
    else:
        return

    assert str(path) in message or any(name in message for name in PLAIN)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("SYNC_POLL_RECENT_SECONDS", "soon"),
        ("MPW_BASE_URL", "http://vendor.example"),
        ("DATABASE_URL", "mysql://root:hunter2@db/x"),
        ("MPSERVICES_TOKEN", "two words"),
        ("MPW_TIMEZONE", "Mars/Phobos"),
        ("SYNC_HTTP_ADDRESS", "everywhere"),
        ("MPSERVICES_WORK_ORDERS_PATH", "https://x"),
        ("SYNC_PUSH_FROM", "\udcff\udcfe"),
    ],
)
def test_the_program_ends_with_2_and_one_readable_message(tmp_path: Path, name: str, value: str) -> None:
    with surroundings(tmp_path, {"DATABASE_URL": f"sqlite:///{tmp_path}/x.db"} | {name: value}):
        said = mpsync("status")

    said.assert_civil()
    assert said.code == 2
    assert name in said.err
    assert "hunter2" not in said.err
    assert "two words" not in said.err
    assert not os.path.exists(tmp_path / "x.db"), "nothing was started"
