"""What clients of other systems mean by a priority."""

import pytest

from covey.edge import priority_from_triton
from covey.errors import InvalidArgument
from covey.model import Priority


def test_triton_s_priorities_are_two_here() -> None:
    """1 is the highest there, larger is lower, and 0 the server's default; nothing is below that."""
    found = [priority_from_triton(value) for value in (0, 1, 2, 100)]
    assert found == [Priority.HIGH, Priority.HIGH, Priority.LOW, Priority.LOW]
    with pytest.raises(InvalidArgument):
        priority_from_triton(-1)
