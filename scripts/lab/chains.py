"""Chains of 1, 2 and 3 relays: what each adds to the round trip, and how much goes through."""

from concurrent.futures import ThreadPoolExecutor

from .echo import Transfer
from .grid import DIRECT, Watch, forget, hops
from .mesh import TRANSFER_PORT
from .report import Figure, median

DELAY = 1.0  # ms a link: what the relays add shall not drown
ECHOES = 8.0  # seconds
INTERVAL = 0.02  # seconds from one to the next
FILE = 32 << 20
LONGEST = 3


class Chains:
    """Between two nodes that only relays connect, and the same over a direct path for comparison."""

    def __init__(self, world, mesh, say):
        self.world, self.mesh, self.say = world, mesh, say

    def play(self, relayed, direct):
        """`relayed` and `direct` are pairs of ends: (site, machine). Returns figures."""
        self.set_delay(DELAY)
        try:
            return self.measure_all(relayed, direct)
        finally:
            self.set_delay(self.world.internet.delay)
            self.mesh.want_relays(*(self.mesh.nodes[machine.name] for _, machine in relayed), 1)

    def set_delay(self, delay):
        for place in (*self.world.sites, *self.world.relays, self.world.backbone):
            self.world.internet.set_link(place.link, delay=delay)

    def measure_all(self, relayed, direct):
        base, link, rate, _ = self.measure(direct, None)
        own = None if base is None else base - link
        figures = [
            Figure("round trip of a link", ms(link), "ms"),
            Figure("direct: over the link's own", ms(own), "ms"),
            Figure("direct: a file", mib(rate), "MiB/s"),
        ]
        for count in range(1, LONGEST + 1):
            trip, link, through, found = self.measure(relayed, count)
            known = None not in (trip, own) and found == count
            added = (trip - (count + 1) * link - own) / count if known else None
            figures.append(Figure(f"{count} relays: works (relays in use)", found, "relays", at_least=count))
            figures.append(
                Figure(f"{count} relays: added a hop over the links' own", ms(added), "ms", at_most=0.5)
            )
            figures.append(Figure(f"{count} relays: a file", mib(through), "MiB/s"))
            share = round(100 * through / rate, 1) if through and rate else None
            figures.append(Figure(f"{count} relays: of what goes through directly", share, "%"))
        return figures

    def link(self):
        """The round trip of two links, by the system's own ping from relay to relay, during the echoes.

        At the same time, because what waking a program costs here changes from minute to minute.
        """
        first, second = self.world.relays[:2]
        count = str(int(ECHOES / INTERVAL))
        said = first.place.run(
            "ping", "-n", "-c", count, "-i", str(INTERVAL), "-W", "1", second.addresses4[0]
        )
        times = [float(line.split("time=")[1].split()[0]) for line in said.splitlines() if "time=" in line]
        return median(times) / 1000

    def measure(self, ends, relays):
        """Median round trips of the pair and of a link, bytes a second of a file, and how many relays it went through."""
        (_, machine), (_, other) = ends
        one, two = self.mesh.nodes[machine.name], self.mesh.nodes[other.name]
        self.mesh.introduce(one, two)
        try:
            if relays:
                self.mesh.want_relays(one, two, relays)
            forget(*ends)
            watch = Watch(one, two.name, None if relays else DIRECT)
            first = self.mesh.echo.run(machine, two.address, 10)
            watch.stop(5)
            if not first:
                self.say(f"{relays or 'no'} relays: not connected: {one.peer(two.name)['path']['reason']}")
                return None, None, None, 0
            with ThreadPoolExecutor(1) as beside:
                ping = beside.submit(self.link)
                answers = self.mesh.echo.run(machine, two.address, ECHOES, INTERVAL, until_first=False)
                link = ping.result()
            path = one.peer(two.name)["path"]
            file = Transfer(machine, other, two.address, TRANSFER_PORT, FILE).start().wait()
            rate = file.size / file.seconds if file.ok and file.seconds else None
            trip = median([trip for _, trip in answers])
            self.say(
                f"{path['kind']}, {hops(path)} relays: {trip * 1000:.2f} ms (a link {link * 1000:.2f}), "
                f"{mib(rate)} MiB/s {file.error or ''}"
            )
            return trip, link, rate, hops(path) or 0
        finally:
            self.mesh.separate(one, two)


def ms(seconds):
    return None if seconds is None else round(seconds * 1000, 3)


def mib(rate):
    return None if rate is None else round(rate / (1 << 20), 1)
