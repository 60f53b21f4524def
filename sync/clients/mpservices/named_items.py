"""Which items a movement that cannot be read is about, as far as any of it can be read."""

from __future__ import annotations

import json
import re

_NAMES = ("item_external_id", "item_id")
_SAID = re.compile(r'"(item_external_id|item_id)"\s*:\s*(?:"((?:[^"\\]|\\.)*)"|(-?[0-9][0-9.]*))', re.IGNORECASE)


def named_items(raw: str) -> set[str]:
    """Return the external ids in a movement's text; of a line without one its item_id, as a readable line goes by.

    Never raises: of a text that is not JSON whatever looks like such a field is taken.
    """
    try:
        return _of(json.loads(raw, parse_float=str, parse_int=str))
    except (ValueError, RecursionError):
        found = [(name.lower(), _unescaped(text) if text else number) for name, text, number in _SAID.findall(raw)]
        named = {value for name, value in found if name == _NAMES[0] and value.strip()}
        return named or {value for _, value in found if value.strip()}


def _of(value: object) -> set[str]:
    if isinstance(value, list):
        return set().union(*map(_of, value)) if value else set()
    if not isinstance(value, dict):
        return set()
    fields = {name.lower(): one for name, one in value.items()}
    own = next((one for name in _NAMES if isinstance(one := fields.get(name), str) and one.strip()), None)
    inner = [_of(one) for one in value.values()]
    return {*([own] if own is not None else []), *set().union(*inner, set())}


def _unescaped(text: str) -> str:
    try:
        return str(json.loads(f'"{text}"'))
    except ValueError:
        return text
