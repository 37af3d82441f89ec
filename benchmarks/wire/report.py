"""Lines for people and one JSON object for programs; ratios are of medians over interleaved rounds of one run."""

from __future__ import annotations

import math
import statistics
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from benchmarks.wire.client import CLIENT
from benchmarks.wire.core import CoreFigures
from benchmarks.wire.experiment import Cell
from benchmarks.wire.kept import Kept
from benchmarks.wire.mesh import APART, TOGETHER
from benchmarks.wire.plan import HALF, OPEN

COLUMNS = (
    f"{'cell':34} {'run':>3} {'offered':>8} {'req/s':>8} {'p50 ms':>7} {'p99 ms':>7} {'CPU µs':>7} {'servers':>7} "
    f"{'MB':>5} {'others':>6}  CPU µs and MB by process"
)
PYTHON_PEERS = ("mlserver", "ray", "litserve")
TRITON = ("triton",)


def row(cell: Cell) -> str:
    """A run as a line of the table."""
    figures = cell.figures
    cpu_us = sum(figures.cpu_us.values())
    parts = "  ".join(f"{role} {cpu:.0f}, {figures.resident_mb[role]:.0f}" for role, cpu in figures.cpu_us.items())
    remarks = " GIVEN UP" if figures.overrun else ""
    remarks += "".join(f" {count} × {why}" for why, count in figures.failures.items())
    mark = "=" if cell.found else "?"
    return (
        f"{mark} {f'{cell.subject}/{cell.load}':32} {cell.repeat:3d} {cell.offered:8.0f} {figures.rate:8.0f} "
        f"{figures.p50_ms:7.2f} {figures.p99_ms:7.2f} {cpu_us:7.0f} {cpu_us - figures.cpu_us[CLIENT]:7.0f} "
        f"{sum(figures.resident_mb.values()):5.0f} {figures.others:6.0%}  {parts}{remarks}"
    )


class Findings:
    """What the runs come to."""

    def __init__(self, cells: Sequence[Cell]) -> None:
        self._found: dict[str, list[Cell]] = {}
        for cell in cells:
            if cell.found:
                self._found.setdefault(f"{cell.subject}/{cell.load}", []).append(cell)

    def tables(self) -> str:
        """Medians over the rounds, with the extremes."""
        if not self._found:
            return ""
        lines = ["", "Medians over the rounds (least, most)"]
        lines.append(f"{'cell':34} {'req/s':>24} {'p50 ms':>24} {'p99 ms':>24}")
        for name, cells in sorted(self._found.items()):
            parts = [_spread([what(cell) for cell in cells]) for what in (rate, p50, p99)]
            lines.append(f"{name:34} " + " ".join(f"{part:>24}" for part in parts))
        return "\n".join(lines)

    def summary(self, core: CoreFigures | None, loops: Mapping[str, Kept]) -> dict[str, Any]:
        """The object of the last line; what was not measured is null."""
        events = self._found.get(f"{APART}-send/64B/closed-64", [])
        return {
            **self._ratios(TOGETHER),
            "apart": self._ratios(APART),
            "cpu_us_per_event": {
                role: _rounded(_median([cell.figures.cpu_us[role] for cell in events]))
                for role in ("gateway", "scheduler", "worker")
            },
            "core_us_per_stimulus": _rounded(core.us_per_stimulus) if core else None,
            "gc_pause_ms_max": _rounded(core.gc_pause_ms_max) if core else None,
            "loop_kept": {service: kept._asdict() for service, kept in loops.items()} or None,
        }

    def _ratios(self, setup: str) -> dict[str, float | None]:
        """What one set-up of ours comes to against floors and peers."""
        send, stream = f"{setup}-send", f"{setup}-stream"
        triton, python = self._best(TRITON, "mlp"), self._best(PYTHON_PEERS, "mlp")
        halves = self._named((*TRITON, *PYTHON_PEERS), "mlp", HALF)
        half = min([self._median(name, p99) for name in halves], default=math.nan)
        ratios = {
            "send_vs_unary_chain": self._ratio(f"{send}/64B/closed-64", "floor-unary/64B/closed-64", rate),
            "send_vs_one_hop": self._ratio(f"{send}/64B/closed-64", "floor-hop/64B/closed-64", rate),
            "idle_p50_vs_floor": self._ratio(f"{send}/64B/closed-1", "floor-edge/64B/closed-1", p50),
            "stream_rate_vs_floor": self._ratio(f"{stream}/64B/open", "floor-streams/64B/open", rate),
            "mlp_stream_vs_triton": self._median(f"{stream}/mlp/open", rate) / triton,
            "mlp_send_vs_triton": self._median(f"{send}/mlp/open", rate) / triton,
            "mlp_stream_vs_best_python_peer": self._median(f"{stream}/mlp/open", rate) / python,
            "composition_vs_ray_tuned": self._ratio(f"{send}/three/closed-64", "ray-tuned/three/closed-64", rate),
            "composition_vs_ray_default": self._ratio(f"{send}/three/closed-64", "ray-default/three/closed-64", rate),
            "payload_150k_vs_floor": self._ratio(f"{send}/150KB/closed-64", "floor-hop/150KB/closed-64", rate),
            "p99_vs_best_peer_at_half_load": self._median(f"{stream}/mlp/{HALF}", p99) / half,
        }
        return {name: _rounded(ratio) for name, ratio in ratios.items()}

    def _named(self, kinds: Sequence[str], workload: str, load: str) -> list[str]:
        """The cells of subjects of these kinds, such as `triton-batched`."""
        return [
            name for name in self._found if name.partition("-")[0] in kinds and name.endswith(f"/{workload}/{load}")
        ]

    def _best(self, kinds: Sequence[str], workload: str) -> float:
        """The highest rate that one of them holds; NaN without any."""
        rates = [self._median(name, rate) for name in self._named(kinds, workload, OPEN)]
        return max(rates, default=math.nan)

    def _median(self, name: str, what: Callable[[Cell], float]) -> float:
        return _median([what(cell) for cell in self._found.get(name, [])])

    def _ratio(self, ours: str, theirs: str, what: Callable[[Cell], float]) -> float:
        return self._median(ours, what) / self._median(theirs, what)


def rate(cell: Cell) -> float:
    """Answers a second; of an open loop, what was offered."""
    return cell.offered or cell.figures.rate


def p50(cell: Cell) -> float:
    """In ms."""
    return cell.figures.p50_ms


def p99(cell: Cell) -> float:
    """In ms."""
    return cell.figures.p99_ms


def _median(values: Sequence[float]) -> float:
    return statistics.median(values) if values else math.nan


def _spread(values: Sequence[float]) -> str:
    return f"{_figure(_median(values))} ({_figure(min(values))}, {_figure(max(values))})"


def _figure(value: float) -> str:
    return f"{value:.0f}" if value >= 100 else f"{value:.2f}"


def _rounded(value: float) -> float | None:
    """Four digits are more than we know; NaN is no JSON."""
    return round(value, 4) if math.isfinite(value) else None
