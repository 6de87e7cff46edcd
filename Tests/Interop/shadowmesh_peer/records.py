"""Peer records: body, private part and bundle (docs/protocol/records.md), and the hints of FindNode."""

from __future__ import annotations

import hashlib
import hmac
import ipaddress
import os
import struct
from dataclasses import dataclass

from . import keys, wire

RECORD, TOMBSTONE = 1, 2
LIGHT_PRIVATE, LIGHT_PUBLIC, BACKBONE_AUTH = 1, 2, 3
INTERFACE, CONFIGURED, REFLEXIVE, MAPPED = 1, 2, 3, 4
LARGEST_BODY, LARGEST_PRIVATE = 2_000, 2_600
LONGEST_LIFE = 2 * 3_600 + 600


@dataclass(frozen=True)
class Endpoint:
    kind: int
    host: str
    port: int

    def encoded(self) -> bytes:
        address = ipaddress.ip_address(self.host)
        return struct.pack(">BB16sH", self.kind, address.version, address.packed, self.port)


def parse_endpoint(data: bytes) -> Endpoint:
    kind, family, address, port = struct.unpack(">BB16sH", data)
    if kind not in (INTERFACE, CONFIGURED, REFLEXIVE, MAPPED) or family not in (4, 6):
        raise wire.Malformed("endpoint")
    if family == 4 and any(address[4:]):
        raise wire.Malformed("endpoint")
    return Endpoint(kind, str(ipaddress.ip_address(address[:4] if family == 4 else address)), port)


@dataclass(frozen=True)
class Relay:
    """What a relay says of itself: onion key (X25519 32, ML-KEM-1024 1,568), week, operator, TLS stream."""

    onion_key: bytes
    week: int
    operator: str = ""
    stream_port: int = 0
    stream_certificate: bytes = bytes(32)

    def encoded(self) -> bytes:
        name = self.operator.encode()
        return b"".join((
            self.onion_key, struct.pack(">IB", self.week, len(name)), name,
            struct.pack(">H", self.stream_port), self.stream_certificate))


@dataclass(frozen=True)
class Reservation:
    relay: bytes
    host: str
    port: int
    id: bytes

    def encoded(self) -> bytes:
        address = ipaddress.ip_address(self.host)
        return struct.pack(">32sB16sH16s", self.relay, address.version, address.packed, self.port, self.id)


def parse_reservation(data: bytes) -> Reservation:
    relay, family, address, port, reservation = struct.unpack(">32sB16sH16s", data)
    if family not in (4, 6) or family == 4 and any(address[4:]):
        raise wire.Malformed("endpoint of a reservation")
    host = ipaddress.ip_address(address[:4] if family == 4 else address)
    return Reservation(relay, str(host), port, reservation)


@dataclass(frozen=True)
class Body:
    kind: int
    service_type: int
    key_hash: bytes
    sequence: int
    expiry: int
    region: str
    endpoints: tuple[Endpoint, ...] = ()
    private_hash: bytes | None = None
    nat_mapping: int = 0
    nat_filtering: int = 0
    relay_offer: int = 0
    versions: tuple[int, ...] = (wire.VERSION,)
    suites: tuple[int, ...] = (wire.AES_256_GCM, wire.CHACHA20_POLY1305)
    relay: Relay | None = None

    def encoded(self) -> bytes:
        region = self.region.encode()
        return b"".join((
            bytes((1, self.kind, self.service_type, self.nat_mapping, self.nat_filtering)),
            self.key_hash, struct.pack(">QQ", self.sequence, self.expiry),
            bytes((len(region),)), region, struct.pack(">I", self.relay_offer),
            bytes((len(self.versions), *self.versions)), bytes((len(self.suites), *self.suites)),
            bytes((len(self.endpoints),)), *(e.encoded() for e in self.endpoints),
            b"\0" if self.private_hash is None else b"\1" + self.private_hash,
            b"\0" if self.relay is None else b"\1" + self.relay.encoded()))


class Reader:
    def __init__(self, data: bytes):
        self.data, self.at = data, 0

    def take(self, count: int) -> bytes:
        if self.at + count > len(self.data):
            raise wire.Malformed("record ends early")
        self.at += count
        return self.data[self.at - count : self.at]

    def number(self, size: int) -> int:
        return int.from_bytes(self.take(size))

    def listed(self) -> tuple[int, ...]:
        count = self.number(1)
        if not 1 <= count <= 4:
            raise wire.Malformed("version or suite list")
        return tuple(self.take(count))

    def endpoints(self) -> tuple[Endpoint, ...]:
        count = self.number(1)
        if count > 8:
            raise wire.Malformed("too many endpoints")
        return tuple(parse_endpoint(self.take(20)) for _ in range(count))

    def relay(self) -> Relay:
        key, week, name = self.take(1_600), self.number(4), self.take(self.number(1)).decode("ascii", "replace")
        if len(name) > 32 or not all(c in "abcdefghijklmnopqrstuvwxyz0123456789-_." for c in name):
            raise wire.Malformed("operator")
        return Relay(key, week, name, self.number(2), self.take(32))

    def end(self) -> None:
        if self.at != len(self.data):
            raise wire.Malformed("bytes after the end")


def parse_body(data: bytes) -> Body:
    r = Reader(data)
    if len(data) > LARGEST_BODY or r.number(1) != 1:
        raise wire.Malformed("record version or size")
    kind, service_type, mapping, filtering = r.take(4)
    if kind not in (1, 2) or service_type not in (1, 2, 3) or mapping > 4 or filtering > 4:
        raise wire.Malformed("record kind, service type or NAT behaviour")
    key_hash, sequence, expiry = r.take(32), r.number(8), r.number(8)
    region = r.take(r.number(1)).decode("ascii", "replace")
    if not 1 <= len(region) <= 32 or not all(c in "abcdefghijklmnopqrstuvwxyz0123456789-_" for c in region):
        raise wire.Malformed("region")
    relay_offer, versions, suites, endpoints = r.number(4), r.listed(), r.listed(), r.endpoints()
    has_private = r.number(1)
    if has_private > 1:
        raise wire.Malformed("has private part")
    private_hash = r.take(32) if has_private else None
    has_relay = r.number(1)
    if has_relay > 1 or has_relay and (kind != RECORD or service_type != LIGHT_PUBLIC or not relay_offer):
        raise wire.Malformed("relay announcement")
    relay = r.relay() if has_relay else None
    r.end()
    return Body(
        kind, service_type, key_hash, sequence, expiry, region, endpoints, private_hash, mapping, filtering,
        relay_offer, versions, suites, relay)


@dataclass(frozen=True)
class PrivatePart:
    salt: bytes
    endpoints: tuple[Endpoint, ...]
    tags: tuple[bytes, ...]
    reservations: tuple[Reservation, ...] = ()

    def admits(self, key_hash: bytes) -> bool:
        return admission_tag(self.salt, key_hash) in self.tags

    def encoded(self) -> bytes:
        return b"".join((
            b"\1", self.salt, bytes((len(self.endpoints),)), *(e.encoded() for e in self.endpoints),
            struct.pack(">H", len(self.tags)), *self.tags,
            bytes((len(self.reservations),)), *(r.encoded() for r in self.reservations)))


def admission_tag(salt: bytes, key_hash: bytes) -> bytes:
    return hmac.digest(salt, key_hash, "sha256")[:8]


def private_part(endpoints: tuple[Endpoint, ...], admitted: tuple[bytes, ...]) -> PrivatePart:
    salt = os.urandom(16)
    return PrivatePart(salt, endpoints, tuple(sorted(admission_tag(salt, k) for k in admitted)))


def parse_private_part(data: bytes) -> PrivatePart:
    r = Reader(data)
    if len(data) > LARGEST_PRIVATE or r.number(1) != 1:
        raise wire.Malformed("private part version or size")
    salt, endpoints, count = r.take(16), r.endpoints(), r.number(2)
    if count > 256:
        raise wire.Malformed("too many tags")
    tags = tuple(r.take(8) for _ in range(count))
    if list(tags) != sorted(tags):
        raise wire.Malformed("tags out of order")
    held = r.number(1)
    if held > 4:
        raise wire.Malformed("too many reservations")
    reservations = tuple(parse_reservation(r.take(67)) for _ in range(held))
    r.end()
    return PrivatePart(salt, endpoints, tags, reservations)


@dataclass(frozen=True)
class Bundle:
    body: bytes
    public_key: bytes
    signature: bytes
    private: bytes = b""

    def encoded(self) -> bytes:
        return (
            struct.pack(">H", len(self.body)) + self.body + self.public_key + self.signature
            + struct.pack(">H", len(self.private)) + self.private)

    def verified(self, now: int) -> Body:
        """The body, when every rule that needs no earlier record holds."""
        body = parse_body(self.body)
        if not keys.same(hashlib.sha256(self.public_key).digest(), body.key_hash):
            raise keys.Refused("key hash")
        if not keys.verifies(self.public_key, self.signature, self.body, keys.PEER_RECORD):
            raise keys.Refused("signature")
        if not now < body.expiry <= now + LONGEST_LIFE:
            raise keys.Refused("expiry")
        if self.private:
            parse_private_part(self.private)
            if body.private_hash != hashlib.sha256(self.private).digest():
                raise keys.Refused("private part")
        return body


def parse_bundle(data: bytes) -> Bundle:
    r = Reader(data)
    body = r.take(r.number(2))
    bundle = Bundle(body, r.take(wire.PUBLIC_KEY), r.take(wire.SIGNATURE), r.take(r.number(2)))
    r.end()
    return bundle


def signed(identity: keys.Identity, body: Body, private: PrivatePart | None = None) -> Bundle:
    encoded = body.encoded()
    return Bundle(
        encoded, identity.public_key, identity.sign(encoded, keys.PEER_RECORD),
        private.encoded() if private else b"")


@dataclass(frozen=True)
class Hint:
    """One answer to FindNode: KeyHash 32, endpoint 19 (family 1, address 16, port 2), sequence 8."""

    key_hash: bytes
    host: str
    port: int
    sequence: int


def parse_hint(data: bytes) -> Hint:
    key_hash, family, address, port, sequence = struct.unpack(">32sB16sHQ", data)
    host = ipaddress.ip_address(address[:4] if family == 4 else address)
    return Hint(key_hash, str(host), port, sequence)
