"""Structured logs on stderr: JSON for machines, a readable line for a terminal, and never a secret in either."""

from __future__ import annotations

import json
import logging
import os
import sys
import threading
from collections.abc import Iterable, MutableMapping
from typing import TYPE_CHECKING, Any, TextIO

from sync.imports import without
from sync.redaction import Redactor

with without("rich"):  # structlog loads it for tracebacks in colours, which we have none of: a tenth of a start
    import structlog

if TYPE_CHECKING:
    from structlog.typing import Processor

QUIET = ("httpx", "httpcore", "apscheduler", "alembic", "uvicorn", "asyncio", "sqlalchemy", "urllib3")
"""Libraries that tell each step: of theirs only warnings are of use."""

SILENT = ("apscheduler.scheduler",)
"""Libraries of whose warnings none is of use: while a job takes longer than its interval APScheduler says each second
that the next run was skipped ("maximum number of running instances"). That is meant: the run after it does the rest."""

_redactor = Redactor()


def configure_logging(level: str = "info", fmt: str = "auto", secrets: Iterable[str] = ()) -> None:
    """Send structlog's and the standard library's logs to stderr, each line without any of `secrets`.

    `fmt` is json, console or auto (console on a terminal). Calling it again replaces what was set before.
    """
    global _redactor
    _redactor = Redactor(secrets)
    least = getattr(logging, level.upper())
    _route_standard_library(least, _formatter(fmt))
    structlog.configure(
        processors=[
            structlog.contextvars.merge_contextvars,
            *_SHARED,
            structlog.stdlib.ProcessorFormatter.wrap_for_formatter,
        ],
        wrapper_class=structlog.make_filtering_bound_logger(least),
        logger_factory=structlog.stdlib.LoggerFactory(),
        cache_logger_on_first_use=False,
    )
    threading.excepthook = _log_thread_crash


def redact(text: str) -> str:
    """Return text for a person's eyes, without the secrets that the log was told of."""
    return _redactor.text(text)


_SHARED: tuple[Processor, ...] = (
    structlog.stdlib.add_log_level,
    structlog.processors.TimeStamper(fmt="iso", utc=True),
    structlog.processors.StackInfoRenderer(),
    structlog.processors.format_exc_info,
)


class _Stderr(logging.StreamHandler[TextIO]):
    """Writes to whatever stderr is now: tests and progress bars replace it."""

    def __init__(self) -> None:
        logging.Handler.__init__(self)

    @property
    def stream(self) -> TextIO:
        return sys.stderr

    @stream.setter
    def stream(self, stream: TextIO) -> None:
        raise AttributeError("it follows sys.stderr")


def _route_standard_library(least: int, formatter: logging.Formatter) -> None:
    root = logging.getLogger()
    for old in [handler for handler in root.handlers if isinstance(handler, _Stderr)]:
        root.removeHandler(old)
    handler = _Stderr()
    handler.setFormatter(formatter)
    root.addHandler(handler)
    root.setLevel(least)
    for name in QUIET:
        logging.getLogger(name).setLevel(max(least, logging.WARNING))
    for name in SILENT:
        logging.getLogger(name).setLevel(max(least, logging.ERROR))


def _formatter(fmt: str) -> logging.Formatter:
    terminal = sys.stderr.isatty()
    renderer: Processor
    if fmt == "console" or (fmt == "auto" and terminal):
        renderer = structlog.dev.ConsoleRenderer(
            colors=terminal and not os.environ.get("NO_COLOR"),
            exception_formatter=structlog.dev.plain_traceback,
        )
    else:
        renderer = structlog.processors.JSONRenderer(serializer=json.dumps, default=str, ensure_ascii=False)
    return structlog.stdlib.ProcessorFormatter(
        foreign_pre_chain=[structlog.stdlib.add_logger_name, *_SHARED],
        processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, _hide_secrets, renderer],
    )


def _hide_secrets(_logger: Any, _method: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    """Redact last, when exceptions and their tracebacks are text already."""
    return {key: _redactor.value(value, key) for key, value in event.items()}


def _log_thread_crash(crash: threading.ExceptHookArgs) -> None:
    if crash.exc_value is None or isinstance(crash.exc_value, SystemExit):
        return
    name = crash.thread.name if crash.thread else "?"
    structlog.get_logger().critical("thread.crashed", thread=name, exc_info=crash.exc_value)
