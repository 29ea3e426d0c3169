"""Talks raw OpenFlow to a channel over an in-memory stream or a socket; helpers of the channel's tests."""

from __future__ import annotations

import asyncio
import socket
import struct

from ofproto.connection import Connection
from ofproto.controllers import Channel
from tests.ofproto.channel_fakes import FakeBridge
from vslib import stream
from vslib.clock import CLOCK

NX = 0x2320
ANY = 0xFFFFFFFF


def msg(version, kind, body=b"", xid=7):
    return struct.pack("!BBHI", version, kind, 8 + len(body), xid) + body


def nx(version, subtype, body=b"", xid=7):
    return msg(version, 4, struct.pack("!II", NX, subtype) + body, xid)


def stat(version, kind, body=b"", flags=0, xid=7):
    head = struct.pack("!HH", kind, flags) + (b"" if version == 1 else bytes(4))
    return msg(version, 16 if version == 1 else 18, head + body, xid)


def nxst(subtype, body=b""):
    return stat(1, 0xFFFF, struct.pack("!II4x", NX, subtype) + body)


def flow_mod(version, mark=0):
    """Return a message of the right size; the fake tables refuse it when `mark` is 0xbb."""
    return msg(version, 14, bytes(63 if version == 1 else 39) + bytes([mark]))


def error_of(message):
    """Return (type, code, xid, quoted data) of an error message."""
    assert message[1] == 1, message.hex()
    return (*struct.unpack("!HH", message[8:12]), int.from_bytes(message[4:8], "big"), message[12:])


class Client:
    """The peer's end of a connection."""

    def __init__(self, carrier):
        self.carrier = carrier
        self.rest = b""

    def send(self, *messages):
        self.carrier.write(b"".join(messages))

    async def receive(self):
        """Return the next message, b"" at the end of the stream."""
        while len(self.rest) < 8 or len(self.rest) < int.from_bytes(self.rest[2:4], "big"):
            data = await CLOCK.wait_for(self.carrier.read(), 5)
            if not data:
                return b""
            self.rest += data
        length = int.from_bytes(self.rest[2:4], "big")
        message, self.rest = self.rest[:length], self.rest[length:]
        return message

    async def hello(self, version):
        self.send(msg(version, 0, xid=1))
        return await self.receive()

    async def ask(self, *messages):
        """Send and return the next message."""
        self.send(*messages)
        return await self.receive()

    async def all_until_barrier(self, version):
        """Return what arrives before the answer to a barrier."""
        self.send(msg(version, 18 if version == 1 else 20, xid=0xBA))
        found = []
        while (message := await self.receive())[4:8] != (0xBA).to_bytes(4, "big"):
            assert message, "connection ended"
            found.append(message)
        return found


class Rig:
    """A channel with a fake bridge, and clients of it."""

    def __init__(self, **options):
        self.bridge = FakeBridge(**options)
        self.channel = Channel(self.bridge, self.bridge.codec)
        self.tasks = []

    def client(self, service=False):
        """Return a client without handshake."""
        ours, theirs = stream.pair()
        connection = Connection(self.channel, ours, f"{self.bridge.name}<->test", service=service)
        self.channel.connections.append(connection)
        self.tasks.append(asyncio.get_running_loop().create_task(connection.run()))
        client = Client(theirs)
        client.connection = connection
        return client

    async def ready(self, version, service=False):
        """Return a client after the handshake."""
        client = self.client(service)
        await client.hello(version)
        await client.ask(msg(version, 2, b"sync"))
        return client


def run(main, **options):
    """Run the coroutine function `main(rig)`."""

    async def body():
        rig = Rig(**options)
        await main(rig)
        for connection in rig.channel.connections:
            connection.stream.close()
        await asyncio.gather(*rig.tasks)

    asyncio.run(body())


def bound(address: str, port: int) -> socket.socket:
    """Return a TCP socket bound in the calling thread's network namespace; port 0: any.

    While it is open, the system gives the port to nobody who does not ask for it by number, so a test may tell it to a
    process that listens later.
    """
    sock = socket.socket(socket.AF_INET6 if ":" in address else socket.AF_INET)
    sock.settimeout(15)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    sock.bind((address, port))
    return sock
