"""Spans of time as people write them."""

from __future__ import annotations

import typer

_UNITS = {"us": 1e-6, "ms": 1e-3, "s": 1.0, "m": 60.0, "h": 3600.0}


def seconds_of(text: str) -> float:
    """`200ms`, `1.5s`, `2m` or a bare number of seconds. Raises typer.BadParameter."""
    number = text.rstrip("abcdefghijklmnopqrstuvwxyz")
    try:
        seconds = float(number) * _UNITS[text[len(number) :] or "s"]
    except (ValueError, KeyError):
        raise typer.BadParameter(f"a time is a number with us, ms, s, m or h, not {text!r}") from None
    if not 0 < seconds < float("inf"):
        raise typer.BadParameter(f"a time is above zero, not {text!r}")
    return seconds
