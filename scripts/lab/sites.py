"""Sites: the places where people's machines stand, one kind for each way of being connected to the internet.

Every home numbers its machines from 192.168.1.0/24, as homes do: an address of one site means another machine at the
other. Only the outside addresses differ, a /24 (and for those with IPv6 a /48) a site.
"""

from dataclasses import dataclass

from . import rules
from .places import Place, cable
from .programs import Failed

HOME = "192.168.1"
CARRIER = "100.64.0"
RESTRICTED_TCP = (80, 443)


@dataclass(frozen=True)
class Kind:
    """What a site is. `nat` is the home router's, `carrier` that of the NAT behind it, if there is one."""

    name: str
    says: str
    nat: str | None = None
    carrier: str | None = None
    ipv4: bool = True
    ipv6: bool = False
    accepts_input: bool = False
    udp: bool = True
    hairpin: bool = False
    machines: int = 1

    @property
    def mapping(self):
        """`none`, `independent` or `symmetric`: of IPv4, as RFC 4787 and RFC 5780 have it."""
        if not self.nat:
            return "none"
        return "symmetric" if rules.MAPS_EACH_ANEW in (self.nat, self.carrier) else "independent"

    @property
    def filtering(self):
        """`anyone`, `address` or `endpoint`: the stricter of its two NATs."""
        if not self.nat:
            return "anyone"
        strictest = max(map(rules.FILTERS.index, filter(None, (self.nat, self.carrier))))
        return ("anyone", "address", "endpoint", "endpoint")[strictest]


KINDS = {
    kind.name: kind
    for kind in (
        Kind("open", "a public IPv4 address, no filter"),
        Kind("fullcone", "full cone", "fullcone"),
        Kind("address", "address-restricted", "address"),
        Kind("port", "port-restricted", "port"),
        Kind("symmetric", "symmetric", "symmetric"),
        Kind("cgnat", "CGNAT: port-restricted twice", "port", "port"),
        Kind("cgnat-sym", "CGNAT: port-restricted behind symmetric", "port", "symmetric"),
        Kind("accepting", "port-restricted, accepts what nobody asked for", "port", accepts_input=True),
        Kind("udp-blocked", "no UDP, TCP 80 and 443 only", "port", udp=False),
        Kind("ipv6-only", "IPv6 only, behind a firewall", ipv4=False, ipv6=True),
        Kind("dual", "IPv6 behind a firewall, IPv4 port-restricted", "port", ipv6=True),
        Kind("lan", "two machines behind one port-restricted NAT", "port", machines=2),
        Kind(
            "hairpin", "two machines behind one full cone that hairpins", "fullcone", hairpin=True, machines=2
        ),
    )
}


class Site:
    """One of them, built and plugged in. `machines` are where nodes run."""

    def __init__(self, internet, name, kind, number, **link):
        self.name, self.kind, self.number, self.internet = name, kind, number, internet
        self.public4, self.public6 = f"198.18.{number}.2", f"2001:db8:{number:x}::2"
        self.prefixes = [f"198.18.{number}.0/24", f"2001:db8:{number:x}::/48"]
        self.machines, self.routers = [], []
        outside = self._single() if not (kind.nat or kind.ipv6) else self._home()
        self.outside = outside
        self.link = internet.plug(outside, "wan", name, self.prefixes, **link)
        self._number_outside(outside)

    def _single(self):
        machine = Place(self.name)
        self.machines.append(machine)
        return machine

    def _home(self):
        """Machines on a bridge, a router, and another router behind it at a carrier's."""
        kind, name = self.kind, self.name
        router = Place(f"{name}-r")
        self.routers.append(router)
        router.shell("ip link add lan type bridge; ip link set lan up")
        if kind.ipv4:
            router.shell(f"ip address add {HOME}.1/24 dev lan")
        if kind.ipv6:
            router.shell(f"ip address add 2001:db8:{self.number:x}:1::1/64 dev lan nodad")
        for index in range(kind.machines):
            machine = Place(name if kind.machines == 1 else f"{name}{index + 1}")
            self.machines.append(machine)
            port = f"m{index}"
            cable(router, port, machine, "eth0")
            router.shell(f"ip link set {port} master lan up")
            machine.shell("ip link set eth0 up")
            if kind.ipv4:
                machine.shell(
                    f"ip address add {HOME}.{index + 2}/24 dev eth0; ip route add default via {HOME}.1"
                )
            if kind.ipv6:
                prefix = f"2001:db8:{self.number:x}:1"
                machine.shell(
                    f"ip address add {prefix}::{index + 2}/64 dev eth0 nodad; ip -6 route add default via {prefix}::1"
                )
        if kind.nat:
            router.rules(
                rules.nat(
                    kind.nat,
                    hairpin=self.public4 if kind.hairpin else None,
                    accepts_input=kind.accepts_input,
                    udp=kind.udp,
                    tcp_ports=None if kind.udp else RESTRICTED_TCP,
                )
            )
        if kind.ipv6:
            router.rules(rules.FIREWALL_6)
        if not kind.carrier:
            return router
        carrier = Place(f"{name}-c")
        self.routers.append(carrier)
        cable(carrier, "lan", router, "wan")
        carrier.shell(f"ip link set lan up; ip address add {CARRIER}.1/24 dev lan")
        router.shell(
            f"ip link set wan up; ip address add {CARRIER}.2/24 dev wan; ip route add default via {CARRIER}.1"
        )
        carrier.rules(rules.nat(kind.carrier))
        return carrier

    def _number_outside(self, outside):
        outside.shell("ip link set wan txqueuelen 10000 up")
        if self.kind.ipv4:
            outside.shell(f"ip address add {self.public4}/32 dev wan; ip route add default dev wan")
        if self.kind.ipv6:
            outside.shell(f"ip address add {self.public6}/128 dev wan nodad; ip -6 route add default dev wan")

    def forget(self, machine):
        """Makes the routers forget the connections of one machine, as if it had never been seen."""
        for router in self.routers:
            alone = self.kind.machines == 1
            inside = [] if alone else ["--orig-src", self.inside_address(machine)]
            router.shell(f"conntrack {'-F' if alone else '-D ' + ' '.join(inside)} >/dev/null 2>&1 || true")

    def forget_site(self, other):
        """Makes the routers forget every connection with another site, and whom they let in for it."""
        prefixes = {other.prefixes[0], self.prefixes[0]} if other is self else {other.prefixes[0]}
        for router in self.routers:
            script = [
                f"conntrack -D --{end} {prefix} >/dev/null 2>&1 || true"
                for prefix in sorted(prefixes)
                for end in ("orig-dst", "orig-src", "reply-src")
            ]
            script += [
                f"conntrack -D -f ipv6 --{end} {other.prefixes[1]} >/dev/null 2>&1 || true"
                for end in ("orig-dst", "orig-src")
                if self.kind.ipv6 and other.kind.ipv6
            ]
            if rules.LETS_IN_ADDRESS in (self.kind.nat, self.kind.carrier):
                script.append("nft flush set ip lab seen")
            router.shell("\n".join(script))

    def inside_address(self, machine):
        return f"{HOME}.{self.machines.index(machine) + 2}"

    def switch_uplink(self, machine):
        """The machine's first uplink goes away, and there is another: out of the house, from Wi-Fi to cell.

        The new one is another site's: another address, another NAT. It is built before the first goes down.
        """
        if self.kind.machines > 1 or self.kind.ipv6:
            raise Failed(f"{self.name} has no second uplink")
        number = self.number + 100
        router = Place(f"{self.name}-u")
        self.internet.plug(router, "wan", f"{self.name}-u", [f"198.18.{number}.0/24"])
        cable(router, "lan", machine, "eth1")
        router.shell(
            f"ip address add 192.168.2.1/24 dev lan; ip link set lan up; ip link set wan txqueuelen 10000 up; "
            f"ip address add 198.18.{number}.2/32 dev wan; ip route add default dev wan"
        )
        router.rules(rules.nat(rules.LETS_IN_ENDPOINT))
        self.routers.append(router)
        machine.shell("ip link set eth1 up; ip address add 192.168.2.2/24 dev eth1")
        machine.shell("ip link set eth0 down; ip route add default via 192.168.2.1 dev eth1")

    def renumber(self):
        """A new outside address of the same network, and nothing remembered: the NAT has started anew."""
        old = self.public4
        self.public4 = f"198.18.{self.number}.{int(old.rsplit('.', 1)[1]) + 1}"
        self.outside.shell(
            f"ip address add {self.public4}/32 dev wan; ip address del {old}/32 dev wan; "
            "ip route replace default dev wan"
        )
        for machine in self.machines:
            self.forget(machine)


class Server:
    """A machine at a provider's: public addresses of both families, one /24 and /48 each, no router."""

    def __init__(self, internet, name, numbers, **link):
        self.place = Place(name)
        self.addresses4 = [f"198.18.{number}.10" for number in numbers]
        self.addresses6 = [f"2001:db8:{number:x}::10" for number in numbers]
        prefixes = [
            text for number in numbers for text in (f"198.18.{number}.0/24", f"2001:db8:{number:x}::/48")
        ]
        self.link = internet.plug(self.place, "wan", name, prefixes, **link)
        script = ["ip link set wan txqueuelen 10000 up"]
        script += [f"ip address add {address}/32 dev wan" for address in self.addresses4]
        script += [f"ip address add {address}/128 dev wan nodad" for address in self.addresses6]
        script += [f"ip route add default dev wan src {self.addresses4[0]}"]
        script += [f"ip -6 route add default dev wan src {self.addresses6[0]}"]
        self.place.shell("\n".join(script))
