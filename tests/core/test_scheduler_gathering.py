"""A new leader and its datastores: it goes on from the placement in force, and makes none of half of the nodes."""

from __future__ import annotations

from covey.messages import Beat, NodeJoined, View
from covey.model import GroupId, Node, Placement
from covey.services.scheduler.core.commands import Send
from covey.services.scheduler.core.stimuli import GroupsPinned, NodeConnected, PeerLost, PeerSaid
from tests.worlds import NODE, SCOPE, SchedulerWorld

GROUP = GroupId(SCOPE, "s0")
NODES = (Node("n0", "n0:1", 7), Node("n1", "n1:1", 8))
IN_FORCE = Placement(3, NODES, {GROUP: "n1"})


def connect(world: SchedulerWorld, number: int, placement: Placement) -> None:
    world.tell(NodeConnected(NODE + number, NodeJoined(f"n{number}", f"n{number}:1", 1, placement)))
    world.tell(PeerSaid(NODE + number, Beat(view=world.core.state.view_number)))


def placement(world: SchedulerWorld) -> Placement:
    """What datastores were told last."""
    views = [send.message for send in world.sent if isinstance(send, Send) and isinstance(send.message, View)]
    return views[-1].placement


def test_a_new_leader_waits_for_the_nodes_of_the_placement_in_force() -> None:
    """Until all have joined, the earlier leader's placement stays; then exceptions and memberships go on."""
    world = SchedulerWorld(nodes=0, workers=0, epoch=2)
    connect(world, 0, IN_FORCE)
    assert placement(world) == IN_FORCE
    world.tell(GroupsPinned(((GroupId(SCOPE, "s1"), "n0"),)))
    assert placement(world) == IN_FORCE

    connect(world, 1, IN_FORCE)
    now = placement(world)
    assert now.epoch > IN_FORCE.epoch
    assert now.nodes == NODES
    assert now.exceptions == {GROUP: "n1", GroupId(SCOPE, "s1"): "n0"}


def test_a_node_that_does_not_come_is_waited_for_in_vain_once() -> None:
    """After `patience_s` the leader places without it."""
    world = SchedulerWorld(nodes=0, workers=0, epoch=2)
    connect(world, 0, IN_FORCE)
    world.wait(world.limits.patience_s / 2)
    assert placement(world) == IN_FORCE

    world.wait(world.limits.patience_s)
    assert [node.id for node in placement(world).nodes] == ["n0"]


def test_the_newest_placement_is_the_one_in_force() -> None:
    """A node that was left out of it, and does not know that yet, is a new member."""
    world = SchedulerWorld(nodes=0, workers=0, epoch=2)
    connect(world, 0, Placement(3, NODES))
    connect(world, 1, Placement(4, NODES[1:]))
    joined = {node.id: node.joined for node in placement(world).nodes}

    assert joined["n1"] == 8
    assert joined["n0"] != 7


def test_a_node_that_comes_back_has_another_membership() -> None:
    """Whoever was taken for lost has to let go of what it had, and learns so from its membership."""
    world = SchedulerWorld(nodes=1)
    [before] = placement(world).nodes
    world.tell(PeerLost(NODE))
    world.join_node(0, peer=NODE + 50)
    [after] = placement(world).nodes

    assert before.id == after.id
    assert before.joined != after.joined
