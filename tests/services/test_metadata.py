"""The correlation metadata, in real servers: what the leader writes of groups, and the pins that operators make."""

from __future__ import annotations

import pytest

from covey.embedded_valkey import embedded_valkey
from covey.errors import Unavailable
from covey.model import GroupId, Scope
from covey.services.scheduler.core.commands import GroupRecord
from covey.services.scheduler.metadata import ValkeyMetadata, group_key
from covey.valkey import Client, valkey_client

pytestmark = pytest.mark.asyncio

GROUP = GroupId(Scope("default", "collisions"), "s/a1")
AWKWARD = GroupId(Scope("a:b", "p{q}"), "x:{y}/%7B z")


async def test_records_say_where_a_group_lives_and_count_its_uses(client: Client) -> None:
    """A later record replaces the figures of the earlier one, and adds to the uses."""
    metadata = ValkeyMetadata(client)
    await metadata.write([GroupRecord(GROUP, "node-1", 3, 8, 640, 2), GroupRecord(AWKWARD, "node-2", 3, 1, 1, 1)])
    await metadata.write([GroupRecord(GROUP, "node-2", 4, 9, 720, 5)])

    found = await client.hgetall("covey:default:collisions:group:{s%2Fa1}")
    assert found == {b"home": b"node-2", b"epoch": b"4", b"objects": b"9", b"bytes": b"720", b"uses": b"7"}


async def test_pins_come_back_whatever_users_call_their_groups(client: Client) -> None:
    """Names with the separators and braces of our own keys neither collide nor leave their place."""
    metadata = ValkeyMetadata(client)
    assert await metadata.pins() == ()
    await metadata.pin(GROUP, "node-1")
    await metadata.pin(AWKWARD, "node-2")

    assert dict(await metadata.pins()) == {GROUP: "node-1", AWKWARD: "node-2"}
    assert await metadata.unpin(AWKWARD)
    assert not await metadata.unpin(AWKWARD)
    assert dict(await metadata.pins()) == {GROUP: "node-1"}
    assert await client.exists(group_key(AWKWARD)) == 0
    assert group_key(AWKWARD).count("{") == group_key(AWKWARD).count("}") == 1


async def test_a_valkey_that_is_gone_is_unavailable() -> None:
    """The scheduler hears of it as the error that it goes on from memory with."""
    async with embedded_valkey() as url, valkey_client(url) as client:
        metadata = ValkeyMetadata(client)
        await client.shutdown(nosave=True)
        with pytest.raises(Unavailable):
            await metadata.write([GroupRecord(GROUP, "node-1", 1, 1, 1, 2)])
        with pytest.raises(Unavailable):
            await metadata.pins()
