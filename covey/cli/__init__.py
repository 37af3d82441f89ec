"""The `covey` command. Each subcommand is a module of this package, imported when it is asked for and not before."""

from __future__ import annotations

import importlib
from typing import Any

import typer
from typer.core import TyperGroup

_MODULES = {
    "up": "covey.cli.up",
    "send": "covey.cli.send",
    "put": "covey.cli.put",
    "get": "covey.cli.get",
    "top": "covey.cli.top",
    "suggest": "covey.cli.suggest",
    "plan": "covey.cli.plan",
    "pin": "covey.cli.pin",
    "unpin": "covey.cli.pin",
    "profile": "covey.cli.profile",
    "explain": "covey.cli.explain",
}
"""Subcommand -> the module that has a function, or a group of subcommands, of that name."""


class _LazyGroup(TyperGroup):
    """Finds subcommands by their names."""

    def list_commands(self, ctx: Any) -> list[str]:
        return list(_MODULES)

    def get_command(self, ctx: Any, cmd_name: str) -> Any:
        if cmd_name not in _MODULES:
            return None
        found = getattr(importlib.import_module(_MODULES[cmd_name]), cmd_name)
        if isinstance(found, typer.Typer):
            return typer.main.get_command(found)
        alone = typer.Typer(add_completion=False)
        alone.command(cmd_name)(found)
        return typer.main.get_command(alone)


cli = typer.Typer(cls=_LazyGroup, add_completion=False, no_args_is_help=True, pretty_exceptions_enable=False)


@cli.callback()
def covey() -> None:
    """Covey: an inference mesh for event-driven, streaming ML."""


def main() -> None:
    """The console script."""
    cli()
