from google.protobuf.internal import containers as _containers
from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class Status(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    STATUS_UNSPECIFIED: _ClassVar[Status]
    STATUS_CANCELLED: _ClassVar[Status]
    STATUS_INVALID_ARGUMENT: _ClassVar[Status]
    STATUS_DEADLINE_EXCEEDED: _ClassVar[Status]
    STATUS_NOT_FOUND: _ClassVar[Status]
    STATUS_ALREADY_EXISTS: _ClassVar[Status]
    STATUS_PERMISSION_DENIED: _ClassVar[Status]
    STATUS_RESOURCE_EXHAUSTED: _ClassVar[Status]
    STATUS_FAILED_PRECONDITION: _ClassVar[Status]
    STATUS_ABORTED: _ClassVar[Status]
    STATUS_INTERNAL: _ClassVar[Status]
    STATUS_UNAVAILABLE: _ClassVar[Status]
    STATUS_UNAUTHENTICATED: _ClassVar[Status]

class Priority(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    PRIORITY_UNSPECIFIED: _ClassVar[Priority]
    PRIORITY_HIGH: _ClassVar[Priority]
    PRIORITY_LOW: _ClassVar[Priority]
STATUS_UNSPECIFIED: Status
STATUS_CANCELLED: Status
STATUS_INVALID_ARGUMENT: Status
STATUS_DEADLINE_EXCEEDED: Status
STATUS_NOT_FOUND: Status
STATUS_ALREADY_EXISTS: Status
STATUS_PERMISSION_DENIED: Status
STATUS_RESOURCE_EXHAUSTED: Status
STATUS_FAILED_PRECONDITION: Status
STATUS_ABORTED: Status
STATUS_INTERNAL: Status
STATUS_UNAVAILABLE: Status
STATUS_UNAUTHENTICATED: Status
PRIORITY_UNSPECIFIED: Priority
PRIORITY_HIGH: Priority
PRIORITY_LOW: Priority

class Scope(_message.Message):
    __slots__ = ("tenant", "pipeline")
    TENANT_FIELD_NUMBER: _ClassVar[int]
    PIPELINE_FIELD_NUMBER: _ClassVar[int]
    tenant: str
    pipeline: str
    def __init__(self, tenant: _Optional[str] = ..., pipeline: _Optional[str] = ...) -> None: ...

class Verdict(_message.Message):
    __slots__ = ("status", "reason", "message")
    STATUS_FIELD_NUMBER: _ClassVar[int]
    REASON_FIELD_NUMBER: _ClassVar[int]
    MESSAGE_FIELD_NUMBER: _ClassVar[int]
    status: Status
    reason: str
    message: str
    def __init__(self, status: _Optional[_Union[Status, str]] = ..., reason: _Optional[str] = ..., message: _Optional[str] = ...) -> None: ...

class ObjectRef(_message.Message):
    __slots__ = ("pool", "key", "group", "version", "size")
    POOL_FIELD_NUMBER: _ClassVar[int]
    KEY_FIELD_NUMBER: _ClassVar[int]
    GROUP_FIELD_NUMBER: _ClassVar[int]
    VERSION_FIELD_NUMBER: _ClassVar[int]
    SIZE_FIELD_NUMBER: _ClassVar[int]
    pool: str
    key: str
    group: str
    version: int
    size: int
    def __init__(self, pool: _Optional[str] = ..., key: _Optional[str] = ..., group: _Optional[str] = ..., version: _Optional[int] = ..., size: _Optional[int] = ...) -> None: ...

class ObjectValue(_message.Message):
    __slots__ = ("ref", "payload")
    REF_FIELD_NUMBER: _ClassVar[int]
    PAYLOAD_FIELD_NUMBER: _ClassVar[int]
    ref: ObjectRef
    payload: bytes
    def __init__(self, ref: _Optional[_Union[ObjectRef, _Mapping]] = ..., payload: _Optional[bytes] = ...) -> None: ...

class StageTime(_message.Message):
    __slots__ = ("stage", "tasks", "queue_s", "fetch_s", "wait_s", "compute_s", "store_s", "batch_size_sum")
    STAGE_FIELD_NUMBER: _ClassVar[int]
    TASKS_FIELD_NUMBER: _ClassVar[int]
    QUEUE_S_FIELD_NUMBER: _ClassVar[int]
    FETCH_S_FIELD_NUMBER: _ClassVar[int]
    WAIT_S_FIELD_NUMBER: _ClassVar[int]
    COMPUTE_S_FIELD_NUMBER: _ClassVar[int]
    STORE_S_FIELD_NUMBER: _ClassVar[int]
    BATCH_SIZE_SUM_FIELD_NUMBER: _ClassVar[int]
    stage: str
    tasks: int
    queue_s: float
    fetch_s: float
    wait_s: float
    compute_s: float
    store_s: float
    batch_size_sum: int
    def __init__(self, stage: _Optional[str] = ..., tasks: _Optional[int] = ..., queue_s: _Optional[float] = ..., fetch_s: _Optional[float] = ..., wait_s: _Optional[float] = ..., compute_s: _Optional[float] = ..., store_s: _Optional[float] = ..., batch_size_sum: _Optional[int] = ...) -> None: ...

class Outcome(_message.Message):
    __slots__ = ("scope", "event_id", "verdict", "results", "incomplete", "stages", "remote_gets", "bytes_moved", "elapsed_s", "retry_after_s")
    SCOPE_FIELD_NUMBER: _ClassVar[int]
    EVENT_ID_FIELD_NUMBER: _ClassVar[int]
    VERDICT_FIELD_NUMBER: _ClassVar[int]
    RESULTS_FIELD_NUMBER: _ClassVar[int]
    INCOMPLETE_FIELD_NUMBER: _ClassVar[int]
    STAGES_FIELD_NUMBER: _ClassVar[int]
    REMOTE_GETS_FIELD_NUMBER: _ClassVar[int]
    BYTES_MOVED_FIELD_NUMBER: _ClassVar[int]
    ELAPSED_S_FIELD_NUMBER: _ClassVar[int]
    RETRY_AFTER_S_FIELD_NUMBER: _ClassVar[int]
    scope: Scope
    event_id: str
    verdict: Verdict
    results: _containers.RepeatedCompositeFieldContainer[ObjectValue]
    incomplete: bool
    stages: _containers.RepeatedCompositeFieldContainer[StageTime]
    remote_gets: int
    bytes_moved: int
    elapsed_s: float
    retry_after_s: float
    def __init__(self, scope: _Optional[_Union[Scope, _Mapping]] = ..., event_id: _Optional[str] = ..., verdict: _Optional[_Union[Verdict, _Mapping]] = ..., results: _Optional[_Iterable[_Union[ObjectValue, _Mapping]]] = ..., incomplete: _Optional[bool] = ..., stages: _Optional[_Iterable[_Union[StageTime, _Mapping]]] = ..., remote_gets: _Optional[int] = ..., bytes_moved: _Optional[int] = ..., elapsed_s: _Optional[float] = ..., retry_after_s: _Optional[float] = ...) -> None: ...

class LastRead(_message.Message):
    __slots__ = ("pool", "series", "count", "as_of", "exclusive", "nodes", "awaits")
    POOL_FIELD_NUMBER: _ClassVar[int]
    SERIES_FIELD_NUMBER: _ClassVar[int]
    COUNT_FIELD_NUMBER: _ClassVar[int]
    AS_OF_FIELD_NUMBER: _ClassVar[int]
    EXCLUSIVE_FIELD_NUMBER: _ClassVar[int]
    NODES_FIELD_NUMBER: _ClassVar[int]
    AWAITS_FIELD_NUMBER: _ClassVar[int]
    pool: str
    series: str
    count: int
    as_of: int
    exclusive: bool
    nodes: _containers.RepeatedScalarFieldContainer[str]
    awaits: str
    def __init__(self, pool: _Optional[str] = ..., series: _Optional[str] = ..., count: _Optional[int] = ..., as_of: _Optional[int] = ..., exclusive: _Optional[bool] = ..., nodes: _Optional[_Iterable[str]] = ..., awaits: _Optional[str] = ...) -> None: ...

class KeyRead(_message.Message):
    __slots__ = ("pool", "key", "group", "version", "node", "required", "age_us", "before")
    POOL_FIELD_NUMBER: _ClassVar[int]
    KEY_FIELD_NUMBER: _ClassVar[int]
    GROUP_FIELD_NUMBER: _ClassVar[int]
    VERSION_FIELD_NUMBER: _ClassVar[int]
    NODE_FIELD_NUMBER: _ClassVar[int]
    REQUIRED_FIELD_NUMBER: _ClassVar[int]
    AGE_US_FIELD_NUMBER: _ClassVar[int]
    BEFORE_FIELD_NUMBER: _ClassVar[int]
    pool: str
    key: str
    group: str
    version: int
    node: str
    required: bool
    age_us: int
    before: bytes
    def __init__(self, pool: _Optional[str] = ..., key: _Optional[str] = ..., group: _Optional[str] = ..., version: _Optional[int] = ..., node: _Optional[str] = ..., required: _Optional[bool] = ..., age_us: _Optional[int] = ..., before: _Optional[bytes] = ...) -> None: ...

class ScanRead(_message.Message):
    __slots__ = ("pool", "prefix", "group", "limit", "nodes")
    POOL_FIELD_NUMBER: _ClassVar[int]
    PREFIX_FIELD_NUMBER: _ClassVar[int]
    GROUP_FIELD_NUMBER: _ClassVar[int]
    LIMIT_FIELD_NUMBER: _ClassVar[int]
    NODES_FIELD_NUMBER: _ClassVar[int]
    pool: str
    prefix: str
    group: str
    limit: int
    nodes: _containers.RepeatedScalarFieldContainer[str]
    def __init__(self, pool: _Optional[str] = ..., prefix: _Optional[str] = ..., group: _Optional[str] = ..., limit: _Optional[int] = ..., nodes: _Optional[_Iterable[str]] = ...) -> None: ...

class Read(_message.Message):
    __slots__ = ("last", "key", "scan")
    LAST_FIELD_NUMBER: _ClassVar[int]
    KEY_FIELD_NUMBER: _ClassVar[int]
    SCAN_FIELD_NUMBER: _ClassVar[int]
    last: LastRead
    key: KeyRead
    scan: ScanRead
    def __init__(self, last: _Optional[_Union[LastRead, _Mapping]] = ..., key: _Optional[_Union[KeyRead, _Mapping]] = ..., scan: _Optional[_Union[ScanRead, _Mapping]] = ...) -> None: ...

class Answer(_message.Message):
    __slots__ = ("objects", "incomplete", "verdict", "epoch")
    OBJECTS_FIELD_NUMBER: _ClassVar[int]
    INCOMPLETE_FIELD_NUMBER: _ClassVar[int]
    VERDICT_FIELD_NUMBER: _ClassVar[int]
    EPOCH_FIELD_NUMBER: _ClassVar[int]
    objects: _containers.RepeatedCompositeFieldContainer[ObjectValue]
    incomplete: bool
    verdict: Verdict
    epoch: int
    def __init__(self, objects: _Optional[_Iterable[_Union[ObjectValue, _Mapping]]] = ..., incomplete: _Optional[bool] = ..., verdict: _Optional[_Union[Verdict, _Mapping]] = ..., epoch: _Optional[int] = ...) -> None: ...

class Node(_message.Message):
    __slots__ = ("id", "address", "joined")
    ID_FIELD_NUMBER: _ClassVar[int]
    ADDRESS_FIELD_NUMBER: _ClassVar[int]
    JOINED_FIELD_NUMBER: _ClassVar[int]
    id: str
    address: str
    joined: int
    def __init__(self, id: _Optional[str] = ..., address: _Optional[str] = ..., joined: _Optional[int] = ...) -> None: ...

class PlacementException(_message.Message):
    __slots__ = ("scope", "group", "node")
    SCOPE_FIELD_NUMBER: _ClassVar[int]
    GROUP_FIELD_NUMBER: _ClassVar[int]
    NODE_FIELD_NUMBER: _ClassVar[int]
    scope: Scope
    group: str
    node: str
    def __init__(self, scope: _Optional[_Union[Scope, _Mapping]] = ..., group: _Optional[str] = ..., node: _Optional[str] = ...) -> None: ...

class PlacementReplicas(_message.Message):
    __slots__ = ("scope", "group", "nodes")
    SCOPE_FIELD_NUMBER: _ClassVar[int]
    GROUP_FIELD_NUMBER: _ClassVar[int]
    NODES_FIELD_NUMBER: _ClassVar[int]
    scope: Scope
    group: str
    nodes: _containers.RepeatedScalarFieldContainer[str]
    def __init__(self, scope: _Optional[_Union[Scope, _Mapping]] = ..., group: _Optional[str] = ..., nodes: _Optional[_Iterable[str]] = ...) -> None: ...

class GroupName(_message.Message):
    __slots__ = ("scope", "group")
    SCOPE_FIELD_NUMBER: _ClassVar[int]
    GROUP_FIELD_NUMBER: _ClassVar[int]
    scope: Scope
    group: str
    def __init__(self, scope: _Optional[_Union[Scope, _Mapping]] = ..., group: _Optional[str] = ...) -> None: ...

class ObjectName(_message.Message):
    __slots__ = ("pool", "key")
    POOL_FIELD_NUMBER: _ClassVar[int]
    KEY_FIELD_NUMBER: _ClassVar[int]
    pool: str
    key: str
    def __init__(self, pool: _Optional[str] = ..., key: _Optional[str] = ...) -> None: ...

class Placement(_message.Message):
    __slots__ = ("epoch", "nodes", "exceptions", "together", "replicas", "copies")
    EPOCH_FIELD_NUMBER: _ClassVar[int]
    NODES_FIELD_NUMBER: _ClassVar[int]
    EXCEPTIONS_FIELD_NUMBER: _ClassVar[int]
    TOGETHER_FIELD_NUMBER: _ClassVar[int]
    REPLICAS_FIELD_NUMBER: _ClassVar[int]
    COPIES_FIELD_NUMBER: _ClassVar[int]
    epoch: int
    nodes: _containers.RepeatedCompositeFieldContainer[Node]
    exceptions: _containers.RepeatedCompositeFieldContainer[PlacementException]
    together: _containers.RepeatedCompositeFieldContainer[Scope]
    replicas: _containers.RepeatedCompositeFieldContainer[PlacementReplicas]
    copies: int
    def __init__(self, epoch: _Optional[int] = ..., nodes: _Optional[_Iterable[_Union[Node, _Mapping]]] = ..., exceptions: _Optional[_Iterable[_Union[PlacementException, _Mapping]]] = ..., together: _Optional[_Iterable[_Union[Scope, _Mapping]]] = ..., replicas: _Optional[_Iterable[_Union[PlacementReplicas, _Mapping]]] = ..., copies: _Optional[int] = ...) -> None: ...

class View(_message.Message):
    __slots__ = ("epoch", "number", "placement", "declarations", "unserved")
    EPOCH_FIELD_NUMBER: _ClassVar[int]
    NUMBER_FIELD_NUMBER: _ClassVar[int]
    PLACEMENT_FIELD_NUMBER: _ClassVar[int]
    DECLARATIONS_FIELD_NUMBER: _ClassVar[int]
    UNSERVED_FIELD_NUMBER: _ClassVar[int]
    epoch: int
    number: int
    placement: Placement
    declarations: _containers.RepeatedCompositeFieldContainer[TenantDeclaration]
    unserved: _containers.RepeatedCompositeFieldContainer[StageName]
    def __init__(self, epoch: _Optional[int] = ..., number: _Optional[int] = ..., placement: _Optional[_Union[Placement, _Mapping]] = ..., declarations: _Optional[_Iterable[_Union[TenantDeclaration, _Mapping]]] = ..., unserved: _Optional[_Iterable[_Union[StageName, _Mapping]]] = ...) -> None: ...

class StageName(_message.Message):
    __slots__ = ("pipeline", "stage")
    PIPELINE_FIELD_NUMBER: _ClassVar[int]
    STAGE_FIELD_NUMBER: _ClassVar[int]
    pipeline: str
    stage: str
    def __init__(self, pipeline: _Optional[str] = ..., stage: _Optional[str] = ...) -> None: ...

class TenantDeclaration(_message.Message):
    __slots__ = ("tenant", "declaration")
    TENANT_FIELD_NUMBER: _ClassVar[int]
    DECLARATION_FIELD_NUMBER: _ClassVar[int]
    tenant: str
    declaration: bytes
    def __init__(self, tenant: _Optional[str] = ..., declaration: _Optional[bytes] = ...) -> None: ...

class Beat(_message.Message):
    __slots__ = ("queued", "oldest_s", "finished", "view", "settled")
    QUEUED_FIELD_NUMBER: _ClassVar[int]
    OLDEST_S_FIELD_NUMBER: _ClassVar[int]
    FINISHED_FIELD_NUMBER: _ClassVar[int]
    VIEW_FIELD_NUMBER: _ClassVar[int]
    SETTLED_FIELD_NUMBER: _ClassVar[int]
    queued: int
    oldest_s: float
    finished: int
    view: int
    settled: int
    def __init__(self, queued: _Optional[int] = ..., oldest_s: _Optional[float] = ..., finished: _Optional[int] = ..., view: _Optional[int] = ..., settled: _Optional[int] = ...) -> None: ...

class LeaderJoined(_message.Message):
    __slots__ = ("epoch", "scheduler")
    EPOCH_FIELD_NUMBER: _ClassVar[int]
    SCHEDULER_FIELD_NUMBER: _ClassVar[int]
    epoch: int
    scheduler: str
    def __init__(self, epoch: _Optional[int] = ..., scheduler: _Optional[str] = ...) -> None: ...
