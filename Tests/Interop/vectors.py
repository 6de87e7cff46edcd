"""One handshake with fixed keys, every step of it. `python vectors.py` prints a new smh1.json.

What is random inside ML-KEM and ML-DSA can't be fixed: ciphertext, shared secret and signatures are inputs.
"""

from __future__ import annotations

import hashlib
import json
import struct
import sys
from typing import Any

from cryptography.hazmat.primitives.asymmetric.mlkem import MLKEM1024PrivateKey
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey

from shadowmesh_peer import keys, wire
from shadowmesh_peer.transport import CONTROL, IP, PING, REKEY_ANSWER, REKEY_REQUEST

Inputs = dict[str, str]


def fixed(label: str, count: int) -> bytes:
    """Bytes that anyone can make again: the beginning of SHA-512 of a label, repeated with a counter."""
    blocks = (hashlib.sha512(f"SMH/1 vector {label} {i}".encode()).digest() for i in range(1 + count // 64))
    return b"".join(blocks)[:count]


class Handshake:
    """Recomputes everything from the inputs; makes `signature_r` and `signature_i` where they are missing."""

    def __init__(self, inputs: Inputs):
        self.inputs = inputs
        self.i, self.r = (keys.Identity(self.input(f"identity_seed_{side}")) for side in "ir")
        self.suite = int(inputs["suite"], 16)
        self.values: dict[str, bytes] = {}
        self.datagrams: dict[str, list[bytes]] = {}
        self._bodies()
        self._schedule()
        self._fragments()

    def input(self, name: str) -> bytes:
        return bytes.fromhex(self.inputs[name])

    def signature(self, name: str, identity: keys.Identity, message: bytes, context: bytes) -> bytes:
        if name not in self.inputs:
            self.inputs[name] = identity.sign(message, context).hex()
        assert keys.verifies(identity.public_key, self.input(name), message, context)
        return self.input(name)

    def _bodies(self) -> None:
        x_i, x_r = (X25519PrivateKey.from_private_bytes(self.input(f"x25519_private_{s}")) for s in "ir")
        kem = MLKEM1024PrivateKey.from_seed_bytes(self.input("mlkem_seed_i"))
        assert kem.decapsulate(self.input("mlkem_ciphertext")) == self.input("mlkem_shared")
        (index_i,), (index_r,) = (struct.unpack(">I", self.input(f"receiver_index_{s}")) for s in "ir")
        offer = x_i.public_key().public_bytes_raw() + kem.public_key().public_bytes_raw()
        answer = x_r.public_key().public_bytes_raw() + self.input("mlkem_ciphertext")
        suites = tuple(self.input("suites_offered"))
        m1 = wire.M1Body(offer, self.input("m1_random"), (wire.VERSION,), suites, True, index_i)
        m2a = wire.M2aBody(self.input("responder_id"), answer, 1, self.suite, index_r)
        shared = x_i.exchange(X25519PublicKey.from_public_bytes(answer[:32]))
        self.values |= {
            "key_hash_i": self.i.key_hash, "key_hash_r": self.r.key_hash, "public_key_i": self.i.public_key,
            "public_key_r": self.r.public_key, "m1_body": m1.encoded(), "m2a_body": m2a.encoded(),
            "x25519_shared": shared, "ikm": shared + self.input("mlkem_shared")}

    def _schedule(self) -> None:
        v = self.values
        s = keys.Schedule.start(
            self.input("initiator_id"), v["key_hash_r"], v["m1_body"], v["m2a_body"], v["ikm"])
        th2 = s.responder(self.r.public_key)
        signature_r = self.signature("signature_r", self.r, th2, keys.HS_RESP)
        finished_r = s.responder_signed(signature_r)
        th4 = s.initiator(self.i.key_hash, self.i.public_key)
        signature_i = self.signature("signature_i", self.i, th4, keys.HS_INIT)
        finished_i = s.initiator_signed(signature_i)
        i2r, r2i = keys.data_keys(s.root)
        v |= {
            "th1": s.th1, "hs": s.hs, "kR": s.kR, "kI": s.kI, "fR": s.fR, "fI": s.fI,
            "th2": s.th2, "th3": s.th3, "finished_r": finished_r, "th4": s.th4, "th5": s.th5,
            "finished_i": finished_i, "root": s.root, "key_i2r": i2r, "key_r2i": r2i,
            "m2b_body": wire.Proof(self.r.key_hash, signature_r, finished_r, self.r.public_key).encoded(),
            "m3_body": wire.Proof(self.i.key_hash, signature_i, finished_i, self.i.public_key).encoded(),
            "mac1_key": hashlib.sha256(b"SMH/1 mac1" + self.r.key_hash).digest(),
            "macM2": keys.mac2_key(self.input("m1_random")),
            "cookie": keys.cookie(
                self.input("cookie_secret"), self.input("cookie_address"),
                int(self.inputs["cookie_port"], 16), self.input("initiator_id"))}

    def _fragments(self) -> None:
        v, i_id, r_id = self.values, self.input("initiator_id"), self.input("responder_id")
        self.datagrams["m1"] = self._m1(wire.NO_COOKIE)
        self.datagrams["m1_with_cookie"] = self._m1(v["cookie"])
        self.datagrams["retry"] = [self._clear(wire.RETRY, 0, 0, 1, i_id, v["cookie"])]
        pieces = wire.fragments(v["m2a_body"], wire.CAPACITY)
        self.datagrams["m2a"] = [
            self._clear(wire.M2A, self.suite, n, len(pieces), i_id, piece) for n, piece in enumerate(pieces)]
        self.datagrams["m2b"] = self._sealed(wire.M2B, v["kR"], i_id, v["m2b_body"])
        self.datagrams["m3"] = self._sealed(wire.M3, v["kI"], r_id, v["m3_body"])
        self.datagrams["ack_of_m2"] = [self._clear(wire.ACK, self.suite, 0, 1, r_id, b"\x01\x83")]
        self.datagrams["ack_of_m3"] = [self._clear(wire.ACK, self.suite, 0, 1, i_id, b"\x00\x5a")]

    def _m1(self, cookie: bytes) -> list[bytes]:
        datagrams = []
        for index, piece in enumerate(wire.m1_fragments(self.values["m1_body"], True)):
            head = wire.m1_head(index, 3, self.input("initiator_id"), cookie)
            datagrams.append(head + keys.mac1(self.values["key_hash_r"], head + piece) + piece)
        return datagrams

    def _clear(self, kind: int, suite: int, index: int, count: int, receiver_id: bytes, rest: bytes) -> bytes:
        head = wire.head(kind, suite, index, count, receiver_id)
        return head + keys.mac2(self.values["macM2"], head, rest) + rest

    def _sealed(self, kind: int, key: bytes, receiver_id: bytes, body: bytes) -> list[bytes]:
        datagrams, pieces = [], wire.fragments(body, wire.CAPACITY)
        for index, piece in enumerate(pieces):
            head = wire.head(kind, self.suite, index, len(pieces), receiver_id)
            sealed, tag = keys.seal(self.suite, key, index, piece, head)
            datagrams.append(head + tag + sealed)
        return datagrams

    def packet(self, suite: int, direction: str, counter: int, plaintext: bytes) -> bytes:
        index = self.input({"i2r": "receiver_index_r", "r2i": "receiver_index_i"}[direction])
        header = struct.pack(">B3x", wire.TRANSPORT) + index + struct.pack(">Q", counter)
        sealed, tag = keys.seal(suite, self.values[f"key_{direction}"], counter, plaintext, header)
        return header + sealed + tag

    def rekey(self, inputs: Inputs) -> dict[str, bytes]:
        """The first rekeying, asked for by the handshake's initiator."""
        request, reply = bytes.fromhex(inputs["request"]), bytes.fromhex(inputs["answer"])
        x = X25519PrivateKey.from_private_bytes(bytes.fromhex(inputs["x25519_private"]))
        kem = MLKEM1024PrivateKey.from_seed_bytes(bytes.fromhex(inputs["mlkem_seed"]))
        assert request[9:] == x.public_key().public_bytes_raw() + kem.public_key().public_bytes_raw()
        exchange = reply[9:]
        shared = x.exchange(X25519PublicKey.from_public_bytes(exchange[:32])) + kem.decapsulate(exchange[32:])
        root = keys.rekeyed_root(self.values["root"], shared, request, reply)
        i2r, r2i = keys.data_keys(root)
        return {"shared": shared, "root": root, "key_i2r": i2r, "key_r2i": r2i}


def made() -> dict[str, Any]:
    """A whole new file: the same inputs where they can be, fresh ML-KEM and ML-DSA randomness."""
    names = {
        "identity_seed_i": 32, "identity_seed_r": 32, "x25519_private_i": 32, "x25519_private_r": 32,
        "mlkem_seed_i": 64, "m1_random": 32, "initiator_id": 8, "responder_id": 8, "receiver_index_i": 4,
        "receiver_index_r": 4, "cookie_secret": 32}
    inputs = {name: fixed(name, size).hex() for name, size in names.items()}
    inputs |= {
        "suite": "01", "suites_offered": "0102", "cookie_port": "20fb",
        "cookie_address": (bytes(10) + b"\xff\xff" + bytes((192, 0, 2, 7))).hex()}
    kem = MLKEM1024PrivateKey.from_seed_bytes(bytes.fromhex(inputs["mlkem_seed_i"]))
    shared, ciphertext = kem.public_key().encapsulate()
    inputs |= {"mlkem_ciphertext": ciphertext.hex(), "mlkem_shared": shared.hex()}
    handshake = Handshake(inputs)
    m4, ping, ip = b"", bytes((CONTROL, PING, 0, 0, 0, 7)), bytes((IP,)) + fixed("packet", 61)
    packets = []
    for suite, direction, counter, plaintext in (
            (1, "r2i", 0, m4), (1, "i2r", 0, ping), (1, "i2r", 2**28 - 1, ip), (2, "r2i", 1, ip)):
        datagram = handshake.packet(suite, direction, counter, plaintext)
        packets.append({
            "suite": f"{suite:02x}", "direction": direction, "counter": f"{counter:016x}",
            "plaintext": plaintext.hex(), "datagram": datagram.hex()})
    rekey = rekey_inputs()
    return {
        "inputs": inputs, "values": hexadecimal(handshake.values),
        "datagrams": {name: [d.hex() for d in ds] for name, ds in handshake.datagrams.items()},
        "packets": packets, "rekey": rekey | hexadecimal(handshake.rekey(rekey))}


def rekey_inputs() -> Inputs:
    x, seed = fixed("rekey x25519", 32), fixed("rekey mlkem", 64)
    offer = keys.Offer(x, seed)
    answer, _ = keys.answer(offer.encoded, fixed("rekey x25519 answer", 32))
    request = struct.pack(">BI", REKEY_REQUEST, 1) + fixed("rekey index i", 4) + offer.encoded
    reply = struct.pack(">BI", REKEY_ANSWER, 1) + fixed("rekey index r", 4) + answer
    return hexadecimal({"x25519_private": x, "mlkem_seed": seed, "request": request, "answer": reply})


def hexadecimal(values: dict[str, bytes]) -> dict[str, str]:
    return {name: value.hex() for name, value in values.items()}


if __name__ == "__main__":
    json.dump(made(), sys.stdout, indent=1)
    print()
