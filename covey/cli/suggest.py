"""`covey suggest`: the group rules that would have made the reads of a pipeline local."""

from __future__ import annotations

import dataclasses
import json
import math
import re
from typing import Annotated, Any

import typer
from rich.markup import escape
from rich.table import Table

from covey.cli.calling import TENANT, RedisUrl, Tenant, console, leave
from covey.declaration import TTL_S, Declaration, PoolDeclaration
from covey.declare import name_of
from covey.errors import DeclarationError, NotFound, Reason
from covey.model import Scope, TaskReads
from covey.services.scheduler.metadata import ValkeyMetadata
from covey.suggesting import PoolSuggestion, Suggestion
from covey.suggesting import suggest as suggested
from covey.valkey import ValkeyRegistry, valkey_client

_OPTIONS = ("codec", "durable", "ttl_s", "keep_last", "name")
"""Of a pool, beside its rule."""


def suggest(
    pipeline: Annotated[str, typer.Argument(help="The pipeline's name; it may be left out where there is one.")] = "",
    as_json: Annotated[bool, typer.Option("--json", help="Print the suggestion as one JSON object.")] = False,
    redis_url: RedisUrl = "",
    tenant: Tenant = TENANT,
) -> None:
    """Say which group rules would have made the tasks' reads local, by what tasks have read together."""
    if not redis_url:
        raise typer.BadParameter("say where the mesh's Valkey is: --redis-url, as `covey up` prints it for valkey")
    leave(_suggest(redis_url, tenant, pipeline, as_json))


async def _suggest(redis_url: str, tenant: str, pipeline: str, as_json: bool) -> int:
    async with valkey_client(redis_url) as client:
        declaration = _chosen(await ValkeyRegistry(client).declarations(), tenant, pipeline)
        records = await ValkeyMetadata(client).reads(Scope(tenant, declaration.pipeline))
    found = suggested(declaration, records)
    if as_json:
        print(json.dumps(_as_json(declaration, found)))
    else:
        _show(declaration, found, records)
    return 0 if found.pools else 1


def _chosen(declared: list[tuple[str, Declaration]], tenant: str, pipeline: str) -> Declaration:
    known = {declaration.pipeline: declaration for owner, declaration in declared if owner == tenant}
    if pipeline in known:
        return known[pipeline]
    if not pipeline and len(known) == 1:
        return next(iter(known.values()))
    wanted = f"there is no pipeline {pipeline!r}" if pipeline else "say which pipeline"
    raise NotFound(f"{wanted}; declared: {', '.join(known) or 'none'}", Reason.UNKNOWN_PIPELINE)


def _show(declaration: Declaration, found: Suggestion, records: list[TaskReads]) -> None:
    if not found.pools:
        console.print(f"no recorded task of {escape(declaration.pipeline)} has read anything ({len(records)} recorded)")
        console.print("one event in COVEY_SUGGEST_SAMPLE (of the scheduler; 16 unless set) tells what its tasks read")
        return
    console.print(f"{escape(declaration.pipeline)}: what {found.tasks:,} recorded tasks have read together")
    console.print(_table(found))
    console.print(
        "a read is remote that lies outside the group of most of its task's reads; with n nodes, one in n of these "
        "is on the right node by luck\n",
        style="dim",
    )
    noted: dict[str, list[str]] = {}
    for each in found.pools:
        console.print(escape(f"{_line(each.pool, each.group)}   # {_why(each)}"), soft_wrap=True)
        for note in each.notes:
            noted.setdefault(note, []).append(each.pool.name)
    for note, pools in noted.items():
        console.print(f"[yellow]note[/] on {escape(', '.join(pools))}: {escape(note)}", soft_wrap=True)


def _table(found: Suggestion) -> Table:
    table = Table("pool", "group now", "suggested", box=None)
    for heading in ("objects", "groups now", "then", "reads", "remote now", "then"):
        table.add_column(heading, justify="right")
    for each in found.pools:
        figures = (each.now.objects, each.now.groups, each.then.groups, each.now.reads, each.now.remote)
        table.add_row(
            escape(each.pool.name),
            escape(each.pool.group or "each key"),
            escape(each.group or "each key"),
            *[f"{figure:,}" for figure in (*figures, each.then.remote)],
        )
    return table


def _line(pool: PoolDeclaration, group: str | None) -> str:
    """The pool as a user declares it, with this rule for its own."""
    bare = PoolDeclaration(_usual_name(pool.template), pool.template, ttl_s=math.inf if pool.durable else TTL_S)
    options = {"group": (group, None), "strict": (pool.strict and group is not None, False)}
    options |= {name: (getattr(pool, name), getattr(bare, name)) for name in _OPTIONS}
    told = [f"{name}={_literal(value)}" for name, (value, usual) in options.items() if value != usual]
    variable = re.sub(r"\W", "_", pool.name)
    return f"{variable} = app.pool({', '.join([_literal(pool.template), *told])})"


def _usual_name(template: str) -> str:
    try:
        return name_of(template)
    except DeclarationError:  # it starts with a field, so that its pool was named
        return ""


def _literal(value: object) -> str:
    if isinstance(value, float):
        return f"{value:.12g}"
    return json.dumps(value, ensure_ascii=False) if isinstance(value, str) else repr(value)


def _why(each: PoolSuggestion) -> str:
    saved = each.now.remote - each.then.remote
    if each.declared:
        return "as it is declared" if each.group is not None else "needs no rule"
    if saved:
        return f"saves {saved:,} of {each.now.remote:,} remote reads"
    if each.triggers and not each.now.reads:
        return f"its {each.triggers:,} triggers came inline: this puts them where they are used"
    if each.then.groups == each.now.groups:
        return "as local as now, and in one group with what triggers its readers"
    return f"as local as now, in {each.then.groups:,} groups instead of {each.now.groups:,}"


def _as_json(declaration: Declaration, found: Suggestion) -> dict[str, Any]:
    pools = [
        {
            "pool": each.pool.name,
            "template": each.pool.template,
            "group_now": each.pool.group,
            "group": each.group,
            "now": dataclasses.asdict(each.now),
            "then": dataclasses.asdict(each.then),
            "inline_triggers": each.triggers,
            "notes": each.notes,
        }
        for each in found.pools
    ]
    return {
        "pipeline": declaration.pipeline,
        "version": declaration.version,
        "tasks": found.tasks,
        "now": dataclasses.asdict(found.now),
        "then": dataclasses.asdict(found.then),
        "pools": pools,
    }
