"""The page that shows what runs say."""

from __future__ import annotations

import json
import re
from html.parser import HTMLParser
from pathlib import Path

import pytest

pytest.importorskip("matplotlib", reason="pictures need matplotlib: pip install 'covey[example]'")

from benchmarks.slo import html, looks, part_pictures
from benchmarks.slo.estimators import Judged
from benchmarks.slo.lines import line_of
from benchmarks.slo.plan import OUR_HEADROOM, Cell
from benchmarks.slo.running import Done, Job, Places
from covey.simulator.serving import Figures, Second

NOWHERE = Places(Path("nowhere"))
STEP, OVERLOAD = Cell("chain3", "step", devices=8), Cell("collisions", "overload", devices=8)
STEADY = Cell("chain3", "steady50", devices=8)
VOID = {"meta", "path", "use", "rect", "circle"}


def run_of(cell: Cell, system: str, drops: bool, seed: int = 1, headroom: float = OUR_HEADROOM) -> Done:
    worse = 1.0 if system == "ours" else 1.5
    stages = ("screen", "classify") if cell.pipeline == "chain3" else ("track", "predict")
    figures = Figures(
        offered=1000,
        completed=990,
        in_time=round(900 / worse),
        p50_s=0.1,
        p99_s=2.0 * worse / headroom + 0.1 * seed,
        p99_all_s=2.0 * worse / headroom + 0.1 * seed,
        dropped=dict.fromkeys(stages, 5 * drops),
        device_s=100.0 * headroom,
        busy_s=50.0,
        wasted_s=5.0,
        tasks=2000,
        seconds=tuple([Second(float(at), 50, at, 4, 1) for at in range(10, 20)]),
        windows=(),
    )
    judged = {"cascade": Judged(0.1, 0.2, 0.05, 0.15, 1.0)} if system == "ours" and not drops else {}
    return Done(Job(cell, system, headroom, seed, drops, NOWHERE), figures, judged, 0.2)


def runs() -> list[Done]:
    undropped = [
        run_of(STEP, system, False, seed, headroom)
        for system in ("ours", "ours by stage", "reactive", "nexus")
        for seed in (1, 2)
        for headroom in ((OUR_HEADROOM,) if system.startswith("ours") else (1.0, 1.5))
    ]
    dropping = [
        run_of(cell, system, True, seed)
        for cell in (STEP, OVERLOAD, STEADY)
        for system in ("ours", "ours without downstream", "reactive + pard", "nexus")
        for seed in (1, 2)
    ]
    return undropped + dropping


class Tags(HTMLParser):
    """Whether what is opened is closed, and which ids there are."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.ids: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.ids += [value for name, value in attrs if name == "id" and value]
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        if tag not in VOID:
            assert self.open.pop() == tag


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> str:
    """The page of a small file of runs, as the program writes it."""
    folder = tmp_path_factory.mktemp("report")
    (folder / "runs.jsonl").write_text("".join(f"{line_of(run, 'abc1234')}\n" for run in runs()))
    live = [{"throughput": 12.0, "p50_s": 0.050, "p99_s": 0.10 + 0.01 * share} for share in range(3)]
    simulated = [{**part, "throughput": 12.1, "p99_s": 1.3 * part["p99_s"]} for part in live]
    row = {"piece": "chain", "seed": 1, "live": live, "simulated": simulated, "cpu": 0.3, "others": 0.1}
    (folder / "live.jsonl").write_text(f"{json.dumps(row)}\n")
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(
            "sys.argv",
            ["html", str(folder / "runs.jsonl"), "--out", str(folder / "page.html"), "--live",
             str(folder / "live.jsonl"),
             "--pictures", str(folder / "pictures")],
        )  # fmt: skip
        html.main()
    drawn = {path.name for path in (folder / "pictures").glob("*.png")}
    assert {"slo-p99.png", "slo-over-time.png", "slo-drops.png", "slo-rates.png", "slo-live.png"} <= drawn
    return (folder / "page.html").read_text()


def test_every_cell_is_on_the_page_with_its_systems(written: str) -> None:
    """A table for each, with every system, all seeds, and the commit that they were run at."""
    for cell in (STEP, OVERLOAD, STEADY):
        table = written[written.index(f'<details id="{cell.name.replace("/", "-")}"') :]
        table = table[: table.index("</details>")]
        for system in ("<b>ours</b>", "nexus", "reactive + pard", "seeds 1, 2"):
            assert system in table
    assert "abc1234 (36 runs)" in written


def test_goals_that_are_missed_say_so(written: str) -> None:
    """What is measured is held against what is wanted, and what is not measured is not called met."""
    rows = dict(re.findall(r"<tr><td>([^<]*)</td><td>([^<]*)</td><td>[^<]*</td><td>[^<]*</td></tr>", written))
    verdict = dict(re.findall(r"<tr><td>([^<]*)</td>(?:<td>[^<]*</td>){2}<td>([^<]*)</td></tr>", written))

    assert rows["goodput by the best baseline&#x27;s, everything on, equal cost: the least"] == "1.5"
    assert verdict["goodput by the best baseline&#x27;s, everything on, equal cost: the least"] == "met"
    assert verdict["simulated against live: the largest error of p99"] == "missed"
    assert verdict["simulated against live: the largest error of p50"] == "met"
    assert verdict["CPU of one core for a simulated task at 8 devices, µs"] == "missed"
    assert (
        rows["p99 of the best baseline by ours, nothing dropped, equal cost: least of bursty cells"] == "not measured"
    )


def test_the_page_needs_nothing_else(written: str) -> None:
    """No address but names of XML, every tag closed, every id once, and links that lead somewhere."""
    assert set(re.findall(r"https?://[^\"' )<]+", written)) <= {
        "http://www.w3.org/1999/xlink",
        "http://www.w3.org/2000/svg",
    }
    tags = Tags()
    tags.feed(written)
    assert tags.open == []
    assert len(tags.ids) == len(set(tags.ids))
    assert set(re.findall(r'(?:href="|url\()#([^")]+)', written)) <= set(tags.ids)


def test_pictures_take_the_colours_of_the_page(written: str) -> None:
    """Lines and letters are the reader's ink, light or dark; ours is always told apart."""
    inside = "".join(re.findall(r"<svg.*?</svg>", written, flags=re.DOTALL))
    assert looks.INK not in inside
    assert "currentColor" in inside
    assert "var(--ours)" in inside


def test_what_was_not_run_has_no_section(tmp_path: Path) -> None:
    """A page of one cell under overload asks nothing of the tail."""
    found = html.in_order([run for run in runs() if run.job.cell == OVERLOAD])
    page = html.page(found, html.Sources({"abc1234": len(found)}))

    assert "Everything on" in page
    assert "nothing is dropped" not in page
    assert "Simulated and live" not in page


def test_a_run_is_played_again_for_what_estimators_said_of_it(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of the last stage, in events: where nothing is held up, everybody comes to what is offered."""
    told = html.replayed(STEADY, NOWHERE)
    late = slice(len(told.offered) // 2, None)
    offered = sum(told.offered[late]) / len(told.offered[late])

    assert told.stage == "identify"
    for values in told.estimates.values():
        assert len(values) == len(told.times) == len(told.offered)
    assert sum(told.estimates["stage, mean"][late]) / len(told.offered[late]) == pytest.approx(offered, rel=0.1)
    with looks.style():
        assert part_pictures.estimates_over_time(told) is not None
