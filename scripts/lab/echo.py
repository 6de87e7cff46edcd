"""ICMPv6 echo over the overlay, sent every 20 ms; and files over TCP, with a checksum."""

import hashlib
import os
import select
import socket
import struct
import threading
import time

from .places import in_namespace

ECHO_REQUEST, ECHO_REPLY = 128, 129
INTERVAL = 0.02
CHUNK = 1 << 16


class Echo:
    """Sends echo requests from machines, and tells the answers apart by number."""

    def __init__(self):
        self._lock = threading.Lock()
        self._next = os.getpid() & 0x7FFF

    def _identifier(self):
        with self._lock:
            self._next = (self._next + 1) & 0xFFFF
            return self._next

    def run(self, machine, target, seconds, interval=INTERVAL, until_first=True, size=8, heard=None):
        """Echo requests until the first answer (or for that long). Returns [(sent, round trip)] of the answered.

        Times are seconds since the begin. `heard` is called with each answer's sending time as it comes.
        """
        identifier, answers = self._identifier(), []
        raw = machine.socket(socket.AF_INET6, socket.SOCK_RAW, socket.IPPROTO_ICMPV6)
        with raw:
            raw.setblocking(False)
            begun, sequence, next_time = time.monotonic(), 0, 0.0
            sent = {}
            while (passed := time.monotonic() - begun) < seconds:
                if passed >= next_time:
                    next_time = max(next_time + interval, passed)
                    packet = struct.pack("!BBHHH", ECHO_REQUEST, 0, 0, identifier, sequence & 0xFFFF)
                    sent[sequence & 0xFFFF] = passed
                    sequence += 1
                    try:
                        raw.sendto(packet + bytes(size), (target, 0))
                    except OSError:
                        pass  # no device or no route yet: the next one may go
                wait = max(0.0, min(next_time, seconds) - (time.monotonic() - begun))
                if not select.select([raw], [], [], wait)[0]:
                    continue
                for kind, number in self._read(raw, identifier):
                    if kind == ECHO_REPLY and number in sent:
                        time_sent = sent.pop(number)
                        answers.append((time_sent, time.monotonic() - begun - time_sent))
                        if heard:
                            heard(time_sent)
                if answers and until_first:
                    break
        return answers

    def _read(self, raw, identifier):
        found = []
        try:
            while True:
                packet = raw.recv(2048)
                if len(packet) >= 8:
                    kind, _, _, theirs, number = struct.unpack("!BBHHH", packet[:8])
                    if theirs == identifier:
                        found.append((kind, number))
        except OSError:
            pass
        return found


class Transfer:
    """A file over TCP from one machine to another by their overlay addresses; the longest silence is measured.

    That is the longest time in which the receiver got nothing, connecting included. The content is chance, and its
    checksum comes after it. `arrived` is how much has.
    """

    def __init__(self, sender, receiver, target, port, size, patience=30.0):
        self.size, self.patience = size, patience
        self.arrived, self.longest_stall, self.seconds = 0, 0.0, 0.0
        self.error, self.equal = None, False
        self._sender, self._receiver, self._target, self._port = sender, receiver, target, port
        self._begun = 0.0
        self._block = os.urandom(CHUNK)
        self._threads = []

    def start(self):
        listener = in_namespace(
            self._receiver.namespace, lambda: socket.socket(socket.AF_INET6, socket.SOCK_STREAM)
        )
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind((self._target, self._port))
        listener.listen(1)
        listener.settimeout(self.patience)
        self._threads = [
            threading.Thread(target=self._guard, args=(self._receive, listener), daemon=True),
            threading.Thread(target=self._guard, args=(self._send,), daemon=True),
        ]
        self._begun = time.monotonic()
        for thread in self._threads:
            thread.start()
        return self

    def wait(self):
        for thread in self._threads:
            thread.join()
        return self

    @property
    def ok(self):
        return self.equal and self.error is None

    def _guard(self, work, *values):
        try:
            work(*values)
        except (OSError, ValueError) as error:
            self.error = self.error or f"{work.__name__[1:]}: {error or type(error).__name__}"

    def _send(self):
        """Blocks that all differ, their number in front, and in the end the checksum of all."""
        client = self._sender.socket(socket.AF_INET6, socket.SOCK_STREAM)
        with client:
            client.settimeout(self.patience)
            client.connect((self._target, self._port))
            digest, left, number = hashlib.sha256(), self.size, 0
            while left > 0:
                block = (struct.pack("!Q", number) + self._block[8:])[: min(left, CHUNK)]
                digest.update(block)
                client.sendall(block)
                left -= len(block)
                number += 1
            client.sendall(digest.digest())
            client.shutdown(socket.SHUT_WR)
            client.recv(1)  # the receiver's end: what was sent has arrived

    def _receive(self, listener):
        with listener:
            connection, _ = listener.accept()
        with connection:
            connection.settimeout(self.patience)
            begun, last = time.monotonic(), self._begun
            digest, tail = hashlib.sha256(), b""
            while True:
                data = connection.recv(CHUNK)
                now = time.monotonic()
                self.longest_stall = max(self.longest_stall, now - last)
                last = now
                if not data:
                    break
                tail += data
                body, tail = tail[:-32], tail[-32:]
                digest.update(body)
                self.arrived += len(body)
            self.seconds = time.monotonic() - begun
            self.equal = self.arrived == self.size and tail == digest.digest()
