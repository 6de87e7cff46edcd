"""Login to a backbone and its registry (docs/AUTHENTICATION_PROTOCOL.md; sections named are its own)."""

from __future__ import annotations

import base64
import hashlib
import ipaddress
import json
import os
import ssl
import struct
import time
import urllib.error
import urllib.parse
import urllib.request
from dataclasses import dataclass, field
from typing import Any

from . import keys, records

PURPOSE, NODES_PURPOSE = b"shadowmesh login", b"shadowmesh backbone nodes 2"
PROBLEM = "urn:shadowmesh:problem:"
LARGEST_CHALLENGE, MOST_NODES = 128, 64


class Problem(Exception):
    """An RFC 9457 answer. `name` is the last part of its type."""

    def __init__(self, status: int, document: dict[str, Any], headers: dict[str, str]):
        super().__init__(f"{status} {document}")
        self.status, self.document, self.headers = status, document, headers

    @property
    def name(self) -> str:
        return str(self.document.get("type", "")).removeprefix(PROBLEM)


@dataclass
class Answer:
    status: int
    headers: dict[str, str]
    document: dict[str, Any] = field(default_factory=dict)


def audience(url: str) -> str:
    """The origin of a URL as RFC 6454 §6.2 writes it (§1)."""
    parts = urllib.parse.urlsplit(url.lower())
    host = f"[{parts.hostname}]" if ":" in (parts.hostname or "") else parts.hostname
    standard = {"http": 80, "https": 443}[parts.scheme]
    port = "" if parts.port in (None, standard) else f":{parts.port}"
    return f"{parts.scheme}://{host}{port}"


def prefixed(data: bytes) -> bytes:
    return struct.pack(">H", len(data)) + data


def statement(origin: str, region: str, backbone: bytes, challenge: bytes, node: bytes) -> bytes:
    """What is signed (§3)."""
    return b"".join(
        prefixed(part) for part in (PURPOSE, origin.encode(), region.encode(), backbone, challenge, node))


def packed_endpoint(text: str) -> bytes:
    """`198.51.100.7:3478` or `[2001:db8::1]:3478` as 19 bytes."""
    host, _, port = text.rpartition(":")
    address = ipaddress.ip_address(host.strip("[]"))
    return struct.pack(">B16sH", address.version, address.packed, int(port))


def nodes_statement(backbone: bytes, issued: int, expires: int, nodes: list[dict[str, Any]]) -> bytes:
    """What a backbone signs for its list of nodes (§4)."""
    parts = [prefixed(NODES_PURPOSE), prefixed(backbone), struct.pack(">QQH", issued, expires, len(nodes))]
    for node in nodes:
        address = ipaddress.ip_address(node["ip"])
        parts.append(prefixed(node["region"].encode()))
        parts.append(struct.pack(">B16sH", address.version, address.packed, node["port"]))
        parts.append(bytes.fromhex(node["key_hash"]))
        stun = node.get("stun")
        parts.append(b"\0" if stun is None else b"\1" + packed_endpoint(stun))
    return b"".join(parts)


class Backbone:
    """A client of one backbone. `backbone_key` is its KeyHash, from the configuration, never an answer."""

    def __init__(
        self, url: str, region: str, backbone_key: bytes, identity: keys.Identity, *,
        ca_file: os.PathLike[str] | None = None,
    ):
        self.url, self.region = url.rstrip("/"), region
        self.backbone_key, self.identity = backbone_key, identity
        self.token: str | None = None
        context = ssl.create_default_context(cafile=ca_file)
        self._opener = urllib.request.build_opener(
            urllib.request.ProxyHandler({}), urllib.request.HTTPSHandler(context=context))

    def request(self, method: str, path: str, document: Any = None, token: str | None = None) -> Answer:
        body = None if document is None else json.dumps(document).encode()
        request = urllib.request.Request(self.url + path, data=body, method=method)
        if body is not None:
            request.add_header("Content-Type", "application/json")
        if token is not None:
            request.add_header("Authorization", f"Bearer {token}")
        try:
            with self._opener.open(request, timeout=10) as response:
                return Answer(response.status, lowered(response.headers), decoded(response.read()))
        except urllib.error.HTTPError as error:
            raise Problem(error.code, decoded(error.read()), lowered(error.headers)) from None

    def challenge(self) -> bytes:
        document = self.request("GET", "/api/auth/challenge").document
        challenge = bytes.fromhex(document["challenge"])
        if len(challenge) > LARGEST_CHALLENGE or document["expires_at"] <= document["timestamp"]:
            raise keys.Refused("challenge")
        return challenge

    def login_document(self, challenge: bytes, *, origin: str | None = None) -> dict[str, Any]:
        """The body of the verify request; `origin` signs for another audience than the URL's."""
        origin = origin or audience(self.url)
        signed = statement(origin, self.region, self.backbone_key, challenge, self.identity.key_hash)
        return {
            "peer_id": self.identity.peer_id.hex(),
            "challenge": challenge.hex(),
            "signature": base64.b64encode(self.identity.sign(signed, keys.LOGIN)).decode(),
            "public_key": base64.b64encode(self.identity.public_key).decode(),
            "audience": origin,
        }

    def verify(self, document: dict[str, Any]) -> dict[str, Any]:
        return self.request("POST", "/api/auth/verify", document).document

    def log_in(self, invite: str | None = None) -> dict[str, Any]:
        """The answer, checked; the token is kept for the registry."""
        document = self.login_document(self.challenge())
        answer = self.verify(document if invite is None else document | {"invite": invite})
        self.check_nodes(answer)
        self.token = answer["session_token"]
        return answer

    def check_nodes(self, answer: dict[str, Any]) -> None:
        public_key = base64.b64decode(answer["backbone_public_key"], validate=True)
        if hashlib.sha256(public_key).digest() != self.backbone_key:
            raise keys.Refused("another backbone than the configured one")
        nodes = answer["backbone_nodes"]
        signed = nodes_statement(
            self.backbone_key, answer["nodes_issued_at"], answer["nodes_expire_at"], nodes)
        signature = base64.b64decode(answer["nodes_signature"], validate=True)
        if len(nodes) > MOST_NODES or not keys.verifies(public_key, signature, signed, keys.OPERATOR):
            raise keys.Refused("list of nodes")
        if time.time() >= answer["nodes_expire_at"]:
            raise keys.Refused("list of nodes has expired")

    def publish(self, bundle: records.Bundle) -> int:
        document = {"record": base64.b64encode(bundle.encoded()).decode()}
        return self.request("PUT", "/api/peers/record", document, self.token).status

    def look_up(self, peer_id: bytes) -> records.Bundle:
        answer = self.request("GET", f"/api/peers/lookup?peer_id={peer_id.hex()}", None, self.token)
        return records.parse_bundle(base64.b64decode(answer.document["record"], validate=True))


    def relays(self, region: str | None = None, limit: int | None = None) -> list[records.Bundle]:
        query = urllib.parse.urlencode(
            {name: value for name, value in (("region", region), ("limit", limit)) if value is not None})
        answer = self.request("GET", "/api/peers/relays" + (query and "?" + query), None, self.token)
        return [
            records.parse_bundle(base64.b64decode(one["record"], validate=True))
            for one in answer.document["relays"]]


def lowered(headers: Any) -> dict[str, str]:
    return {name.lower(): value for name, value in headers.items()}


def decoded(body: bytes) -> dict[str, Any]:
    return json.loads(body) if body else {}
