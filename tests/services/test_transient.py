"""Objects of transient pools travel with events and outcomes, and are stored only where they are too large for that."""

import pytest

import covey
from covey.errors import Status
from covey.model import INLINE_BYTES_MAX


def pipeline(transient: bool) -> covey.Pipeline:
    """Gives back what it gets."""
    app = covey.Pipeline("echo", objective_s=5.0)
    asked = app.pool("/asked/{who}/{n:int}", group="{who}", codec="bytes", transient=transient)
    answered = app.pool("/answered/{who}/{n:int}", group="{who}", codec="bytes", transient=transient)

    @app.stage(on=asked, emits=answered, batch_max=8)
    def echo(batch: covey.Batch) -> None:
        for task in batch:
            task.emit(answered, task.trigger.value)

    return app


@pytest.mark.asyncio
@pytest.mark.parametrize(("transient", "kept"), [(True, False), (False, True)])
async def test_a_small_object_is_answered_and_not_kept(transient: bool, kept: bool) -> None:
    """The outcome has the result either way; only a pool that stores gives it to others."""
    async with pipeline(transient).test_client() as mesh:
        outcome = await mesh.client.send("/asked/a/1", b"hello")
        (result,) = await mesh.client.results(outcome)

        assert (outcome.status, result.value) == (Status.OK, b"hello")
        assert (await mesh.client.get("/asked/a/1") is not None) is kept
        assert (await mesh.client.get("/answered/a/1") is not None) is kept


@pytest.mark.asyncio
async def test_a_large_object_of_a_transient_pool_goes_by_its_home() -> None:
    """What is over 64 KiB never crosses the scheduler; it is stored, and read from there."""
    payload = b"x" * (INLINE_BYTES_MAX + 1)
    async with pipeline(transient=True).test_client() as mesh:
        outcome = await mesh.client.send("/asked/a/1", payload)
        (result,) = await mesh.client.results(outcome)

        assert result.value == payload
        assert await mesh.client.get("/asked/a/1") is not None
