"""Traces as users have them."""

from __future__ import annotations

from pathlib import Path

import pytest

from covey.errors import InvalidArgument
from covey.simulator.own import read_instants


def written(folder: Path, text: str) -> Path:
    path = folder / "trace.csv"
    path.write_text(text)
    return path


@pytest.mark.parametrize(
    "text",
    [
        "100\n100.5\n\n103\n",
        "1.03e2\n100\n100.5",
        "TIMESTAMP,ContextTokens\n2023-11-16 18:17:03.9799600,4\n2023-11-16 18:17:04.4799600,1\n"
        "2023-11-16 18:17:06.9799600,1\n",
        "id, TIMESTAMP\n1,2023-11-16T18:17:03Z\n2,2023-11-16T19:17:03.5+01:00\n3,2023-11-16T18:17:06Z\n",
        "TIMESTAMP\n7\n7.5\n10\n",
    ],
    ids=["seconds", "any order", "azure", "zones", "column of seconds"],
)
def test_a_trace_is_seconds_or_time_stamps(tmp_path: Path, text: str) -> None:
    """Whatever zero and order they have, what counts are the seconds from the first."""
    assert read_instants(written(tmp_path, text)) == pytest.approx([0.0, 0.5, 3.0], abs=1e-5)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("1\n2\nthree\n", r"line 3: 'three' is not a number of seconds, and there is no column TIMESTAMP"),
        ("1\ninf\n", r"line 2: 'inf'"),
        ("TIMESTAMP\n2023-11-16 18:17:03\nyesterday\n", r"line 3: 'yesterday' is not a time"),
        ("time,size\n1,2\n", r"line 1: 'time,size' is not a number"),
        ("", "has 0 arrivals"),
        ("5\n", "has 1 arrivals"),
    ],
)
def test_a_trace_that_is_none_is_refused_with_its_line(tmp_path: Path, text: str, said: str) -> None:
    """The file and the line are named, and what stands there."""
    with pytest.raises(InvalidArgument, match=rf"trace\.csv.*{said}"):
        read_instants(written(tmp_path, text))


def test_a_trace_that_is_not_there_is_refused(tmp_path: Path) -> None:
    """A path that leads nowhere is the user's mistake, too."""
    with pytest.raises(InvalidArgument, match="can't be read"):
        read_instants(tmp_path / "nowhere.csv")
