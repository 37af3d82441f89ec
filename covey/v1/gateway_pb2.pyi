from covey.v1 import declaration_pb2 as _declaration_pb2
from covey.v1 import objects_pb2 as _objects_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class Event(_message.Message):
    __slots__ = ("pipeline", "key", "payload", "id", "priority", "deadline_us", "group", "traceparent")
    PIPELINE_FIELD_NUMBER: _ClassVar[int]
    KEY_FIELD_NUMBER: _ClassVar[int]
    PAYLOAD_FIELD_NUMBER: _ClassVar[int]
    ID_FIELD_NUMBER: _ClassVar[int]
    PRIORITY_FIELD_NUMBER: _ClassVar[int]
    DEADLINE_US_FIELD_NUMBER: _ClassVar[int]
    GROUP_FIELD_NUMBER: _ClassVar[int]
    TRACEPARENT_FIELD_NUMBER: _ClassVar[int]
    pipeline: str
    key: str
    payload: bytes
    id: str
    priority: _objects_pb2.Priority
    deadline_us: int
    group: str
    traceparent: str
    def __init__(self, pipeline: _Optional[str] = ..., key: _Optional[str] = ..., payload: _Optional[bytes] = ..., id: _Optional[str] = ..., priority: _Optional[_Union[_objects_pb2.Priority, str]] = ..., deadline_us: _Optional[int] = ..., group: _Optional[str] = ..., traceparent: _Optional[str] = ...) -> None: ...

class SendRequest(_message.Message):
    __slots__ = ("event",)
    EVENT_FIELD_NUMBER: _ClassVar[int]
    event: Event
    def __init__(self, event: _Optional[_Union[Event, _Mapping]] = ...) -> None: ...

class SendResponse(_message.Message):
    __slots__ = ("outcome",)
    OUTCOME_FIELD_NUMBER: _ClassVar[int]
    outcome: _objects_pb2.Outcome
    def __init__(self, outcome: _Optional[_Union[_objects_pb2.Outcome, _Mapping]] = ...) -> None: ...

class StreamRequest(_message.Message):
    __slots__ = ("events", "cancel")
    EVENTS_FIELD_NUMBER: _ClassVar[int]
    CANCEL_FIELD_NUMBER: _ClassVar[int]
    events: _containers.RepeatedCompositeFieldContainer[Event]
    cancel: _containers.RepeatedCompositeFieldContainer[EventName]
    def __init__(self, events: _Optional[_Iterable[_Union[Event, _Mapping]]] = ..., cancel: _Optional[_Iterable[_Union[EventName, _Mapping]]] = ...) -> None: ...

class EventName(_message.Message):
    __slots__ = ("pipeline", "id")
    PIPELINE_FIELD_NUMBER: _ClassVar[int]
    ID_FIELD_NUMBER: _ClassVar[int]
    pipeline: str
    id: str
    def __init__(self, pipeline: _Optional[str] = ..., id: _Optional[str] = ...) -> None: ...

class StreamResponse(_message.Message):
    __slots__ = ("outcomes",)
    OUTCOMES_FIELD_NUMBER: _ClassVar[int]
    outcomes: _containers.RepeatedCompositeFieldContainer[_objects_pb2.Outcome]
    def __init__(self, outcomes: _Optional[_Iterable[_Union[_objects_pb2.Outcome, _Mapping]]] = ...) -> None: ...

class CancelRequest(_message.Message):
    __slots__ = ("event",)
    EVENT_FIELD_NUMBER: _ClassVar[int]
    event: EventName
    def __init__(self, event: _Optional[_Union[EventName, _Mapping]] = ...) -> None: ...

class CancelResponse(_message.Message):
    __slots__ = ("found",)
    FOUND_FIELD_NUMBER: _ClassVar[int]
    found: bool
    def __init__(self, found: _Optional[bool] = ...) -> None: ...

class PutRequest(_message.Message):
    __slots__ = ("pipeline", "key", "payload", "group", "previous_version", "id")
    PIPELINE_FIELD_NUMBER: _ClassVar[int]
    KEY_FIELD_NUMBER: _ClassVar[int]
    PAYLOAD_FIELD_NUMBER: _ClassVar[int]
    GROUP_FIELD_NUMBER: _ClassVar[int]
    PREVIOUS_VERSION_FIELD_NUMBER: _ClassVar[int]
    ID_FIELD_NUMBER: _ClassVar[int]
    pipeline: str
    key: str
    payload: bytes
    group: str
    previous_version: int
    id: str
    def __init__(self, pipeline: _Optional[str] = ..., key: _Optional[str] = ..., payload: _Optional[bytes] = ..., group: _Optional[str] = ..., previous_version: _Optional[int] = ..., id: _Optional[str] = ...) -> None: ...

class PutResponse(_message.Message):
    __slots__ = ("ref",)
    REF_FIELD_NUMBER: _ClassVar[int]
    ref: _objects_pb2.ObjectRef
    def __init__(self, ref: _Optional[_Union[_objects_pb2.ObjectRef, _Mapping]] = ...) -> None: ...

class GetRequest(_message.Message):
    __slots__ = ("pipeline", "key", "series", "prefix", "in_group", "keys", "version", "count", "as_of", "group", "pool", "age_us")
    PIPELINE_FIELD_NUMBER: _ClassVar[int]
    KEY_FIELD_NUMBER: _ClassVar[int]
    SERIES_FIELD_NUMBER: _ClassVar[int]
    PREFIX_FIELD_NUMBER: _ClassVar[int]
    IN_GROUP_FIELD_NUMBER: _ClassVar[int]
    KEYS_FIELD_NUMBER: _ClassVar[int]
    VERSION_FIELD_NUMBER: _ClassVar[int]
    COUNT_FIELD_NUMBER: _ClassVar[int]
    AS_OF_FIELD_NUMBER: _ClassVar[int]
    GROUP_FIELD_NUMBER: _ClassVar[int]
    POOL_FIELD_NUMBER: _ClassVar[int]
    AGE_US_FIELD_NUMBER: _ClassVar[int]
    pipeline: str
    key: str
    series: str
    prefix: str
    in_group: str
    keys: Keys
    version: int
    count: int
    as_of: int
    group: str
    pool: str
    age_us: int
    def __init__(self, pipeline: _Optional[str] = ..., key: _Optional[str] = ..., series: _Optional[str] = ..., prefix: _Optional[str] = ..., in_group: _Optional[str] = ..., keys: _Optional[_Union[Keys, _Mapping]] = ..., version: _Optional[int] = ..., count: _Optional[int] = ..., as_of: _Optional[int] = ..., group: _Optional[str] = ..., pool: _Optional[str] = ..., age_us: _Optional[int] = ...) -> None: ...

class Keys(_message.Message):
    __slots__ = ("keys",)
    KEYS_FIELD_NUMBER: _ClassVar[int]
    keys: _containers.RepeatedScalarFieldContainer[str]
    def __init__(self, keys: _Optional[_Iterable[str]] = ...) -> None: ...

class GetResponse(_message.Message):
    __slots__ = ("objects", "incomplete")
    OBJECTS_FIELD_NUMBER: _ClassVar[int]
    INCOMPLETE_FIELD_NUMBER: _ClassVar[int]
    objects: _containers.RepeatedCompositeFieldContainer[_objects_pb2.ObjectValue]
    incomplete: bool
    def __init__(self, objects: _Optional[_Iterable[_Union[_objects_pb2.ObjectValue, _Mapping]]] = ..., incomplete: _Optional[bool] = ...) -> None: ...

class SubscribeRequest(_message.Message):
    __slots__ = ("pipeline", "pool")
    PIPELINE_FIELD_NUMBER: _ClassVar[int]
    POOL_FIELD_NUMBER: _ClassVar[int]
    pipeline: str
    pool: str
    def __init__(self, pipeline: _Optional[str] = ..., pool: _Optional[str] = ...) -> None: ...

class SubscribeResponse(_message.Message):
    __slots__ = ("objects",)
    OBJECTS_FIELD_NUMBER: _ClassVar[int]
    objects: _containers.RepeatedCompositeFieldContainer[_objects_pb2.ObjectValue]
    def __init__(self, objects: _Optional[_Iterable[_Union[_objects_pb2.ObjectValue, _Mapping]]] = ...) -> None: ...

class DescribeRequest(_message.Message):
    __slots__ = ("pipeline",)
    PIPELINE_FIELD_NUMBER: _ClassVar[int]
    pipeline: str
    def __init__(self, pipeline: _Optional[str] = ...) -> None: ...

class DescribeResponse(_message.Message):
    __slots__ = ("declarations", "nodes", "unserved")
    DECLARATIONS_FIELD_NUMBER: _ClassVar[int]
    NODES_FIELD_NUMBER: _ClassVar[int]
    UNSERVED_FIELD_NUMBER: _ClassVar[int]
    declarations: _containers.RepeatedCompositeFieldContainer[_declaration_pb2.Declaration]
    nodes: _containers.RepeatedCompositeFieldContainer[_objects_pb2.Node]
    unserved: _containers.RepeatedCompositeFieldContainer[_objects_pb2.StageName]
    def __init__(self, declarations: _Optional[_Iterable[_Union[_declaration_pb2.Declaration, _Mapping]]] = ..., nodes: _Optional[_Iterable[_Union[_objects_pb2.Node, _Mapping]]] = ..., unserved: _Optional[_Iterable[_Union[_objects_pb2.StageName, _Mapping]]] = ...) -> None: ...
