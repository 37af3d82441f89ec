"""May this event, put or get go on, and as what? Plain functions of a declaration and the request. Pure."""

from __future__ import annotations

import random

from covey.declaration import Declaration, PoolDeclaration
from covey.errors import InvalidArgument, Reason
from covey.grouping import KEY_BYTES_MAX
from covey.model import OBJECT_BYTES_MAX, ObjectRef
from covey.values import dataclass

ID_CHARS_MAX = 128
MINTED_BITS = 96


@dataclass(frozen=True, slots=True)
class Address:
    """Where an object belongs. `matched` is False when the pool's rule did not name the group."""

    pool: PoolDeclaration
    ref: ObjectRef
    explicit_group: bool
    matched: bool


def address_of(declaration: Declaration, key: str, group: str, size: int) -> Address:
    """The pool and group of an object; `group` is the explicit one, or empty. Raises InvalidArgument or NotFound."""
    pool, fields = declaration.pool_of_key(key)
    if size > OBJECT_BYTES_MAX:
        raise InvalidArgument(
            f"the payload of {key!r} has {size:,} bytes; an object has at most {OBJECT_BYTES_MAX:,}", Reason.TOO_LARGE
        )
    if group:
        if len(group.encode()) > KEY_BYTES_MAX:
            raise InvalidArgument(f"a group has at most {KEY_BYTES_MAX} bytes: {group[:80]!r}")
        return Address(pool, ObjectRef(pool.name, key, group, 0, size), True, True)
    named, matched = pool.group_of(key, fields)
    return Address(pool, ObjectRef(pool.name, key, named, 0, size), False, matched)


def check_id(text: str) -> None:
    if len(text) > ID_CHARS_MAX:
        raise InvalidArgument(f"an id has at most {ID_CHARS_MAX} characters, not {len(text)}: {text[:40]!r}")


def minted_id(rng: random.Random) -> str:
    """An id that no other gateway mints."""
    return f"{rng.getrandbits(MINTED_BITS):0{MINTED_BITS // 4}x}"


def budget_of(asked_s: float | None, default_s: float, max_s: float) -> float:
    """Seconds that a request may take."""
    return min(default_s if asked_s is None else asked_s, max_s)
