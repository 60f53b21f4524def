"""How a name is shown whose difference from another one nobody sees."""

from __future__ import annotations

import pytest

from sync.values.names import shown


@pytest.mark.parametrize(
    ("name", "as_shown"),
    [
        ("51503", "51503"),
        ("51503 ", "'51503 '"),
        ("51 503", "51 503"),
        ("51503\u00a0", "'51503\\u00a0'"),
        ("A\u0308", "'A\\u0308'"),
        ("\u00c4", "\u00c4"),
        ("51503\u2009", "'51503\\u2009'"),
    ],
)
def test_what_is_unseen_in_a_name_is_shown_as_an_escape(name: str, as_shown: str) -> None:
    assert shown(name) == as_shown
