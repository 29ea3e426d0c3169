"""What a controller hears of ports: the port-status messages that `ovs-ofctl monitor` prints."""

from __future__ import annotations

import contextlib
import re
import subprocess
import threading
from collections.abc import Iterator

from tests.peers.daemon import Daemon, wait_until

STATUS = re.compile(r"OFPT_PORT_STATUS.* (ADD|DEL|MOD): (\w+)\(([^)]*)\)")
SOON_S = 1.0  # news of devices come through netlink, not by asking again and again


class PortWatch:
    """The messages so far as (what, port number, name)."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self.process = process
        self.messages: list[tuple[str, str, str]] = []
        self.thread = threading.Thread(target=self._read)
        self.thread.start()

    def _read(self) -> None:
        for line in self.process.stderr:
            if found := STATUS.search(line):
                self.messages.append(found.groups())

    def hears(self, *wanted: tuple[str, str]) -> None:
        """Wait until messages (what, name) came in this order, maybe with others between them; forget the messages."""

        def came() -> bool:
            seen = iter([(what, name) for what, _, name in list(self.messages)])
            return all(any(message == one for one in seen) for message in wanted)

        wait_until(came, f"{wanted} in {self.messages}", timeout_s=10 * SOON_S)
        self.messages.clear()


@contextlib.contextmanager
def port_watch(daemon: Daemon, bridge: str) -> Iterator[PortWatch]:
    """Listen to a bridge's port-status messages."""
    words = ["ovs-ofctl", "-O", "OpenFlow13", "monitor", bridge, "65535"]
    pipe = subprocess.PIPE
    process = subprocess.Popen(words, env=daemon.env, stdout=subprocess.DEVNULL, stderr=pipe, text=True)
    watch = PortWatch(process)
    try:
        # It listens when it hears of a port that comes for this.
        daemon.vsctl("add-port", bridge, "watch0", "--", "set", "interface", "watch0", "type=internal")
        for _ in range(50):
            with contextlib.suppress(AssertionError):
                wait_until(lambda: any(name == "watch0" for _, _, name in watch.messages), "listening", 0.1)
                break
            daemon.vsctl("del-port", "watch0")
            daemon.vsctl("add-port", bridge, "watch0", "--", "set", "interface", "watch0", "type=internal")
        daemon.vsctl("del-port", "watch0")
        watch.hears(("DEL", "watch0"))
        yield watch
    finally:
        process.terminate()  # not by force: it has a socket in the run directory
        process.wait()
        watch.thread.join()
        process.stderr.close()
