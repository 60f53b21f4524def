"""Loading a library without what it would load and we do not need."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def without(library: str) -> Iterator[None]:
    """Let what is imported in the block find no such library, unless it is loaded already."""
    if library in sys.modules:
        yield
        return
    sys.modules[library] = None  # type: ignore[assignment] # that is how Python says it
    try:
        yield
    finally:
        del sys.modules[library]
