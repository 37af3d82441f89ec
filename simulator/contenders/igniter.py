"""iGniter's provisioning (Xu et al., TPDS 2022): each model has its device, where interference grows least.

Models are placed one after the other, the most work first, each on the device where the sum of what its batches and
those of the models that are there do to one another grows least. What is ours in it: where one device can't carry its
models' share of the work, a model gets further ones; and devices have two slots, not partitions.
"""

from __future__ import annotations

import math

from covey.model import Priority
from covey.services.scheduler.core.contention import Load, Slowdowns
from covey.simulator.sharing import Devices


def homes_of(devices: Devices, slowdowns: Slowdowns) -> dict[str, tuple[int, ...]]:
    """Model -> the devices on which it runs. Each model brings the same work, so each gets as many devices."""
    names = sorted(devices.profiles, key=lambda name: -devices.profiles[name].curve.mean_s(1))
    copies = max(1, math.ceil(2 * devices.count / len(names)))
    placed: dict[int, list[str]] = {number: [] for number in range(devices.count)}
    homes: dict[str, list[int]] = {name: [] for name in names}
    for _ in range(copies):
        for name in names:
            open_devices = [number for number in placed if number not in homes[name]]
            if open_devices:
                best = min(open_devices, key=lambda number: (_growth(name, placed[number], slowdowns), number))
                placed[best].append(name)
                homes[name].append(best)
    return {name: tuple(numbers) for name, numbers in homes.items()}


def _growth(name: str, there: list[str], slowdowns: Slowdowns) -> float:
    """By how much the slowdowns on a device grow in sum, and how much work is there already."""
    mine = Load(name, 1, Priority.HIGH)
    total = float(len(there))
    for other in there:
        theirs = Load(other, 1, Priority.HIGH)
        total += slowdowns.slowdown(mine, (theirs,)) + slowdowns.slowdown(theirs, (mine,)) - 2.0
    return total
