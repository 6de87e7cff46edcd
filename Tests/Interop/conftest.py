"""Fixtures: where the Swift programs are, and peers that close their sockets."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[1]
sys.path.insert(0, str(HERE))

from shadowmesh_peer import keys  # noqa: E402
from shadowmesh_peer.responder import Responder  # noqa: E402
from shadowmesh_peer.udp import UDPPeer  # noqa: E402
from swift_peer import SwiftPeer  # noqa: E402


def swift_program(name: str) -> Path:
    """The built program: in the folder that SHADOWMESH_BIN names, else in .build/debug."""
    folder = Path(os.environ.get("SHADOWMESH_BIN", ROOT / ".build" / "debug"))
    program = folder / name
    if not program.is_file():
        pytest.fail(f"{name} is not in {folder}: run `swift build`, or set SHADOWMESH_BIN", pytrace=False)
    return program


@pytest.fixture
def peer() -> Iterator[Callable[..., UDPPeer]]:
    made: list[UDPPeer] = []

    def make(responder: Responder | None = None, identity: keys.Identity | None = None) -> UDPPeer:
        identity = identity or (responder.identity if responder else keys.Identity())
        made.append(UDPPeer(identity, responder))
        return made[-1]

    yield make
    for one in made:
        one.close()


@pytest.fixture
def swift() -> Iterator[Callable[..., SwiftPeer]]:
    started: list[SwiftPeer] = []

    def start(*arguments: str) -> SwiftPeer:
        started.append(SwiftPeer(swift_program("smh1-interop-peer"), *arguments))
        return started[-1]

    yield start
    assert [one.close() for one in started] == [0] * len(started)
