"""Recomputes every value of the vector file that the Swift tests read too (docs/protocol/SMH1.md §12)."""

from __future__ import annotations

import json

import pytest

from conftest import ROOT
from vectors import Handshake, hexadecimal

VECTORS = ROOT / "Tests" / "MeshSessionTests" / "Vectors" / "smh1.json"


@pytest.fixture(scope="module")
def vectors():
    return json.loads(VECTORS.read_text())


@pytest.fixture(scope="module")
def handshake(vectors):
    return Handshake(dict(vectors["inputs"]))


def test_every_value(vectors, handshake):
    assert hexadecimal(handshake.values) == vectors["values"]


def test_every_datagram(vectors, handshake):
    assert {name: [d.hex() for d in ds] for name, ds in handshake.datagrams.items()} == vectors["datagrams"]
    assert all(len(d) <= 2 * 1_232 for ds in vectors["datagrams"].values() for d in ds)


def test_every_packet(vectors, handshake):
    for packet in vectors["packets"]:
        suite, counter = int(packet["suite"], 16), int(packet["counter"], 16)
        plaintext = bytes.fromhex(packet["plaintext"])
        datagram = handshake.packet(suite, packet["direction"], counter, plaintext)
        assert datagram.hex() == packet["datagram"]


def test_rekey(vectors, handshake):
    rekey = vectors["rekey"]
    for name, value in handshake.rekey(rekey).items():
        assert value.hex() == rekey[name], name


def test_a_changed_input_changes_the_values(vectors):
    """The comparison is no tautology: another initiator id gives another transcript, and bad signatures."""
    changed = dict(vectors["inputs"], initiator_id="00" * 8)
    with pytest.raises(AssertionError):
        Handshake(changed)
