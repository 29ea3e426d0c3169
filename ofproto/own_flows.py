"""OWN_FLOWS: what a bridge has in table 254 from its start, as Open vSwitch shows it there.

Nobody changes them, and no packet meets them unless it is resubmitted there: Open vSwitch ends with one of them what
matches nothing, we end that without a look-up. They are what a command about table 254 sees.
Thread rule: control thread.
"""

from __future__ import annotations

from typing import Any

from ofproto import flow_text
from ofproto.numbers import OPENFLOW_TABLES

OWN_FLOWS = (
    (2, "recirc_id=0,actions=drop"),
    (0, "reg0=1,actions=controller(reason=7)"),  # OFPR_IMPLICIT_MISS: to controllers as OpenFlow before 1.3 has it
    (0, "reg0=2,actions=drop"),
    (0, "reg0=3,actions=drop"),
)


def add_own_flows(flows: Any) -> None:
    """Put them into the tables (`ofproto.flow_table.FlowTables`) of a new bridge."""
    for priority, text in OWN_FLOWS:
        rule = flow_text.parse_flow(text)
        flows.add_hidden(priority, rule.value, rule.mask, rule.actions, table_id=OPENFLOW_TABLES)
