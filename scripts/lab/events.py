"""What happens in the middle of a transfer: uplinks change, a NAT starts anew, relays and the backbone are killed."""

import time

from .echo import Transfer
from .grid import DIRECT, Watch, forget
from .mesh import TRANSFER_PORT
from .programs import Failed
from .report import Figure

RATE = 40_000_000  # bit/s of each site's link: a transfer lasts long enough for something to happen in it
FILE = 64 << 20
LONGEST_STALL = 5.0
MOST_CONTROL = 64 << 10  # bytes to and from the backbone
BIG_FILE = 256 << 20
SETTLE = 15.0  # seconds: records are published and paths to the backbone are measured before


class Events:
    def __init__(self, world, mesh, say):
        self.world, self.mesh, self.say = world, mesh, say
        self.figures = []

    def play(self, direct, relayed):
        """`direct` are two ends that reach each other, `relayed` two that only relays connect."""
        for ends in (direct, relayed):
            for site, _ in ends:
                self.world.internet.set_link(site.link, rate=RATE)
        sender, receiver = direct
        self.during("the receiver's NAT starts anew, with a new address", direct, receiver[0].renumber)
        self.during("the sender's NAT starts anew, with a new address", direct, sender[0].renumber)
        self.during("the sender changes its uplink", direct, lambda: sender[0].switch_uplink(sender[1]))
        self.during("the receiver changes its uplink", direct, lambda: receiver[0].switch_uplink(receiver[1]))
        self.during("a relay in use is killed", relayed, self.kill_relay)
        ends = [self.mesh.nodes[machine.name] for _, machine in relayed]
        self.mesh.revive()
        self.mesh.want_relays(*ends, 3)
        self.during("a relay of a chain of three is killed", relayed, self.kill_relay)
        self.mesh.want_relays(*ends, 1)
        self.during("the backbone is killed (direct)", direct, self.mesh.backbone.program.kill)
        self.during("the backbone is killed (relayed)", relayed, self.mesh.backbone.program.kill)
        return self.figures

    def backbone_traffic(self, ends):
        """Counts every byte on the backbone's link while a big file goes from one node to the other."""
        with Pair(self, ends) as pair:
            if not pair.connected:
                self.figures.append(
                    Figure("backbone: bytes during 256 MiB", None, "bytes", at_most=MOST_CONTROL)
                )
                self.say(pair.reason)
                return self.figures
            time.sleep(SETTLE)
            before = self.world.internet.count(self.world.backbone.link)
            file = pair.transfer(BIG_FILE).wait()
            after = self.world.internet.count(self.world.backbone.link)
        moved = after.bytes_in - before.bytes_in + after.bytes_out - before.bytes_out
        self.figures.append(Figure("256 MiB arrive whole", float(file.ok), "", at_least=1))
        self.figures.append(Figure("backbone: bytes during 256 MiB", moved, "bytes", at_most=MOST_CONTROL))
        self.say(f"256 MiB in {file.seconds:.1f} s, {moved} bytes at the backbone {file.error or ''}")
        return self.figures

    def during(self, what, ends, event):
        """Lets it happen when a third of the file has arrived."""
        with Pair(self, ends) as pair:
            file, error, at = None, pair.reason, 0.0
            if pair.connected:
                file = pair.transfer(FILE)
                deadline = time.monotonic() + 60
                while file.arrived < FILE // 3 and time.monotonic() < deadline and file.error is None:
                    time.sleep(0.02)
                at = time.monotonic()
                try:
                    event()
                except (Failed, OSError) as failure:
                    error = f"the event itself: {failure}"
                file.wait()
                error = error or file.error
        whole = bool(file and file.ok)
        stall = round(file.longest_stall, 2) if whole else None
        self.figures.append(Figure(f"{what}: the file arrives whole", float(whole), "", at_least=1))
        self.figures.append(Figure(f"{what}: longest stall", stall, "s", at_most=LONGEST_STALL))
        self.say(f"{what}: {'whole' if whole else 'NOT whole'}, longest stall {stall} s {error or ''}")
        return at

    def kill_relay(self):
        """The one whose link carries most now; another takes its place when the event is over."""
        count = self.world.internet.count
        before = {node.name: count(node.name).bytes_in for node in self.mesh.relays}
        time.sleep(0.5)
        busiest = max(self.mesh.relays, key=lambda node: count(node.name).bytes_in - before[node.name])
        if count(busiest.name).bytes_in - before[busiest.name] < 100_000:
            raise Failed("no relay carries anything")
        busiest.program.kill()
        self.mesh.programs.remove(busiest.program)
        self.mesh.killed.append(busiest)


class Pair:
    """Two nodes that have been introduced to each other and have a session."""

    def __init__(self, events, ends):
        self.mesh, self.ends = events.mesh, ends
        self.machines = [machine for _, machine in ends]
        self.one, self.two = (self.mesh.nodes[machine.name] for machine in self.machines)
        self.connected, self.reason = False, ""

    def __enter__(self):
        self.mesh.revive()
        self.mesh.introduce(self.one, self.two)
        time.sleep(1)
        forget(*self.ends)
        watch = Watch(self.one, self.two.name, DIRECT)
        self.connected = bool(self.mesh.echo.run(self.machines[0], self.two.address, 15))
        watch.stop(2)
        if not self.connected:
            self.reason = f"not connected: {self.one.peer(self.two.name)['path']['reason']}"
        return self

    def transfer(self, size):
        sender, receiver = self.machines
        return Transfer(sender, receiver, self.two.address, TRANSFER_PORT, size).start()

    def __exit__(self, *_):
        self.mesh.separate(self.one, self.two)
