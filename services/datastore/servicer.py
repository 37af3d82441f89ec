"""What a datastore serves: puts, gets and watches, and the leader's stream, as links for the shell."""

from __future__ import annotations

from covey.clock import Clock
from covey.services.datastore.shell import Shell
from covey.wire.endpoints import datastore_servicer
from covey.wire.server import Service


def services(shell: Shell, clock: Clock) -> list[Service]:
    return [datastore_servicer(shell.serve_exchange, shell.serve_lead, clock)]
