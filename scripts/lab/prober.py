"""Looks at each site as a machine inside sees it, with plain UDP sockets and none of ShadowMesh's code.

The figures of the lab mean nothing when a NAT is not what its name says, so this comes first. Terms and method are
those of RFC 4787 and RFC 5780: one socket asks two addresses with two ports each where it comes from (mapping), a
fresh one asks a single port, and others send to what that saw (filtering). `punch` then measures for two sites
whether two sockets can meet at all when both send at once: the cells where a node has to.
"""

import itertools
import select
import socket
import threading
import time
from collections import namedtuple
from concurrent.futures import ThreadPoolExecutor

from .places import in_namespace
from .programs import Failed

PORTS = (7001, 7002)
PATIENCE = 1.0  # seconds: an answer takes 80 ms
REPLY = b"seen"

Answer = namedtuple("Answer", "server address port seconds")


class Servers:
    """Two addresses of one machine, two ports each, that tell senders where they come from."""

    def __init__(self, server):
        self.server = server
        self.sockets = {}
        for addresses, family in ((server.addresses4, socket.AF_INET), (server.addresses6, socket.AF_INET6)):
            for address, port in itertools.product(addresses, PORTS):
                self.sockets[address, port] = server.place.udp(address, port, family)
        self.running = True
        self.thread = threading.Thread(target=self._answer, daemon=True)
        self.thread.start()

    def endpoints(self, family=socket.AF_INET):
        return [name for name, made in self.sockets.items() if made.family == family]

    def stop(self):
        self.running = False
        self.thread.join()
        for made in self.sockets.values():
            made.close()

    def _answer(self):
        while self.running:
            for ready in select.select(list(self.sockets.values()), [], [], 0.2)[0]:
                try:
                    token, source = ready.recvfrom(2048)
                except OSError:
                    continue
                if token.startswith(b"where "):
                    try:
                        ready.sendto(
                            b" ".join((REPLY, token[6:], source[0].encode(), b"%d" % source[1])), source
                        )
                    except OSError:
                        pass

    def send(self, endpoint, text, target):
        self.sockets[endpoint].sendto(text, target)


def ask(client, endpoints, patience=PATIENCE, tries=2):
    """Sends to each of them until it has answered. The answers by server."""
    answers = {}
    for _ in range(tries):
        begun = time.monotonic()
        for index, endpoint in enumerate(endpoints):
            if endpoint not in answers:
                send(client, b"where %d" % index, endpoint)
        while len(answers) < len(endpoints) and (left := begun + patience - time.monotonic()) > 0:
            for text in arrivals(client, left):
                words = text.split()
                if len(words) == 4 and words[0] == REPLY:
                    server = endpoints[int(words[1])]
                    answers[server] = Answer(
                        server, words[2].decode(), int(words[3]), time.monotonic() - begun
                    )
        if len(answers) == len(endpoints):
            break
    return answers


def arrivals(client, patience):
    """What has come within that time, as soon as something has."""
    texts = []
    if select.select([client], [], [], max(0, patience))[0]:
        try:
            while True:
                texts.append(client.recv(2048))
        except OSError:
            pass
    return texts


def send(client, text, endpoint):
    """A datagram that the network may refuse: then it is lost."""
    try:
        client.sendto(text, endpoint[:2])
    except OSError:
        pass


def look(site, machine, servers):
    """Everything about IPv4 (and IPv6) that a machine of this site can find out."""
    seen = {}
    if site.kind.ipv4:
        seen.update(look_by(site, machine, servers, socket.AF_INET))
        if seen["udp"] and site.kind.nat and seen["mapping"] == "independent":
            seen["input"] = look_at_input(site, machine, servers)
        if not seen["udp"]:
            seen["tcp"] = [port for port in (80, 443, 8443) if connects(machine, servers.server, port)]
    if site.kind.ipv6:
        seen["ipv6"] = look_by(site, machine, servers, socket.AF_INET6)
    return seen


def look_by(site, machine, servers, family):
    endpoints = servers.endpoints(family)
    with machine.udp(port=0, family=family) as client:
        port = client.getsockname()[1]
        answers = ask(client, endpoints)
        if not answers:
            return {"udp": False}
        own = site.public4 if family == socket.AF_INET else None
        sources = {(answer.address, answer.port) for answer in answers.values()}
        addresses = {answer.address for answer in answers.values()}
        inside = own_addresses(machine)
        result = {
            "udp": True,
            "ms": round(trip(client, endpoints[0]) * 1000, 1),
            "port_kept": all(answer.port == port for answer in answers.values()),
        }
        if len(answers) < len(endpoints):
            result["mapping"] = f"{len(answers)} of {len(endpoints)} servers answer"
        elif len(sources) > 1:
            result["mapping"] = "symmetric"
        else:
            result["mapping"] = "none" if addresses <= inside else "independent"
        if own and addresses != {own}:
            result["mapping"] = f"seen as {', '.join(sorted(addresses))}, not {own}"
    with machine.udp(port=0, family=family) as client:
        first = endpoints[0]
        answer = ask(client, [first]).get(first)
        if not answer:
            return {**result, "filtering": "no answer from one server"}
        same = next(name for name in endpoints if name[0] == first[0] and name != first)
        other = next(name for name in endpoints if name[0] != first[0])
        came = set()
        for text, server in ((b"same", same), (b"other", other)):
            servers.send(server, text, (answer.address, answer.port))
        deadline = time.monotonic() + 0.4
        while (left := deadline - time.monotonic()) > 0 and len(came) < 2:
            came.update(arrivals(client, left))
        result["filtering"] = "anyone" if b"other" in came else "address" if b"same" in came else "endpoint"
    return result


def trip(client, endpoint):
    """The shortest of some round trips, in seconds: what is over the delay of the links is this machine's load."""
    answers = [ask(client, [endpoint], tries=1).get(endpoint) for _ in range(4)]
    return min((answer.seconds for answer in answers if answer), default=PATIENCE)


def own_addresses(machine):
    words = machine.run("ip", "-o", "address").split()
    return {
        after.split("/")[0] for word, after in zip(words, words[1:], strict=False) if word.startswith("inet")
    }


def look_at_input(site, machine, servers):
    """Whether the router dropped an unsolicited packet, or remembers it as a connection to itself.

    Then the machine's own packet to the same server can't have the same port outside any more.
    """
    server = servers.endpoints()[3]
    with machine.udp() as client:
        port = client.getsockname()[1]
        servers.send(server, b"unsolicited", (site.public4, port))
        time.sleep(0.2)
        answer = ask(client, [server]).get(server)
    return "no answer" if not answer else "drops" if answer.port == port else "accepts"


def connects(machine, server, port):
    address = (server.addresses4[0], port)
    listener = in_namespace(server.place.namespace, lambda: socket.create_server(address, reuse_port=True))
    with listener, machine.socket(socket.AF_INET, socket.SOCK_STREAM) as client:
        client.settimeout(PATIENCE)
        try:
            client.connect(address)
            return True
        except OSError:
            return False


def look_at_hairpin(site, servers):
    """Whether one machine of a site reaches the other by its outside address."""
    first, second = site.machines[:2]
    server = servers.endpoints()[0]
    with first.udp() as one, second.udp() as two:
        answer = ask(two, [server]).get(server)
        ask(one, [server])
        if not answer:
            return False
        send(one, b"round", (answer.address, answer.port))
        return b"round" in arrivals(two, 0.3)


def expected(kind):
    """What `look` must find for this kind."""
    if not kind.udp:
        return {"udp": False, "tcp": [80, 443]}
    result = {}
    if kind.ipv4:
        result = {"udp": True, "mapping": kind.mapping, "filtering": kind.filtering}
        if kind.mapping == "independent":
            result["input"] = "accepts" if kind.accepts_input else "drops"
            if kind.filtering == "anyone":
                result.pop("input")  # the map leads the packet to the machine itself
    if kind.ipv6:
        result["ipv6"] = {"udp": True, "mapping": "none", "filtering": "endpoint"}
    return result


def differences(kind, seen):
    """Where what was seen is not what the kind's name says, in words."""
    found = []
    for key, value in expected(kind).items():
        other = seen.get(key)
        if isinstance(value, dict):
            found += [
                f"{key} {k}: {(other or {}).get(k)}, not {v}"
                for k, v in value.items()
                if (other or {}).get(k) != v
            ]
        elif other != value:
            found.append(f"{key}: {other}, not {value}")
    return found


def check(sites, servers, delay):
    """Looks at every site at once. Returns what was seen by site; fails when one is not what it should be."""
    seen, complaints = {}, {}

    def one(site):
        try:
            seen[site.name] = look(site, site.machines[0], servers)
            if len(site.machines) > 1:
                seen[site.name]["hairpin"] = look_at_hairpin(site, servers)
        except (OSError, Failed, LookupError) as error:
            seen[site.name] = {"error": repr(error)}

    # Once more where something is odd: on a loaded machine an answer may come too late.
    for _ in range(2):
        each([site for site in sites if site.name not in seen or complaints.get(site.name)], one)
        complaints = {site.name: oddities(site, seen[site.name], 4 * delay) for site in sites}
    found = [f"{name}: {text}" for name, texts in complaints.items() for text in texts]
    if found:
        raise Failed("the emulation is not what it says: " + "; ".join(found))
    return seen


def oddities(site, seen, milliseconds):
    """What is wrong with a site, in words."""
    found = differences(site.kind, seen)
    if "error" in seen:
        found.append(seen["error"])
    if len(site.machines) > 1 and seen.get("hairpin") != site.kind.hairpin:
        found.append(f"hairpin: {seen.get('hairpin')}, not {site.kind.hairpin}")
    took = seen.get("ms")
    if took is not None and not milliseconds - 1 <= took <= milliseconds + 15:
        found.append(f"{took} ms to a server and back, not {milliseconds:g}")
    return found


def each(items, work, at_once=8):
    """Does `work` with all of them, some at once, and waits. What one raises is raised here."""
    with ThreadPoolExecutor(at_once) as pool:
        list(pool.map(work, items))


def punch(first, second, servers, seconds=1.0, head_start=0.0):
    """Whether two sockets meet when both ends know each other's addresses and send at once.

    `first` and `second` are (site, machine). Each answers to where a packet really came from, and sends there too
    from then on. With `head_start` the second begins that many seconds later.
    """
    ends = [End(*first, servers), End(*second, servers)]
    try:
        for end, other in (ends, reversed(ends)):
            end.targets = list(other.candidates)
        begun, next_volley = time.monotonic(), 0.0
        while (passed := time.monotonic() - begun) < seconds:
            if passed >= next_volley:
                next_volley += 0.1
                for end in ends if passed >= head_start else ends[:1]:
                    end.volley()
            sockets = {made: end for end in ends for made in end.sockets}
            for ready in select.select(list(sockets), [], [], 0.05)[0]:
                sockets[ready].read(ready)
            if all(end.answered for end in ends):
                return True
        return False
    finally:
        for end in ends:
            end.close()


class End:
    """One of two that want to meet."""

    def __init__(self, site, machine, servers):
        self.candidates, self.targets, self.sockets = [], [], []
        self.answered = False
        families = [socket.AF_INET] * site.kind.ipv4 + [socket.AF_INET6] * site.kind.ipv6
        for family in families:
            client = machine.udp(family=family)
            self.sockets.append(client)
            server = servers.endpoints(family)[0]
            answer = ask(client, [server], tries=1).get(server)
            if answer:
                self.candidates.append((answer.address, answer.port))
            if family == socket.AF_INET and site.kind.nat:
                self.candidates.append((site.inside_address(machine), client.getsockname()[1]))

    def volley(self):
        for target in self.targets:
            self.send(b"hello", target)

    def send(self, text, target):
        family = socket.AF_INET6 if ":" in target[0] else socket.AF_INET
        for made in self.sockets:
            if made.family == family:
                send(made, text, target)

    def read(self, client):
        try:
            while True:
                text, source = client.recvfrom(2048)
                if text == b"hello":
                    send(client, b"answer", source)
                    if source[:2] not in self.targets:
                        self.targets.append(source[:2])
                elif text == b"answer":
                    self.answered = True
        except OSError:
            pass

    def close(self):
        for made in self.sockets:
            made.close()
