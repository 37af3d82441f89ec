"""Templates, group rules, homes and the graph: what everyone must compute alike."""

import string
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
from hypothesis import assume, example, given
from hypothesis import strategies as st

from covey.declaration import Declaration, Join, PoolDeclaration, StageDeclaration, graph
from covey.errors import DeclarationError, InvalidArgument, NotFound, Reason
from covey.grouping import Scope, Template, check_key, checked_rule, rendezvous
from covey.homes import Homes, stem_of
from covey.model import GroupId, Node, Placement
from covey.settings import environment_with

SCOPE = Scope("tenant", "pipeline")
names = st.text(string.ascii_lowercase, min_size=1, max_size=4)
literals = st.text(string.ascii_lowercase + ".+*(-", min_size=1, max_size=4)
values = st.text(min_size=1, max_size=8).filter(lambda text: "/" not in text and text.isprintable())


@st.composite
def templates(draw: st.DrawFn) -> Template:
    """Templates whose parts are each text, a field, or text before a field; at most one field is the index."""
    fields = draw(st.lists(names, unique=True, max_size=4))
    index = draw(st.sampled_from([None, *fields]))
    parts = [draw(st.just("") | literals) + "{" + name + (":int}" if name == index else "}") for name in fields]
    parts.insert(draw(st.integers(0, len(parts))), draw(literals))
    return Template("/" + "/".join(parts))


@given(templates(), st.data())
def test_a_key_gives_back_the_fields_that_it_was_rendered_from(template: Template, data: st.DataObject) -> None:
    """`match` undoes `render`, types included."""
    fields = {
        field.name: data.draw(st.integers(1 - 10**18, 10**18 - 1)) if field.is_index else data.draw(values)
        for field in template.fields
    }
    assert template.match(template.render(fields)) == fields


@given(templates(), st.data())
def test_a_key_that_matches_is_the_one_that_its_fields_render_to(template: Template, data: st.DataObject) -> None:
    """Keys and fields are one to one, also for keys that are nearly of the template."""
    texts = st.sampled_from(["", "0", "07", "-0", "-7", "7", "+7", " 7", "7\n", "a", "*", "9" * 18, "9" * 19]) | values
    parts = [part.replace("{", "\0{") for part in template.text.split("/")[1:]]
    key = "/" + "/".join(part.partition("\0")[0] + data.draw(texts) if "\0" in part else part for part in parts)
    fields = template.match(key)
    if fields is not None:
        assert template.render(fields) == key
        assert [type(value) for value in fields.values()] == [
            int if field.is_index else str for field in template.fields
        ]


@given(templates(), st.data())
def test_a_series_leaves_only_the_index_out(template: Template, data: st.DataObject) -> None:
    """Keys that differ in their index share a series, which is no key itself; other fields change it."""
    fields: dict[str, str | int] = {
        field.name: data.draw(st.integers(0, 99)) if field.is_index else data.draw(values) for field in template.fields
    }
    if template.index is None:
        assert template.series(fields) == template.render(fields)
        return
    later = {**fields, template.index: int(fields[template.index]) + 1}
    assert template.series(fields) == template.series(later)
    assert template.match(template.series(fields)) is None


@given(templates(), templates(), st.data())
def test_templates_that_can_meet_are_said_to(mine: Template, other: Template, data: st.DataObject) -> None:
    """A key of one template that matches another too is never missed by the check for overlap."""
    fields = {
        field.name: data.draw(st.integers(0, 9)) if field.is_index else data.draw(values) for field in mine.fields
    }
    if other.match(mine.render(fields)) is not None:
        assert mine.may_match_a_key_of(other)
        assert other.may_match_a_key_of(mine)


@pytest.mark.parametrize(
    ("mine", "other", "meet"),
    [
        ("/a/{x}", "/a/{y}", True),
        ("/a/{x}", "/b/{x}", False),
        ("/a/{x}", "/a/{x}/{y}", False),
        ("/a/{x}", "/a/latest", True),
        ("/a/{x:int}", "/a/latest", False),
        ("/a/{x:int}", "/a/7", True),
        ("/a/{x:int}", "/a/07", False),
        ("/{x}/b", "/a/{y}", True),
    ],
)
def test_overlap_looks_at_what_fields_can_hold(mine: str, other: str, meet: bool) -> None:
    """Overlap is a question of path parts, and an index holds only integers."""
    assert Template(mine).may_match_a_key_of(Template(other)) is meet
    assert Template(other).may_match_a_key_of(Template(mine)) is meet


def test_an_integer_has_one_spelling() -> None:
    """Keys and fields name objects one to one, so that 07, +7 and -0 are no indices."""
    template = Template("/a/{tick:int}")
    assert template.match("/a/7") == {"tick": 7}
    assert template.match("/a/-7") == {"tick": -7}
    assert [template.match(f"/a/{text}") for text in ("07", "+7", "-0", "7 ", "٧", "", "1" * 19)] == [None] * 7


@pytest.mark.parametrize("fields", [{}, {"x": ""}, {"x": "a/b"}, {"x": "a", "tick": "3"}, {"x": "a", "tick": 10**18}])
def test_what_cannot_stand_in_a_key_is_refused(fields: dict[str, str | int]) -> None:
    """Missing, empty and slashed fields, and an index that is no integer or too long, are InvalidArgument."""
    with pytest.raises(InvalidArgument):
        Template("/a/{x}/{tick:int}").render(fields)


@pytest.mark.parametrize(
    "text", ["a/{x}", "/a/", "/a//b", "/a/{x", "/a/x}", "/a/{x}{y}", "/a/{x:float}", "/a/{1x}", "/a/{}", "/a/{x}/{x}"]
)
def test_templates_that_cannot_be_read_are_refused(text: str) -> None:
    """A malformed template is a DeclarationError that repeats it."""
    with pytest.raises(DeclarationError, match="template"):
        Template(text)


def rule_of(kind: str, text: str, template: str = "/a/{x}/{y}") -> PoolDeclaration:
    return PoolDeclaration("a", template, group_kind=kind, group=text)


def last_part(key: str) -> str | None:
    """The group function of a test: the last part of a key, and none for keys that end in 'none'."""
    part = key.rpartition("/")[2]
    return None if part == "none" else part


@pytest.mark.parametrize(
    ("kind", "text", "key", "group"),
    [
        ("template", "{x}", "/a/1/2", "1"),
        ("template", "{y}-{x}", "/a/1/2", "2-1"),
        ("template", "all", "/a/1/2", "all"),
        ("pattern", "cluster[0-9]+", "/a/cluster12/0", "cluster12"),
        ("pattern", "/a/(?P<group>[^/]+)/", "/a/1/2", "1"),
        ("pattern", "[0-9]", "/a/1/2", None),
        ("pattern", "z", "/a/1/2", None),
        ("function", f"{__name__}:last_part", "/a/1/2", "2"),
        ("function", f"{__name__}:last_part", "/a/1/none", None),
    ],
)
def test_a_rule_names_the_group_or_leaves_the_key_alone(kind: str, text: str, key: str, group: str | None) -> None:
    """A rule that does not match, or could mean two groups, leaves a key its own group, and says so."""
    pool = rule_of(kind, text)
    assert pool.group_of(key, pool.fields_of(key)) == ((key, False) if group is None else (group, True))


def test_a_strict_pool_refuses_what_its_rule_does_not_match() -> None:
    """In strict mode a key without a group is an error; a pool without a rule is per key all the same."""
    strict = PoolDeclaration("a", "/a/{x}", group_kind="pattern", group="z+", strict=True)
    with pytest.raises(InvalidArgument, match="does not match key '/a/1'") as caught:
        strict.group_of("/a/1", {"x": "1"})
    assert caught.value.reason is Reason.NO_GROUP
    assert strict.group_of("/a/z", {"x": "z"}) == ("z", True)
    assert PoolDeclaration("a", "/a/{x}", strict=True).group_of("/a/1", {"x": "1"}) == ("/a/1", False)


@pytest.mark.parametrize(
    ("kind", "text"),
    [
        ("template", "{z}"),
        ("pattern", "(?=x)"),
        ("pattern", "(" * 2000),
        ("pattern", "/a/(?P<scene>[^/]+)"),
        ("function", "no.such:f"),
        ("function", "string:no_such"),
        ("function", "string:digits"),
        ("function", "__main__:f"),
        ("regex", "a"),
    ],
)
def test_rules_that_cannot_work_are_refused(kind: str, text: str) -> None:
    """A wrong rule is a DeclarationError when it is declared, not when a key comes."""
    with pytest.raises(DeclarationError):
        checked_rule(kind, text, Template("/a/{x}"))


def test_a_group_function_needs_no_torch(tmp_path: Path) -> None:
    """A rule by function works where torch can't be imported, and one that would import it is refused when declared."""
    (tmp_path / "free.py").write_text("def scene(key):\n    return key.split('/')[2]\n")
    (tmp_path / "bound.py").write_text("from torch import nn\n\ndef scene(key):\n    return key.split('/')[2]\n")
    (tmp_path / "torch.py").write_text("import types\nnn = types.ModuleType('torch.nn')\n")
    program = (
        "import sys, covey\n"
        "from covey.errors import DeclarationError\n"
        "app = covey.Pipeline('p', objective_s=1)\n"
        "try: app.pool('/b/{scene}', group=covey.function('bound:scene'))\n"
        "except DeclarationError as error: assert sys.argv[1] in error.message, error\n"
        "else: raise AssertionError('it was taken')\n"
        "sys.modules['torch'] = None\n"
        "pool = app.pool('/a/{scene}', group=covey.function('free:scene'))\n"
        "assert pool.declaration.group_of('/a/s', {}) == ('s', True)\n"
    )
    command = [sys.executable, "-c", program, "imports torch"]
    environment = environment_with({"PYTHONPATH": f"{tmp_path}:{Path(__file__).parents[2]}"})
    subprocess.run(command, check=True, timeout=30, env=environment)


def test_a_user_s_pattern_cannot_stop_a_process() -> None:
    """A pattern that backtracking engines take exponential time for is linear in the key."""
    pool = rule_of("pattern", "(a+)+$", "/a/{x}")
    key = "/a/" + "a" * 900 + "!"
    started = time.monotonic()
    pool.group_of(key, {"x": "a"})
    assert time.monotonic() - started < 0.5


@given(st.text(max_size=20), st.lists(names, unique=True, min_size=1, max_size=6), names)
@example("g", ["a"], "b")
def test_only_the_groups_of_a_node_that_comes_or_goes_move(group: str, nodes: list[str], comer: str) -> None:
    """Rendezvous hashing: everyone agrees in any order, and a new node takes groups only for itself."""
    assume(comer not in nodes)
    before = rendezvous(SCOPE, group, tuple(nodes))

    assert rendezvous(SCOPE, group, tuple(reversed(nodes))) == before
    assert rendezvous(SCOPE, group, (*nodes, comer)) in (before, comer)


def test_groups_spread_over_nodes() -> None:
    """Of 3,000 groups on 3 nodes each node has about a thousand, and each tenant its own thousand."""
    nodes = ("a", "b", "c")
    homes = [rendezvous(SCOPE, f"group-{i}", nodes) for i in range(3000)]
    others = [rendezvous(Scope("other", "pipeline"), f"group-{i}", nodes) for i in range(3000)]

    assert all(850 < homes.count(node) < 1150 for node in nodes)
    assert sum(mine != other for mine, other in zip(homes, others, strict=True)) > 1800


@pytest.mark.parametrize("key", ["", "a/b", "/" + "x" * 1024, "/" + "ü" * 600])
def test_keys_that_no_pool_could_have_are_refused(key: str) -> None:
    """A key starts with a slash and has at most 1,024 bytes."""
    with pytest.raises(InvalidArgument):
        check_key(key)


def chain(*stages: tuple[str, str, tuple[str, ...]], pools: str = "abcde") -> Declaration:
    """A pipeline over pools a to e, of stages (name, on, emits)."""
    return Declaration(
        "p",
        1.0,
        tuple(PoolDeclaration(name, f"/{name}/{{x}}") for name in pools),
        tuple(StageDeclaration(name, on, emits=emits) for name, on, emits in stages),
    )


def test_the_graph_follows_triggers() -> None:
    """Order and upstream follow triggers whatever the order of declaration; results are what nobody reads."""
    found = graph(chain(("last", "c", ("d", "e")), ("first", "a", ("b",)), ("middle", "b", ("c",))))

    assert found.order == ("first", "middle", "last")
    assert found.upstream == {"first": (), "middle": ("first",), "last": ("first", "middle")}
    assert found.results == {"d", "e"}
    assert [stage.name for stage in found.triggered["b"]] == ["middle"]


def test_joins_are_apart_from_triggers() -> None:
    """A joined pool triggers no stage by itself."""
    declaration = Declaration(
        "p",
        1.0,
        (PoolDeclaration("a", "/a/{x}"), PoolDeclaration("b", "/b/{x}")),
        (StageDeclaration("feed", "a", emits=("b",)), StageDeclaration("join", "b", join=Join(("x",)))),
    )
    assert "b" not in graph(declaration).triggered
    assert [stage.name for stage in graph(declaration).joined["b"]] == ["join"]


@given(st.lists(st.tuples(st.integers(0, 4), st.sets(st.integers(0, 4), max_size=3)), max_size=6))
def test_every_pipeline_has_an_order_or_a_cycle(edges: list[tuple[int, set[int]]]) -> None:
    """Either each stage stands after all that feed it, or the error names a real cycle."""
    stages = [(f"s{i}", "abcde"[on], tuple("abcde"[j] for j in sorted(emits))) for i, (on, emits) in enumerate(edges)]
    declaration = chain(*stages)
    try:
        order = graph(declaration).order
    except DeclarationError as error:
        path = error.message.partition(": ")[2].split(" -> ")
        on = {name: pool for name, pool, _ in stages}
        emits = {name: pools for name, _, pools in stages}
        links = [on[later] in emits[earlier] for earlier, later in zip(path, path[1:], strict=False)]
        if not links or not all(links) or path[0] != path[-1]:
            pytest.fail(f"{path} is no cycle")
        return
    for name, _, pools in stages:
        fed = [other for other, pool, _ in stages if pool in pools]
        assert all(order.index(name) < order.index(other) for other in fed)


def test_a_key_finds_its_pool() -> None:
    """The pool of a key comes with the key's fields; a key of no pool lists the templates."""
    declaration = chain(("s", "a", ()))
    pool, fields = declaration.pool_of_key("/b/7")

    assert (pool.name, fields) == ("b", {"x": "7"})
    with pytest.raises(NotFound, match="/a/{x}, /b/{x}"):
        declaration.pool_of_key("/z/7")


def test_a_core_loads_no_heavy_library() -> None:
    """`import covey` and the values that cores share load neither grpc nor protobuf, torch or numpy."""
    program = (
        "import sys, covey, covey.model, covey.messages, covey.declaration, covey.declare\n"
        "heavy = {'grpc', 'google.protobuf', 'torch', 'numpy', 'redis', 'asyncio'} & sys.modules.keys()\n"
        "assert not heavy, heavy"
    )
    subprocess.run([sys.executable, "-c", program], check=True, timeout=30)


def homes_with(nodes: tuple[str, ...], exceptions: dict[GroupId, str], **more: Any) -> Homes:
    return Homes(Placement(1, tuple([Node(node, "") for node in nodes]), exceptions, **more))


@given(st.text(string.ascii_lowercase, min_size=1, max_size=3), st.lists(names, unique=True, min_size=1, max_size=6))
def test_pools_that_yield_the_same_group_live_together(scene: str, nodes: list[str]) -> None:
    """A group is its name within a pipeline: whatever pool and kind of rule gave it, it has one home."""
    pools = (
        PoolDeclaration("frames", "/frames/{scene}/{tick:int}", "template", "{scene}"),
        PoolDeclaration("tracks", "/tracks/{camera}", "template", "{camera}"),
        PoolDeclaration("notes", "/notes/{text}", "pattern", "/notes/(?P<group>[a-z]+)"),
        PoolDeclaration("logs", "/logs/{name}", "function", f"{__name__}:last_part"),
    )
    homes = homes_with(tuple(nodes), {})
    keys = (f"/frames/{scene}/7", f"/tracks/{scene}", f"/notes/{scene}-1", f"/logs/{scene}")
    groups = [pool.group_of(key, pool.fields_of(key))[0] for pool, key in zip(pools, keys, strict=True)]

    assert groups == [scene] * 4
    assert len({homes.of(GroupId(SCOPE, group)) for group in groups}) == 1


def test_an_exception_overrides_the_default_home_and_is_void_for_a_node_that_is_gone() -> None:
    """Everyone who knows the same view computes the same home; without nodes there is none."""
    group = GroupId(Scope("default", "p"), "s")
    nodes = ("a", "b", "c")
    default = homes_with(nodes, {}).of(group)
    other = next(node for node in nodes if node != default)
    assert homes_with(nodes, {group: other}).of(group) == other
    assert homes_with(nodes, {group: "gone"}).of(group) == default
    assert homes_with((), {group: other}).of(group) == ""


def test_branches_live_with_their_stem_where_their_pipeline_says_so() -> None:
    """One exception moves a stem with all of its branches, save the branches that have one of their own."""
    scope = Scope("default", "p")
    stem, branches = GroupId(scope, "s"), [GroupId(scope, f"s/{number}") for number in range(50)]
    nodes = ("a", "b", "c")
    apart = homes_with(nodes, {})
    assert {apart.of(branch) for branch in branches} == set(nodes)
    together = homes_with(nodes, {stem: "c", branches[0]: "a"}, together=(scope,))
    assert [together.of(branch) for branch in branches] == ["a", *["c"] * 49]


def test_a_key_that_is_a_group_of_its_own_is_no_branch() -> None:
    """Keys begin with a slash; what is not grouped stays spread by its key."""
    scope = Scope("default", "p")
    group = GroupId(scope, "/positions/s/7/3")
    assert stem_of(group) is None
    nodes = ("a", "b", "c")
    assert homes_with(nodes, {}, together=(scope,)).of(group) == homes_with(nodes, {}).of(group)


def test_the_readers_of_a_group_are_its_home_and_its_copies() -> None:
    """Replicas are named, default copies follow the hash; a node that is gone holds nothing."""
    scope = Scope("default", "p")
    group = GroupId(scope, "s")
    nodes = ("a", "b", "c")
    assert homes_with(nodes, {group: "b"}).readers(group) == ("b",)
    assert homes_with(nodes, {group: "b"}, replicas={group: ("a", "gone", "b")}).readers(group) == ("b", "a")
    copied = homes_with(nodes, {group: "b"}, copies=2).readers(group)
    assert copied[0] == "b"
    assert len(copied) == 2
    replicated = homes_with(nodes, {group: "b"}, replicas={group: ("a",)})
    assert [replicated.nearest(group, node) for node in nodes] == ["a", "b", "b"]
    assert set(homes_with(nodes, {}, copies=9).readers(group)) == set(nodes)
