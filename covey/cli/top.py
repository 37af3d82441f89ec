"""`covey top`: what the mesh serves."""

from __future__ import annotations

from rich.markup import escape
from rich.table import Table

from covey.cli.calling import ADDRESS, TENANT, Gateway, Tenant, call, console
from covey.client import Client


def top(gateway: Gateway = ADDRESS, tenant: Tenant = TENANT) -> None:
    """Show the pipelines and nodes of the mesh."""

    async def work(client: Client) -> int:
        description = await client.describe()
        table = Table("pipeline", "version", "objective", "stages", "pools", box=None)
        for one in description.declarations:
            stages = " → ".join(stage.name for stage in one.stages)
            pools = "\n".join(f"{pool.name}  {pool.template}" for pool in one.pools)
            table.add_row(
                escape(one.pipeline), one.version, f"{one.objective_s * 1e3:g} ms", escape(stages), escape(pools)
            )
        console.print(table)
        nodes = Table("node", "address", box=None)
        for node in description.nodes:
            nodes.add_row(escape(node.id), node.address)
        console.print(nodes)
        return 0

    call(gateway, "", tenant, work)
