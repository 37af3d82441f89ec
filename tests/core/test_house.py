"""The rules of the house that no linter knows: sizes, names of files, and what every test must say."""

import ast
import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from covey.settings import environment_with

ROOT = Path(__file__).parents[2]
FUNCTION_LINES_MAX = 70
FILE_LINES_MAX = 400
DRAWERS = {"base.py", "common.py", "helpers.py", "manager.py", "utils.py"}
SEAMS = {"services/worker/engine/base.py", "services/datastore/storage/base.py"}

Function = ast.FunctionDef | ast.AsyncFunctionDef


def python_files(*folders: str) -> list[str]:
    """Our own files below these folders, as paths from the root; links and generated code left out."""
    files = (path for folder in folders for path in sorted((ROOT / folder).rglob("*.py")))
    names = [path.relative_to(ROOT).as_posix() for path in files]
    return [name for name in names if not name.startswith(("covey/v1/", "covey/services/", "covey/simulator/"))]


def functions(name: str) -> Iterator[Function]:
    for node in ast.walk(ast.parse((ROOT / name).read_text())):
        if isinstance(node, Function):
            yield node


LIBRARY = python_files("covey", "services", "simulator")


@pytest.mark.parametrize("name", LIBRARY)
def test_files_and_functions_are_short(name: str) -> None:
    """A file fits in one sitting and a function on one screen."""
    lines = len((ROOT / name).read_text().splitlines())
    assert lines <= FILE_LINES_MAX, f"{name} has {lines} lines"
    for function in functions(name):
        length = (function.end_lineno or function.lineno) - function.lineno + 1
        assert length <= FUNCTION_LINES_MAX, f"{name}:{function.lineno} {function.name} has {length} lines"


def test_no_file_is_a_drawer() -> None:
    """A file is named after what it knows; only the two seams are called base."""
    assert [name for name in LIBRARY if Path(name).name in DRAWERS and name not in SEAMS] == []


def test_every_test_says_what_is_true() -> None:
    """Every test has a docstring, a sentence that holds while the test passes."""
    silent = [
        f"{name}:{function.lineno} {function.name}"
        for name in python_files("tests")
        for function in functions(name)
        if function.name.startswith("test_") and not ast.get_docstring(function)
    ]
    assert silent == []


def test_what_only_simulates_needs_numpy_at_most() -> None:
    """Cores and simulator load nothing that is not built for every Python, so that a faster one can run them."""
    program = (
        "import json, sys, benchmarks.slo.__main__, benchmarks.priority.__main__, covey.simulator.mesh\n"
        "print(json.dumps([[name, str(getattr(each, '__file__', ''))] for name, each in sys.modules.items()]))"
    )
    environment = environment_with({"PYTHONPATH": str(ROOT)})
    ran = subprocess.run([sys.executable, "-c", program], check=True, timeout=60, env=environment, capture_output=True)
    installed = {name.partition(".")[0] for name, file in json.loads(ran.stdout) if "site-packages" in file}
    assert {name for name in installed if not name.startswith("_")} <= {"numpy"}
