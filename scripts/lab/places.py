"""Machines, each a network namespace, and what is done inside them: devices, rules, sockets, programs."""

import ctypes
import os
import socket as sockets
import threading

from .programs import Failed, output_of, run_with_input

_LIBC = ctypes.CDLL(None, use_errno=True)
_CLONE_NEWNET = 0x40000000


class Place:
    """A machine with no network cards but loopback, until something plugs one in."""

    def __init__(self, name):
        self.name = name
        self.namespace = f"/run/netns/{name}"
        output_of(["ip", "netns", "add", name], f"making the namespace {name}")
        self.shell(
            # Addresses count at once, the machine forwards, and packets on a bridge keep away from its NAT.
            """
            cd /proc/sys/net
            echo 1 > ipv4/ip_forward; echo 1 > ipv6/conf/all/forwarding
            echo 0 > ipv6/conf/default/accept_dad; echo 0 > ipv6/conf/all/accept_dad
            echo 0 > ipv6/conf/default/router_solicitations
            [ ! -e bridge/bridge-nf-call-iptables ] || echo 0 > bridge/bridge-nf-call-iptables
            [ ! -e bridge/bridge-nf-call-ip6tables ] || echo 0 > bridge/bridge-nf-call-ip6tables
            ip link set lo up
            """
        )

    def command(self, *command):
        """The same command, on this machine."""
        return ["nsenter", f"--net={self.namespace}", "--", *command]

    def run(self, *command):
        """Runs a command here that has to succeed; returns what it printed."""
        return output_of(self.command(*command), f"{self.name}: {' '.join(command)}")

    def shell(self, script):
        """Runs lines of shell here; the first that fails ends them, and is told."""
        return run_with_input(self.command("sh", "-eu"), script, f"{self.name}: a script")

    def rules(self, text):
        """Loads a file of nftables."""
        return run_with_input(self.command("nft", "-f", "-"), text, f"{self.name}: nft")

    def socket(self, family, kind, protocol=0):
        """A socket that lives here while this program uses it."""
        return in_namespace(self.namespace, lambda: sockets.socket(family, kind, protocol))

    def udp(self, address="", port=0, family=sockets.AF_INET):
        """A UDP socket here, bound and not blocking."""
        made = self.socket(family, sockets.SOCK_DGRAM)
        made.bind((address, port))
        made.setblocking(False)
        return made


def in_namespace(path, work):
    """Does `work` while this thread is in that network namespace; what it opens there stays there."""
    home = os.open(f"/proc/self/task/{threading.get_native_id()}/ns/net", os.O_RDONLY | os.O_CLOEXEC)
    try:
        there = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        try:
            _enter(there)
        finally:
            os.close(there)
        try:
            return work()
        finally:
            _enter(home)
    finally:
        os.close(home)


def _enter(descriptor):
    if _LIBC.setns(descriptor, _CLONE_NEWNET) != 0:
        raise Failed(f"setns: {os.strerror(ctypes.get_errno())}")


def cable(first, first_device, second, second_device):
    """A wire between two machines."""
    output_of(
        [
            "ip", "link", "add", first_device, "netns", first.name,
            "type", "veth", "peer", "name", second_device, "netns", second.name,
        ],
        f"a cable from {first.name} to {second.name}",
    )  # fmt: skip
