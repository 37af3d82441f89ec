from google.protobuf.internal import containers as _containers
from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class Codec(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    CODEC_UNSPECIFIED: _ClassVar[Codec]
    CODEC_MSGPACK: _ClassVar[Codec]
    CODEC_ARRAY: _ClassVar[Codec]
    CODEC_BYTES: _ClassVar[Codec]

class NeedKind(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    NEED_KIND_UNSPECIFIED: _ClassVar[NeedKind]
    NEED_KIND_LATEST: _ClassVar[NeedKind]
    NEED_KIND_LAST: _ClassVar[NeedKind]
    NEED_KIND_AT: _ClassVar[NeedKind]

class Missing(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    MISSING_UNSPECIFIED: _ClassVar[Missing]
    MISSING_DROP: _ClassVar[Missing]
    MISSING_FIRE: _ClassVar[Missing]
CODEC_UNSPECIFIED: Codec
CODEC_MSGPACK: Codec
CODEC_ARRAY: Codec
CODEC_BYTES: Codec
NEED_KIND_UNSPECIFIED: NeedKind
NEED_KIND_LATEST: NeedKind
NEED_KIND_LAST: NeedKind
NEED_KIND_AT: NeedKind
MISSING_UNSPECIFIED: Missing
MISSING_DROP: Missing
MISSING_FIRE: Missing

class PoolDeclaration(_message.Message):
    __slots__ = ("name", "template", "group", "codec", "durable", "ttl_s", "keep_last", "strict", "transient")
    NAME_FIELD_NUMBER: _ClassVar[int]
    TEMPLATE_FIELD_NUMBER: _ClassVar[int]
    GROUP_FIELD_NUMBER: _ClassVar[int]
    CODEC_FIELD_NUMBER: _ClassVar[int]
    DURABLE_FIELD_NUMBER: _ClassVar[int]
    TTL_S_FIELD_NUMBER: _ClassVar[int]
    KEEP_LAST_FIELD_NUMBER: _ClassVar[int]
    STRICT_FIELD_NUMBER: _ClassVar[int]
    TRANSIENT_FIELD_NUMBER: _ClassVar[int]
    name: str
    template: str
    group: GroupRule
    codec: Codec
    durable: bool
    ttl_s: float
    keep_last: int
    strict: bool
    transient: bool
    def __init__(self, name: _Optional[str] = ..., template: _Optional[str] = ..., group: _Optional[_Union[GroupRule, _Mapping]] = ..., codec: _Optional[_Union[Codec, str]] = ..., durable: _Optional[bool] = ..., ttl_s: _Optional[float] = ..., keep_last: _Optional[int] = ..., strict: _Optional[bool] = ..., transient: _Optional[bool] = ...) -> None: ...

class GroupRule(_message.Message):
    __slots__ = ("template", "pattern", "function")
    TEMPLATE_FIELD_NUMBER: _ClassVar[int]
    PATTERN_FIELD_NUMBER: _ClassVar[int]
    FUNCTION_FIELD_NUMBER: _ClassVar[int]
    template: str
    pattern: str
    function: str
    def __init__(self, template: _Optional[str] = ..., pattern: _Optional[str] = ..., function: _Optional[str] = ...) -> None: ...

class Need(_message.Message):
    __slots__ = ("pool", "kind", "count", "offsets")
    POOL_FIELD_NUMBER: _ClassVar[int]
    KIND_FIELD_NUMBER: _ClassVar[int]
    COUNT_FIELD_NUMBER: _ClassVar[int]
    OFFSETS_FIELD_NUMBER: _ClassVar[int]
    pool: str
    kind: NeedKind
    count: int
    offsets: _containers.RepeatedScalarFieldContainer[int]
    def __init__(self, pool: _Optional[str] = ..., kind: _Optional[_Union[NeedKind, str]] = ..., count: _Optional[int] = ..., offsets: _Optional[_Iterable[int]] = ...) -> None: ...

class Join(_message.Message):
    __slots__ = ("by", "missing", "timeout_s")
    BY_FIELD_NUMBER: _ClassVar[int]
    MISSING_FIELD_NUMBER: _ClassVar[int]
    TIMEOUT_S_FIELD_NUMBER: _ClassVar[int]
    by: _containers.RepeatedScalarFieldContainer[str]
    missing: Missing
    timeout_s: float
    def __init__(self, by: _Optional[_Iterable[str]] = ..., missing: _Optional[_Union[Missing, str]] = ..., timeout_s: _Optional[float] = ...) -> None: ...

class StageDeclaration(_message.Message):
    __slots__ = ("name", "on", "join", "needs", "emits", "batch_max", "has_model")
    NAME_FIELD_NUMBER: _ClassVar[int]
    ON_FIELD_NUMBER: _ClassVar[int]
    JOIN_FIELD_NUMBER: _ClassVar[int]
    NEEDS_FIELD_NUMBER: _ClassVar[int]
    EMITS_FIELD_NUMBER: _ClassVar[int]
    BATCH_MAX_FIELD_NUMBER: _ClassVar[int]
    HAS_MODEL_FIELD_NUMBER: _ClassVar[int]
    name: str
    on: str
    join: Join
    needs: _containers.RepeatedCompositeFieldContainer[Need]
    emits: _containers.RepeatedScalarFieldContainer[str]
    batch_max: int
    has_model: bool
    def __init__(self, name: _Optional[str] = ..., on: _Optional[str] = ..., join: _Optional[_Union[Join, _Mapping]] = ..., needs: _Optional[_Iterable[_Union[Need, _Mapping]]] = ..., emits: _Optional[_Iterable[str]] = ..., batch_max: _Optional[int] = ..., has_model: _Optional[bool] = ...) -> None: ...

class Declaration(_message.Message):
    __slots__ = ("pipeline", "objective_s", "pools", "stages", "version")
    PIPELINE_FIELD_NUMBER: _ClassVar[int]
    OBJECTIVE_S_FIELD_NUMBER: _ClassVar[int]
    POOLS_FIELD_NUMBER: _ClassVar[int]
    STAGES_FIELD_NUMBER: _ClassVar[int]
    VERSION_FIELD_NUMBER: _ClassVar[int]
    pipeline: str
    objective_s: float
    pools: _containers.RepeatedCompositeFieldContainer[PoolDeclaration]
    stages: _containers.RepeatedCompositeFieldContainer[StageDeclaration]
    version: str
    def __init__(self, pipeline: _Optional[str] = ..., objective_s: _Optional[float] = ..., pools: _Optional[_Iterable[_Union[PoolDeclaration, _Mapping]]] = ..., stages: _Optional[_Iterable[_Union[StageDeclaration, _Mapping]]] = ..., version: _Optional[str] = ...) -> None: ...
