"""What Covey is compared with: how it is asked, what it is installed from, and that nothing of it is left running."""

from __future__ import annotations

import signal
import subprocess
import sys
from pathlib import Path

import pytest

from benchmarks.peers import environments, keeper, v2


def test_a_head_and_contents_one_after_the_other_are_one_request() -> None:
    """Clients write what is the same in all requests once."""
    tensor = v2.ModelInferRequest.Tensor(name="payload", datatype="UINT8", shape=(1, 3))
    whole = v2.ModelInferRequest(model_name="identity", inputs=[tensor], raw_input_contents=[b"abc"])
    head = v2.ModelInferRequest(model_name="identity", inputs=[tensor]).SerializeToString()
    rest = v2.ModelInferRequest(raw_input_contents=[b"abc"]).SerializeToString()

    assert whole == v2.ModelInferRequest.FromString(head + rest)


@pytest.mark.parametrize("peer", environments.PEERS)
def test_everything_is_pinned(peer: str) -> None:
    """A peer's environment is the same whenever it is made, and so are figures."""
    _comment, *pins = (environments.REQUIREMENTS / f"{peer}.txt").read_text().splitlines()

    assert [pin for pin in pins if "==" not in pin] == []
    assert "torch==2.13.0" in pins
    assert (Path(environments.__file__).parent / f"{peer}_server.py").exists()


@pytest.mark.parametrize("told", [True, False])
def test_what_a_kept_program_has_started_ends_with_it(told: bool) -> None:
    """Also what has left its parent, whether the program ends by itself or the keeper is told to stop."""
    script = "(sleep 60 & echo $! $PWD); " + ("sleep 60" if told else "exit 3")
    command = [sys.executable, keeper.__file__, "5", "sh", "-c", script]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as kept:
        assert kept.stdout is not None
        orphan, folder = kept.stdout.readline().split()
        if told:
            kept.send_signal(signal.SIGTERM)
        code = kept.wait(10)

    assert code == (-signal.SIGTERM % 256 if told else 3)
    assert not Path(f"/proc/{orphan}").exists()
    assert not Path(folder).exists()
