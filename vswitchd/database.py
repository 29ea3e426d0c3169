"""Which database the daemon follows: the server it was told, the one that has conf.db already, or its own (DB.41).

Thread rule: control thread.
"""

from __future__ import annotations

import os
import socket
import uuid

from ovsdb import lockfile
from ovsdb.idl import Idl
from ovsdb.server import Server
from vslib import clock, dirs, stream_unix, vlog
from vslib.errors import ConfigError

log = vlog.get("vswitchd")

SCHEMA = os.path.join(os.path.dirname(__file__), "vswitch.ovsschema")
SOCKET = "db.sock"
LOOK_AGAIN_S = 0.25  # how soon a file lock that was given up, or a server that answers, is noticed


def locked_out_text() -> str:
    """Return the log line of a daemon that must wait for another one."""
    return f"another ovs-vswitchd process is running, disabling this process (pid {os.getpid()}) until it goes away"


def absolute_target(target: str) -> str:
    """Return the target with a relative socket path put into the run directory, as Open vSwitch reads it."""
    method, colon, path = target.partition(":")
    return f"{method}:{dirs.abs_file(dirs.rundir(), path)}" if method == "unix" and path else target


def answers(path: str) -> bool:
    """Tell whether somebody accepts connections on the socket `path`."""
    try:
        stream_unix.connect_now(path).close()
    except BlockingIOError:
        return True  # it is busy, but there
    except OSError:
        return False
    return True


async def open_database(idl: Idl, target: str | None) -> Server | None:
    """Connect `idl` to the server `target`, or, for None, to the one that has conf.db open or to one of our own.

    Returns when the contents are here; our own server, None if it is another's. It waits as long as a server does not
    answer or another process has the database file open without serving it here. Raises ConfigError.
    """
    if target is not None:
        await idl.connect(absolute_target(target))
        return None
    path = dirs.abs_file(dirs.dbdir(), "conf.db")
    socket = os.path.join(dirs.rundir(), SOCKET)
    n_looks = 0
    while True:
        holder = lockfile.holder(path)
        if not holder:
            return await _embed(idl, path)
        if answers(socket):
            log.info("%s is open in process %d, using its server at %s", path, holder, socket)
            await idl.connect(f"unix:{socket}")
            return None
        n_looks += 1
        if n_looks == 1:
            log.info("%s is open in process %d, and nobody answers at %s: waiting for either", path, holder, socket)
        elif n_looks == 3:
            log.err("%s", locked_out_text())
        await clock.CLOCK.sleep(LOOK_AGAIN_S)


async def _embed(idl: Idl, path: str) -> Server:
    server = Server()
    os.makedirs(dirs.dbdir(), exist_ok=True)
    await server.open(path, SCHEMA)
    await idl.connect(server.connect_local())
    return server


async def make_root(idl: Idl) -> None:
    """Make the one row of Open_vSwitch in a database without, filled as ovs-ctl does (SC.01); raises SwitchError."""
    if not idl.tables["Open_vSwitch"].rows:
        txn = idl.txn("create the root row")
        ids = {"hostname": socket.gethostname(), "rundir": dirs.rundir(), "system-id": str(uuid.uuid4())}
        txn.insert("Open_vSwitch", {"external_ids": ids})
        await txn.commit()


__all__ = ["SCHEMA", "ConfigError", "absolute_target", "answers", "locked_out_text", "make_root", "open_database"]
