"""What the demo needs of ovs-vsctl, ovs-ofctl and ovs-appctl, by our own clients: for machines without those tools."""

from __future__ import annotations

import asyncio
import socket
import time
from typing import Any

from ovsdb import client
from vslib import unixctl

DB = "Open_vSwitch"
TIMEOUT_S = 10.0
OFPT_HELLO, OFPT_MULTIPART_REQUEST, OFPT_MULTIPART_REPLY = 0, 18, 19
OFPMP_FLOW, OFPMPF_REPLY_MORE, OF13 = 1, 1, 4
OFPP_ANY = OFPG_ANY = 0xFFFFFFFF
OFPTT_ALL = 0xFF


def _transact(target: str, *operations: dict[str, Any]) -> list[Any]:
    """Run one transaction that asks the daemon to act, and return when it has acted."""

    async def both() -> list[Any]:
        bump = {"op": "mutate", "table": DB, "where": [], "mutations": [["next_cfg", "+=", 1]]}
        read = {"op": "select", "table": DB, "where": [], "columns": ["next_cfg", "cur_cfg"]}
        results = await client.transact(target, DB, *operations, bump, read)
        wanted = results[-1]["rows"][0]["next_cfg"]
        begin = time.monotonic()
        while True:
            row = (await client.transact(target, DB, read))[0]["rows"][0]
            if row["cur_cfg"] >= wanted:
                return results
            if time.monotonic() - begin > TIMEOUT_S:
                raise TimeoutError("the daemon does not follow its database")
            await asyncio.sleep(0.05)

    return asyncio.run(both())


def add_bridge(target: str, name: str, ports: tuple[str, ...]) -> None:
    """Add a bridge and its system ports."""
    operations: list[dict[str, Any]] = []
    names: list[list[str]] = []
    for number, port in enumerate((name, *ports)):
        kind = "internal" if port == name else ""
        row: dict[str, Any] = {"name": port, "type": kind}
        operations.append({"op": "insert", "table": "Interface", "uuid-name": f"i{number}", "row": row})
        row = {"name": port, "interfaces": ["named-uuid", f"i{number}"]}
        operations.append({"op": "insert", "table": "Port", "uuid-name": f"p{number}", "row": row})
        names.append(["named-uuid", f"p{number}"])
    row = {"name": name, "ports": ["set", names], "datapath_type": "netdev"}
    operations.append({"op": "insert", "table": "Bridge", "uuid-name": "b", "row": row})
    insert = [["bridges", "insert", ["set", [["named-uuid", "b"]]]]]
    operations.append({"op": "mutate", "table": DB, "where": [], "mutations": insert})
    _transact(target, *operations)


def set_controller(target: str, bridge: str, controller: str) -> None:
    """Give a bridge one controller and fail mode secure."""
    row = {"controller": ["named-uuid", "c"], "fail_mode": "secure"}
    _transact(
        target,
        {"op": "insert", "table": "Controller", "uuid-name": "c", "row": {"target": controller}},
        {"op": "update", "table": "Bridge", "where": [["name", "==", bridge]], "row": row},
    )


def appctl(rundir: str, *words: str) -> str:
    """Run a management command of the daemon whose run directory is `rundir`."""
    import glob

    return unixctl.call_sync(glob.glob(f"{rundir}/ovs-vswitchd.*.ctl")[0], *words)


def _message(kind: int, body: bytes = b"") -> bytes:
    return bytes([OF13, kind]) + (8 + len(body)).to_bytes(2, "big") + (1).to_bytes(4, "big") + body


def _receive(sock: socket.socket) -> tuple[int, bytes]:
    """Return type and whole bytes of the next OpenFlow message."""
    data = b""
    length = 8
    while len(data) < length:
        more = sock.recv(length - len(data))
        if not more:
            raise ConnectionError("the bridge closed the connection")
        data += more
        if len(data) >= 8:
            length = int.from_bytes(data[2:4], "big")
    return data[1], data


def dump_flows(path: str) -> str:
    """Return the flows of the bridge whose management socket is `path`, one a line, decoded by os-ken."""
    from os_ken.ofproto import ofproto_v1_3_parser as parser

    body = OFPMP_FLOW.to_bytes(2, "big") + bytes(6) + bytes([OFPTT_ALL]) + bytes(3)
    body += OFPP_ANY.to_bytes(4, "big") + OFPG_ANY.to_bytes(4, "big") + bytes(4 + 16) + b"\0\1\0\4\0\0\0\0"
    lines = []
    with socket.socket(socket.AF_UNIX) as sock:
        sock.settimeout(TIMEOUT_S)
        sock.connect(path)
        sock.sendall(_message(OFPT_HELLO) + _message(OFPT_MULTIPART_REQUEST, body))
        more = True
        while more:
            kind, data = _receive(sock)
            if kind != OFPT_MULTIPART_REPLY:
                continue
            more = bool(int.from_bytes(data[10:12], "big") & OFPMPF_REPLY_MORE)
            rest = 16
            while rest < len(data):
                flow = parser.OFPFlowStats.parser(data, rest)
                rest += flow.length
                match = ",".join(f"{key}={value}" for key, value in flow.match.items())
                actions = [action.to_jsondict() for step in flow.instructions for action in step.actions]
                outputs = ",".join(f"output:{next(iter(a.values())).get('port')}" for a in actions)
                lines.append(
                    f" table={flow.table_id}, n_packets={flow.packet_count}, n_bytes={flow.byte_count}, "
                    f"priority={flow.priority}{',' + match if match else ''} actions={outputs}"
                )
    return "\n".join(lines) + "\n"
