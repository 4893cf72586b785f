"""`value`: like a frozen dataclass with slots, but created in a quarter of the time.

For every module of the server. Python 3.11 compiles six methods for each frozen dataclass, which for sixty of them was a tenth of a
start (docs/decisions/0013). Here only `__init__` is compiled, and the other methods are shared. Immutability is enforced by the
type checker, not at run time.
"""

from __future__ import annotations

from dataclasses import dataclass, field, fields
from operator import attrgetter
from typing import Any, TypeVar, dataclass_transform

T = TypeVar("T")


@dataclass_transform(frozen_default=True, field_specifiers=(field,))
def value(kind: type[T]) -> type[T]:
    """`kind` as a dataclass with slots, which is compared, hashed and shown by its fields."""
    made: Any = dataclass(slots=True, eq=False, repr=False)(kind)
    content = attrgetter(*(one.name for one in fields(made) if one.compare))

    def equal(self: Any, other: Any) -> Any:
        return content(self) == content(other) if type(other) is made else NotImplemented

    def hashed(self: Any) -> int:
        return hash(content(self))

    def shown(self: Any) -> str:
        return f"{made.__qualname__}({', '.join(f'{one.name}={getattr(self, one.name)!r}' for one in fields(made))})"

    for name, method in (("__eq__", equal), ("__hash__", hashed), ("__repr__", shown)):
        if name not in vars(kind):
            setattr(made, name, method)
    frozen: type[T] = made
    return frozen
