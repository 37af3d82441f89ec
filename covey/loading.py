"""Find a user's pipeline by name: `module:app`, as uvicorn and gunicorn spell it."""

from __future__ import annotations

import importlib
import sys
from pathlib import Path

from covey.declare import Pipeline
from covey.errors import DeclarationError


def load_pipeline(name: str) -> Pipeline:
    """The pipeline `module:attribute`, looked for in the current directory first.

    Raises DeclarationError when there is no such module or attribute, or when it is no pipeline. What the module itself
    raises comes through: it is the user's, with the user's line.
    """
    module_name, colon, attribute = name.partition(":")
    if not colon or not module_name or not attribute:
        raise DeclarationError(f"{name!r} names no pipeline: write module:attribute, such as pipeline:app")
    here = str(Path.cwd())
    if here not in sys.path:
        sys.path.insert(0, here)
    try:
        module = importlib.import_module(module_name)
    except ModuleNotFoundError as error:
        if error.name is None or not f"{module_name}.".startswith(f"{error.name}."):
            raise  # the module is there, and what it imports is not
        raise DeclarationError(f"there is no module {error.name!r} in {here} or on the path, for {name!r}") from None
    found = getattr(module, attribute, None)
    if isinstance(found, Pipeline):
        return found
    pipelines = ", ".join(f"{module_name}:{key}" for key, value in vars(module).items() if isinstance(value, Pipeline))
    what = "has no such name" if found is None else f"is a {type(found).__name__} there"
    raise DeclarationError(
        f"{attribute!r} {what} in {module.__file__}, for {name!r}; its pipelines: {pipelines or 'none'}"
    )
