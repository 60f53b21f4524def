"""What a vendor's model answers, and how it refuses."""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from threading import RLock
from typing import Concatenate, ParamSpec, Protocol, TypeVar

Answer = tuple[int, object]
"""HTTP status and body: dicts, lists, strings, ints, bools, None and Decimals."""


class Refusal(Exception):  # noqa: N818 - a vendor's "no" is an answer, not our error
    """The vendor says no: nothing has changed, and this is its answer."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status
        self.message = message


class Locked(Protocol):
    """A model with the lock that every use of its state holds."""

    @property
    def lock(self) -> RLock: ...


P = ParamSpec("P")
R = TypeVar("R")
M = TypeVar("M", bound=Locked)


def locked(method: Callable[Concatenate[M, P], R]) -> Callable[Concatenate[M, P], R]:
    """Run the method under the model's lock: tests act as people while the server answers."""

    @wraps(method)
    def run(self: M, /, *args: P.args, **kwargs: P.kwargs) -> R:
        with self.lock:
            return method(self, *args, **kwargs)

    return run


def answered(method: Callable[Concatenate[M, P], object]) -> Callable[Concatenate[M, P], Answer]:
    """Run an endpoint under the lock; what it returns is a 200, a Refusal its status with a `message`."""

    @wraps(method)
    def run(self: M, /, *args: P.args, **kwargs: P.kwargs) -> Answer:
        with self.lock:
            try:
                return 200, method(self, *args, **kwargs)
            except Refusal as refusal:
                return refusal.status, {"message": refusal.message}

    return run
