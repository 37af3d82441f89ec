"""What a caller holds already need not be sent to it."""

from covey.messages import Get, GetDone
from covey.model import KeyRead
from covey.services.datastore.core.commands import Send
from covey.services.datastore.core.stimuli import Asked
from tests.worlds_datastore import LINK, SCOPE, World


def test_what_the_caller_holds_comes_without_its_payload() -> None:
    """Only in the very version that it holds: a newer one comes whole."""
    world = World()
    held = [world.put(f"/tracks/{name}", group=name).ref for name in "ab"]
    world.put("/tracks/b", b"new", group="b")
    reads = tuple([KeyRead("tracks", f"/tracks/{name}", name, 0, "node-a", False) for name in "ab"])
    known = tuple([ref for ref in held if ref is not None])
    (sent,) = world.tell(Asked(LINK, Get(9, SCOPE, reads, world.now + 1, known=known)))

    assert isinstance(sent, Send)
    assert isinstance(sent.message, GetDone)
    first, second = [answer.objects[0] for answer in sent.message.answers]
    assert (first.ref, first.payload) == (held[0], None)
    assert second.payload == b"new"
