"""Removes what orders the CUDA engine's work, one line at a time, and asks whether its tests notice.

    python -m tests.mutations [--jobs N]

A mutant is the engine without one statement that is there for its effect alone (a wait, a record, a notice, a copy, a
clearing, a raise), without one `with` around what it holds, or with a buffer handed back at once instead of after its
copy. All are found by reading the source, so that a line that is added is asked about, too. What orders nothing is
named in `ELSEWHERE`, with the reason. Prints a line per mutant: what was removed, and the first test that fails of it;
the last line counts them. Exit status 1 if one survives, or if the tests fail although nothing is removed.
"""

from __future__ import annotations

import argparse
import ast
import importlib
import importlib.util
import os
import select
import signal
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from types import ModuleType
from typing import NamedTuple

import pytest

ENGINE = "covey.services.worker.engine"
MODULES = ("staging", "device_objects", "graphs", "cuda")
TESTS = [f"tests/core/test_cuda_{name}.py" for name in ("staging", "graphs", "objects", "engine")]
ELSEWHERE = {
    "thread.close()": "ends a thread",
    "log.warning(": "tells people",
}
"""Statements that order nothing on the device."""

MUTANT_S = 120
"""How long the tests of one mutant may take; one that hangs has been noticed."""


class Mutant(NamedTuple):
    """A module without what stands on `line`."""

    module: str
    line: int
    removed: str
    source: str


class Verdict(NamedTuple):
    """What became of a mutant: the first test that failed, empty if none did."""

    mutant: Mutant
    failed: str


def mutants() -> Iterator[Mutant]:
    """Every mutant, module by module in the order of lines."""
    for module in MODULES:
        path = Path(f"services/worker/engine/{module}.py")
        text = path.read_text()
        count = len(list(_sites(ast.parse(text))))
        for number in range(count):
            tree = ast.parse(text)
            site = list(_sites(tree))[number]
            line, removed = site.line, site.removed
            site.remove()
            if not any(removed.startswith(start) for start in ELSEWHERE):
                yield Mutant(module, line, removed, ast.unparse(tree))


class Site(NamedTuple):
    """A place in a tree where something can be removed: a statement, an item of a `with`, or an argument."""

    body: list[ast.stmt]
    at: int
    part: int | None

    @property
    def _statement(self) -> ast.stmt:
        return self.body[self.at]

    @property
    def line(self) -> int:
        return self._statement.lineno

    @property
    def removed(self) -> str:
        statement = self._statement
        if isinstance(statement, ast.With) and self.part is not None:
            return f"with {ast.unparse(statement.items[self.part])}"
        if self.part is not None:
            return f"{ast.unparse(statement)}  [the event]"
        return ast.unparse(statement)

    def remove(self) -> None:
        statement = self._statement
        if isinstance(statement, ast.With) and self.part is not None:
            del statement.items[self.part]
            if not statement.items:
                self.body[self.at : self.at + 1] = statement.body
        elif self.part is not None:
            assert isinstance(statement, ast.Expr)
            assert isinstance(statement.value, ast.Call)
            statement.value.args[self.part] = ast.copy_location(ast.Constant(None), statement)
        else:
            self.body[self.at] = ast.copy_location(ast.Pass(), statement)
        ast.fix_missing_locations(statement)


def _sites(tree: ast.Module) -> Iterator[Site]:
    for node in ast.walk(tree):
        for name in ("body", "orelse", "finalbody"):
            body = getattr(node, name, None)
            if not isinstance(node, ast.Module) and isinstance(body, list):
                in_constructor = isinstance(node, ast.FunctionDef) and node.name == "__init__"
                yield from [] if in_constructor else _sites_in(body)


def _sites_in(body: list[ast.stmt]) -> Iterator[Site]:
    for index, statement in enumerate(body):
        match statement:
            case ast.With():
                yield from [Site(body, index, part) for part in range(len(statement.items))]
            case ast.Expr(value=ast.Call(func=ast.Attribute(attr="give_back"), args=[_, ast.Name()])):
                yield from (Site(body, index, None), Site(body, index, 1))
            case ast.Expr(value=ast.Call()) | ast.AugAssign() | ast.Raise() | ast.Delete():
                yield Site(body, index, None)
            case ast.Assign(targets=[ast.Attribute() | ast.Subscript()]):
                yield Site(body, index, None)


def judge(mutant: Mutant) -> None:
    """In a child process: run the tests against the mutant, and write the first that fails to standard output."""
    for name in [name for name in sys.modules if name.startswith((ENGINE, "tests."))]:
        del sys.modules[name]
    package = importlib.import_module(ENGINE)
    name = f"{ENGINE}.{mutant.module}"
    spec = importlib.util.spec_from_loader(name, loader=None)
    assert spec is not None
    module = ModuleType(name)
    module.__spec__ = spec
    sys.modules[name] = module
    setattr(package, mutant.module, module)
    exec(compile(mutant.source, f"<{mutant.module}>", "exec"), module.__dict__)
    noted = Noted()
    with open(os.devnull, "w") as nowhere:
        out, sys.stdout, sys.stderr = sys.stdout, nowhere, nowhere
        options = ["-x", "-q", "--assert=plain", "-p", "no:cacheprovider", "-p", "no:xdist", "-o", "timeout=20"]
        code = pytest.main([*options, *TESTS], plugins=[noted])
        sys.stdout = out
    sys.stdout.write(noted.failed or ("" if code == 0 else f"exit status {int(code)}"))
    sys.stdout.flush()


class Noted:
    """Notes the first test that fails."""

    failed = ""

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        if report.failed and not self.failed:
            self.failed = report.nodeid.rpartition("/")[2]


def verdicts(wanted: Sequence[Mutant], jobs: int) -> Iterator[Verdict]:
    """Fork a child for each, `jobs` at a time."""
    waiting, running = list(wanted), dict[int, tuple[Mutant, int, float]]()
    while waiting or running:
        while waiting and len(running) < jobs:
            mutant = waiting.pop(0)
            read, write = os.pipe()
            child = os.fork()
            if child == 0:
                os.dup2(write, 1)
                with suppress(BaseException):
                    judge(mutant)
                os._exit(0)
            os.close(write)
            running[read] = (mutant, child, time.monotonic())
        ready, _, _ = select.select(list(running), [], [], 1.0)
        for read, (mutant, child, began) in list(running.items()):
            late = time.monotonic() - began > MUTANT_S
            if read in ready or late:
                if late:
                    os.kill(child, signal.SIGKILL)
                with os.fdopen(read) as file:
                    said = file.read()
                _, status = os.waitpid(child, 0)
                del running[read]
                yield Verdict(mutant, said or ("hangs" if late else "ends the process" if status else ""))


def main() -> int:
    """Judge all."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1, help="how many at a time")
    parser.add_argument("--only", default="", help="mutants whose line has this in it")
    options = parser.parse_args()
    for module in MODULES:
        importlib.import_module(f"{ENGINE}.{module}")
    importlib.import_module("tests.builders_cuda")
    (control,) = verdicts([Mutant("staging", 0, "nothing", Path("services/worker/engine/staging.py").read_text())], 1)
    if control.failed:
        print(f"the tests fail as it is: {control.failed}")
        return 1
    found = []
    wanted = [each for each in mutants() if options.only in f"{each.module}.py:{each.line} {each.removed}"]
    for verdict in verdicts(wanted, options.jobs):
        found.append(verdict)
        (module, line, removed, _), failed = verdict
        print(f"{module}.py:{line:<4} {removed:72} {failed or 'SURVIVES'}", flush=True)
    survivors = sum([not verdict.failed for verdict in found])
    print(f"{len(found)} mutants, {survivors} survive")
    return 1 if survivors else 0


if __name__ == "__main__":
    sys.exit(main())
