"""The models that a worker has in memory. Loads and unloads go one after the other, in the order of asking."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Mapping

from covey.declaration import Declaration
from covey.declare import Stage
from covey.errors import StageFailed
from covey.services.worker.core.commands import LoadModel
from covey.services.worker.core.stimuli import ModelLoaded
from covey.services.worker.engine.base import Engine, StageRaised

log = logging.getLogger(__name__)


class Models:
    """Stages are named `<pipeline>/<stage>`."""

    def __init__(self, engine: Engine, pipelines: Mapping[str, tuple[Declaration, Mapping[str, Stage]]]) -> None:
        self._engine = engine
        self._stages = {
            f"{pipeline}/{name}": stage for pipeline, (_, stages) in pipelines.items() for name, stage in stages.items()
        }
        self._loaded: dict[str, None] = {}
        self._turn = asyncio.Lock()

    async def load_all(self) -> None:
        """Load every stage's model. Raises StageFailed."""
        for name in self._stages:
            try:
                await self._load(name)
            except StageRaised as raised:
                log.error("the model of stage %s", name, exc_info=raised.__cause__)
                stage = name.rpartition("/")[2]
                raise StageFailed(f"the model of stage {stage!r} can't be loaded; the log says why") from raised

    async def load(self, command: LoadModel) -> ModelLoaded:
        try:
            async with self._turn:
                await self._load(command.stage)
        except StageRaised as raised:
            log.error("the model of stage %s", command.stage, exc_info=raised.__cause__)
            return ModelLoaded(command.lane, command.stage, failed=True)
        return ModelLoaded(command.lane, command.stage)

    async def unload(self, stage: str) -> None:
        async with self._turn:
            if stage in self._loaded:
                del self._loaded[stage]
                await self._engine.unload(self._stages[stage])

    async def _load(self, name: str) -> None:
        if name not in self._loaded:
            await self._engine.load(self._stages[name])
            self._loaded[name] = None
