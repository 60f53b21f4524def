"""No secret survives redaction, and nothing else is lost to it."""

from __future__ import annotations

import json
from decimal import Decimal
from urllib.parse import quote_plus

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from sync.redaction import Redactor

JWT = "eyJhbGciOiJIUzI1NiJ9.eyJ1c2VyX2lkIjo0fQ.k3Yv0n2t4i3b6x8wQ"


@pytest.mark.parametrize(
    "text",
    [
        "said hunter2 aloud",
        "hunter2hunter2",
        f"Authorization: {JWT}",
        "authorization: Bearer abc.def-ghi",
        "GET /x?token=hunter2&page=1",
        "{'password': 'hunter2', 'email': 'me@example.com'}",
        '{"access_token":"opaque-hunter"}',
        "postgresql://sync:hunter2@db/books",
        "token MPSER110_3f9a77c2",
    ],
)
def test_text_that_holds_a_secret_loses_it(text: str) -> None:
    shown = Redactor(["hunter2"]).text(text)

    assert "***" in shown
    for secret in ("hunter2", JWT, "abc.def-ghi", "opaque-hunter", "3f9a77c2"):
        assert secret not in shown


@pytest.mark.parametrize(
    "text",
    [
        "api_key mpw-r-236252 pushed twice",
        "the lease's token grew",
        "https://host.example:8080/a@b",
        "2024-03-15T12:00:00Z",
        "Basic stock of 3 parts",
    ],
)
def test_text_without_a_secret_stays_as_it_is(text: str) -> None:
    assert Redactor(["hunter2"]).text(text) == text


@given(st.text(min_size=4, max_size=30).filter(lambda secret: secret.strip(" *") == secret))
@example('pa"ss\\word')
@example("päss wörd&=%")
@example("'quoted'")
def test_a_secret_is_found_in_every_form_it_is_written_in(secret: str) -> None:
    redactor = Redactor([secret])

    for written in (
        secret,
        quote_plus(secret),
        json.dumps(secret),
        json.dumps(secret, ensure_ascii=False),
        repr(secret),
    ):
        shown = redactor.text(f"«{written}»")
        assert "***" in shown
        assert secret not in shown.replace("***", "")


def test_a_very_short_secret_is_hidden_where_it_stands_alone_and_leaves_words_whole() -> None:
    assert Redactor(["pw"]).text("pw, pwd and (pw)") == "***, pwd and (***)"


def test_an_empty_secret_hides_nothing() -> None:
    assert Redactor(["", "hunter2"]).text("all of it") == "all of it"


def test_nested_values_are_redacted_by_key_and_by_content_and_the_rest_is_kept() -> None:
    value = {
        "mpw_password": "anything",
        "Authorization": ["anything"],
        "rows": [{"note": "said hunter2", "quantity": Decimal("1.50"), "api_key": "mpw-r-1"}],
        "body": b"hunter2 \xff",
        "lease": {"token": 7},
        "error": ValueError("hunter2"),
        "none": None,
    }

    shown = Redactor(["hunter2"]).value(value)

    assert shown == {
        "mpw_password": "***",
        "Authorization": ["***"],
        "rows": [{"note": "said ***", "quantity": "1.50", "api_key": "mpw-r-1"}],
        "body": "*** \N{REPLACEMENT CHARACTER}",
        "lease": {"token": 7},
        "error": "***",
        "none": None,
    }


def test_the_given_value_is_left_unchanged() -> None:
    value = {"rows": ["hunter2"]}

    Redactor(["hunter2"]).value(value)

    assert value == {"rows": ["hunter2"]}
