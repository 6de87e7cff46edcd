"""Paths that lose chosen datagrams, and peers that lie in exactly one thing."""

from __future__ import annotations

import os
import random
from collections.abc import Iterable

from shadowmesh_peer import keys, wire
from shadowmesh_peer.initiator import Initiator
from shadowmesh_peer.responder import Responder


class LosesOnce:
    """Loses the first datagram of each (type, fragment index) given, and lets everything after it through."""

    def __init__(self, chosen: Iterable[tuple[int, int]]):
        self.left = set(chosen)

    def __call__(self, datagram: bytes) -> bool:
        key = (datagram[0], datagram[3]) if len(datagram) > 3 else (0, 0)
        if key in self.left:
            self.left.discard(key)
            return True
        return False


class LosesFirst:
    """Loses the first datagrams, as many as said."""

    def __init__(self, count: int):
        self.left = count

    def __call__(self, datagram: bytes) -> bool:
        self.left -= 1
        return self.left >= 0


class Hears:
    """Keeps what arrives, and loses it or lets it through."""

    def __init__(self, loses: bool):
        self.loses = loses
        self.datagrams: list[bytes] = []

    def __call__(self, datagram: bytes) -> bool:
        self.datagrams.append(datagram)
        return self.loses


class WrongContextInitiator(Initiator):
    def prove(self, th4: bytes) -> bytes:
        return self.identity.sign(th4, keys.HS_RESP)


class WrongKeyHashInitiator(Initiator):
    def claim(self) -> bytes:
        return os.urandom(32)


class WrongFinishedInitiator(Initiator):
    def finish(self, finished: bytes) -> bytes:
        return bytes((finished[0] ^ 1,)) + finished[1:]


class WrongContextResponder(Responder):
    def prove(self, th2: bytes) -> bytes:
        return self.identity.sign(th2, keys.HS_INIT)


class WrongFinishedResponder(Responder):
    def finish(self, finished: bytes) -> bytes:
        return bytes((finished[0] ^ 1,)) + finished[1:]


class WrongKeyHashResponder(Responder):
    """Has the caller's M1 answered as if by somebody else: the proof names another KeyHash."""

    def prove(self, th2: bytes) -> bytes:
        self.lying = True
        return super().prove(th2)

    def claim(self) -> bytes:
        return os.urandom(32) if getattr(self, "lying", False) else self.identity.key_hash


LYING_INITIATORS = [WrongContextInitiator, WrongKeyHashInitiator, WrongFinishedInitiator]
LYING_RESPONDERS = [WrongContextResponder, WrongKeyHashResponder, WrongFinishedResponder]


class LosesAtRandom:
    """Loses a share of the datagrams, the same ones for the same seed and order."""

    def __init__(self, share: float, seed: int):
        self.share, self.random = share, random.Random(seed)

    def __call__(self, datagram: bytes) -> bool:
        return self.random.random() < self.share


def damaged(datagram: bytes, choice: random.Random) -> bytes:
    """The datagram with a few bytes changed, cut short, or with some bytes more."""
    kind, copy = choice.randrange(3), bytearray(datagram)
    if kind == 0:
        for _ in range(choice.randint(1, 4)):
            copy[choice.randrange(len(copy))] ^= choice.randint(1, 255)
    elif kind == 1:
        del copy[choice.randrange(len(copy)) :]
    else:
        copy += choice.randbytes(choice.randint(1, 64))
    return bytes(copy)


class MiscountedM1(Initiator):
    """Says in its M1's flag that it wants R's public key, or not, and sends a fragment too few, or too many."""

    def send_m1(self) -> None:
        pieces = wire.m1_fragments(self.m1, not self.wants_public_key)
        for index, piece in enumerate(pieces):
            head = wire.m1_head(index, len(pieces), self.id, self.cookie)
            self.outgoing.append(head + keys.mac1(self.key_hash_r, head + piece) + piece)
