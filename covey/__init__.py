"""Covey: an inference mesh for event-driven, streaming ML. These are the public names, loaded when they are used.

Lazily, so that a core or a small client does not load numpy, torch or grpc only because it says `import covey`.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from covey.batch import Batch as Batch
    from covey.batch import Object as Object
    from covey.batch import Task as Task
    from covey.client import Client as Client
    from covey.client import connect as connect
    from covey.declaration import Codec as Codec
    from covey.declare import Pipeline as Pipeline
    from covey.declare import Pool as Pool
    from covey.declare import function as function
    from covey.declare import pattern as pattern
    from covey.errors import CoveyError as CoveyError
    from covey.errors import DeclarationError as DeclarationError
    from covey.errors import Reason as Reason
    from covey.errors import Status as Status
    from covey.model import Priority as Priority

_HOMES = {
    "Batch": "covey.batch",
    "Client": "covey.client",
    "Codec": "covey.declaration",
    "CoveyError": "covey.errors",
    "DeclarationError": "covey.errors",
    "Object": "covey.batch",
    "Pipeline": "covey.declare",
    "Pool": "covey.declare",
    "Priority": "covey.model",
    "Reason": "covey.errors",
    "Status": "covey.errors",
    "Task": "covey.batch",
    "connect": "covey.client",
    "function": "covey.declare",
    "pattern": "covey.declare",
}

__all__ = [
    "Batch",
    "Client",
    "Codec",
    "CoveyError",
    "DeclarationError",
    "Object",
    "Pipeline",
    "Pool",
    "Priority",
    "Reason",
    "Status",
    "Task",
    "connect",
    "function",
    "pattern",
]


def __getattr__(name: str) -> Any:
    try:
        home = _HOMES[name]
    except KeyError:
        raise AttributeError(f"module 'covey' has no attribute {name!r}") from None
    return getattr(importlib.import_module(home), name)


def __dir__() -> list[str]:
    return sorted(_HOMES)
