"""The experiment on real lanes: what is recorded, foretold and concluded; short runs on the real engine."""

from __future__ import annotations

import asyncio
import itertools
import json
from collections.abc import Awaitable, Callable
from pathlib import Path
from random import Random

import pytest

pytest.importorskip("torch")

from benchmarks.priority import coruns, real, real_predicting
from benchmarks.priority.coruns import Lanes, Timed, overlaps
from benchmarks.priority.lane_models import MODELS, SIZES, work_of
from benchmarks.priority.real_lanes import Counted, Traffic, Turn, arrivals, figures_of
from covey.clock import MonotonicClock
from covey.model import Priority
from covey.services.scheduler.core.contention import Load, Overlap
from covey.simulator.contenders.clockwork import Clockwork
from covey.simulator.contenders.predictors import Solo
from covey.simulator.sharing import Corun, Devices


def a_profile(model: str, size: int, solo_s: float) -> dict[str, object]:
    return {"model": model, "size": size, "solo_s": solo_s, "compute": 0.5, "bandwidth": 0.5, "cache": 0.5}


PROFILES = real_predicting.profiles_of([a_profile(model, size, 0.002 * size) for model in MODELS for size in SIZES])


def with_lanes(go: Callable[[Lanes], Awaitable[None]]) -> None:
    async def run() -> None:
        lanes = Lanes(MonotonicClock())
        await lanes.load()
        try:
            await go(lanes)
        finally:
            lanes.engine.close()

    asyncio.run(run())


def test_overlaps_are_what_the_other_lane_ran_meanwhile() -> None:
    """Parts of a batch's time, in order, that add up to all of it."""
    mine = Timed(0, ("long", 1), 1.0, 5.0)
    others = [Timed(1, ("small", 2), 0.0, 1.5), Timed(1, ("wide", 1), 2.0, 3.0), Timed(1, ("wide", 4), 3.0, 9.0)]

    assert overlaps(mine, [mine, *others]) == [
        (0.5, [("small", 2, 1)]), (0.5, []), (1.0, [("wide", 1, 1)]), (2.0, [("wide", 4, 1)])
    ]  # fmt: skip
    assert overlaps(mine, [mine]) == [(4.0, [])]


def test_what_a_model_does_is_counted() -> None:
    """`wide` reads its weights once a batch; `boxes` spends its time outside of operators."""
    clock = MonotonicClock()

    assert work_of("wide", 1, clock).bytes_moved >= 2 * 4096 * 4096 * 4
    assert work_of("wide", 4, clock).bytes_moved < 1.1 * work_of("wide", 1, clock).bytes_moved
    assert work_of("boxes", 1, clock).bytes_touched < 100_000


def test_a_script_gives_both_lanes_about_as_much_to_do() -> None:
    """The same draw makes the same script."""
    solo = {(model, size): 0.002 * size for model in MODELS for size in SIZES}
    one, other = [coruns.a_script(Random(3), solo, list(solo)) for _ in range(2)]

    assert one == other
    for part in one:
        assert coruns.SCRIPT_S <= sum([solo[batch] for batch in part]) <= coruns.SCRIPT_S + 2 * coruns.SPELL_S


def test_what_is_recorded_can_be_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """On the real engine: profiles of every model, then batches whose overlaps add up to what they took."""
    monkeypatch.setattr(coruns, "SCRIPT_S", 0.005)
    monkeypatch.setattr(coruns, "SLOW", 1e6)
    monkeypatch.setattr(coruns, "RUNS", 1)
    file = tmp_path / "coruns.jsonl"

    async def go(lanes: Lanes) -> None:
        await coruns.record(lanes, file, scripts=2, seed=1)

    with_lanes(go)
    recorded = real_predicting.read(file)

    assert list(recorded.profiles) == list(MODELS)
    assert sorted(dict.fromkeys(recorded.is_new)) == [False, True]
    for each in recorded.coruns:
        assert sum([part.seconds for part in each.overlaps]) == pytest.approx(each.seconds)
    rows = [json.loads(line) for line in file.read_text().splitlines()]
    assert all(0.0 <= row[share] <= 1.0 for row in rows[:15] for share in ("compute", "bandwidth", "cache"))


def test_time_beside_neighbours_adds_up_by_shares() -> None:
    """Half of the time at half the speed: four thirds of the time alone."""

    class Halving(Solo):
        def slowdown(self, load: Load, others: tuple[Load, ...]) -> float:
            return 2.0 if others else 1.0

    load = Load("long", 1, Priority.HIGH)
    corun = Corun(load, (Overlap(3.0, (load,)), Overlap(3.0, ())), 6.0, 1.0, 0.0)

    assert real_predicting.foretold(Halving(PROFILES), corun) == pytest.approx(0.002 * 4 / 3)


def test_the_floor_is_the_error_of_repeated_runs() -> None:
    """What repeats itself exactly has none, and what interferes always alike is learned down to it."""
    load, other = Load("long", 1, Priority.HIGH), Load("wide", 1, Priority.LOW)
    coruns_ = [Corun(load, (Overlap(0.003, (other,)),), 0.003, 1.0, float(at)) for at in range(200)]
    found = real_predicting.judged(real_predicting.Recorded(PROFILES, coruns_, [False] * 200))

    assert found["floor"].steady == 0.0
    assert found["none"].steady == pytest.approx(1 / 3)
    assert found["ours"].steady < 0.05


def test_arrivals_are_the_same_for_every_policy() -> None:
    """Drawn by a seed, in order, at the rates that were asked for."""
    traffic = Traffic({"small": 0.1}, {"long": 0.2}, 4.0, 40.0, 0.01)
    one, other = [arrivals(traffic, PROFILES, 50.0, Random(7)) for _ in range(2)]

    assert one == other
    assert all(a.ready_at <= b.ready_at for a, b in itertools.pairwise(one))
    high = [each for each in one if each.priority is Priority.HIGH]
    assert len(high) * 0.002 / 50.0 / 2 == pytest.approx(0.1, rel=0.15)
    assert all(each.deadline - each.ready_at == pytest.approx(0.018) for each in high)


def test_a_policy_runs_real_lanes_to_the_last_request() -> None:
    """Everything is launched or dropped, what came in the middle of a turn counts, and the next goes on from there."""
    traffic = Traffic({"small": 0.05}, {"boxes": 0.1}, 1000.0, 1000.0, 10.0)

    async def go(lanes: Lanes) -> None:
        requests = arrivals(traffic, PROFILES, 1.9, Random(7))
        policy, now = Clockwork(Devices(1, PROFILES, []), Solo(PROFILES), 2, strict=True), 0.0
        for _ in range(2):
            turn = Turn(lanes, policy, requests, now)
            counted = await turn.play(PROFILES)
            assert (counted.high_late, counted.low_late) == (0, 0)
            assert 0 < counted.low < sum([each.priority is Priority.LOW for each in requests])
            assert turn.now() > now + requests[-1].ready_at
            now = turn.now()
        assert not policy.choose(now).launches
        policy.arrived(requests[0], now)
        assert policy.choose(now).launches, "a batch of the last turn still holds a slot"

    with_lanes(go)


def test_figures_are_of_all_turns_of_a_run() -> None:
    """Requests count alike, whatever turn they came in, and seconds add up."""
    found = figures_of([Counted(30, 3, 10, 0, 2.0, 3.0, 4.0, 4.0), Counted(10, 7, 10, 5, 1.0, 3.0, 6.0, 6.0)])

    assert found == (0.25, 0.25, 40, 0.5, 0.5)


@pytest.mark.parametrize(("wins", "runs", "p"), [(10, 10, 0.00195), (9, 10, 0.02148), (5, 10, 1.0), (0, 10, 0.00195)])
def test_the_sign_test(wins: int, runs: int, p: float) -> None:
    """Two-sided, as in any table."""
    assert real.sign_test(wins, runs) == pytest.approx(p, abs=1e-4)


def test_a_verdict_pairs_runs() -> None:
    """By how much fewer of HIGH are late, and what LOW had in comparison."""
    rows = [
        {"policy": policy, "high_violations": late, "low_in_time_rate": low}
        for policy, late, low in [
            ("strict", 0.1, 0.5),
            ("ours", 0.02, 0.49),
            ("ours", 0.05, 0.5),
            ("strict", 0.05, 0.5),
        ]
    ]

    assert real.verdict(rows, "strict") == {
        "high_violation_drop_pp": 4.0, "low_throughput_ratio": 0.99, "runs": 2, "wins": 1, "sign_test_p": 1.0
    }  # fmt: skip
