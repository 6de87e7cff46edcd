"""Datagrams, headers, fragments and bodies of the handshake (§2, §3). Sizes and bytes, no cryptography."""

from __future__ import annotations

import struct
from dataclasses import dataclass, field

TRANSPORT, M1, RETRY, M2A, M2B, M3, ACK = 1, 2, 3, 4, 5, 6, 7
VERSION = 1
AES_256_GCM, CHACHA20_POLY1305 = 1, 2

DATAGRAM = 1_232
M1_HEADER, HEADER, TRANSPORT_HEADER = 45, 29, 16
M1_CAPACITY, CAPACITY = DATAGRAM - M1_HEADER, DATAGRAM - HEADER
MAC = 16

X25519_PUBLIC, KEM_PUBLIC, KEM_CIPHERTEXT = 32, 1_568, 1_568
OFFER = X25519_PUBLIC + KEM_PUBLIC
ANSWER = X25519_PUBLIC + KEM_CIPHERTEXT
PUBLIC_KEY, SIGNATURE, KEY_HASH, FINISHED = 2_592, 4_627, 32, 32
M1_BODY = OFFER + 32 + 32
M2A_BODY = 8 + ANSWER + 16
PROOF = KEY_HASH + SIGNATURE + FINISHED
PROOF_WITH_KEY = PROOF + PUBLIC_KEY
NO_COOKIE = bytes(16)


class Malformed(Exception):
    """A datagram or body that doesn't fit its row of §2 or §3: dropped without an answer."""


@dataclass(frozen=True)
class M1Datagram:
    suite: int
    index: int
    count: int
    initiator_id: bytes
    cookie: bytes
    mac1: bytes
    fragment: bytes

    @property
    def covered(self) -> bytes:
        """What mac1 is computed over: the header with mac1 left out, then the fragment."""
        return m1_head(self.index, self.count, self.initiator_id, self.cookie) + self.fragment


def m1_head(index: int, count: int, initiator_id: bytes, cookie: bytes) -> bytes:
    return bytes((M1, VERSION, 0, index, count)) + initiator_id + cookie


def parse_m1(datagram: bytes) -> M1Datagram:
    if len(datagram) != DATAGRAM or datagram[0] != M1 or datagram[1] != VERSION or datagram[2] != 0:
        raise Malformed("M1 header")
    index, count = datagram[3], datagram[4]
    if count not in (2, 3) or index >= count:
        raise Malformed("M1 fragment index or count")
    return M1Datagram(
        0, index, count, datagram[5:13], datagram[13:29], datagram[29:45], datagram[45:])


@dataclass(frozen=True)
class Framed:
    """A datagram of types 3 to 7. `mac` is the AEAD tag in types 5 and 6."""

    kind: int
    suite: int
    index: int
    count: int
    receiver_id: bytes
    mac: bytes
    rest: bytes

    @property
    def head(self) -> bytes:
        return head(self.kind, self.suite, self.index, self.count, self.receiver_id)

    def encoded(self) -> bytes:
        return self.head + self.mac + self.rest


def head(kind: int, suite: int, index: int, count: int, receiver_id: bytes) -> bytes:
    return bytes((kind, VERSION, suite, index, count)) + receiver_id


def parse_framed(datagram: bytes) -> Framed:
    if len(datagram) < HEADER or datagram[1] != VERSION:
        raise Malformed("header")
    kind, _, suite, index, count = datagram[:5]
    d = Framed(kind, suite, index, count, datagram[5:13], datagram[13:29], datagram[29:])
    if d.kind == RETRY:
        fits = (d.suite, d.index, d.count, len(d.rest)) == (0, 0, 1, 16)
    elif d.kind == ACK:
        fits = (d.index, d.count, len(d.rest)) == (0, 1, 2)
    elif d.kind == M2A:
        fits = fragment_fits(d, (M2A_BODY,))
    elif d.kind in (M2B, M3):
        fits = fragment_fits(d, (PROOF, PROOF_WITH_KEY))
    else:
        fits = False
    if not fits:
        raise Malformed(f"type {d.kind}, index {d.index}, count {d.count}, {len(datagram)} bytes")
    return d


def fragment_fits(datagram: Framed, body_sizes: tuple[int, ...]) -> bool:
    for size in body_sizes:
        if datagram.count == fragment_count(size, CAPACITY) and datagram.index < datagram.count:
            return len(datagram.rest) == min(CAPACITY, size - datagram.index * CAPACITY)
    return False


def fragment_count(size: int, capacity: int) -> int:
    return -(-size // capacity)


def fragments(body: bytes, capacity: int) -> list[bytes]:
    return [body[at : at + capacity] for at in range(0, len(body), capacity)]


def m1_fragments(body: bytes, wants_public_key: bool) -> list[bytes]:
    """Two fragments padded with zeros to 1,187; a third of zeros for who asks for R's public key."""
    count = 3 if wants_public_key else 2
    padded = body.ljust(count * M1_CAPACITY, b"\0")
    return fragments(padded, M1_CAPACITY)


def joined_m1(pieces: list[bytes]) -> bytes:
    whole = b"".join(pieces)
    if any(whole[M1_BODY:]):
        raise Malformed("M1 padding")
    return whole[:M1_BODY]


@dataclass(frozen=True)
class M1Body:
    offer: bytes
    random: bytes
    versions: tuple[int, ...]
    suites: tuple[int, ...]
    wants_public_key: bool
    receiver_index: int

    def encoded(self) -> bytes:
        def listed(values: tuple[int, ...]) -> bytes:
            return bytes((len(values),)) + bytes(values).ljust(4, b"\0")

        caps = listed(self.versions) + listed(self.suites) + bytes((int(self.wants_public_key),))
        caps += struct.pack(">I", self.receiver_index)
        return self.offer + self.random + caps.ljust(32, b"\0")


def parse_m1_body(body: bytes) -> M1Body:
    if len(body) != M1_BODY:
        raise Malformed("M1 body size")
    caps = body[OFFER + 32 :]

    def listed(at: int) -> tuple[int, ...]:
        count, values = caps[at], caps[at + 1 : at + 5]
        if not 1 <= count <= 4 or any(values[count:]) or 0 in values[:count]:
            raise Malformed("M1 version or suite list")
        return tuple(values[:count])

    flags, (index,) = caps[10], struct.unpack(">I", caps[11:15])
    if flags > 1 or index == 0 or any(caps[15:]):
        raise Malformed("M1 caps")
    return M1Body(body[:OFFER], body[OFFER : OFFER + 32], listed(0), listed(5), flags == 1, index)


@dataclass(frozen=True)
class M2aBody:
    responder_id: bytes
    answer: bytes
    version: int
    suite: int
    receiver_index: int

    def encoded(self) -> bytes:
        caps = bytes((self.version, self.suite, 0)) + struct.pack(">I", self.receiver_index)
        return self.responder_id + self.answer + caps.ljust(16, b"\0")


def parse_m2a_body(body: bytes) -> M2aBody:
    if len(body) != M2A_BODY:
        raise Malformed("M2a body size")
    caps = body[8 + ANSWER :]
    (index,) = struct.unpack(">I", caps[3:7])
    if caps[2] != 0 or index == 0 or any(caps[7:]):
        raise Malformed("M2a caps")
    return M2aBody(body[:8], body[8 : 8 + ANSWER], caps[0], caps[1], index)


@dataclass(frozen=True)
class Proof:
    """The body of M2b and of M3: who, signature, finished value, and the public key where it is sent."""

    key_hash: bytes
    signature: bytes
    finished: bytes
    public_key: bytes | None

    def encoded(self) -> bytes:
        return self.key_hash + self.signature + self.finished + (self.public_key or b"")


def parse_proof(body: bytes) -> Proof:
    if len(body) not in (PROOF, PROOF_WITH_KEY):
        raise Malformed("proof size")
    signature_end = KEY_HASH + SIGNATURE
    signature, finished = body[KEY_HASH:signature_end], body[signature_end:PROOF]
    return Proof(body[:KEY_HASH], signature, finished, body[PROOF:] or None)


@dataclass
class Assembly:
    """Fragments of one body. Two fragments of one index that differ, or a second count, are malformed."""

    count: int
    pieces: dict[int, bytes] = field(default_factory=dict)

    def add(self, index: int, piece: bytes) -> bool:
        """True for a fragment that was not there before."""
        if index in self.pieces:
            if self.pieces[index] != piece:
                raise Malformed("two fragments of one index")
            return False
        self.pieces[index] = piece
        return True

    @property
    def bitmap(self) -> int:
        return sum(1 << index for index in self.pieces)

    @property
    def body(self) -> bytes | None:
        if len(self.pieces) < self.count:
            return None
        return b"".join(self.pieces[i] for i in range(self.count))
