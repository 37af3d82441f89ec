"""`covey pin` and `covey unpin`: have a group live on a node whatever hashing and load say.

Pins stand in Valkey, where the leader reads them again and again; a running mesh moves the group as it moves any other.
"""

from __future__ import annotations

from typing import Annotated

import typer
from rich.markup import escape

from covey.cli.calling import TENANT, Pipeline, RedisUrl, Tenant, console, leave
from covey.errors import NotFound, Reason
from covey.model import GroupId, Scope
from covey.services.scheduler.metadata import ValkeyMetadata
from covey.valkey import Client, ValkeyRegistry, valkey_client

Group = Annotated[str, typer.Argument(help="The group, as the pools' rules name it.")]


def pin(
    pipeline: Pipeline,
    group: Annotated[str, typer.Argument(help="The group, as the pools' rules name it; or list the pins.")] = "",
    node: Annotated[str, typer.Argument(help="The node that it is to live on.")] = "",
    redis_url: RedisUrl = "",
    tenant: Tenant = TENANT,
) -> None:
    """Have a GROUP live on a NODE; without them, list what is pinned."""
    if bool(group) != bool(node):
        raise typer.BadParameter("say GROUP and NODE, or neither to list the pins")
    _check(redis_url)
    leave(_pin(redis_url, Scope(tenant, pipeline), group, node))


def unpin(pipeline: Pipeline, group: Group, redis_url: RedisUrl = "", tenant: Tenant = TENANT) -> None:
    """Let a GROUP live where hashing and load say again."""
    _check(redis_url)
    leave(_unpin(redis_url, GroupId(Scope(tenant, pipeline), group)))


async def _pin(url: str, scope: Scope, group: str, node: str) -> int:
    async with valkey_client(url) as client:
        nodes = await _nodes(client, scope)
        metadata = ValkeyMetadata(client)
        if not group:
            pins = {pinned.group: home for pinned, home in await metadata.pins() if pinned.scope == scope}
            for name, home in pins.items():
                console.print(f"{escape(name)} {escape(_described(home, nodes))}")
            if not pins:
                console.print(f"no group of {escape(scope.pipeline)} is pinned")
            return 0
        await metadata.pin(GroupId(scope, group), node)
        console.print(f"{escape(group)} {escape(_described(node, nodes))}")
        return 0


async def _unpin(url: str, group: GroupId) -> int:
    async with valkey_client(url) as client:
        await _nodes(client, group.scope)
        was_pinned = await ValkeyMetadata(client).unpin(group)
    console.print(f"{escape(group.group)} {'is pinned no longer' if was_pinned else 'was not pinned'}")
    return 0 if was_pinned else 1


async def _nodes(client: Client, scope: Scope) -> list[str]:
    """The nodes of the mesh. Raises NotFound for a pipeline that is not declared."""
    registry = ValkeyRegistry(client)
    known = [declaration.pipeline for tenant, declaration in await registry.declarations() if tenant == scope.tenant]
    if scope.pipeline not in known:
        declared = ", ".join(known) or "none"
        raise NotFound(f"there is no pipeline {scope.pipeline!r}; declared: {declared}", Reason.UNKNOWN_PIPELINE)
    return sorted({member.node for member in await registry.members("datastore")})


def _described(node: str, nodes: list[str]) -> str:
    if node in nodes:
        return f"is pinned to {node}"
    return f"is pinned to {node}, which is not there: the pin is void until it is (nodes: {', '.join(nodes) or 'none'})"


def _check(redis_url: str) -> None:
    if not redis_url:
        raise typer.BadParameter("say where the mesh's Valkey is: --redis-url, as `covey up` prints it for valkey")
