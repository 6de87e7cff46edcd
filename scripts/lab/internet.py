"""The internet between the sites: internet.c, compiled when it is needed, and what it is told."""

import os
import subprocess
import threading
from collections import namedtuple

from .programs import Failed, output_of

SOURCE = os.path.join(os.path.dirname(os.path.abspath(__file__)), "internet.c")

Count = namedtuple("Count", "bytes_in packets_in bytes_out packets_out dropped unrouted")


class Internet:
    """Links that whole IP packets cross with delay, loss and reordering. Delays are in milliseconds here."""

    def __init__(self, directory, delay=20.0):
        program = f"{directory}/internet"
        compiler = os.environ.get("CC", "gcc")
        output_of([compiler, "-O2", "-Wall", "-Wextra", "-o", program, SOURCE], "compiling internet.c", 60)
        self.delay = delay
        self._turn = threading.Lock()
        self._process = subprocess.Popen(
            [program], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, bufsize=1
        )

    def plug(self, place, device="wan", name=None, prefixes=(), **link):
        """Gives a machine a device to the internet, which brings it what is for these prefixes.

        The delay of a link is met by each packet, in and out: two links of 20 ms make 80 ms there and back.
        """
        name = name or place.name
        self.ask(f"port {name} {place.namespace} {device}")
        self.set_link(name, **{"delay": self.delay, **link})
        for prefix in prefixes:
            self.ask(f"route {prefix} {name}")
        return name

    def set_link(self, name, **settings):
        """delay and late in ms, loss and reorder as shares of 1, rate in bit/s, mtu in bytes, up as a truth."""
        scale = {"delay": 1e3, "late": 1e3, "loss": 1e6, "reorder": 1e6}
        words = [f"{key}={round(value * scale.get(key, 1))}" for key, value in settings.items()]
        self.ask(f"link {name} {' '.join(words)}")

    def count(self, name):
        """What has crossed a link since it was plugged in."""
        return Count(*map(int, self.ask(f"count {name}").split()))

    def capture(self, name, path):
        """Writes every packet of the link to a pcap file from now on."""
        self.ask(f"capture {name} {path}")

    def end_capture(self, name):
        self.ask(f"capture {name} -")

    def ask(self, line):
        with self._turn:
            self._process.stdin.write(line + "\n")
            answer = self._process.stdout.readline().strip()
        if not answer.startswith("ok"):
            raise Failed(f"the internet: {line}: {answer or 'it has ended'}")
        return answer[3:]
