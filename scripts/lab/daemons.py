"""The real programs on the machines of a network: a backbone, light nodes, and what their users type."""

import json
import os
import re
import socket

from . import certificates
from .programs import Failed, Program, output_of, wait_until

REPOSITORY = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
# How the binaries were built: of those from elsewhere only whoever names them knows.
CONFIGURATION = os.environ.get("CONFIGURATION") or (
    "unknown" if "SHADOWMESH_BIN" in os.environ else "release"
)
BINARIES = os.environ.get("SHADOWMESH_BIN") or os.path.join(REPOSITORY, ".build", CONFIGURATION)
PROGRAMS = ("shadowmesh", "shadowmesh-lightnode", "shadowmesh-backbone")
REGION = "europe"


def binary(name):
    return os.path.join(BINARIES, name)


def missing_programs():
    """Those that are not built."""
    return [name for name in PROGRAMS if not os.access(binary(name), os.X_OK)]


def write(path, text):
    with open(path, "w", encoding="utf-8") as file:
        file.write(text)


def parse_values(text):
    """All JSON values in a text, one after the other."""
    decoder, values, position = json.JSONDecoder(), [], 0
    while position < len(text):
        if text[position].isspace():
            position += 1
            continue
        value, position = decoder.raw_decode(text, position)
        values.append(value)
    return values


def yaml(values):
    """One key a line; a list and what has a colon in it as JSON, which YAML includes."""
    return "".join(f"{key}: {json.dumps(value)}\n" for key, value in values.items())


class Backbone:
    """The real backbone on an embedded SQLite file, with TLS from a throw-away authority.

    `addresses` are what nodes may reach it at; `port` is for HTTPS; `keys` go into its configuration as they are.
    """

    def __init__(self, host, directory, addresses, port=8443, keys=None):
        self.host = host
        self.addresses = addresses
        self.port = port
        self.directory = f"{directory}/backbone"
        os.makedirs(self.directory)
        self.ca_file = f"{self.directory}/ca.pem"
        self.config = f"{self.directory}/backbone.yaml"
        certificates.make(self.directory, *addresses)
        write(self.config, self.configuration() + yaml(keys or {}))
        self.start()
        self.key = self.find_key()

    def url(self, address=None):
        address = address or self.addresses[0]
        return f"https://{f'[{address}]' if ':' in address else address}:{self.port}"

    def start(self):
        command = self.host.command(binary("shadowmesh-backbone"), "--config", self.config)
        self.program = Program("backbone", command, f"{self.directory}/log")
        wait_until("the backbone is ready", lambda: self.get("/ready"), self.program)

    def revive(self):
        """Starts it again when it was killed."""
        if self.program.process.poll() is not None:
            self.start()

    def configuration(self):
        listen = [f"0.0.0.0:{self.port}"]
        if any(":" in address for address in self.addresses):
            listen = [f"[::]:{self.port}"]
        return f"""\
region: {REGION}
state_directory: {self.directory}/state
listen: {json.dumps(listen)}
origins: {json.dumps([self.url(address) for address in self.addresses])}
tls:
  certificate_file: {self.directory}/server.pem
  key_file: {self.directory}/server.key
admission:
  mode: open
"""

    def get(self, path):
        """What it answers, asked on its own machine."""
        curl = ["curl", "--silent", "--show-error", "--fail", "--noproxy", "*", "--cacert", self.ca_file]
        said = output_of(self.host.command(*curl, "--max-time", "5", self.url() + path), "curl", 10)
        return said or "ok"

    def find_key(self):
        """The line that it says at its start, for people to paste into their nodes' configuration."""
        match = re.search(r"backbone_key[:=]\s*\"?([0-9a-f]{64})", self.program.log_tail(200))
        if not match:
            raise Failed("the backbone did not say its key", self.program)
        return match.group(1)


class Node:
    """A light node: its host, its daemon, and what its user types.

    `keys` go into its configuration; `address` says by which of the backbone's addresses it reaches it.
    """

    def __init__(self, host, directory, backbone, name=None, address=None, keys=None):
        self.host = host
        self.name = name or host.name
        self.directory = f"{directory}/{self.name}"
        os.makedirs(self.directory)
        self.socket = f"{self.directory}/control.sock"
        self.config = f"{self.directory}/lightnode.yaml"
        self.backbone, self.backbone_address, self.keys = backbone, address, keys or {}
        self.program = None
        write(self.config, self.configuration())
        self.identity = json.loads(
            output_of(
                [binary("shadowmesh"), "init", "--json", "--config", self.config],
                f"{self.name}: shadowmesh init",
            )
        )
        self.address = self.identity["address"]

    def configuration(self):
        return yaml(
            {
                "mode": "lightnode",
                "peer_id_file": f"{self.directory}/peer_id.txt",
                "backbone_url": self.backbone.url(self.backbone_address),
                "backbone_key": self.backbone.key,
                "backbone_ca_file": self.backbone.ca_file,
                "region": REGION,
                "service_type": "private",
                "state_directory": f"{self.directory}/state",
                "control_socket": self.socket,
                "control_group": "root",
                "metrics_listen": "127.0.0.1:9460",
                **self.keys,
            }
        )

    def start(self):
        command = self.host.command(binary("shadowmesh-lightnode"), "--config", self.config)
        self.program = Program(self.name, command, f"{self.directory}/log")

    def configure(self, keys):
        """Starts it anew with these keys besides the ones that it has."""
        self.keys.update(keys)
        write(self.config, self.configuration())
        self.program.stop(5)
        self.start()
        self.wait_for_login()

    def type(self, *words, seconds=30):
        """What a person types on this node; returns the JSON values that the command printed."""
        command = self.host.command(binary("shadowmesh"), *words, "--json", "--config", self.config)
        text = output_of(command, f"{self.name}: shadowmesh {' '.join(words)}", seconds, self.program)
        return parse_values(text)

    def ask(self, request, seconds=30, **values):
        """The same without a program of its own: one request on the control socket, its answers' bodies.

        `shadowmesh` asks just so, and prints what it gets; here it costs no process, so it can be asked often.
        """
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as control:
            control.settimeout(seconds)
            control.connect(self.socket)
            line = json.dumps({"version": 1, "more": False, "body": {request: values}})
            control.sendall(line.encode() + b"\n")
            bodies, rest = [], b""
            with control.makefile("rb") as lines:
                for rest in lines:
                    envelope = json.loads(rest)
                    bodies.append(envelope["body"])
                    if not envelope.get("more"):
                        break
        for body in bodies:
            if "failure" in body:
                failure = body["failure"].get("_0", body["failure"])
                raise Failed(f"{self.name}: {request}: {failure.get('message', failure)}", self.program)
        return [next(iter(body.values())).get("_0") for body in bodies]

    def wait_for_login(self):
        def logged_in():
            status = self.ask("status")[0]
            record = status.get("record") or {}
            return status if status["backbone"]["state"] == "logged_in" and record.get("published") else None

        return wait_until(f"{self.name} is logged in and its record published", logged_in, self.program)

    def peer(self, name):
        """What `shadowmesh peers` says of one of them; None when it is not there."""
        pages = self.ask("peers")
        return next((peer for page in pages for peer in page if peer["name"] == name), None)
