"""Whose fault it is that a device has no memory left."""

from __future__ import annotations

from typing import Any, NamedTuple


class DeviceMemory(NamedTuple):
    """Bytes: of the device, free of it, and allocated by this process."""

    total: int
    free: int
    ours: int

    @property
    def others(self) -> int:
        """What other processes have, as far as can be seen from here: CUDA's own share of this process is in it."""
        return max(0, self.total - self.free - self.ours)


def device_memory(torch: Any, device: str) -> DeviceMemory:
    """How full the device is, after what nobody needs has been given back."""
    free, total = torch.cuda.mem_get_info(device)
    return DeviceMemory(total, free, torch.cuda.memory_reserved(device))


def why_too_little(memory: DeviceMemory, tasks: int) -> str:
    """What to tell people of a batch of so many tasks (0: of a model) that did not fit with all caches given back."""
    figures = f"{_gib(memory.free)} of the device's {_gib(memory.total)} GiB are free"
    if memory.others > memory.ours and memory.others > memory.free:
        return f"out of memory: {figures}, and other processes hold {_gib(memory.others)}"
    what = "its model takes" if tasks == 0 else "one task takes" if tasks == 1 else f"{tasks} tasks take"
    return f"out of memory: {what} more than there is ({figures}, and models hold {_gib(memory.ours)})"


def _gib(size: int) -> str:
    return f"{size / 2**30:.1f}"
