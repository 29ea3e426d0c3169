"""`upcall/show`: megaflows, their limit, how long the periodic sweep over them takes, as Open vSwitch says it (AP.42).

Thread rule: control thread.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from vswitchd.dpctl import DATAPATH_NAME

if TYPE_CHECKING:
    from vswitchd.core import Core


def rows(core: Core) -> list[dict[str, Any]]:
    """Return our one datapath as an object; `sweep_ms` is the last sweep's, `forwarders` are megaflows of each."""
    limits, stats = core.datapath.limits, core.datapath.stats()
    return [
        {
            "name": DATAPATH_NAME,
            "flows": stats["n_flows"],
            "average": limits.average,
            "highest": max(limits.highest, stats["n_flows"]),
            "limit": limits.current,
            "sweep_ms": limits.sweep_ms,
            "forwarders": [one["n_flows"] for one in stats["forwarders"]],
        }
    ]


def show(core: Core) -> str:
    """Return the text of upcall/show; where Open vSwitch lists its revalidators, ours lists the forwarders."""
    lines = []
    for row in rows(core):
        counts = " ".join(f"({word} {row[name]})" for word, name in COUNTS)
        lines += [f"{row['name']}:", f"  flows         : {counts}"]
        lines += [f"  dump duration : {max(1, row['sweep_ms'])}ms", "  ufid enabled : true", ""]
        lines += [f"  {number}: (keys {n_flows})" for number, n_flows in enumerate(row["forwarders"])]
        lines.append("")
    return "\n".join(lines)


COUNTS = (("current", "flows"), ("avg", "average"), ("max", "highest"), ("limit", "limit"))
