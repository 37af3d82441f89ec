from covey.v1 import objects_pb2 as _objects_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class ExchangeRequest(_message.Message):
    __slots__ = ("messages",)
    MESSAGES_FIELD_NUMBER: _ClassVar[int]
    messages: _containers.RepeatedCompositeFieldContainer[ToDatastore]
    def __init__(self, messages: _Optional[_Iterable[_Union[ToDatastore, _Mapping]]] = ...) -> None: ...

class ExchangeResponse(_message.Message):
    __slots__ = ("messages",)
    MESSAGES_FIELD_NUMBER: _ClassVar[int]
    messages: _containers.RepeatedCompositeFieldContainer[FromDatastore]
    def __init__(self, messages: _Optional[_Iterable[_Union[FromDatastore, _Mapping]]] = ...) -> None: ...

class ToDatastore(_message.Message):
    __slots__ = ("put", "get", "watch", "end_watch", "part", "meet", "hand_over", "handed_over", "handing_over", "copies_made")
    PUT_FIELD_NUMBER: _ClassVar[int]
    GET_FIELD_NUMBER: _ClassVar[int]
    WATCH_FIELD_NUMBER: _ClassVar[int]
    END_WATCH_FIELD_NUMBER: _ClassVar[int]
    PART_FIELD_NUMBER: _ClassVar[int]
    MEET_FIELD_NUMBER: _ClassVar[int]
    HAND_OVER_FIELD_NUMBER: _ClassVar[int]
    HANDED_OVER_FIELD_NUMBER: _ClassVar[int]
    HANDING_OVER_FIELD_NUMBER: _ClassVar[int]
    COPIES_MADE_FIELD_NUMBER: _ClassVar[int]
    put: PutObject
    get: GetObjects
    watch: Watch
    end_watch: EndWatch
    part: Part
    meet: MeetNode
    hand_over: HandOver
    handed_over: HandedOver
    handing_over: HandingOver
    copies_made: CopiesMade
    def __init__(self, put: _Optional[_Union[PutObject, _Mapping]] = ..., get: _Optional[_Union[GetObjects, _Mapping]] = ..., watch: _Optional[_Union[Watch, _Mapping]] = ..., end_watch: _Optional[_Union[EndWatch, _Mapping]] = ..., part: _Optional[_Union[Part, _Mapping]] = ..., meet: _Optional[_Union[MeetNode, _Mapping]] = ..., hand_over: _Optional[_Union[HandOver, _Mapping]] = ..., handed_over: _Optional[_Union[HandedOver, _Mapping]] = ..., handing_over: _Optional[_Union[HandingOver, _Mapping]] = ..., copies_made: _Optional[_Union[CopiesMade, _Mapping]] = ...) -> None: ...

class FromDatastore(_message.Message):
    __slots__ = ("put_done", "get_done", "watched", "part", "met", "hand_over_done")
    PUT_DONE_FIELD_NUMBER: _ClassVar[int]
    GET_DONE_FIELD_NUMBER: _ClassVar[int]
    WATCHED_FIELD_NUMBER: _ClassVar[int]
    PART_FIELD_NUMBER: _ClassVar[int]
    MET_FIELD_NUMBER: _ClassVar[int]
    HAND_OVER_DONE_FIELD_NUMBER: _ClassVar[int]
    put_done: PutDone
    get_done: GetDone
    watched: Watched
    part: Part
    met: NodeMet
    hand_over_done: HandOverDone
    def __init__(self, put_done: _Optional[_Union[PutDone, _Mapping]] = ..., get_done: _Optional[_Union[GetDone, _Mapping]] = ..., watched: _Optional[_Union[Watched, _Mapping]] = ..., part: _Optional[_Union[Part, _Mapping]] = ..., met: _Optional[_Union[NodeMet, _Mapping]] = ..., hand_over_done: _Optional[_Union[HandOverDone, _Mapping]] = ...) -> None: ...

class Part(_message.Message):
    __slots__ = ("number", "data")
    NUMBER_FIELD_NUMBER: _ClassVar[int]
    DATA_FIELD_NUMBER: _ClassVar[int]
    number: int
    data: bytes
    def __init__(self, number: _Optional[int] = ..., data: _Optional[bytes] = ...) -> None: ...

class PutObject(_message.Message):
    __slots__ = ("request", "scope", "ref", "payload", "emission", "previous_version", "part", "traceparent", "place")
    REQUEST_FIELD_NUMBER: _ClassVar[int]
    SCOPE_FIELD_NUMBER: _ClassVar[int]
    REF_FIELD_NUMBER: _ClassVar[int]
    PAYLOAD_FIELD_NUMBER: _ClassVar[int]
    EMISSION_FIELD_NUMBER: _ClassVar[int]
    PREVIOUS_VERSION_FIELD_NUMBER: _ClassVar[int]
    PART_FIELD_NUMBER: _ClassVar[int]
    TRACEPARENT_FIELD_NUMBER: _ClassVar[int]
    PLACE_FIELD_NUMBER: _ClassVar[int]
    request: int
    scope: _objects_pb2.Scope
    ref: _objects_pb2.ObjectRef
    payload: bytes
    emission: bytes
    previous_version: int
    part: int
    traceparent: str
    place: SharedPlace
    def __init__(self, request: _Optional[int] = ..., scope: _Optional[_Union[_objects_pb2.Scope, _Mapping]] = ..., ref: _Optional[_Union[_objects_pb2.ObjectRef, _Mapping]] = ..., payload: _Optional[bytes] = ..., emission: _Optional[bytes] = ..., previous_version: _Optional[int] = ..., part: _Optional[int] = ..., traceparent: _Optional[str] = ..., place: _Optional[_Union[SharedPlace, _Mapping]] = ...) -> None: ...

class SharedPlace(_message.Message):
    __slots__ = ("name", "begin")
    NAME_FIELD_NUMBER: _ClassVar[int]
    BEGIN_FIELD_NUMBER: _ClassVar[int]
    name: str
    begin: int
    def __init__(self, name: _Optional[str] = ..., begin: _Optional[int] = ...) -> None: ...

class PutDone(_message.Message):
    __slots__ = ("request", "ref", "verdict")
    REQUEST_FIELD_NUMBER: _ClassVar[int]
    REF_FIELD_NUMBER: _ClassVar[int]
    VERDICT_FIELD_NUMBER: _ClassVar[int]
    request: int
    ref: _objects_pb2.ObjectRef
    verdict: _objects_pb2.Verdict
    def __init__(self, request: _Optional[int] = ..., ref: _Optional[_Union[_objects_pb2.ObjectRef, _Mapping]] = ..., verdict: _Optional[_Union[_objects_pb2.Verdict, _Mapping]] = ...) -> None: ...

class GetObjects(_message.Message):
    __slots__ = ("request", "scope", "reads", "budget_us", "traceparents", "known", "shared")
    REQUEST_FIELD_NUMBER: _ClassVar[int]
    SCOPE_FIELD_NUMBER: _ClassVar[int]
    READS_FIELD_NUMBER: _ClassVar[int]
    BUDGET_US_FIELD_NUMBER: _ClassVar[int]
    TRACEPARENTS_FIELD_NUMBER: _ClassVar[int]
    KNOWN_FIELD_NUMBER: _ClassVar[int]
    SHARED_FIELD_NUMBER: _ClassVar[int]
    request: int
    scope: _objects_pb2.Scope
    reads: _containers.RepeatedCompositeFieldContainer[_objects_pb2.Read]
    budget_us: int
    traceparents: _containers.RepeatedScalarFieldContainer[str]
    known: _containers.RepeatedCompositeFieldContainer[_objects_pb2.ObjectRef]
    shared: bool
    def __init__(self, request: _Optional[int] = ..., scope: _Optional[_Union[_objects_pb2.Scope, _Mapping]] = ..., reads: _Optional[_Iterable[_Union[_objects_pb2.Read, _Mapping]]] = ..., budget_us: _Optional[int] = ..., traceparents: _Optional[_Iterable[str]] = ..., known: _Optional[_Iterable[_Union[_objects_pb2.ObjectRef, _Mapping]]] = ..., shared: _Optional[bool] = ...) -> None: ...

class GetDone(_message.Message):
    __slots__ = ("request", "answers", "parts", "files")
    REQUEST_FIELD_NUMBER: _ClassVar[int]
    ANSWERS_FIELD_NUMBER: _ClassVar[int]
    PARTS_FIELD_NUMBER: _ClassVar[int]
    FILES_FIELD_NUMBER: _ClassVar[int]
    request: int
    answers: _containers.RepeatedCompositeFieldContainer[_objects_pb2.Answer]
    parts: _containers.RepeatedCompositeFieldContainer[PartOf]
    files: _containers.RepeatedCompositeFieldContainer[FileOf]
    def __init__(self, request: _Optional[int] = ..., answers: _Optional[_Iterable[_Union[_objects_pb2.Answer, _Mapping]]] = ..., parts: _Optional[_Iterable[_Union[PartOf, _Mapping]]] = ..., files: _Optional[_Iterable[_Union[FileOf, _Mapping]]] = ...) -> None: ...

class PartOf(_message.Message):
    __slots__ = ("part", "answer", "object")
    PART_FIELD_NUMBER: _ClassVar[int]
    ANSWER_FIELD_NUMBER: _ClassVar[int]
    OBJECT_FIELD_NUMBER: _ClassVar[int]
    part: int
    answer: int
    object: int
    def __init__(self, part: _Optional[int] = ..., answer: _Optional[int] = ..., object: _Optional[int] = ...) -> None: ...

class FileOf(_message.Message):
    __slots__ = ("answer", "object", "place")
    ANSWER_FIELD_NUMBER: _ClassVar[int]
    OBJECT_FIELD_NUMBER: _ClassVar[int]
    PLACE_FIELD_NUMBER: _ClassVar[int]
    answer: int
    object: int
    place: SharedPlace
    def __init__(self, answer: _Optional[int] = ..., object: _Optional[int] = ..., place: _Optional[_Union[SharedPlace, _Mapping]] = ...) -> None: ...

class Watch(_message.Message):
    __slots__ = ("request", "scope", "pool")
    REQUEST_FIELD_NUMBER: _ClassVar[int]
    SCOPE_FIELD_NUMBER: _ClassVar[int]
    POOL_FIELD_NUMBER: _ClassVar[int]
    request: int
    scope: _objects_pb2.Scope
    pool: str
    def __init__(self, request: _Optional[int] = ..., scope: _Optional[_Union[_objects_pb2.Scope, _Mapping]] = ..., pool: _Optional[str] = ...) -> None: ...

class EndWatch(_message.Message):
    __slots__ = ("request",)
    REQUEST_FIELD_NUMBER: _ClassVar[int]
    request: int
    def __init__(self, request: _Optional[int] = ...) -> None: ...

class Watched(_message.Message):
    __slots__ = ("request", "value", "verdict", "part")
    REQUEST_FIELD_NUMBER: _ClassVar[int]
    VALUE_FIELD_NUMBER: _ClassVar[int]
    VERDICT_FIELD_NUMBER: _ClassVar[int]
    PART_FIELD_NUMBER: _ClassVar[int]
    request: int
    value: _objects_pb2.ObjectValue
    verdict: _objects_pb2.Verdict
    part: int
    def __init__(self, request: _Optional[int] = ..., value: _Optional[_Union[_objects_pb2.ObjectValue, _Mapping]] = ..., verdict: _Optional[_Union[_objects_pb2.Verdict, _Mapping]] = ..., part: _Optional[int] = ...) -> None: ...

class MeetNode(_message.Message):
    __slots__ = ("request", "node", "life")
    REQUEST_FIELD_NUMBER: _ClassVar[int]
    NODE_FIELD_NUMBER: _ClassVar[int]
    LIFE_FIELD_NUMBER: _ClassVar[int]
    request: int
    node: str
    life: int
    def __init__(self, request: _Optional[int] = ..., node: _Optional[str] = ..., life: _Optional[int] = ...) -> None: ...

class NodeMet(_message.Message):
    __slots__ = ("request", "life", "last", "refused")
    REQUEST_FIELD_NUMBER: _ClassVar[int]
    LIFE_FIELD_NUMBER: _ClassVar[int]
    LAST_FIELD_NUMBER: _ClassVar[int]
    REFUSED_FIELD_NUMBER: _ClassVar[int]
    request: int
    life: int
    last: int
    refused: _containers.RepeatedScalarFieldContainer[int]
    def __init__(self, request: _Optional[int] = ..., life: _Optional[int] = ..., last: _Optional[int] = ..., refused: _Optional[_Iterable[int]] = ...) -> None: ...

class KeptVersion(_message.Message):
    __slots__ = ("ref", "payload", "emission", "age_us", "lapsed_us", "lost_us")
    REF_FIELD_NUMBER: _ClassVar[int]
    PAYLOAD_FIELD_NUMBER: _ClassVar[int]
    EMISSION_FIELD_NUMBER: _ClassVar[int]
    AGE_US_FIELD_NUMBER: _ClassVar[int]
    LAPSED_US_FIELD_NUMBER: _ClassVar[int]
    LOST_US_FIELD_NUMBER: _ClassVar[int]
    ref: _objects_pb2.ObjectRef
    payload: bytes
    emission: bytes
    age_us: int
    lapsed_us: int
    lost_us: int
    def __init__(self, ref: _Optional[_Union[_objects_pb2.ObjectRef, _Mapping]] = ..., payload: _Optional[bytes] = ..., emission: _Optional[bytes] = ..., age_us: _Optional[int] = ..., lapsed_us: _Optional[int] = ..., lost_us: _Optional[int] = ...) -> None: ...

class HandOver(_message.Message):
    __slots__ = ("request", "epoch", "joined", "scope", "group", "number", "versions", "evicted", "last", "unsure", "part", "copy")
    REQUEST_FIELD_NUMBER: _ClassVar[int]
    EPOCH_FIELD_NUMBER: _ClassVar[int]
    JOINED_FIELD_NUMBER: _ClassVar[int]
    SCOPE_FIELD_NUMBER: _ClassVar[int]
    GROUP_FIELD_NUMBER: _ClassVar[int]
    NUMBER_FIELD_NUMBER: _ClassVar[int]
    VERSIONS_FIELD_NUMBER: _ClassVar[int]
    EVICTED_FIELD_NUMBER: _ClassVar[int]
    LAST_FIELD_NUMBER: _ClassVar[int]
    UNSURE_FIELD_NUMBER: _ClassVar[int]
    PART_FIELD_NUMBER: _ClassVar[int]
    COPY_FIELD_NUMBER: _ClassVar[int]
    request: int
    epoch: int
    joined: int
    scope: _objects_pb2.Scope
    group: str
    number: int
    versions: _containers.RepeatedCompositeFieldContainer[KeptVersion]
    evicted: _containers.RepeatedCompositeFieldContainer[_objects_pb2.ObjectName]
    last: bool
    unsure: bool
    part: int
    copy: bool
    def __init__(self, request: _Optional[int] = ..., epoch: _Optional[int] = ..., joined: _Optional[int] = ..., scope: _Optional[_Union[_objects_pb2.Scope, _Mapping]] = ..., group: _Optional[str] = ..., number: _Optional[int] = ..., versions: _Optional[_Iterable[_Union[KeptVersion, _Mapping]]] = ..., evicted: _Optional[_Iterable[_Union[_objects_pb2.ObjectName, _Mapping]]] = ..., last: _Optional[bool] = ..., unsure: _Optional[bool] = ..., part: _Optional[int] = ..., copy: _Optional[bool] = ...) -> None: ...

class HandOverDone(_message.Message):
    __slots__ = ("request", "refused")
    REQUEST_FIELD_NUMBER: _ClassVar[int]
    REFUSED_FIELD_NUMBER: _ClassVar[int]
    request: int
    refused: bool
    def __init__(self, request: _Optional[int] = ..., refused: _Optional[bool] = ...) -> None: ...

class HandingOver(_message.Message):
    __slots__ = ("epoch", "number", "groups", "more")
    EPOCH_FIELD_NUMBER: _ClassVar[int]
    NUMBER_FIELD_NUMBER: _ClassVar[int]
    GROUPS_FIELD_NUMBER: _ClassVar[int]
    MORE_FIELD_NUMBER: _ClassVar[int]
    epoch: int
    number: int
    groups: _containers.RepeatedCompositeFieldContainer[_objects_pb2.GroupName]
    more: bool
    def __init__(self, epoch: _Optional[int] = ..., number: _Optional[int] = ..., groups: _Optional[_Iterable[_Union[_objects_pb2.GroupName, _Mapping]]] = ..., more: _Optional[bool] = ...) -> None: ...

class HandedOver(_message.Message):
    __slots__ = ("epoch", "number")
    EPOCH_FIELD_NUMBER: _ClassVar[int]
    NUMBER_FIELD_NUMBER: _ClassVar[int]
    epoch: int
    number: int
    def __init__(self, epoch: _Optional[int] = ..., number: _Optional[int] = ...) -> None: ...

class CopiesMade(_message.Message):
    __slots__ = ("epoch",)
    EPOCH_FIELD_NUMBER: _ClassVar[int]
    epoch: int
    def __init__(self, epoch: _Optional[int] = ...) -> None: ...

class LeadRequest(_message.Message):
    __slots__ = ("messages",)
    MESSAGES_FIELD_NUMBER: _ClassVar[int]
    messages: _containers.RepeatedCompositeFieldContainer[SchedulerToDatastore]
    def __init__(self, messages: _Optional[_Iterable[_Union[SchedulerToDatastore, _Mapping]]] = ...) -> None: ...

class LeadResponse(_message.Message):
    __slots__ = ("messages",)
    MESSAGES_FIELD_NUMBER: _ClassVar[int]
    messages: _containers.RepeatedCompositeFieldContainer[DatastoreToScheduler]
    def __init__(self, messages: _Optional[_Iterable[_Union[DatastoreToScheduler, _Mapping]]] = ...) -> None: ...

class SchedulerToDatastore(_message.Message):
    __slots__ = ("joined", "view", "horizon", "beat")
    JOINED_FIELD_NUMBER: _ClassVar[int]
    VIEW_FIELD_NUMBER: _ClassVar[int]
    HORIZON_FIELD_NUMBER: _ClassVar[int]
    BEAT_FIELD_NUMBER: _ClassVar[int]
    joined: _objects_pb2.LeaderJoined
    view: _objects_pb2.View
    horizon: Horizon
    beat: _objects_pb2.Beat
    def __init__(self, joined: _Optional[_Union[_objects_pb2.LeaderJoined, _Mapping]] = ..., view: _Optional[_Union[_objects_pb2.View, _Mapping]] = ..., horizon: _Optional[_Union[Horizon, _Mapping]] = ..., beat: _Optional[_Union[_objects_pb2.Beat, _Mapping]] = ...) -> None: ...

class DatastoreToScheduler(_message.Message):
    __slots__ = ("joined", "beat")
    JOINED_FIELD_NUMBER: _ClassVar[int]
    BEAT_FIELD_NUMBER: _ClassVar[int]
    joined: NodeJoined
    beat: _objects_pb2.Beat
    def __init__(self, joined: _Optional[_Union[NodeJoined, _Mapping]] = ..., beat: _Optional[_Union[_objects_pb2.Beat, _Mapping]] = ...) -> None: ...

class NodeJoined(_message.Message):
    __slots__ = ("node", "address", "epoch", "placement")
    NODE_FIELD_NUMBER: _ClassVar[int]
    ADDRESS_FIELD_NUMBER: _ClassVar[int]
    EPOCH_FIELD_NUMBER: _ClassVar[int]
    PLACEMENT_FIELD_NUMBER: _ClassVar[int]
    node: str
    address: str
    epoch: int
    placement: _objects_pb2.Placement
    def __init__(self, node: _Optional[str] = ..., address: _Optional[str] = ..., epoch: _Optional[int] = ..., placement: _Optional[_Union[_objects_pb2.Placement, _Mapping]] = ...) -> None: ...

class Horizon(_message.Message):
    __slots__ = ("epoch", "age_s")
    EPOCH_FIELD_NUMBER: _ClassVar[int]
    AGE_S_FIELD_NUMBER: _ClassVar[int]
    epoch: int
    age_s: float
    def __init__(self, epoch: _Optional[int] = ..., age_s: _Optional[float] = ...) -> None: ...
