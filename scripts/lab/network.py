"""Hosts, each a network namespace, on one bridge that stands for the internet."""

from .programs import output_of

# RFC 2544's range for measurements between networks: never someone's real address.
INTERNET = "198.18.0.1/15"


def run(*command):
    """Runs a command that has to succeed; its complaint is in the error otherwise."""
    return output_of(command, " ".join(command))


class Host:
    """A machine with one network card and one address."""

    def __init__(self, name, address):
        self.name = name
        self.address = address

    def command(self, *command):
        """The same command, on this host."""
        return ["nsenter", f"--net=/run/netns/{self.name}", "--", *command]


class Internet:
    """Call once, inside the sandbox."""

    def __init__(self):
        run("ip", "link", "set", "lo", "up")
        run("ip", "link", "add", "internet", "type", "bridge")
        run("ip", "address", "add", INTERNET, "dev", "internet")
        run("ip", "link", "set", "internet", "up")

    def host(self, name, address):
        """Adds a host and plugs it in."""
        host = Host(name, address)
        run("ip", "netns", "add", name)
        run("ip", "link", "add", name, "type", "veth", "peer", "name", "eth0", "netns", name)
        run("ip", "link", "set", name, "master", "internet", "up")
        run(*host.command("ip", "address", "add", f"{address}/15", "dev", "eth0"))
        run(*host.command("ip", "link", "set", "eth0", "up"))
        run(*host.command("ip", "link", "set", "lo", "up"))
        return host
