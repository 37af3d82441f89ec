"""The peers as subjects: their servers, which run in environments of their own (`make bench-peers`), and their clients.

Servers are asked over gRPC in the V2 inference protocol, LitServe over HTTP. Floats go as FP32 tensors; 64 B and 150 KB
as what a server is best at: bytes, or for MLServer one element of type BYTES, since it makes lists of all else.
"""

from __future__ import annotations

import asyncio
import functools
import sys
import sysconfig
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import grpc

from benchmarks.grouping.mesh import LOOPBACK, free_ports
from benchmarks.peers import environments, v2
from benchmarks.wire.http_client import http_client
from benchmarks.wire.subject import LARGE, MLP, SMALL, THREE, Call, Failed, Running, Servers, Subject, Workload, check
from covey.children import Child, start_child, stop_children, tail
from covey.errors import Unavailable
from covey.settings import environment_with
from covey.tether import tethered

SERVERS = Path(environments.__file__).parent
START_S_MAX = 120.0
"""Ray takes 20 s of two idle cores."""
GRACE_S = 10.0
"""How long a server may take to stop, and then all that it started is killed, for which there are `KILL_S`."""
KILL_S = 5.0
POLL_S = 0.2
CALL_S_MAX = 20.0
IDENTITY, CLASSIFY = "identity", "mlp"
OPTIONS = (("grpc.enable_http_proxy", 0), ("grpc.use_local_subchannel_pool", 1))

RAY = {"RAY_USAGE_STATS_ENABLED": "0"}
RAY_TUNED = {**RAY, "RAY_SERVE_THROUGHPUT_OPTIMIZED": "1", "RAY_SERVE_ENABLE_HA_PROXY": "1"}
"""What Ray's performance guide says for throughput."""

Connect = Callable[[str], AbstractAsyncContextManager[Call]]


# --- clients ---------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Tensor:
    """How a payload is described. BYTES have their length before them, four bytes of it."""

    datatype: str
    shape: tuple[int, ...]

    @property
    def is_framed(self) -> bool:
        return self.datatype == "BYTES"


@asynccontextmanager
async def by_grpc(workload: Workload, model: str, tensor: Tensor, address: str) -> AsyncIterator[Call]:
    """A ModelInfer call for each request."""
    described = v2.ModelInferRequest.Tensor(name="payload", datatype=tensor.datatype, shape=tensor.shape)
    head = v2.ModelInferRequest(model_name=model, inputs=[described]).SerializeToString()
    frame_bytes = 4 if tensor.is_framed else 0

    def written(payload: bytes) -> bytes:
        framed = len(payload).to_bytes(4, "little") + payload if tensor.is_framed else payload
        rest: bytes = v2.ModelInferRequest(raw_input_contents=[framed]).SerializeToString()
        return b"".join((head, rest))  # messages written one after the other are one message

    async with grpc.aio.insecure_channel(address, options=OPTIONS) as channel:
        infer: Any = channel.unary_unary(
            v2.INFER, request_serializer=written, response_deserializer=v2.ModelInferResponse.FromString
        )

        async def call(payload: bytes) -> None:
            try:
                response = await infer(payload, metadata=(("application", model),), timeout=CALL_S_MAX)
            except grpc.aio.AioRpcError as error:
                raise Failed(f"{error.code()}: {error.details()}") from None
            check(sum(map(len, response.raw_output_contents)) - frame_bytes, workload.answer_bytes)

        yield call


@asynccontextmanager
async def by_http(workload: Workload, model: str, address: str) -> AsyncIterator[Call]:
    """A POST for each request."""
    async with http_client(address) as client:

        async def call(payload: bytes) -> None:
            check(len(await client.post(f"/{model}", payload)), workload.answer_bytes)

        yield call


# --- servers ---------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Setup:
    """A peer that is started in one way; `ports` of it, the first of which is asked."""

    peer: str
    way: str
    mode: str
    ports: int
    connects: Mapping[Workload, Connect]
    environment: Mapping[str, str] = field(default_factory=dict)

    @property
    def name(self) -> str:
        return f"{self.peer}-{self.way}"


@asynccontextmanager
async def serving(setup: Setup, folder: Path) -> AsyncIterator[Running]:
    """Run the servers until the body ends, and everything that they started. Raises Unavailable."""
    ports = list(map(str, free_ports(setup.ports)))
    program = SERVERS / f"{setup.peer}_server.py"
    settings = {
        "OMP_NUM_THREADS": "1",
        "LD_LIBRARY_PATH": sysconfig.get_config_var("LIBDIR") or "",  # pytriton needs Python as a shared library
        "PYTHONPATH": str(SERVERS),
        **setup.environment,
    }
    server = [str(environments.python(setup.peer)), str(program), setup.mode, *ports]
    kept = [sys.executable, str(SERVERS / "keeper.py"), str(GRACE_S), *server]
    child = await start_child(setup.name, tethered(kept), environment_with(settings), folder)
    try:
        address = f"{LOOPBACK}:{ports[0]}"
        await _answering(setup, child, address)
        yield Running(address, {"server": child.pid})
    finally:
        await stop_children([child], GRACE_S + KILL_S)


async def _answering(setup: Setup, child: Child, address: str) -> None:
    """Wait until every workload is answered."""
    why = ""
    try:
        async with asyncio.timeout(START_S_MAX):
            for workload, connect in setup.connects.items():
                async with connect(address) as call:
                    while child.running:
                        try:
                            await call(workload.payload())
                            break
                        except Failed as failure:
                            why = str(failure)
                        await asyncio.sleep(POLL_S)
    except TimeoutError:
        raise Unavailable(f"{setup.name} does not answer: {why}\n{tail(child.log)}") from None
    if not child.running:
        raise Unavailable(f"{setup.name} has ended\n{tail(child.log)}")


# --- subjects --------------------------------------------------------------------------------------------------------


def _single(datatype: str, workload: Workload) -> Tensor:
    """A request as a tensor without a dimension for the batch."""
    return Tensor(datatype, (workload.request_bytes // (4 if datatype == "FP32" else 1),))


def _row(datatype: str, workload: Workload) -> Tensor:
    """A request as a batch of one."""
    return Tensor(datatype, (1, *_single(datatype, workload).shape))


def _element(workload: Workload) -> Tensor:
    """A request as the one element of a batch."""
    return Tensor("BYTES", (1, 1))


def _grpc(raw: Callable[[Workload], Tensor], floats: Callable[[Workload], Tensor]) -> dict[Workload, Connect]:
    """By workload: the client of the model that answers it."""
    return {
        SMALL: functools.partial(by_grpc, SMALL, IDENTITY, raw(SMALL)),
        LARGE: functools.partial(by_grpc, LARGE, IDENTITY, raw(LARGE)),
        MLP: functools.partial(by_grpc, MLP, CLASSIFY, floats(MLP)),
    }


def _setups() -> list[Setup]:
    bytes_of, floats_of = functools.partial(_single, "UINT8"), functools.partial(_single, "FP32")
    byte_rows, float_rows = functools.partial(_row, "UINT8"), functools.partial(_row, "FP32")
    http = {SMALL: IDENTITY, LARGE: IDENTITY, MLP: CLASSIFY}
    posts = {workload: functools.partial(by_http, workload, model) for workload, model in http.items()}
    three = {THREE: functools.partial(by_grpc, THREE, THREE.name, bytes_of(THREE))}
    setups = [
        Setup("triton", "single", "single", 3, _grpc(bytes_of, floats_of)),
        Setup("triton", "batched", "batched", 3, _grpc(byte_rows, float_rows)),
        Setup("triton", "prompt", "prompt", 3, _grpc(byte_rows, float_rows)),
        Setup("ray", "default", "three", 4, three, RAY),
        Setup("ray", "tuned", "three", 4, three, RAY_TUNED),
    ]
    for mode in ("single", "batched"):
        setups += [
            Setup("mlserver", mode, mode, 3, _grpc(_element, float_rows)),
            Setup("litserve", mode, mode, 1, posts),
            Setup("ray", mode, mode, 4, _grpc(bytes_of, floats_of), RAY_TUNED),
        ]
    return setups


def subjects() -> list[Subject]:
    """What is installed, with batching off and on; Ray's composition by default and tuned."""
    absent = missing()
    found = []
    for setup in _setups():
        if setup.peer not in absent:
            servers = Servers(setup.name, functools.partial(serving, setup))
            found += [Subject(setup.name, one.name, servers, connect) for one, connect in setup.connects.items()]
    return found


def missing() -> dict[str, str]:
    """Peer -> why it is not there."""
    return environments.missing()
