"""One page that shows what the runs say: a picture for each question, every cell, the ablations.

    python -m benchmarks.slo.html RUNS.jsonl... --out report.html [--live FILE] [--replay CELL] [--pictures FOLDER]

RUNS are what `python -m benchmarks.slo` wrote, in as many pieces as there are; --live is the `live.jsonl` of
`benchmarks.slo.live`. A cell with --replay is simulated once more (seconds to minutes), to show what estimators said of
it over time. The page needs nothing else: its pictures are SVG and follow the reader's light or dark. With --pictures
they are written as PNG, too.
"""

from __future__ import annotations

import argparse
import io
import json
import re
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from html import escape
from pathlib import Path
from typing import Any, NamedTuple

from matplotlib import pyplot as plt

from benchmarks.provenance import commit, machine
from benchmarks.slo import looks, part_pictures, pictures, tables
from benchmarks.slo.estimators import ESTIMATORS
from benchmarks.slo.lines import cell_named, runs_in
from benchmarks.slo.plan import CELLS, OUR_HEADROOM, OURS, Cell
from benchmarks.slo.report import Found, summary_of
from benchmarks.slo.running import Done, Places, arrivals_of, workload_of
from benchmarks.slo.systems import UNDROPPED
from covey.services.scheduler.core.estimating import visits
from covey.simulator.serving import play

STYLE = Path(__file__).with_name("report.css")
DPI = 110
SHOWN = ("cascade", "stage, mean", "stage, last window", "stage, peak and queue")
"""Estimators whose course is shown."""


class Sources(NamedTuple):
    """Where the runs come from, and what goes with them."""

    commits: Mapping[str, int]
    live: Sequence[Mapping[str, Any]] = ()
    """Rows of `benchmarks.slo.live`."""
    estimated: part_pictures.Estimated | None = None
    folder: Path | None = None
    """For the pictures as PNG."""


def main() -> None:
    """Read, draw, write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("runs", nargs="+", type=Path, metavar="RUNS")
    parser.add_argument("--out", type=Path, default=Path("report.html"), help="the page")
    parser.add_argument("--live", type=Path, help="the live.jsonl of `benchmarks.slo.live`")
    parser.add_argument("--replay", metavar="CELL", help="show what estimators said there over time")
    parser.add_argument("--pictures", type=Path, metavar="FOLDER", help="write them as PNG, too")
    parser.add_argument("--data", type=Path, default=Path("../shared/data"), help="where profiles and arrivals are")
    options = parser.parse_args()
    places = Places(options.data)
    found = in_order(runs_in(options.runs, places))
    if not found:
        raise SystemExit(f"no run in {' '.join(map(str, options.runs))}")
    live = [json.loads(line) for line in options.live.read_text().splitlines()] if options.live else []
    estimated = replayed(cell_named(options.replay), places) if options.replay else None
    sources = Sources(commits_in(options.runs), live, estimated, options.pictures)
    options.out.write_text(page(found, sources))
    print(f"wrote {options.out}: {len(found)} cells, {sum(map(len, found.values()))} runs")


def in_order(runs: Iterable[Done]) -> dict[Cell, list[Done]]:
    """By cell, in the plan's order."""
    found: dict[Cell, list[Done]] = {}
    for run in runs:
        found.setdefault(run.job.cell, []).append(run)
    order = {cell: place for place, cell in enumerate(CELLS)}
    return {cell: found[cell] for cell in sorted(found, key=lambda cell: order.get(cell, len(order)))}


def commits_in(paths: Iterable[Path]) -> Counter[str]:
    """Commit -> runs."""
    lines = [line for path in paths for line in path.read_text().splitlines()]
    return Counter(str(json.loads(line).get("commit", "unknown")) for line in lines)


def replayed(cell: Cell, places: Places, seed: int = 1) -> part_pictures.Estimated:
    """What estimators say of the last stage in a run of ours with nothing dropped."""
    workload = workload_of(cell, places)
    load = arrivals_of(cell, workload, places)
    ours = UNDROPPED[OURS]
    figures = play(
        workload, cell.devices, load, lambda pipeline, devices: ours.made(pipeline, devices, OUR_HEADROOM), seed, False
    )
    last = workload.pipeline.stages[-1]
    tasks = visits(workload.pipeline, workload.pipeline.fan_outs)[last]
    chosen = {name: ESTIMATORS[name](workload.pipeline) for name in SHOWN}
    estimates: dict[str, list[float]] = {name: [] for name in SHOWN}
    for window in figures.windows:
        for name, estimator in chosen.items():
            estimator.observe(window)
            estimates[name].append(estimator.load(0.0).rates[last] / tasks)
    first = figures.seconds[0].ends_at
    kept = [at for at, window in enumerate(figures.windows) if window.ends_at >= first]
    return part_pictures.Estimated(
        cell,
        last,
        [figures.windows[at].ends_at - first for at in kept],
        [figures.windows[at].offered / figures.windows[at].seconds for at in kept],
        {name: [values[at] for at in kept] for name, values in estimates.items()},
    )


# --- the page --------------------------------------------------------------------------------------------------------


def page(found: Found, sources: Sources) -> str:
    """The whole of it."""
    summary = summary_of(found)
    if sources.live:
        from benchmarks.slo.live.report import summary_of as live_summary

        summary = {**summary, **live_summary(sources.live)}
    errors = summary["sim_vs_live_error"] if sources.live else {}
    assert isinstance(errors, dict)
    runs = [run for each in found.values() for run in each]
    seeds = sorted({run.job.seed for run in runs})
    commits = ", ".join(f"{name} ({count:,} runs)" for name, count in sources.commits.items())
    told = (
        f"{len(found)} cells, {len(runs):,} simulated runs, seeds {_spans(seeds)}, "
        f"{sum(run.cpu_s for run in runs) / 60:,.0f} CPU minutes. Run at {commits}; "
        f"this page was made at {commit()} on {machine()}."
    )
    parts = [
        f"<h1>Pipelines that meet one latency objective</h1><p class=told>{escape(told)}</p>",
        f"<h2>In short</h2>{tables.goals(summary, errors)}{INTRODUCTION}",
        *_questions(found, sources),
        f"<h2 id=cells>Every cell</h2><p>{CELLS_TOLD}</p>",
        *tables.every_cell(found),
        f"<h2>The last line</h2><pre>{escape(json.dumps(summary, indent=1))}</pre>",
    ]
    return (
        "<!doctype html><html lang=en><head><meta charset=utf-8><meta name=viewport content='width=device-width'>"
        f"<title>Covey: latency objectives</title><style>{STYLE.read_text()}</style></head><body><main>"
        + "\n".join(part for part in parts if part)
        + f"</main><script>{OPEN_ALL}</script></body></html>\n"
    )


def _questions(found: Found, sources: Sources) -> list[str]:
    """A section each; what was not run has none."""

    def show(name: str, make: Callable[[], Any], caption: str) -> str:
        return drawn(name, make, caption, sources.folder)

    estimated = sources.estimated
    sections = [
        ("Estimating and provisioning: nothing is dropped", TAIL_TOLD, [
            show("p99", lambda: pictures.p99_ratios(found), P99_TOLD),
            show("cost-p99", lambda: pictures.cost_and_p99(found, True), CURVES_TOLD),
            show("over-time", lambda: part_pictures.over_time(found), TIME_TOLD),
            show("cost-p99-others", lambda: pictures.cost_and_p99(found, False), "The same in the other cells."),
        ]),
        ("Everything on: what is answered in time", GOOD_TOLD, [
            show("goodput", lambda: pictures.goodput_ratios(found), GOODPUT_TOLD),
            show("goodput-systems", lambda: pictures.goodput_by_system(found), SYSTEMS_TOLD),
            show("drops", lambda: pictures.drops_by_stage(found), DROPS_TOLD),
        ]),
        ("Buying: what 99 % in time cost", BUYING_TOLD, [
            show("attainment", lambda: pictures.cost_and_attainment(found), ATTAINMENT_TOLD),
            show("rates", lambda: pictures.steady_rates(found), RATES_TOLD),
            tables.rates(found),
        ]),
        ("How well the load is estimated", ESTIMATORS_TOLD, [
            show("estimates", lambda: part_pictures.estimates_over_time(estimated), COURSE_TOLD) if estimated else "",
            show("estimators", lambda: part_pictures.estimator_errors(found), ERRORS_TOLD),
            tables.estimators(found),
        ]),
        ("What each part is worth", ABLATIONS_TOLD, [
            show("ablations", lambda: part_pictures.ablations(found), MARKS_TOLD),
            tables.ablations(found),
        ]),
        ("Simulated and live", LIVE_TOLD, [
            show("live", lambda: part_pictures.live_errors(sources.live), OFF_TOLD),
            tables.simulated_and_live(sources.live),
        ] if sources.live else []),
        ("Cell by cell", VERDICTS_TOLD, [tables.verdicts(found)]),
    ]  # fmt: skip
    return [f"<h2>{heading}</h2><p>{told}</p>" + "".join(parts) for heading, told, parts in sections if any(parts)]


def drawn(name: str, make: Callable[[], Any], caption: str, folder: Path | None) -> str:
    """A picture as inline SVG in the page's colours; nothing where there is no figure."""
    with looks.style():
        figure = make()
        if figure is None:
            return ""
        text = io.StringIO()
        figure.savefig(text, format="svg", metadata={"Date": None, "Creator": None})
        if folder is not None:
            folder.mkdir(parents=True, exist_ok=True)
            figure.savefig(folder / f"slo-{name}.png", dpi=DPI, facecolor="white")
        plt.close(figure)
    svg = text.getvalue()
    svg = svg[svg.index("<svg") :]
    svg = re.sub(r"<metadata>.*?</metadata>", "", svg, flags=re.DOTALL)
    svg = re.sub(r'(id="|url\(#|xlink:href="#)', rf"\g<1>{name}-", svg)
    svg = re.sub(r'<svg [^>]*?(viewBox="[^"]*")[^>]*>', rf'<svg \1 role="img" aria-label="{escape(name)}" '
                 'xmlns:xlink="http://www.w3.org/1999/xlink">', svg, count=1)  # fmt: skip
    for colour, own in ((looks.INK, "currentColor"), (looks.GRID, "var(--grid)"), (looks.BLUE, "var(--ours)")):
        svg = svg.replace(colour, own)
    return f"<figure>{svg}<figcaption>{caption}</figcaption></figure>"


def _spans(numbers: Sequence[int]) -> str:
    """1-3, 7."""
    spans: list[list[int]] = []
    for each in numbers:
        if spans and each == spans[-1][1] + 1:
            spans[-1][1] = each
        else:
            spans.append([each, each])
    return ", ".join(str(first) if first == last else f"{first}–{last}" for first, last in spans)


INTRODUCTION = """<p>Every run is the production cores of gateway, scheduler and workers in virtual time, on devices
that take what real ones were measured to take. All systems of a cell and seed see the same events at the same
moments, and the same cascades; what they are compared at is what they cost, in device-seconds: those of replicas that
were up or starting. <b>Ours</b> is cascade estimation, plans made ahead of time, and adaptive dropping, each in the
spirit of SLOpt and none of it the paper's. The others' own knobs had the same number of trials each, on seeds that are
not shown; ours was developed on these seeds, which is more effort.</p>"""
TAIL_TOLD = """No system drops anything, and all form batches in the same way, so what differs is how much of what is
up when. Ours is read at its default headroom; another system may choose any headroom that our device-seconds pay for,
or lie between two."""
P99_TOLD = """Bars are 95 % intervals over seeds, paired. Filled: the nine bursty cells. At the right the ratio, and
which baseline is the best. Dotted: what was aimed at in each bursty cell, and in the best of them."""
CURVES_TOLD = "p99 over cost as headrooms are swept, in the bursty cells; lower and further left is better."
TIME_TOLD = """One seed, each system at the headroom that comes closest to our cost: what was offered, the devices
that were up, and the tasks that waited."""
GOOD_TOLD = """Goodput is the share of offered events that were answered within the objective. Dropping makes the p99
of what completes look good, so that it is not what is compared here."""
GOODPUT_TOLD = "Bars are 95 % intervals over seeds, paired. Dotted: no cell was to be worse than this."
SYSTEMS_TOLD = "Every system, read at our device-seconds."
DROPS_TOLD = """Under steady overload, a third more than the devices carry: at which stage each system drops. What is
dropped late has cost the stages before."""
BUYING_TOLD = "The least cost, and the highest rate, at which 99 % of the events are in time (dotted)."
ATTAINMENT_TOLD = """The share in time over cost, as headrooms are swept, and ours through what it keeps in reserve;
higher and further left is better."""
RATES_TOLD = "Steady loads on 8 devices, all of them up."
ESTIMATORS_TOLD = """True is what was offered, led through the fan-outs: what a stage would have had to do had it all
come through. The error ahead is that of one cold start later; who knows the present exactly has it, too, for loads
change."""
COURSE_TOLD = """In one run of ours. Who goes by a stage's own arrivals sees a rise when the stages before it have
grown, and then their backlog."""
ERRORS_TOLD = "Means over windows, stages and runs."
ABLATIONS_TOLD = "Ours, with the estimator, the drop rule or a part of it replaced by what others have."
MARKS_TOLD = "Each mark is ours with one part switched off; right of 1 the part is worth something."
LIVE_TOLD = """The same program at the same instants of arrival: on the real mesh, and in the simulator, by the profile
that <code>covey profile</code> took and by what the mesh itself was measured to take."""
OFF_TOLD = """How far each simulated run (filled) is from the median of the live runs, and how far these are from it
themselves (hollow). Shaded: what was aimed at."""
VERDICTS_TOLD = """Intervals are over seeds, paired, at 95 %. A dash: not asked, or it says nothing. Cheaper
throughout: at none of its headrooms that baseline costs what ours does."""
CELLS_TOLD = """Means over seeds, ± half of their 95 % interval. p99 counts what completed, p99 of all what was
dropped as infinite. Wasted: busy device-seconds that went into events that were not answered in time."""
OPEN_ALL = "addEventListener('beforeprint',()=>document.querySelectorAll('details').forEach(d=>d.open=true))"
"""Folded cells are printed, too."""

if __name__ == "__main__":
    main()
