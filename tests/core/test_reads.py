"""Reads that span nodes: routing, merging, and counting what came from elsewhere."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from covey.errors import Reason, Status
from covey.grouping import Template
from covey.model import Answer, KeyRead, LastRead, ObjectRef, ObjectValue, ScanRead
from covey.reads import Fetched, gather, index_in, merge, split_by_node

AB = ("a", "b")
LAST = LastRead("p", "/p/s/*", 3, None, False, AB)
SCAN = ScanRead("p", "/p/", "", 3, AB)


def value(tick: int, version: int = 1, group: str = "g") -> ObjectValue:
    return ObjectValue(ObjectRef("p", f"/p/s/{tick}", group, version, size=10), b"x" * 10)


def answer(*ticks: int, complete: bool = True) -> Answer:
    return Answer(tuple([value(tick) for tick in ticks]), complete)


def ticks_of(found: Answer) -> list[int]:
    return [int(each.ref.key.rsplit("/", 1)[1]) for each in found.objects]


def test_last_is_merged_by_index() -> None:
    """The greatest indices of all nodes, in index order and not in key order."""
    assert ticks_of(merge(LAST, [answer(2, 9, 30), answer(10, 11)])) == [10, 11, 30]


def test_a_scan_is_merged_by_key() -> None:
    """The first keys of all nodes, in key order."""
    assert ticks_of(merge(SCAN, [answer(2, 30), answer(10, 11)])) == [10, 11, 2]


def test_an_object_that_two_nodes_have_comes_once() -> None:
    """While a group moves both of its homes may answer: the newer version stands."""
    found = merge(LAST, [Answer((value(1, version=5),)), Answer((value(1, version=7), value(2)))])

    assert [(each.ref.key, each.ref.version) for each in found.objects] == [("/p/s/1", 7), ("/p/s/2", 1)]


def test_an_incomplete_answer_makes_the_merged_one_incomplete() -> None:
    """What one node has lost may have belonged to the result."""
    assert merge(LAST, [answer(1), answer(2)]).complete
    assert not merge(LAST, [answer(1), answer(2, complete=False)]).complete


def test_a_failed_node_fails_the_read() -> None:
    """Half a history is not an answer: the first status that is not OK speaks for all."""
    failed = Answer((), False, Status.UNAVAILABLE, Reason.HOME_LOST, "gone")

    assert merge(LAST, [answer(1), failed]) == failed
    assert merge(LAST, []).reason is Reason.NO_HOME


def test_reads_are_split_by_node_and_gathered_in_order() -> None:
    """Each node is asked once for all of its reads; what came from other nodes is counted, for each read too."""
    exact = KeyRead("p", "/p/s/1", "g", 0, "b", False)
    reads = (LAST, exact)
    assert split_by_node(reads) == {"a": [0], "b": [0, 1]}

    fetched = gather(reads, {"a": [answer(1)], "b": [answer(2), answer(3)]}, local_node="a")

    assert [ticks_of(found) for found in fetched.answers] == [[1, 2], [3]]
    assert (fetched.remote_gets, fetched.bytes_moved) == (2, 20)
    assert fetched.moved == ((1, 10), (1, 10))
    assert gather((), {}, "a") == Fetched(())


@given(
    scene=st.text(st.characters(blacklist_characters="/", blacklist_categories=("Cs",)), min_size=1, max_size=5),
    actor=st.sampled_from(["a", "*", "7", "-", "**"]),
    tick=st.integers(1 - 10**18, 10**18 - 1),
)
def test_the_index_of_a_key_is_found_in_its_series(scene: str, actor: str, tick: int) -> None:
    """Whatever the fields hold, stars included, the index is the integer where the series has its star."""
    template = Template("/p/{scene}/{tick:int}/{actor}")
    fields = {"scene": scene, "actor": actor, "tick": tick}

    assert index_in(template.series(fields), template.render(fields)) == tick


def test_a_key_of_another_series_has_no_index_in_it() -> None:
    """Asking for it is a mistake."""
    with pytest.raises(ValueError, match="not of the series"):
        index_in("/p/s/*", "/p/t/1")


def test_what_came_without_its_payload_did_not_move() -> None:
    """A node that was asked counts as a remote get all the same."""
    read = KeyRead("p", "/p/s/1", "g", 0, "b", required=False)
    unchanged = Answer((ObjectValue(value(1).ref),))

    assert gather([read], {"b": [unchanged]}, "a").moved == ((1, 0),)
