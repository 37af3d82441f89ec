from covey.v1 import objects_pb2 as _objects_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class SubmitRequest(_message.Message):
    __slots__ = ("messages",)
    MESSAGES_FIELD_NUMBER: _ClassVar[int]
    messages: _containers.RepeatedCompositeFieldContainer[GatewayToScheduler]
    def __init__(self, messages: _Optional[_Iterable[_Union[GatewayToScheduler, _Mapping]]] = ...) -> None: ...

class SubmitResponse(_message.Message):
    __slots__ = ("messages",)
    MESSAGES_FIELD_NUMBER: _ClassVar[int]
    messages: _containers.RepeatedCompositeFieldContainer[SchedulerToGateway]
    def __init__(self, messages: _Optional[_Iterable[_Union[SchedulerToGateway, _Mapping]]] = ...) -> None: ...

class GatewayToScheduler(_message.Message):
    __slots__ = ("joined", "submit", "cancel", "beat")
    JOINED_FIELD_NUMBER: _ClassVar[int]
    SUBMIT_FIELD_NUMBER: _ClassVar[int]
    CANCEL_FIELD_NUMBER: _ClassVar[int]
    BEAT_FIELD_NUMBER: _ClassVar[int]
    joined: GatewayJoined
    submit: SubmitEvent
    cancel: CancelEvent
    beat: _objects_pb2.Beat
    def __init__(self, joined: _Optional[_Union[GatewayJoined, _Mapping]] = ..., submit: _Optional[_Union[SubmitEvent, _Mapping]] = ..., cancel: _Optional[_Union[CancelEvent, _Mapping]] = ..., beat: _Optional[_Union[_objects_pb2.Beat, _Mapping]] = ...) -> None: ...

class SchedulerToGateway(_message.Message):
    __slots__ = ("view", "outcome", "store_again", "beat")
    VIEW_FIELD_NUMBER: _ClassVar[int]
    OUTCOME_FIELD_NUMBER: _ClassVar[int]
    STORE_AGAIN_FIELD_NUMBER: _ClassVar[int]
    BEAT_FIELD_NUMBER: _ClassVar[int]
    view: _objects_pb2.View
    outcome: _objects_pb2.Outcome
    store_again: StoreAgain
    beat: _objects_pb2.Beat
    def __init__(self, view: _Optional[_Union[_objects_pb2.View, _Mapping]] = ..., outcome: _Optional[_Union[_objects_pb2.Outcome, _Mapping]] = ..., store_again: _Optional[_Union[StoreAgain, _Mapping]] = ..., beat: _Optional[_Union[_objects_pb2.Beat, _Mapping]] = ...) -> None: ...

class GatewayJoined(_message.Message):
    __slots__ = ("gateway", "epoch")
    GATEWAY_FIELD_NUMBER: _ClassVar[int]
    EPOCH_FIELD_NUMBER: _ClassVar[int]
    gateway: str
    epoch: int
    def __init__(self, gateway: _Optional[str] = ..., epoch: _Optional[int] = ...) -> None: ...

class SubmitEvent(_message.Message):
    __slots__ = ("scope", "id", "object", "priority", "budget_us", "declaration", "explicit_group", "traceparent")
    SCOPE_FIELD_NUMBER: _ClassVar[int]
    ID_FIELD_NUMBER: _ClassVar[int]
    OBJECT_FIELD_NUMBER: _ClassVar[int]
    PRIORITY_FIELD_NUMBER: _ClassVar[int]
    BUDGET_US_FIELD_NUMBER: _ClassVar[int]
    DECLARATION_FIELD_NUMBER: _ClassVar[int]
    EXPLICIT_GROUP_FIELD_NUMBER: _ClassVar[int]
    TRACEPARENT_FIELD_NUMBER: _ClassVar[int]
    scope: _objects_pb2.Scope
    id: str
    object: _objects_pb2.ObjectValue
    priority: _objects_pb2.Priority
    budget_us: int
    declaration: str
    explicit_group: bool
    traceparent: str
    def __init__(self, scope: _Optional[_Union[_objects_pb2.Scope, _Mapping]] = ..., id: _Optional[str] = ..., object: _Optional[_Union[_objects_pb2.ObjectValue, _Mapping]] = ..., priority: _Optional[_Union[_objects_pb2.Priority, str]] = ..., budget_us: _Optional[int] = ..., declaration: _Optional[str] = ..., explicit_group: _Optional[bool] = ..., traceparent: _Optional[str] = ...) -> None: ...

class CancelEvent(_message.Message):
    __slots__ = ("scope", "event_id")
    SCOPE_FIELD_NUMBER: _ClassVar[int]
    EVENT_ID_FIELD_NUMBER: _ClassVar[int]
    scope: _objects_pb2.Scope
    event_id: str
    def __init__(self, scope: _Optional[_Union[_objects_pb2.Scope, _Mapping]] = ..., event_id: _Optional[str] = ...) -> None: ...

class StoreAgain(_message.Message):
    __slots__ = ("scope", "event_id")
    SCOPE_FIELD_NUMBER: _ClassVar[int]
    EVENT_ID_FIELD_NUMBER: _ClassVar[int]
    scope: _objects_pb2.Scope
    event_id: str
    def __init__(self, scope: _Optional[_Union[_objects_pb2.Scope, _Mapping]] = ..., event_id: _Optional[str] = ...) -> None: ...
