"""`python -m benchmarks.peers [PEER ...]`: install what Covey is compared with, each peer in an environment of its own.

A peer that can't be installed is said to be missing, and why; only when none can, this fails.
"""

from __future__ import annotations

import argparse
import sys
import time

from benchmarks.peers import environments


def main() -> None:
    """Install the peers that are named, or all."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("peers", nargs="*", metavar="PEER", help=f"of {', '.join(environments.PEERS)}; default: all")
    peers = parser.parse_args().peers or environments.PEERS
    if unknown := set(peers) - set(environments.PEERS):
        parser.error(f"there is no peer {', '.join(sorted(unknown))}; there are {', '.join(environments.PEERS)}")
    there = 0
    for peer in peers:
        began = time.perf_counter()
        try:
            environments.install(peer)
        except OSError as error:
            print(f"{peer:10} missing: {error}", flush=True)
            continue
        there += 1
        seconds = time.perf_counter() - began
        print(f"{peer:10} installed ({environments.size_bytes(peer) / 1e6:,.0f} MB, {seconds:.0f} s)", flush=True)
    sys.exit(there == 0)


if __name__ == "__main__":
    main()
