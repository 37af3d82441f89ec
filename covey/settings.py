"""Environment text -> one frozen dataclass, once, at the start. The only file that reads the environment."""

from __future__ import annotations

import dataclasses
import os
import types
import typing
from collections.abc import Mapping
from pathlib import Path
from typing import Any, TypeVar

from covey.errors import InvalidArgument

PREFIX = "COVEY_"

_TRUTH = {"1": True, "true": True, "yes": True, "on": True, "0": False, "false": False, "no": False, "off": False}

S = TypeVar("S")


def read_settings(kind: type[S], environment: Mapping[str, str] | None = None, *, service: str = "") -> S:
    """The settings of a process: the field `lease_s` is read from `COVEY_LEASE_S`, and an absent one has its default.
    A service looks first at what is meant for it alone, `COVEY_<SERVICE>_LEASE_S`.

    Fields are str, int, float, bool, Path, tuple[str, ...] (comma-separated), or one of these or None (empty text).
    Raises InvalidArgument, naming the variable, for text that does not fit and for a field that has neither text nor
    default. Variables that no field names are left alone: other services of the machine share the prefix.
    """
    texts = os.environ if environment is None else environment
    hints = typing.get_type_hints(kind)
    values: dict[str, Any] = {}
    for field in dataclasses.fields(kind):  # type: ignore[arg-type]  # a dataclass, by contract
        own, shared = variable_of(field.name, service), variable_of(field.name)
        variable = own if own in texts else shared
        if variable in texts:
            values[field.name] = _value(variable, texts[variable].strip(), hints[field.name])
        elif field.default is dataclasses.MISSING and field.default_factory is dataclasses.MISSING:
            raise InvalidArgument(f"{variable} is not set, and there is no default for it")
    return kind(**values)


def variable_of(field: str, service: str = "") -> str:
    """The variable that a field is read from: every service's, or the one of a single kind."""
    return PREFIX + f"{service}_{field}".lstrip("_").upper()


def _value(variable: str, text: str, hint: Any) -> Any:
    if isinstance(hint, types.UnionType):
        if not text:
            return None
        (hint,) = [each for each in typing.get_args(hint) if each is not type(None)]
    try:
        if hint is bool:
            return _TRUTH[text.lower()]
        if typing.get_origin(hint) is tuple:
            return tuple([part.strip() for part in text.split(",") if part.strip()])
        if hint in (str, int, float, Path):
            return hint(text)
    except (ValueError, KeyError):
        expected = {bool: "true or false", int: "a whole number", float: "a number"}.get(hint, hint.__name__)
        raise InvalidArgument(f"{variable}={text!r} should be {expected}") from None
    raise TypeError(f"settings can't be of the type {hint}")


def otlp_is_configured(signal: str, environment: Mapping[str, str] | None = None) -> bool:
    """Whether the standard variables name a collector for `signal` ("traces" or "metrics")."""
    texts = os.environ if environment is None else environment
    if texts.get("OTEL_SDK_DISABLED", "").lower() == "true":
        return False
    if texts.get(f"OTEL_{signal.upper()}_EXPORTER", "otlp") != "otlp":
        return False
    return any(
        texts.get(name) for name in ("OTEL_EXPORTER_OTLP_ENDPOINT", f"OTEL_EXPORTER_OTLP_{signal.upper()}_ENDPOINT")
    )


def environment_with(settings: Mapping[str, str], defaults: Mapping[str, str] | None = None) -> dict[str, str]:
    """The environment of a child process: this one's, with `settings` in it, and `defaults` where neither has any."""
    return {**(defaults or {}), **os.environ, **settings}


OLD_POLLER = "-event_engine_client,-event_engine_listener,-event_engine_poller_for_python"
"""gRPC's experiments that hand each read and write to one thread more; without them a message costs a fifth less."""


def tame_grpc() -> None:
    """Have gRPC's core write no lost connection to stderr, and use the poller that is cheaper; the user's word counts.

    It is read once, before grpc is first used.
    """
    os.environ.setdefault("GRPC_VERBOSITY", "ERROR")
    os.environ.setdefault("GRPC_EXPERIMENTS", OLD_POLLER)
