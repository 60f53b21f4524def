"""The log: one line of JSON an event, on stderr only, without secrets."""

from __future__ import annotations

import io
import json
import logging
import sys
import threading
from collections.abc import Iterator
from datetime import datetime, timedelta
from typing import Any

import pytest
import structlog

from sync.log import configure_logging, redact


@pytest.fixture(autouse=True)
def log_as_it_was() -> Iterator[None]:
    root = logging.getLogger()
    handlers, level, hook = list(root.handlers), root.level, threading.excepthook
    yield
    root.handlers[:], root.level = handlers, level
    threading.excepthook = hook
    structlog.reset_defaults()


def events(capsys: pytest.CaptureFixture[str]) -> list[dict[str, Any]]:
    out, err = capsys.readouterr()
    assert out == ""
    return [json.loads(line) for line in err.splitlines()]


def test_an_event_is_one_line_of_json_with_flat_keys_and_an_instant_in_utc(capsys: pytest.CaptureFixture[str]) -> None:
    configure_logging("info", "json")

    structlog.get_logger().info("push.delivered", outbox_id=812, attempt=2)

    (event,) = events(capsys)
    instant = datetime.fromisoformat(event.pop("timestamp"))
    assert instant.utcoffset() == timedelta(0)
    assert event == {"event": "push.delivered", "level": "info", "outbox_id": 812, "attempt": 2}


def test_what_is_below_the_level_is_not_written(capsys: pytest.CaptureFixture[str]) -> None:
    configure_logging("warning", "json")

    structlog.get_logger().info("quiet")
    logging.getLogger("sync.somewhere").info("quiet")
    structlog.get_logger().warning("loud")

    assert [event["event"] for event in events(capsys)] == ["loud"]


@pytest.mark.parametrize(
    "library", ["httpx", "httpcore.connection", "apscheduler.executors.default", "alembic.runtime.migration"]
)
def test_of_libraries_only_warnings_are_written(library: str, capsys: pytest.CaptureFixture[str]) -> None:
    configure_logging("debug", "json")

    logging.getLogger(library).info("step by step")
    logging.getLogger(library).warning("something is odd")

    (event,) = events(capsys)
    assert (event["event"], event["logger"], event["level"]) == ("something is odd", library, "warning")


def test_a_job_that_takes_longer_than_its_interval_is_no_news(capsys: pytest.CaptureFixture[str]) -> None:
    configure_logging("debug", "json")
    scheduler = logging.getLogger("apscheduler.scheduler")

    scheduler.warning("Execution of job skipped: maximum number of running instances reached (1)")
    scheduler.error("Error submitting job")

    assert [event["event"] for event in events(capsys)] == ["Error submitting job"]


def test_secrets_are_hidden_in_fields_messages_and_library_logs(capsys: pytest.CaptureFixture[str]) -> None:
    configure_logging("info", "json", ["hunter2"])

    structlog.get_logger().info("login hunter2", password="x", headers={"token": "y"}, body=["hunter2"])
    logging.getLogger("uvicorn").error("login with %s failed", "hunter2")

    ours, theirs = events(capsys)
    assert (ours["event"], ours["password"], ours["headers"], ours["body"]) == (
        "login ***",
        "***",
        {"token": "***"},
        ["***"],
    )
    assert theirs["event"] == "login with *** failed"


@pytest.mark.parametrize("fmt", ["json", "console"])
def test_secrets_are_hidden_in_a_traceback_and_in_the_exceptions_before_it(
    fmt: str, capsys: pytest.CaptureFixture[str]
) -> None:
    configure_logging("info", fmt, ["hunter2"])

    try:
        try:
            raise KeyError("token=hunter2")
        except KeyError as first:
            raise ValueError("login failed with hunter2") from first
    except ValueError:
        structlog.get_logger().exception("poll.failed")
        logging.getLogger("sync").exception("failed")

    out, err = capsys.readouterr()
    assert out == ""
    assert err.count("Traceback (most recent call last)") == 4
    assert "login failed with ***" in err
    # The source lines of this test quote the secret too; they are redacted like all else.
    assert "hunter2" not in err


def test_a_crash_of_a_thread_is_logged_and_redacted(capsys: pytest.CaptureFixture[str]) -> None:
    configure_logging("info", "json", ["hunter2"])

    def crash() -> None:
        raise ValueError("hunter2")

    thread = threading.Thread(target=crash, name="pusher-1")
    thread.start()
    thread.join()

    (event,) = events(capsys)
    assert (event["event"], event["thread"]) == ("thread.crashed", "pusher-1")
    assert "ValueError: ***" in event["exception"]
    assert "hunter2" not in json.dumps(event)


def test_context_that_was_bound_travels_with_every_event(capsys: pytest.CaptureFixture[str]) -> None:
    configure_logging("info", "json")

    with structlog.contextvars.bound_contextvars(run_id=7):
        structlog.get_logger().info("inside")
    structlog.get_logger().info("outside")

    inside, outside = events(capsys)
    assert inside["run_id"] == 7
    assert "run_id" not in outside


def test_auto_is_json_where_no_terminal_listens(capsys: pytest.CaptureFixture[str]) -> None:
    configure_logging("info", "auto")

    structlog.get_logger().info("piped")

    assert events(capsys)[0]["event"] == "piped"


def test_the_console_line_of_a_pipe_has_no_colour(capsys: pytest.CaptureFixture[str]) -> None:
    configure_logging("info", "console")

    structlog.get_logger().info("push.delivered", outbox_id=812)

    _, err = capsys.readouterr()
    assert "push.delivered" in err
    assert "outbox_id=812" in err
    assert "\x1b" not in err


def test_configuring_again_replaces_level_and_secrets_and_doubles_no_line(capsys: pytest.CaptureFixture[str]) -> None:
    log = structlog.get_logger()
    configure_logging("error", "json", ["hunter2"])
    configure_logging("info", "json", ["correct horse"])

    log.info("correct horse")

    assert [event["event"] for event in events(capsys)] == ["***"]
    assert redact("correct horse, hunter2") == "***, hunter2"


def test_lines_go_to_the_stderr_of_the_moment(monkeypatch: pytest.MonkeyPatch) -> None:
    configure_logging("info", "json")
    elsewhere = io.StringIO()
    monkeypatch.setattr(sys, "stderr", elsewhere)

    structlog.get_logger().info("moved")

    assert "moved" in elsewhere.getvalue()
