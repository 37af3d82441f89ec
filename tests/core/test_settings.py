"""The environment becomes one frozen value, or an error that names the variable."""

from dataclasses import dataclass
from pathlib import Path

import pytest

from covey.errors import InvalidArgument
from covey.settings import otlp_is_configured, read_settings


@dataclass(frozen=True)
class Settings:
    node: str
    lease_s: float = 1.5
    lanes: int = 2
    strict: bool = False
    redis_url: str | None = None
    trace_to: Path | None = None
    stages: tuple[str, ...] = ()


def test_text_becomes_values() -> None:
    """Each variable is read as its field's type, and what is absent has its default."""
    found = read_settings(
        Settings,
        {
            "COVEY_NODE": "n1",
            "COVEY_LANES": "4",
            "COVEY_STRICT": "Yes",
            "COVEY_REDIS_URL": "",
            "COVEY_TRACE_TO": "/tmp/x",
            "COVEY_STAGES": "a, b",
            "COVEY_OTHER": "not ours",
        },
    )

    assert found == Settings("n1", 1.5, 4, True, None, Path("/tmp/x"), ("a", "b"))


def test_a_service_looks_first_at_what_is_meant_for_it_alone() -> None:
    """A variable with the service's name goes before the one that all services read, and is nothing to others."""
    environment = {"COVEY_NODE": "n1", "COVEY_LANES": "4", "COVEY_WORKER_LANES": "8", "COVEY_GATEWAY_NODE": "n2"}

    assert read_settings(Settings, environment, service="worker") == Settings("n1", lanes=8)
    assert read_settings(Settings, environment, service="gateway") == Settings("n2", lanes=4)
    assert read_settings(Settings, environment) == Settings("n1", lanes=4)


@pytest.mark.parametrize(
    ("environment", "named"),
    [
        ({}, "COVEY_NODE"),
        ({"COVEY_NODE": "n", "COVEY_LANES": "many"}, "COVEY_LANES='many' should be a whole number"),
        ({"COVEY_NODE": "n", "COVEY_STRICT": "perhaps"}, "COVEY_STRICT='perhaps' should be true or false"),
    ],
)
def test_a_mistake_names_its_variable(environment: dict[str, str], named: str) -> None:
    """Whoever set the variable learns which one, and what it should be."""
    with pytest.raises(InvalidArgument, match=named):
        read_settings(Settings, environment)


@pytest.mark.parametrize(
    ("environment", "expected"),
    [
        ({}, False),
        ({"OTEL_EXPORTER_OTLP_ENDPOINT": "http://c:4317"}, True),
        ({"OTEL_EXPORTER_OTLP_TRACES_ENDPOINT": "http://c:4317"}, True),
        ({"OTEL_EXPORTER_OTLP_METRICS_ENDPOINT": "http://c:4317"}, False),
        ({"OTEL_EXPORTER_OTLP_ENDPOINT": "http://c:4317", "OTEL_TRACES_EXPORTER": "none"}, False),
        ({"OTEL_EXPORTER_OTLP_ENDPOINT": "http://c:4317", "OTEL_SDK_DISABLED": "true"}, False),
    ],
)
def test_traces_are_exported_when_the_standard_variables_say_so(environment: dict[str, str], expected: bool) -> None:
    """OpenTelemetry's own variables decide, as in every other program."""
    assert otlp_is_configured("traces", environment) is expected
