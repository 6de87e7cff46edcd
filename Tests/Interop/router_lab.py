"""A node behind a router that Debian's miniupnpd serves, and a stranger outside (test_port_mapping.py).

    router_lab.py CASE      one JSON object on standard output; exit code 77 where this machine can't do it
    router_lab.py knock ADDRESS PORT KEYHASH
    router_lab.py stun ADDRESS PORT SEEN

Everything happens in namespaces of its own (scripts/lab/sandbox.py). The outer network has addresses that
miniupnpd takes for public: it refuses to map ports of documentation's and laboratories' ranges. None of it
leaves the sandbox.
"""

from __future__ import annotations

import json
import os
import shutil
import socket
import struct
import sys
import time
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(HERE), str(HERE.parents[1] / "scripts")]
os.environ["PATH"] += ":/usr/sbin:/sbin"

from lab import sandbox  # noqa: E402
from lab.daemons import Node, binary, missing_programs, write, yaml  # noqa: E402
from lab.places import Place  # noqa: E402
from lab.programs import Failed, Program, wait_until  # noqa: E402

LAN, WAN = "192.168.77", "11.77.0"
NODE, STRANGER = f"{LAN}.2", f"{WAN}.9"
PORT = 8443
TOOLS = ("ip", "nft", "ss", "unshare", "nsenter", "miniupnpd")

# The chains that miniupnpd fills (its nft_init.sh), and a firewall around them that lets nothing in unasked.
RULES = """
table inet miniupnpd {
  chain forward { type filter hook forward priority 0; policy drop;
    ct state established,related accept
    iifname "lan" oifname "wan" accept
    jump mapped
  }
  chain mapped { }
  chain input { type filter hook input priority 0; policy accept;
    iifname "wan" ct state new drop
    %s
  }
  chain prerouting { type nat hook prerouting priority -100;
    jump into
  }
  chain into { }
  chain postrouting { type nat hook postrouting priority 100;
    jump out
    oifname "wan" masquerade
  }
  chain out { }
}
"""
# A router that has never heard of PCP's version: NAT-PMP's is 0, in the first byte after the UDP header.
WITHOUT_PCP = 'iifname "lan" udp dport 5351 @th,64,8 2 drop'

CONFIGURATION = """
ext_ifname=wan
listening_ip=lan
enable_natpmp=%(pmp)s
enable_upnp=%(upnp)s
http_port=5555
min_lifetime=4
max_lifetime=%(lifetime)d
secure_mode=yes
system_uptime=no
notify_interval=60
clean_ruleset_interval=600
uuid=6a6a6a6a-1111-2222-3333-444444444444
upnp_table_name=miniupnpd
upnp_nat_table_name=miniupnpd
upnp_forward_chain=mapped
upnp_nat_chain=into
upnp_nat_postrouting_chain=out
allow 1024-65535 192.168.77.0/24 1024-65535
deny 0-65535 0.0.0.0/0 0-65535
"""


class Router:
    def __init__(self, outer=f"{WAN}.1", without_pcp=False, pmp=True, upnp=True, lifetime=3600):
        self.place = Place("router")
        self.outer = outer
        self.values = {"pmp": yes(pmp), "upnp": yes(upnp), "lifetime": lifetime}
        self.without_pcp = without_pcp
        self.program = None
        self.starts = 0

    def start(self):
        """As after a power cut: no rule of before, and another life of the daemon."""
        self.place.run("nft", "flush", "ruleset")
        self.place.rules(RULES % (WITHOUT_PCP if self.without_pcp else ""))
        self.starts += 1
        path = f"{sandbox.DIRECTORY}/miniupnpd.{self.starts}"
        write(f"{path}.conf", CONFIGURATION % self.values)
        command = ["miniupnpd", "-d", "-f", f"{path}.conf", "-P", f"{path}.pid"]
        self.program = Program("miniupnpd", self.place.command(*command), f"{path}.log")
        port = ":5351 " if self.values["pmp"] == "yes" else ":1900 "
        wait_until("miniupnpd listens", lambda: port in self.place.run("ss", "-Hlun"), self.program)

    def mappings(self):
        """Ports of the router that lead inside."""
        return self.place.run("nft", "list", "chain", "inet", "miniupnpd", "into").count("dnat")


def yes(value):
    return "yes" if value else "no"


class LoneNode(Node):
    """A node without a backbone: it only keeps its port mapped."""

    def __init__(self, place, **keys):
        super().__init__(place, sandbox.DIRECTORY, None, keys=keys)

    def configuration(self):
        return yaml(
            {
                "mode": "lightnode",
                "peer_id_file": f"{self.directory}/peer_id.txt",
                "region": "lab",
                "state_directory": f"{self.directory}/state",
                "control_socket": self.socket,
                "control_group": "root",
                "listen_port": PORT,
                "metrics_listen": "off",
                **self.keys,
            }
        )

    def mapping(self):
        return self.ask("status")[0]["port_mapping"]

    def announces(self):
        return (self.ask("status")[0].get("record") or {}).get("endpoints", [])


class Lab:
    def __init__(self, node_keys=None, **router):
        self.router = Router(**router)
        self.client, self.outside = Place("client"), Place("outside")
        link(self.router.place, "lan", f"{LAN}.1/24", self.client, "eth0", f"{NODE}/24")
        link(self.router.place, "wan", f"{self.router.outer}/24", self.outside, "eth0", f"{STRANGER}/24")
        self.client.run("ip", "route", "add", "default", "via", f"{LAN}.1")
        self.router.start()
        self.node = LoneNode(self.client, **(node_keys or {}))
        self.node.start()
        self.wait_for("the node answers", lambda report: report)

    def wait_for(self, what, condition, seconds=20):
        return wait_until(what, lambda: condition(self.node.mapping()), self.node.program, seconds)

    def is_reached(self):
        """Whether a stranger's first message of a handshake is answered through the router."""
        endpoint = self.node.mapping().get("endpoint") or f"{self.router.outer}:{PORT}"
        address, port = endpoint.rsplit(":", 1)
        return self.knock(address, port)

    def knock(self, address, port):
        key_hash = self.node.identity["key_hash"]
        command = [sys.executable, str(HERE / "router_lab.py"), "knock", address, str(port), key_hash]
        return self.outside.run(*command).strip() == "answered"


def link(a, a_name, a_address, b, b_name, b_address):
    a.run("ip", "link", "add", a_name, "type", "veth", "peer", "name", b_name, "netns", b.name)
    for place, name, address in ((a, a_name, a_address), (b, b_name, b_address)):
        place.run("ip", "address", "add", address, "dev", name)
        place.run("ip", "link", "set", name, "up")


def knock(address, port, key_hash):
    """From outside, as a node that knows this one's record."""
    from shadowmesh_peer import keys
    from shadowmesh_peer.initiator import Initiator

    initiator = Initiator(keys.Identity(), bytes.fromhex(key_hash))
    initiator.start(time.monotonic())
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as outside:
        outside.settimeout(0.5)
        for _ in range(4):
            for datagram in initiator.outgoing:
                outside.sendto(datagram, (address, int(port)))
            try:
                _, source = outside.recvfrom(65_536)
                return print("answered" if source == (address, int(port)) else f"answered from {source}")
            except TimeoutError:
                continue
    print("silence")


def stun(address, port, seen):
    """A STUN server of one address, which has seen every request come from one and the same other address."""
    cookie = bytes.fromhex("2112a442")
    place = bytes(a ^ b for a, b in zip(socket.inet_aton(seen), cookie))
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as server:
        server.bind((address, int(port)))
        print("ready", flush=True)
        while True:
            request, source = server.recvfrom(2048)
            mapped = struct.pack("!HHBBH", 0x0020, 8, 0, 1, source[1] ^ 0x2112) + place
            server.sendto(struct.pack("!HH", 0x0101, len(mapped)) + request[4:20] + mapped, source)


def netcheck():
    """It is asked for at once, when the router has not told all yet: what servers see is not what it says."""
    lab = Lab(pmp=False)
    server = lab.outside.command(sys.executable, str(HERE / "router_lab.py"), "stun", STRANGER, "3478", "11.99.0.1")
    program = Program("stun", server, f"{sandbox.DIRECTORY}/stun.log")
    wait_until("the STUN server listens", lambda: ":3478 " in lab.outside.run("ss", "-Hlun"), program)
    began = time.monotonic()
    reports = lab.node.ask("netcheck", servers=[f"{STRANGER}:3478"])
    result = {"seconds": time.monotonic() - began, "report": reports[-1]}
    program.stop()
    return result


def makes_and_removes(**router):
    """A mapping is made, announced, reached, renewed beyond its first life, and gone after the node's end."""
    renewed_after = router.get("lifetime")
    lab = Lab(**router)
    began = time.monotonic()
    mapping = lab.wait_for("a port is mapped", lambda report: report.get("endpoint") and report)
    took = time.monotonic() - began
    wait_until("it is announced", lambda: mapping["endpoint"] in lab.node.announces(), lab.node.program)
    result = {"mapping": mapping, "seconds": took}
    result |= {"mappings": lab.router.mappings(), "reached": lab.is_reached()}
    if renewed_after:
        time.sleep(1.5 * renewed_after)
        result |= {"later": lab.node.mapping(), "reached later": lab.is_reached()}
    address, port = mapping["endpoint"].rsplit(":", 1)
    result["ended well"] = lab.node.program.stop()
    result |= {"mappings after": lab.router.mappings(), "reached after": lab.knock(address, port)}
    return result


def restart():
    """The router loses power; the node notices and has its port mapped again."""
    lab = Lab()
    lab.wait_for("a port is mapped", lambda report: report.get("endpoint"))
    # So much that the two lives can be told apart: RFC 6887's tolerance is two seconds and a sixteenth.
    time.sleep(15)
    lab.router.program.stop()
    lab.router.start()
    began = time.monotonic()
    wait_until("the port is mapped again", lab.router.mappings, lab.node.program, seconds=90)
    return {"seconds": time.monotonic() - began, "reached": lab.is_reached(), "mapping": lab.node.mapping()}


def double_nat():
    """A router whose own address is the provider's, as with CGNAT."""
    lab = Lab(outer="100.64.9.1")
    report = lab.wait_for("it is told", lambda report: "being asked" not in report["summary"] and report)
    return {"mapping": report, "mappings": lab.router.mappings(), "announced": lab.node.announces()}


def switched_off():
    lab = Lab(node_keys={"port_mapping": "off"})
    time.sleep(3)
    return {"mapping": lab.node.mapping(), "mappings": lab.router.mappings()}


CASES = {
    "pcp": lambda: makes_and_removes(lifetime=12),
    "nat-pmp": lambda: makes_and_removes(without_pcp=True, lifetime=12),
    "upnp": lambda: makes_and_removes(pmp=False),
    "restart": restart,
    "double-nat": double_nat,
    "off": switched_off,
    "netcheck": netcheck,
}


def main():
    if sys.argv[1] == "knock":
        return knock(*sys.argv[2:])
    if sys.argv[1] == "stun":
        return stun(*sys.argv[2:])
    absent = [tool for tool in TOOLS if shutil.which(tool) is None]
    if absent:
        print(f"not installed: {', '.join(absent)} (Debian: miniupnpd-nftables)", file=sys.stderr)
        sys.exit(sandbox.NOT_HERE)
    missing = missing_programs()
    if missing:
        sys.exit(f"not built: {', '.join(missing)}")
    sandbox.enter()
    try:
        print(json.dumps(CASES[sys.argv[1]]()))
    except Failed as failure:
        tail = failure.program.log_tail(40) if failure.program else ""
        sys.exit(f"{failure}\n{tail}")


if __name__ == "__main__":
    main()
