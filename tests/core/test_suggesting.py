"""From what tasks read together to group rules: nothing remote, then as many groups as possible."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from random import Random

import pytest

from covey.declaration import Declaration, PoolDeclaration
from covey.evidence import Evidence, count
from covey.model import ObjectName, TaskReads
from covey.suggesting import EVIDENCE_TASKS, Suggestion, suggest, with_rules

FRAMES = "/frames/{camera}/{tick:int}"
LENSES = "/lenses/{cam}"


def declared(*templates: str, **rules: str) -> Declaration:
    """A pipeline of pools named after the first part of their templates; `rules` are theirs of now."""
    pools = []
    for template in templates:
        name = template.split("/{")[0].strip("/").replace("/", "_")
        rule = rules.get(name, "")
        pools.append(PoolDeclaration(name, template, "template" if rule else "", rule))
    return Declaration("p", 1.0, tuple(pools), ())


def read(*keys: str, on: str = "", stage: str = "s") -> TaskReads:
    """A task that read these keys of pools named after their first part, and came by `on` inline."""
    return TaskReads(stage, named(on) if on else None, bool(on), tuple(named(key) for key in keys))


def named(key: str) -> ObjectName:
    pool = "_".join(part for part in key.split("/")[1:] if part in WORDS)
    return ObjectName(pool, key)


WORDS = ("positions", "predictions", "observations", "tracks", "frames", "lenses", "entry", "data", "category", "new",
         "pairs", "left", "right", "chain")  # fmt: skip


def rules(suggestion: Suggestion) -> dict[str, str | None]:
    return {each.pool.name: each.group for each in suggestion.pools}


def histories(actors: Iterable[tuple[str, str]], ticks: int = 20, depth: int = 8) -> list[TaskReads]:
    """Each actor's last positions, tick after tick."""
    return [
        read(*[f"/positions/{scene}/{actor}/{at}" for at in range(max(0, tick - depth + 1), tick + 1)])
        for scene, actor in actors
        for tick in range(ticks)
    ]


ACTORS = [(f"s{scene}", f"a{actor}") for scene in range(3) for actor in range(5)]


def test_a_history_is_grouped_by_all_but_its_index() -> None:
    """Tasks that read the last positions of one actor want the actor's positions together, and nothing more."""
    found = suggest(declared("/positions/{scene}/{actor}/{tick:int}"), histories(ACTORS))

    assert rules(found) == {"positions": "{scene}/{actor}"}
    (pool,) = found.pools
    assert found.tasks == len(ACTORS) * 20
    assert (pool.then.groups, pool.then.remote, pool.then.objects) == (15, 0, 300)
    assert pool.now.remote == pool.now.reads - found.tasks  # key by key, one of each task's reads is where it runs
    assert pool.notes == ()


def test_members_of_a_join_are_grouped_by_what_they_share() -> None:
    """Objects that are read across their last field are grouped by the fields before it, index or not."""
    joins = [
        read(*[f"/predictions/s{scene}/{tick}/a{actor}" for actor in range(tick % 4 + 1)])
        for scene in range(3)
        for tick in range(20)
    ]
    found = suggest(declared("/predictions/{scene}/{tick:int}/{actor}"), joins)

    assert rules(found) == {"predictions": "{scene}/{tick}"}
    assert found.then.groups == 60


def test_fields_are_matched_by_their_values_not_by_their_names() -> None:
    """Pools that name or order the same thing differently get rules with the same groups."""
    tasks = [read(f"/frames/c{camera}/{tick}", f"/lenses/c{camera}") for camera in range(4) for tick in range(20)]
    swapped = [read(f"/left/{a}/{b}/{a + b}", f"/right/{b}/{a}") for a in range(4) for b in range(5, 9)] * 3

    assert rules(suggest(declared(FRAMES, LENSES), tasks)) == {"frames": "{camera}", "lenses": "{cam}"}
    found = suggest(declared("/left/{x}/{y}/{n:int}", "/right/{p}/{q}"), swapped)
    assert rules(found) == {"left": "{x}/{y}", "right": "{q}/{p}"}
    assert found.then.remote == 0


def test_names_decide_between_fields_whose_values_are_equal() -> None:
    """Where two fields would do as well, the one that is named alike is taken."""
    tasks = [read(f"/left/{a}/{a}", f"/right/{a}/{a}") for a in range(40)]

    found = rules(suggest(declared("/left/{x}/{y}", "/right/{y}/{x}"), tasks))
    assert found == {"left": "{x}/{y}", "right": "{x}/{y}"}


def test_pools_that_are_read_by_two_measures_keep_what_both_allow() -> None:
    """One stage reads an actor over time and another all actors of a tick: only the scene is common to both."""
    across = [read(*[f"/positions/s{scene}/a{actor}/{tick}" for actor in range(5)])
              for scene in range(3) for tick in range(20)]  # fmt: skip
    found = suggest(declared("/positions/{scene}/{actor}/{tick:int}"), histories(ACTORS) + across)

    assert rules(found) == {"positions": "{scene}"}
    assert found.then.remote == 0


def test_a_chain_of_pools_agrees_link_by_link() -> None:
    """Two pools that no task reads together still share a group with a third that both are read with."""
    tasks = [read(f"/left/{a}/{n}", f"/chain/{a}") for a in range(10) for n in range(5)]
    tasks += [read(f"/chain/{a}", f"/right/{n}/{a}") for a in range(10) for n in range(5)]

    found = suggest(declared("/left/{x}/{n:int}", "/right/{n:int}/{y}", "/chain/{z}"), tasks)
    assert rules(found) == {"left": "{x}", "right": "{y}", "chain": "{z}"}
    assert found.then.groups == 10


def test_reads_that_share_no_field_need_one_group() -> None:
    """Nothing but one group for everything would do, and the note says what that means."""
    tasks = [read(*[f"/entry/data/{index}" for index in range(5)])] * 50

    (pool,) = suggest(declared("/entry/data/{i:int}"), tasks).pools
    assert (pool.group, pool.then.groups, pool.then.remote, pool.now.remote) == ("entry_data", 1, 0, 200)
    assert "one node" in pool.notes[0]


def test_a_trigger_that_came_inline_lives_with_what_its_task_reads() -> None:
    """Observations needed no read; they follow the tracker's state, which alone would have needed no rule."""
    templates = ("/observations/{scene}/{tick:int}", "/tracks/{scene}")
    tasks = [read(f"/tracks/s{scene}", on=f"/observations/s{scene}/{tick}") for scene in range(3) for tick in range(20)]

    found = suggest(declared(*templates), tasks)
    assert rules(found) == {"observations": "{scene}", "tracks": "{scene}"}
    assert {each.pool.name: (each.then.reads, each.triggers) for each in found.pools} == {
        "observations": (0, 60),
        "tracks": (60, 0),
    }
    alone = [TaskReads(each.stage, None, False, each.read) for each in tasks]
    assert rules(suggest(declared(*templates), alone)) == {"tracks": None}


def test_triggers_that_came_inline_force_nothing_together() -> None:
    """Reads alone decide: a trigger that would need a coarser group stays its own, and never joins one for all."""
    tasks = [read(*[f"/entry/data/{i}" for i in range(5)], on=f"/entry/{number}") for number in range(50)]
    found = suggest(declared("/entry/{obj}", "/entry/data/{i:int}"), tasks)

    assert rules(found) == {"entry": None, "entry_data": "entry_data"}


def test_data_that_only_the_input_can_name_is_grouped_by_what_names_it() -> None:
    """The second workload: the category of an object tells which data its task gets."""
    random = Random(1)
    tasks = []
    for number in range(200):
        category = random.randrange(10)
        tasks.append(read(*[f"/entry/data/{i}" for i in range(5)], on=f"/entry/o{number}", stage="enter"))
        data = [f"/category/data/{category}/{i}" for i in range(20)]
        tasks.append(read(*data, on=f"/category/new/{category}/o{number}", stage="categorise"))
    templates = ("/entry/{obj}", "/entry/data/{i:int}", "/category/new/{c}/{obj}", "/category/data/{category}/{i:int}")

    found = suggest(declared(*templates), tasks)
    assert rules(found) == {
        "entry": None,
        "entry_data": "entry_data",
        "category_new": "{c}",
        "category_data": "{category}",
    }
    assert found.then.remote == 0


def test_nothing_read_means_nothing_suggested() -> None:
    """Pools that no task read or came by are not spoken of, and no records are no error."""
    assert suggest(declared(FRAMES), []).pools == ()
    found = suggest(declared(FRAMES, LENSES), [read("/lenses/c1"), read(on="/frames/c1/2")])
    assert rules(found) == {"lenses": None}


def test_records_of_an_earlier_declaration_are_left_out() -> None:
    """A key that no pool of now has any more tells nothing."""
    tasks = [read("/frames/c1/2/old", "/lenses/c1"), TaskReads("s", None, False, (ObjectName("gone", "/gone/1"),))]

    assert rules(suggest(declared(FRAMES, LENSES), tasks)) == {"lenses": None}


def test_what_is_declared_already_is_counted_and_recognised() -> None:
    """The figures of now are those of the rules of now, which the search itself does not heed."""
    right = declared("/positions/{scene}/{actor}/{tick:int}", positions="{scene}/{actor}")
    wrong = declared("/positions/{scene}/{actor}/{tick:int}", positions="{tick}")

    (pool,) = suggest(right, histories(ACTORS)).pools
    assert (pool.declared, pool.now) == (True, pool.then)
    (pool,) = suggest(wrong, histories(ACTORS)).pools
    assert (pool.declared, pool.group) == (False, "{scene}/{actor}")
    assert pool.now.remote > 0


def test_thin_evidence_is_said() -> None:
    """Few tasks, and fields that had one value, are named: a finer partition may only look fine."""
    (pool,) = suggest(declared("/positions/{scene}/{actor}/{tick:int}"), histories([("s1", "a1")], ticks=9)).pools

    assert pool.group == "{scene}/{actor}"
    assert "8 recorded tasks" in pool.notes[0]
    assert "scene was always 's1'" in pool.notes[1]
    assert EVIDENCE_TASKS > 8


@pytest.mark.parametrize("seed", range(20))
def test_no_template_rules_are_finer_and_read_nothing_remotely(seed: int) -> None:
    """Against every pair of rules of two small pools: none without remote reads has more groups."""
    random = Random(seed)
    pipeline = declared("/left/{a}/{b}", "/right/{c}/{d}/{e}")
    tasks = []
    for _ in range(12):
        a, b = random.randrange(3), random.randrange(3)
        c, d, e = random.choice([(a, b, 0), (b, a, b), (a, a, random.randrange(2))])
        tasks.append(read(f"/left/{a}/{b}", f"/right/{c}/{d}/{e}", f"/right/{c}/{d}/{random.choice([e, 7])}"))
    found = suggest(pipeline, tasks)

    assert found.then.remote == 0
    evidence = Evidence(pipeline, tasks)
    best = 0
    for left in templates(evidence.fields("left"), "ab"):
        for right in templates(evidence.fields("right"), "cde"):
            counted = count(with_rules(pipeline, {"left": left, "right": right}), tasks)
            if counted.remote == 0:
                best = max(best, counted.groups)
    assert found.then.groups == best


def templates(fields: Sequence[str], names: str, length_max: int = 3) -> list[str]:
    """Every row of up to three fields, repeated ones too."""
    rows: list[tuple[str, ...]] = [()]
    for _ in range(length_max):
        rows += [(*row, name) for row in rows for name in names if name in fields]
    return ["/".join(f"{{{name}}}" for name in row) or "all" for row in dict.fromkeys(rows)]
