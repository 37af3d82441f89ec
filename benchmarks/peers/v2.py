"""The few messages of the V2 inference protocol (KServe, Triton) that a request needs.

Servers send more fields than these; protobuf keeps what it does not know apart. Built here rather than generated, so
that each peer's own protobuf can make them. Ray imports this file in its own processes, as `v2`.
"""

from __future__ import annotations

from typing import Any

from google.protobuf.descriptor_pb2 import DescriptorProto, FieldDescriptorProto, FileDescriptorProto
from google.protobuf.descriptor_pool import DescriptorPool
from google.protobuf.internal import builder

SERVICE = "inference.GRPCInferenceService"
INFER = f"/{SERVICE}/ModelInfer"

ModelInferRequest: Any
ModelInferResponse: Any

_STRING, _BYTES, _INT64 = (
    FieldDescriptorProto.TYPE_STRING,
    FieldDescriptorProto.TYPE_BYTES,
    FieldDescriptorProto.TYPE_INT64,
)


def _field(name: str, number: int, kind: FieldDescriptorProto.Type.ValueType, repeated: bool) -> FieldDescriptorProto:
    label = FieldDescriptorProto.LABEL_REPEATED if repeated else FieldDescriptorProto.LABEL_OPTIONAL
    return FieldDescriptorProto(name=name, number=number, type=kind, label=label)


def _message(name: str, tensors: str, raw: str, raw_number: int) -> DescriptorProto:
    """A request or a response: a model's name, tensors, and their contents apart from them."""
    tensor = DescriptorProto(
        name="Tensor",
        field=[
            _field("name", 1, _STRING, False),
            _field("datatype", 2, _STRING, False),
            _field("shape", 3, _INT64, True),
        ],
    )
    described = FieldDescriptorProto(
        name=tensors,
        number=5,
        type=FieldDescriptorProto.TYPE_MESSAGE,
        type_name=f".inference.{name}.Tensor",
        label=FieldDescriptorProto.LABEL_REPEATED,
    )
    fields = [_field("model_name", 1, _STRING, False), described, _field(raw, raw_number, _BYTES, True)]
    return DescriptorProto(name=name, field=fields, nested_type=[tensor])


_FILE = FileDescriptorProto(
    name="benchmarks/peers/v2.proto",
    package="inference",
    syntax="proto3",
    message_type=[
        _message("ModelInferRequest", "inputs", "raw_input_contents", 7),
        _message("ModelInferResponse", "outputs", "raw_output_contents", 6),
    ],
)
# A pool of its own: a peer may have registered the whole protocol in the default one.
_POOL = DescriptorPool()
_POOL.Add(_FILE)  # type: ignore[no-untyped-call]
builder.BuildTopDescriptorsAndMessages(
    _POOL.FindFileByName(_FILE.name),  # type: ignore[no-untyped-call]
    __name__,
    globals(),
)
