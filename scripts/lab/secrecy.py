"""A canary in the traffic, and captures of everything that relays and the backbone get to see."""

import os
import socket
import time

from .events import Pair
from .mesh import CANARY_PORT
from .report import Figure

PATIENCE = 3.0


class Canary:
    def __init__(self, world, mesh, say):
        self.world, self.mesh, self.say = world, mesh, say

    def play(self, ends, what):
        """Sends the canary over the overlay between these ends while all links of others are captured."""
        watched = [server.link for server in (*self.world.relays, self.world.backbone)]
        folder = f"{self.world.directory}/captures"
        os.makedirs(folder, exist_ok=True)
        canary = b"canary-" + os.urandom(24).hex().encode()
        control = b"control-" + os.urandom(24).hex().encode()
        paths = {name: f"{folder}/{name}.pcap" for name in watched}
        for name, path in paths.items():
            self.world.internet.capture(name, path)
        try:
            for server in self.world.relays:
                self.send_plainly(server, control)
            with Pair(self, ends) as pair:
                answered = self.say_canary(pair, canary) if pair.connected else 0
        finally:
            for name in watched:
                self.world.internet.end_capture(name)
        found = {name: read(path) for name, path in paths.items()}
        leaked = sum(content.count(canary) for content in found.values())
        seen = sum(content.count(control) > 0 for content in found.values())
        size = sum(map(len, found.values()))
        self.say(f"{what}: {answered} canaries answered, {leaked} seen in {size} captured bytes")
        return [
            Figure(f"{what}: canaries that arrived", answered, "", at_least=1),
            Figure(f"{what}: canaries seen by relays and backbone", leaked, "", at_most=0),
            Figure(f"{what}: captures that show what is sent in clear", seen, "", at_least=len(watched)),
        ]

    def send_plainly(self, server, text):
        """From each relay to the backbone without ShadowMesh: all the captures have to show this."""
        with server.place.udp() as client:
            client.sendto(text, (self.world.backbone.addresses4[0], 9))

    def say_canary(self, pair, canary):
        """Datagrams that are answered with what they carry: the canary goes both ways."""
        with pair.machines[0].udp(pair.one.address, family=socket.AF_INET6) as client:
            client.connect((pair.two.address, CANARY_PORT))
            with pair.machines[1].udp(pair.two.address, CANARY_PORT, family=socket.AF_INET6) as server:
                arrived, deadline = 0, time.monotonic() + PATIENCE
                while time.monotonic() < deadline and arrived < 20:
                    try:
                        client.send(canary)
                    except OSError:
                        pass
                    time.sleep(0.1)
                    arrived += drain(server, canary)
        return arrived


def drain(server, canary):
    count = 0
    try:
        while True:
            text, source = server.recvfrom(2048)
            server.sendto(text, source)
            count += text == canary
    except OSError:
        return count


def read(path):
    with open(path, "rb") as file:
        return file.read()
