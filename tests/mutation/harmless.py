"""Changes that no test can notice: file, the line as it is, as it would be, and why both do the same."""

from __future__ import annotations

HARMLESS: dict[str, str] = {}
