"""The fixtures of the web's tests, for the documents about it."""

from __future__ import annotations

from tests.web.conftest import sqlite_app as sqlite_app
