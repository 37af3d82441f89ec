"""Values that are cheap to make are still values."""

from __future__ import annotations

import dataclasses

import pytest

from covey.values import dataclass


@dataclass(frozen=True, slots=True)
class Point:
    x: int
    names: tuple[str, ...] = ()


def test_a_value_is_equal_to_one_with_the_same_fields_and_hashed_like_it() -> None:
    """So values are keys of dicts, and a test compares them whole."""
    assert Point(1, ("a",)) == Point(1, ("a",)) != Point(2, ("a",))
    assert {Point(1): "here"}[Point(1)] == "here"


def test_a_value_can_be_replaced_and_matched() -> None:
    """What the standard library and `match` do with a dataclass, they do with a value."""
    match dataclasses.replace(Point(1), x=3):
        case Point(x, names):
            assert (x, names) == (3, ())


def test_a_value_takes_no_field_that_it_has_not() -> None:
    """A slip in a name shows at once."""
    with pytest.raises(AttributeError):
        setattr(Point(1), "y", 2)  # noqa: B010  mypy would refuse the plain assignment
