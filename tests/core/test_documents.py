"""What the documents show is what there is."""

from __future__ import annotations

import re
from pathlib import Path

ROOT = Path(__file__).parents[2]


def code_blocks(document: str) -> list[str]:
    return re.findall(r"```python\n(.*?)```", (ROOT / document).read_text(), flags=re.DOTALL)


def test_the_readme_shows_the_quickstart_as_it_is() -> None:
    """A newcomer who copies the README's pipeline has examples/quickstart, without its docstring."""
    pipeline = (ROOT / "examples" / "quickstart" / "pipeline.py").read_text()
    assert re.sub(r'^"""(.*?)"""\n+', "", pipeline, flags=re.DOTALL) in code_blocks("README.md")
    assert len(pipeline.splitlines()) < 40


def test_the_readme_names_what_exists() -> None:
    """Every file that the README or ARCHITECTURE.md links to is there."""
    for document in ("README.md", "ARCHITECTURE.md", "CONTRIBUTING.md"):
        for target in re.findall(r"\]\((?!https?:)([^)#]+)\)", (ROOT / document).read_text()):
            assert (ROOT / target).exists(), f"{document} links to {target}"


def test_the_architecture_names_the_rooms_that_there_are() -> None:
    """Every file of the scheduler's core is in the table of questions, or is one of the four that every core has."""
    text = (ROOT / "ARCHITECTURE.md").read_text()
    common = {"__init__", "stimuli", "commands", "state", "machine", "step"}
    for file in sorted((ROOT / "services" / "scheduler" / "core").glob("*.py")):
        assert file.stem in common or f"`{file.name}`" in text, f"ARCHITECTURE.md does not say what {file.name} asks"
