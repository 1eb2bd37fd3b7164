"""`cached_property` without its lock, which Python 3.11 takes at each first look.

It costs more than most of what the guard keeps. Two threads may both work a value out; they come
to the same.
"""

from collections.abc import Callable
from typing import Any, Generic, TypeVar, overload

T = TypeVar("T")


class kept(Generic[T]):
    """Worked out when first asked for, and kept with its object."""

    def __init__(self, work_out: Callable[[Any], T]) -> None:
        self._work_out = work_out
        self._name = work_out.__name__
        self.__doc__ = work_out.__doc__

    @overload
    def __get__(self, owner: None, kind: type) -> "kept[T]": ...
    @overload
    def __get__(self, owner: object, kind: type) -> T: ...
    def __get__(self, owner: object | None, kind: type) -> "T | kept[T]":
        if owner is None:
            return self
        value = owner.__dict__[self._name] = self._work_out(owner)
        return value
