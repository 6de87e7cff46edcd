"""Identities, key exchange and the key schedule (§1, §4), and the macs and the cookie (§5)."""

from __future__ import annotations

import hashlib
import hmac
import struct
from dataclasses import dataclass

from cryptography.exceptions import InvalidSignature, InvalidTag
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric.mldsa import MLDSA87PrivateKey, MLDSA87PublicKey
from cryptography.hazmat.primitives.asymmetric.mlkem import MLKEM1024PrivateKey, MLKEM1024PublicKey
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey
from cryptography.hazmat.primitives.ciphers.aead import AESGCM, ChaCha20Poly1305
from cryptography.hazmat.primitives.kdf.hkdf import HKDFExpand

from . import wire

HS_INIT, HS_RESP = b"shadowmesh/1 hs-init", b"shadowmesh/1 hs-resp"
LOGIN, PEER_RECORD = b"shadowmesh/1 login", b"shadowmesh/1 peer-record"
RESERVATION, OPERATOR = b"shadowmesh/1 reservation", b"shadowmesh/1 operator"


class Refused(Exception):
    """A peer that doesn't prove what it must."""


class Identity:
    """An ML-DSA-87 key, made from its 32-byte seed or anew."""

    def __init__(self, seed: bytes | None = None):
        self._key = MLDSA87PrivateKey.from_seed_bytes(seed) if seed else MLDSA87PrivateKey.generate()
        self.public_key = self._key.public_key().public_bytes_raw()
        self.key_hash = key_hash(self.public_key)

    @property
    def seed(self) -> bytes:
        return self._key.private_bytes_raw()

    @property
    def peer_id(self) -> bytes:
        return self.key_hash[:20]

    @property
    def overlay_address(self) -> bytes:
        return overlay_address(self.key_hash)

    def sign(self, message: bytes, context: bytes) -> bytes:
        return self._key.sign(message, context)


def key_hash(public_key: bytes) -> bytes:
    return hashlib.sha256(public_key).digest()


def initiator_id(m1: bytes) -> bytes:
    return hashlib.sha256(b"SMH/1 initiator id" + m1).digest()[:8]


def overlay_address(key_hash: bytes) -> bytes:
    """16 bytes: fd73:6d, then the first 13 of the PeerID."""
    return bytes.fromhex("fd736d") + key_hash[:13]


def verifies(public_key: bytes, signature: bytes, message: bytes, context: bytes) -> bool:
    try:
        MLDSA87PublicKey.from_public_bytes(public_key).verify(signature, message, context)
    except (InvalidSignature, ValueError):
        return False
    return True


def H(data: bytes) -> bytes:
    return hashlib.sha512(data).digest()


def hmac_sha512(key: bytes, data: bytes) -> bytes:
    return hmac.digest(key, data, "sha512")


def extract(salt: bytes, ikm: bytes) -> bytes:
    """HKDF-Extract with SHA-512: the HMAC of the input under the salt (RFC 5869, 2.2)."""
    return hmac_sha512(salt, ikm)


def expand(key: bytes, label: str, count: int) -> bytes:
    return HKDFExpand(hashes.SHA512(), count, b"SMH/1 " + label.encode()).derive(key)


def same(a: bytes, b: bytes) -> bool:
    return hmac.compare_digest(a, b)


class Offer:
    """The initiator's half of X25519 + ML-KEM-1024, also used for rekeying."""

    def __init__(self, x25519: bytes | None = None, kem_seed: bytes | None = None):
        self._x = X25519PrivateKey.from_private_bytes(x25519) if x25519 else X25519PrivateKey.generate()
        self._kem = (
            MLKEM1024PrivateKey.from_seed_bytes(kem_seed) if kem_seed else MLKEM1024PrivateKey.generate())
        self.encoded = self._x.public_key().public_bytes_raw() + self._kem.public_key().public_bytes_raw()

    def shared(self, answer: bytes) -> bytes:
        """X25519 shared 32 ‖ ML-KEM shared 32."""
        point, ciphertext = answer[:32], answer[32:]
        return x25519(self._x, point) + self._kem.decapsulate(ciphertext)


def answer(offer: bytes, x_private: bytes | None = None) -> tuple[bytes, bytes]:
    """The KeyExchangeAnswer to an offer, and the 64 bytes shared."""
    x = X25519PrivateKey.from_private_bytes(x_private) if x_private else X25519PrivateKey.generate()
    kem_shared, ciphertext = MLKEM1024PublicKey.from_public_bytes(offer[32:]).encapsulate()
    return x.public_key().public_bytes_raw() + ciphertext, x25519(x, offer[:32]) + kem_shared


def x25519(private: X25519PrivateKey, point: bytes) -> bytes:
    try:
        shared = private.exchange(X25519PublicKey.from_public_bytes(point))
    except ValueError as error:  # OpenSSL refuses an all-zero secret itself
        raise Refused("X25519") from error
    if not any(shared):
        raise Refused("all-zero X25519 secret")
    return shared


@dataclass
class Schedule:
    """§4, one step after the other. Every value has the document's name."""

    th1: bytes
    hs: bytes
    kR: bytes
    kI: bytes
    fR: bytes
    fI: bytes
    key_hash_r: bytes
    th2: bytes = b""
    th3: bytes = b""
    finished_r: bytes = b""
    th4: bytes = b""
    th5: bytes = b""
    finished_i: bytes = b""
    root: bytes = b""

    @classmethod
    def start(
        cls, initiator_id: bytes, key_hash_r: bytes, m1: bytes, m2a: bytes, shared: bytes
    ) -> Schedule:
        th1 = H(b"SMH/1 th1" + initiator_id + key_hash_r + m1 + m2a)
        hs = extract(th1, shared)
        return cls(
            th1, hs, expand(hs, "m2b key", 32), expand(hs, "m3 key", 32),
            expand(hs, "m2b finished", 64), expand(hs, "m3 finished", 64), key_hash_r)

    def responder(self, public_key_r: bytes) -> bytes:
        """th2: what R signs."""
        self.th2 = H(b"SMH/1 th2" + self.th1 + self.key_hash_r + public_key_r)
        return self.th2

    def responder_signed(self, signature_r: bytes) -> bytes:
        """finished_R."""
        self.th3 = H(b"SMH/1 th3" + self.th2 + signature_r)
        self.finished_r = hmac_sha512(self.fR, self.th3)[:32]
        return self.finished_r

    def initiator(self, key_hash_i: bytes, public_key_i: bytes) -> bytes:
        """th4: what I signs."""
        named = key_hash_i + public_key_i + self.key_hash_r
        self.th4 = H(b"SMH/1 th4" + self.th3 + self.finished_r + named)
        return self.th4

    def initiator_signed(self, signature_i: bytes) -> bytes:
        """finished_I; the root is ready after it."""
        self.th5 = H(b"SMH/1 th5" + self.th4 + signature_i)
        self.finished_i = hmac_sha512(self.fI, self.th5)[:32]
        self.root = extract(self.th5, self.hs)
        return self.finished_i


def data_keys(root: bytes) -> tuple[bytes, bytes]:
    """key_i2r, key_r2i."""
    return expand(root, "data i2r", 32), expand(root, "data r2i", 32)


def rekeyed_root(root: bytes, shared: bytes, request: bytes, reply: bytes) -> bytes:
    """§8: the messages are whole, type byte and all."""
    return extract(H(b"SMH/1 rekey" + request + reply), root + shared)


def nonce(counter: int) -> bytes:
    return struct.pack(">IQ", 0, counter)


def cipher(suite: int, key: bytes) -> AESGCM | ChaCha20Poly1305:
    return {wire.AES_256_GCM: AESGCM, wire.CHACHA20_POLY1305: ChaCha20Poly1305}[suite](key)


def seal(suite: int, key: bytes, counter: int, data: bytes, associated: bytes) -> tuple[bytes, bytes]:
    """Ciphertext and tag apart, as the handshake's datagrams carry them."""
    sealed = cipher(suite, key).encrypt(nonce(counter), data, associated)
    return sealed[:-16], sealed[-16:]


def open_sealed(
    suite: int, key: bytes, counter: int, sealed: bytes, tag: bytes, associated: bytes
) -> bytes | None:
    try:
        return cipher(suite, key).decrypt(nonce(counter), sealed + tag, associated)
    except InvalidTag:
        return None


def mac1(key_hash_r: bytes, covered: bytes) -> bytes:
    return hmac.digest(hashlib.sha256(b"SMH/1 mac1" + key_hash_r).digest(), covered, "sha256")[:16]


def mac2_key(m1_random: bytes) -> bytes:
    return hashlib.sha256(b"SMH/1 mac2" + m1_random).digest()


def mac2(key: bytes, head: bytes, rest: bytes) -> bytes:
    return hmac.digest(key, head + rest, "sha256")[:16]


def cookie(secret: bytes, address16: bytes, port: int, initiator_id: bytes) -> bytes:
    return hmac.digest(secret, address16 + struct.pack(">H", port) + initiator_id, "sha256")[:16]
