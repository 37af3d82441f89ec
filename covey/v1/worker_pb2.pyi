from covey.v1 import objects_pb2 as _objects_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class RunRequest(_message.Message):
    __slots__ = ("messages",)
    MESSAGES_FIELD_NUMBER: _ClassVar[int]
    messages: _containers.RepeatedCompositeFieldContainer[SchedulerToWorker]
    def __init__(self, messages: _Optional[_Iterable[_Union[SchedulerToWorker, _Mapping]]] = ...) -> None: ...

class RunResponse(_message.Message):
    __slots__ = ("messages",)
    MESSAGES_FIELD_NUMBER: _ClassVar[int]
    messages: _containers.RepeatedCompositeFieldContainer[WorkerToScheduler]
    def __init__(self, messages: _Optional[_Iterable[_Union[WorkerToScheduler, _Mapping]]] = ...) -> None: ...

class SchedulerToWorker(_message.Message):
    __slots__ = ("joined", "view", "run", "cancel", "beat", "prefetch", "assign")
    JOINED_FIELD_NUMBER: _ClassVar[int]
    VIEW_FIELD_NUMBER: _ClassVar[int]
    RUN_FIELD_NUMBER: _ClassVar[int]
    CANCEL_FIELD_NUMBER: _ClassVar[int]
    BEAT_FIELD_NUMBER: _ClassVar[int]
    PREFETCH_FIELD_NUMBER: _ClassVar[int]
    ASSIGN_FIELD_NUMBER: _ClassVar[int]
    joined: _objects_pb2.LeaderJoined
    view: _objects_pb2.View
    run: RunBatch
    cancel: CancelTasks
    beat: _objects_pb2.Beat
    prefetch: Prefetch
    assign: AssignLane
    def __init__(self, joined: _Optional[_Union[_objects_pb2.LeaderJoined, _Mapping]] = ..., view: _Optional[_Union[_objects_pb2.View, _Mapping]] = ..., run: _Optional[_Union[RunBatch, _Mapping]] = ..., cancel: _Optional[_Union[CancelTasks, _Mapping]] = ..., beat: _Optional[_Union[_objects_pb2.Beat, _Mapping]] = ..., prefetch: _Optional[_Union[Prefetch, _Mapping]] = ..., assign: _Optional[_Union[AssignLane, _Mapping]] = ...) -> None: ...

class WorkerToScheduler(_message.Message):
    __slots__ = ("joined", "report", "beat", "ready")
    JOINED_FIELD_NUMBER: _ClassVar[int]
    REPORT_FIELD_NUMBER: _ClassVar[int]
    BEAT_FIELD_NUMBER: _ClassVar[int]
    READY_FIELD_NUMBER: _ClassVar[int]
    joined: WorkerJoined
    report: BatchReport
    beat: _objects_pb2.Beat
    ready: LaneReady
    def __init__(self, joined: _Optional[_Union[WorkerJoined, _Mapping]] = ..., report: _Optional[_Union[BatchReport, _Mapping]] = ..., beat: _Optional[_Union[_objects_pb2.Beat, _Mapping]] = ..., ready: _Optional[_Union[LaneReady, _Mapping]] = ...) -> None: ...

class WorkerJoined(_message.Message):
    __slots__ = ("worker", "node", "device", "lanes", "stages", "epoch", "loaded", "high_lanes", "low_lanes")
    WORKER_FIELD_NUMBER: _ClassVar[int]
    NODE_FIELD_NUMBER: _ClassVar[int]
    DEVICE_FIELD_NUMBER: _ClassVar[int]
    LANES_FIELD_NUMBER: _ClassVar[int]
    STAGES_FIELD_NUMBER: _ClassVar[int]
    EPOCH_FIELD_NUMBER: _ClassVar[int]
    LOADED_FIELD_NUMBER: _ClassVar[int]
    HIGH_LANES_FIELD_NUMBER: _ClassVar[int]
    LOW_LANES_FIELD_NUMBER: _ClassVar[int]
    worker: str
    node: str
    device: str
    lanes: int
    stages: _containers.RepeatedScalarFieldContainer[str]
    epoch: int
    loaded: _containers.RepeatedScalarFieldContainer[str]
    high_lanes: int
    low_lanes: int
    def __init__(self, worker: _Optional[str] = ..., node: _Optional[str] = ..., device: _Optional[str] = ..., lanes: _Optional[int] = ..., stages: _Optional[_Iterable[str]] = ..., epoch: _Optional[int] = ..., loaded: _Optional[_Iterable[str]] = ..., high_lanes: _Optional[int] = ..., low_lanes: _Optional[int] = ...) -> None: ...

class Field(_message.Message):
    __slots__ = ("name", "text", "number")
    NAME_FIELD_NUMBER: _ClassVar[int]
    TEXT_FIELD_NUMBER: _ClassVar[int]
    NUMBER_FIELD_NUMBER: _ClassVar[int]
    name: str
    text: str
    number: int
    def __init__(self, name: _Optional[str] = ..., text: _Optional[str] = ..., number: _Optional[int] = ...) -> None: ...

class PoolReads(_message.Message):
    __slots__ = ("pool", "reads")
    POOL_FIELD_NUMBER: _ClassVar[int]
    READS_FIELD_NUMBER: _ClassVar[int]
    pool: str
    reads: _containers.RepeatedCompositeFieldContainer[_objects_pb2.Read]
    def __init__(self, pool: _Optional[str] = ..., reads: _Optional[_Iterable[_Union[_objects_pb2.Read, _Mapping]]] = ...) -> None: ...

class Task(_message.Message):
    __slots__ = ("number", "identity", "event_id", "trigger", "members", "needs", "fields", "budget_us", "incomplete", "traceparent", "record")
    NUMBER_FIELD_NUMBER: _ClassVar[int]
    IDENTITY_FIELD_NUMBER: _ClassVar[int]
    EVENT_ID_FIELD_NUMBER: _ClassVar[int]
    TRIGGER_FIELD_NUMBER: _ClassVar[int]
    MEMBERS_FIELD_NUMBER: _ClassVar[int]
    NEEDS_FIELD_NUMBER: _ClassVar[int]
    FIELDS_FIELD_NUMBER: _ClassVar[int]
    BUDGET_US_FIELD_NUMBER: _ClassVar[int]
    INCOMPLETE_FIELD_NUMBER: _ClassVar[int]
    TRACEPARENT_FIELD_NUMBER: _ClassVar[int]
    RECORD_FIELD_NUMBER: _ClassVar[int]
    number: int
    identity: bytes
    event_id: str
    trigger: _objects_pb2.ObjectValue
    members: _containers.RepeatedCompositeFieldContainer[_objects_pb2.Read]
    needs: _containers.RepeatedCompositeFieldContainer[PoolReads]
    fields: _containers.RepeatedCompositeFieldContainer[Field]
    budget_us: int
    incomplete: bool
    traceparent: str
    record: bool
    def __init__(self, number: _Optional[int] = ..., identity: _Optional[bytes] = ..., event_id: _Optional[str] = ..., trigger: _Optional[_Union[_objects_pb2.ObjectValue, _Mapping]] = ..., members: _Optional[_Iterable[_Union[_objects_pb2.Read, _Mapping]]] = ..., needs: _Optional[_Iterable[_Union[PoolReads, _Mapping]]] = ..., fields: _Optional[_Iterable[_Union[Field, _Mapping]]] = ..., budget_us: _Optional[int] = ..., incomplete: _Optional[bool] = ..., traceparent: _Optional[str] = ..., record: _Optional[bool] = ...) -> None: ...

class RunBatch(_message.Message):
    __slots__ = ("number", "epoch", "scope", "declaration", "stage", "priority", "tasks")
    NUMBER_FIELD_NUMBER: _ClassVar[int]
    EPOCH_FIELD_NUMBER: _ClassVar[int]
    SCOPE_FIELD_NUMBER: _ClassVar[int]
    DECLARATION_FIELD_NUMBER: _ClassVar[int]
    STAGE_FIELD_NUMBER: _ClassVar[int]
    PRIORITY_FIELD_NUMBER: _ClassVar[int]
    TASKS_FIELD_NUMBER: _ClassVar[int]
    number: int
    epoch: int
    scope: _objects_pb2.Scope
    declaration: str
    stage: str
    priority: _objects_pb2.Priority
    tasks: _containers.RepeatedCompositeFieldContainer[Task]
    def __init__(self, number: _Optional[int] = ..., epoch: _Optional[int] = ..., scope: _Optional[_Union[_objects_pb2.Scope, _Mapping]] = ..., declaration: _Optional[str] = ..., stage: _Optional[str] = ..., priority: _Optional[_Union[_objects_pb2.Priority, str]] = ..., tasks: _Optional[_Iterable[_Union[Task, _Mapping]]] = ...) -> None: ...

class CancelTasks(_message.Message):
    __slots__ = ("epoch", "tasks")
    EPOCH_FIELD_NUMBER: _ClassVar[int]
    TASKS_FIELD_NUMBER: _ClassVar[int]
    epoch: int
    tasks: _containers.RepeatedScalarFieldContainer[int]
    def __init__(self, epoch: _Optional[int] = ..., tasks: _Optional[_Iterable[int]] = ...) -> None: ...

class AssignLane(_message.Message):
    __slots__ = ("epoch", "lane", "stage")
    EPOCH_FIELD_NUMBER: _ClassVar[int]
    LANE_FIELD_NUMBER: _ClassVar[int]
    STAGE_FIELD_NUMBER: _ClassVar[int]
    epoch: int
    lane: int
    stage: str
    def __init__(self, epoch: _Optional[int] = ..., lane: _Optional[int] = ..., stage: _Optional[str] = ...) -> None: ...

class LaneReady(_message.Message):
    __slots__ = ("epoch", "lane", "stage")
    EPOCH_FIELD_NUMBER: _ClassVar[int]
    LANE_FIELD_NUMBER: _ClassVar[int]
    STAGE_FIELD_NUMBER: _ClassVar[int]
    epoch: int
    lane: int
    stage: str
    def __init__(self, epoch: _Optional[int] = ..., lane: _Optional[int] = ..., stage: _Optional[str] = ...) -> None: ...

class Prefetch(_message.Message):
    __slots__ = ("epoch", "scope", "event_id", "budget_us", "reads")
    EPOCH_FIELD_NUMBER: _ClassVar[int]
    SCOPE_FIELD_NUMBER: _ClassVar[int]
    EVENT_ID_FIELD_NUMBER: _ClassVar[int]
    BUDGET_US_FIELD_NUMBER: _ClassVar[int]
    READS_FIELD_NUMBER: _ClassVar[int]
    epoch: int
    scope: _objects_pb2.Scope
    event_id: str
    budget_us: int
    reads: _containers.RepeatedCompositeFieldContainer[_objects_pb2.Read]
    def __init__(self, epoch: _Optional[int] = ..., scope: _Optional[_Union[_objects_pb2.Scope, _Mapping]] = ..., event_id: _Optional[str] = ..., budget_us: _Optional[int] = ..., reads: _Optional[_Iterable[_Union[_objects_pb2.Read, _Mapping]]] = ...) -> None: ...

class Emission(_message.Message):
    __slots__ = ("index", "value")
    INDEX_FIELD_NUMBER: _ClassVar[int]
    VALUE_FIELD_NUMBER: _ClassVar[int]
    index: int
    value: _objects_pb2.ObjectValue
    def __init__(self, index: _Optional[int] = ..., value: _Optional[_Union[_objects_pb2.ObjectValue, _Mapping]] = ...) -> None: ...

class TaskReport(_message.Message):
    __slots__ = ("number", "verdict", "emissions", "incomplete", "remote_gets", "bytes_moved", "read")
    NUMBER_FIELD_NUMBER: _ClassVar[int]
    VERDICT_FIELD_NUMBER: _ClassVar[int]
    EMISSIONS_FIELD_NUMBER: _ClassVar[int]
    INCOMPLETE_FIELD_NUMBER: _ClassVar[int]
    REMOTE_GETS_FIELD_NUMBER: _ClassVar[int]
    BYTES_MOVED_FIELD_NUMBER: _ClassVar[int]
    READ_FIELD_NUMBER: _ClassVar[int]
    number: int
    verdict: _objects_pb2.Verdict
    emissions: _containers.RepeatedCompositeFieldContainer[Emission]
    incomplete: bool
    remote_gets: int
    bytes_moved: int
    read: _containers.RepeatedCompositeFieldContainer[_objects_pb2.ObjectName]
    def __init__(self, number: _Optional[int] = ..., verdict: _Optional[_Union[_objects_pb2.Verdict, _Mapping]] = ..., emissions: _Optional[_Iterable[_Union[Emission, _Mapping]]] = ..., incomplete: _Optional[bool] = ..., remote_gets: _Optional[int] = ..., bytes_moved: _Optional[int] = ..., read: _Optional[_Iterable[_Union[_objects_pb2.ObjectName, _Mapping]]] = ...) -> None: ...

class BatchReport(_message.Message):
    __slots__ = ("number", "epoch", "tasks", "fetch_s", "wait_s", "compute_s", "store_s")
    NUMBER_FIELD_NUMBER: _ClassVar[int]
    EPOCH_FIELD_NUMBER: _ClassVar[int]
    TASKS_FIELD_NUMBER: _ClassVar[int]
    FETCH_S_FIELD_NUMBER: _ClassVar[int]
    WAIT_S_FIELD_NUMBER: _ClassVar[int]
    COMPUTE_S_FIELD_NUMBER: _ClassVar[int]
    STORE_S_FIELD_NUMBER: _ClassVar[int]
    number: int
    epoch: int
    tasks: _containers.RepeatedCompositeFieldContainer[TaskReport]
    fetch_s: float
    wait_s: float
    compute_s: float
    store_s: float
    def __init__(self, number: _Optional[int] = ..., epoch: _Optional[int] = ..., tasks: _Optional[_Iterable[_Union[TaskReport, _Mapping]]] = ..., fetch_s: _Optional[float] = ..., wait_s: _Optional[float] = ..., compute_s: _Optional[float] = ..., store_s: _Optional[float] = ...) -> None: ...
