"""ShadowMesh in the lab: the backbone, the relays, and a light node on each machine of each site."""

import time
from concurrent.futures import ThreadPoolExecutor

from .daemons import Backbone, Node
from .echo import Echo

HTTPS = 443  # where UDP is blocked, what isn't 80 or 443 is too
PORT = 8443
TRANSFER_PORT = 7000
CANARY_PORT = 7001
ALLOWED = ("--allow", "ping", "--allow", f"tcp/{TRANSFER_PORT}", "--allow", f"udp/{CANARY_PORT}")


class Mesh:
    """`programs` are all daemons, for whoever ends them. `keys` go into the configuration of every site's node."""

    def __init__(self, world, log_level="info", keys=None):
        self.world = world
        self.keys = {"log_level": log_level, **(keys or {})}
        self.programs = []
        self.echo = Echo()
        self.nodes = {}
        self.relays = []
        self.killed = []
        addresses = [*world.backbone.addresses4[:1], *world.backbone.addresses6[:1]]
        self.backbone = Backbone(
            world.backbone.place, world.directory, addresses, HTTPS, self.backbone_keys(world.backbone)
        )
        self.programs.append(self.backbone.program)

    def backbone_keys(self, server):
        return {"stun": {"addresses": server.addresses4 + server.addresses6}}

    def start_relays(self):
        self.relays = self._start([(server, server.place.name) for server in self.world.relays], self._relay)

    def _relay(self, item):
        server, name = item
        endpoints = [f"{server.addresses4[0]}:{PORT}", f"[{server.addresses6[0]}]:{PORT}"]
        keys = {
            "service_type": "public",
            "relay_offer_mbps": 1000,
            "relay": {"operator": name, "stream_port": HTTPS},
            "endpoints": endpoints,
        }
        return self._node(server.place, name, None, keys)

    def start_nodes(self, ends):
        """`ends` are (site, machine)."""
        for end, node in zip(ends, self._start(ends, self._site_node), strict=True):
            self.nodes[end[1].name] = node
        self.wait_for_places()

    def wait_for_places(self, seconds=15):
        """Until the nodes have reserved places at relays, as nodes have that did not start just now.

        Returns how many have none: where nothing lets them reach a relay, the grid will say so.
        """
        deadline = time.monotonic() + seconds
        waiting = set(self.nodes.values())
        while waiting and time.monotonic() < deadline:
            waiting = {node for node in waiting if "places at relays" not in node.program.log()}
            time.sleep(0.5)
        return len(waiting)

    def _site_node(self, end):
        site, machine = end
        address = None if site.kind.ipv4 else self.world.backbone.addresses6[0]
        return self._node(machine, machine.name, address, dict(self.keys))

    def _node(self, place, name, address, keys):
        return Node(place, self.world.directory, self.backbone, name, address, keys)

    def _start(self, items, make):
        with ThreadPoolExecutor(6) as pool:
            nodes = list(pool.map(make, items))
            for node in nodes:
                node.start()  # by this thread: a program ends with the thread that started it
            list(pool.map(Node.wait_for_login, nodes))
        self.programs += [node.program for node in nodes]
        return nodes

    def introduce(self, first, second):
        """Each adds the other, and may ping it and send it a file."""
        for node, other in ((first, second), (second, first)):
            node.type("peer", "add", other.name, other.identity["peer_id"], *ALLOWED)

    def reset(self, first, second):
        """Both lose their session with the other, and what they know of how to get there."""
        second.ask("resetPeer", name=first.name)
        first.ask("resetPeer", name=second.name)

    def want_relays(self, first, second, count):
        """From now on the two use that many relays where they can't do without."""
        self.restart(first, second, {"relay": {"hops": count}})

    def restart(self, first, second, keys=None):
        """Starts the two anew, with these keys besides the ones that they have."""
        for node in (first, second):
            self.programs.remove(node.program)
            node.configure(keys or {})
            self.programs.append(node.program)

    def revive(self):
        """Starts again what was killed."""
        for node in self.killed:
            node.start()
            node.wait_for_login()
            self.programs.append(node.program)
        self.killed = []
        self.backbone.revive()

    def separate(self, first, second):
        for node, other in ((first, second), (second, first)):
            node.type("peer", "remove", other.name)

    def keep_only(self, names):
        """Stops the nodes of all sites but these."""
        for name in set(self.nodes) - set(names):
            program = self.nodes.pop(name).program
            self.programs.remove(program)
            program.stop(3)

    def check_alive(self):
        for program in self.programs:
            program.check_alive()

    def stop(self):
        for program in reversed(self.programs):
            program.stop(3)
