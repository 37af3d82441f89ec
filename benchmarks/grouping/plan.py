"""What is measured, named before the first run: modes, conditions and the cells that they make."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

NODES = 5
"""A datastore and a worker each."""
STREAMS = 12
"""Scenes at once: copies of the tracks under names of their own, each from another moment on. 30 events/s is then what
cameras at 2.5 Hz would send."""
LOAD = 0.8
"""Of the rate that key hash sustains in the same condition."""
CELLS_MAX = 40
DELAY_S = 0.0005
DELAYS_S = (0.0, DELAY_S, 0.002)
"""One way, per hop."""


@dataclass(frozen=True, slots=True)
class Mode:
    """One way to place data and tasks: the app with or without group rules, and settings of the services."""

    name: str
    grouped: bool
    settings: dict[str, str]


def _mode(name: str, *, grouped: bool = False, balance: bool = False, **settings: str) -> Mode:
    named = {f"COVEY_{key.upper()}": value for key, value in settings.items()}
    ours = "true" if balance else "false"
    return Mode(name, grouped, {"COVEY_BALANCE": ours, "COVEY_CACHE_READS": ours, **named})


KEY_HASH = _mode("key_hash", locality_weight="inf")
GROUPING_LOAD = _mode("grouping_load", grouped=True, balance=True)
MODES = (
    KEY_HASH,
    _mode("random", routing="random"),
    _mode("lru_cache", locality_weight="inf", cache_reads="true"),
    _mode("replication", locality_weight="inf", copies=str(NODES)),
    _mode("least_loaded", locality_weight="0"),
    _mode("earliest_start", locality_weight="1"),
    _mode("grouping_strict", grouped=True, locality_weight="inf"),
    GROUPING_LOAD,
)
MAIN_MODES = tuple(mode for mode in MODES if mode.name not in ("random", "replication"))
PAIR = (KEY_HASH, GROUPING_LOAD)


@dataclass(frozen=True, slots=True)
class Condition:
    """What modes are compared under. `app` is the module of its pipelines.

    `heavy`: frames have pixels and the state a gallery. `skewed`: half of the events are one scene's. `slowdown`: how
    much slower the emulated devices are than the profile says; 0 means that the devices are not emulated. `swept`: the
    highest rate that each mode sustains is found, too.
    """

    name: str
    app: str
    delay_s: float
    modes: tuple[Mode, ...]
    heavy: bool = True
    skewed: bool = False
    slowdown: float = 1.0
    swept: bool = False

    @property
    def start(self) -> tuple[str, float]:
        """Conditions of which this is the same share the starts of a mode."""
        return self.app, self.slowdown


COLLISIONS = "benchmarks.grouping.collisions"
REAL = "benchmarks.grouping.real_collisions"
SYNTHETIC = "benchmarks.grouping.synthetic"

MAIN = Condition("collisions-large/0.5ms", COLLISIONS, DELAY_S, MODES, swept=True)
CONDITIONS = (
    MAIN,
    Condition("collisions-large/0ms", COLLISIONS, 0.0, MAIN_MODES),
    Condition("collisions-large/2ms", COLLISIONS, 0.002, MAIN_MODES),
    Condition("collisions-skewed/0.5ms", COLLISIONS, DELAY_S, MAIN_MODES, skewed=True),
    Condition("collisions-small/0.5ms", COLLISIONS, DELAY_S, PAIR, heavy=False),
    Condition("synthetic/0.5ms", SYNTHETIC, DELAY_S, MODES),
    Condition("real-computation/0.5ms", REAL, DELAY_S, PAIR, slowdown=0.0),
    Condition("slow-devices/0.5ms", COLLISIONS, DELAY_S, PAIR, slowdown=8.0, swept=True),
)


@dataclass(frozen=True, slots=True)
class Effort:
    """How long it all takes. `seconds` is a run's length; of its events the first third is dropped. `warm_up_seconds`
    is for the first events that a new mesh sees."""

    seeds: tuple[int, ...]
    seconds: float
    sweep_seconds: float
    warm_up_seconds: float
    tries: int
    """A rate that a mode does not sustain is tried so often: the machine has hiccups of its own."""
    near: float
    """A sweep ends when the highest rate is known within this factor."""
    blocks: int
    """Each run is cut into so many blocks, which are paired with those of the same seed in other modes."""


FULL = Effort(seeds=(1, 2, 3), seconds=6.0, sweep_seconds=4.0, warm_up_seconds=2.0, tries=2, near=1.12, blocks=8)
QUICK = Effort(seeds=(1,), seconds=4.0, sweep_seconds=2.0, warm_up_seconds=1.5, tries=1, near=1.25, blocks=8)


def described(conditions: Sequence[Condition]) -> str:
    """The cells as a list, one condition a line."""
    count = sum(len(condition.modes) for condition in conditions)
    assert count <= CELLS_MAX, f"{count} cells"
    lines = [
        f"  {condition.name:24} {'emulated devices' if condition.slowdown else 'real computation':17}"
        + ", ".join(mode.name for mode in condition.modes)
        for condition in conditions
    ]
    return "\n".join([f"{count} live cells:", *lines])
