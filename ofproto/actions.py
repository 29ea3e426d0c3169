"""ACTIONS: every action and instruction that we execute, and the wire forms in which peers write it (FEATURES A5).

An action has one decoded form (a kind of `ofact.pxd`) and several wire forms: its OpenFlow 1.0 type, its OpenFlow 1.1+
type and Nicira subtypes. A form is found by its space (OF10, OF13, NX or INST) and number; `act_decode.pyx` binds a C
function to each form's name, so that a form without a row, or a row without a function, is an error at import. A wire
number that has no row is answered with OFPBAC_BAD_TYPE or OFPBAC_BAD_VENDOR_TYPE, as by any switch without that action.
OpenFlow 1.1's own types for mod_vlan_vid and its like are understood in every later version, as Open vSwitch does.
"""

from __future__ import annotations

from dataclasses import dataclass

OF10, OF13, NX, INST = "OpenFlow 1.0", "OpenFlow 1.1+", "Nicira", "instruction"

# The numbers of OfActKind in ofact.pxd, for code that builds or reads OfAct lists in Python.
KINDS: dict[str, int] = {
    name: number
    for number, name in enumerate(
        (
            "OUTPUT", "CONTROLLER", "ENQUEUE", "OUTPUT_REG", "SET_VLAN_VID", "SET_VLAN_PCP", "STRIP_VLAN", "PUSH_VLAN",
            "SET_ETH_SRC", "SET_ETH_DST", "SET_IPV4_SRC", "SET_IPV4_DST", "SET_IP_DSCP", "SET_IP_ECN", "SET_IP_TTL",
            "SET_L4_SRC", "SET_L4_DST", "SET_FIELD", "MOVE", "STACK_PUSH", "STACK_POP", "DEC_TTL", "SET_TUNNEL",
            "SET_QUEUE", "POP_QUEUE", "RESUBMIT", "NOTE", "EXIT", "CLEAR_ACTIONS", "WRITE_ACTIONS", "WRITE_METADATA",
            "GOTO_TABLE",
        ),
        start=1,
    )
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Form:
    """One wire form.

    name: the name that act_decode.pyx binds; space: OF10, OF13, NX or INST; number: type or subtype; n_bytes: whole
    length with header; variable: longer forms are allowed, in steps of 8 bytes; only10: OpenFlow 1.0 only.
    """

    name: str
    space: str
    number: int
    n_bytes: int
    variable: bool = False
    only10: bool = False


@dataclass(frozen=True, slots=True)
class Action:
    """One row of ACTIONS.

    name: as in ovs-ofctl; kind: the OfActKind without its OFACT_ prefix; syntax: text form; forms: wire forms; doc: one
    sentence; feature: row of FEATURES A5; in_set: allowed in write-actions.
    """

    name: str
    kind: str
    syntax: str
    forms: tuple[Form, ...]
    doc: str
    feature: str
    in_set: bool = False


def _of10(name: str, number: int, n_bytes: int = 8) -> Form:
    return Form("of10_" + name, OF10, number, n_bytes)


def _of13(name: str, number: int, n_bytes: int = 8, variable: bool = False) -> Form:
    return Form("of13_" + name, OF13, number, n_bytes, variable)


def _of11(name: str, number: int, n_bytes: int = 8) -> Form:
    return Form("of11_" + name, OF13, number, n_bytes)


def _nx(name: str, number: int, n_bytes: int = 16, variable: bool = False, only10: bool = False) -> Form:
    return Form("nx_" + name, NX, number, n_bytes, variable, only10)


def _inst(name: str, number: int, n_bytes: int = 8, variable: bool = False) -> Form:
    return Form("inst_" + name, INST, number, n_bytes, variable)


ACTIONS: tuple[Action, ...] = (
    Action("output", "OUTPUT", "output:PORT", (_of10("output", 0), _of13("output", 0, 16)),
           "send the packet to a port", "AC.01", True),
    Action("controller", "CONTROLLER", "controller(max_len=N,reason=R,id=N)", (_nx("controller", 20),),
           "send the packet to a controller, with a reason", "AC.05"),
    Action("enqueue", "ENQUEUE", "enqueue:PORT:QUEUE", (_of10("enqueue", 11, 16),),
           "send the packet to a queue of a port", "AC.07"),
    Action("output_reg", "OUTPUT_REG", "output:FIELD[LOW..HIGH]",
           (_nx("output_reg", 15, 24), _nx("output_reg2", 32, 24, True)),
           "send the packet to the port that a field names", "AC.02"),
    Action("mod_vlan_vid", "SET_VLAN_VID", "mod_vlan_vid:VID", (_of10("set_vlan_vid", 1), _of11("set_vlan_vid", 1)),
           "set the VLAN ID; pushes a tag when there is none", "AC.11", True),
    Action("mod_vlan_pcp", "SET_VLAN_PCP", "mod_vlan_pcp:PCP", (_of10("set_vlan_pcp", 2), _of11("set_vlan_pcp", 2)),
           "set the VLAN priority; pushes a tag when there is none", "AC.11", True),
    Action("strip_vlan", "STRIP_VLAN", "strip_vlan", (_of10("strip_vlan", 3), _of13("pop_vlan", 18)),
           "remove the outer VLAN tag", "AC.11", True),
    Action("push_vlan", "PUSH_VLAN", "push_vlan:TPID", (_of13("push_vlan", 17),),
           "push a VLAN tag of type 0x8100 or 0x88a8", "AC.12", True),
    Action("mod_dl_src", "SET_ETH_SRC", "mod_dl_src:MAC", (_of10("set_dl_src", 4, 16), _of11("set_dl_src", 3, 16)),
           "set the Ethernet source", "AC.13", True),
    Action("mod_dl_dst", "SET_ETH_DST", "mod_dl_dst:MAC", (_of10("set_dl_dst", 5, 16), _of11("set_dl_dst", 4, 16)),
           "set the Ethernet destination", "AC.13", True),
    Action("mod_nw_src", "SET_IPV4_SRC", "mod_nw_src:IP", (_of10("set_nw_src", 6), _of11("set_nw_src", 5)),
           "set the IPv4 source", "AC.13", True),
    Action("mod_nw_dst", "SET_IPV4_DST", "mod_nw_dst:IP", (_of10("set_nw_dst", 7), _of11("set_nw_dst", 6)),
           "set the IPv4 destination", "AC.13", True),
    Action("mod_nw_tos", "SET_IP_DSCP", "mod_nw_tos:TOS", (_of10("set_nw_tos", 8), _of11("set_nw_tos", 7)),
           "set the DSCP, given in the upper six bits of the TOS byte", "AC.13", True),
    Action("mod_nw_ecn", "SET_IP_ECN", "mod_nw_ecn:ECN", (_of11("set_nw_ecn", 8),),
           "set the ECN bits", "AC.14", True),
    Action("mod_nw_ttl", "SET_IP_TTL", "mod_nw_ttl:TTL", (_of13("set_nw_ttl", 23),),
           "set the TTL or hop limit", "AC.14", True),
    Action("mod_tp_src", "SET_L4_SRC", "mod_tp_src:PORT", (_of10("set_tp_src", 9), _of11("set_tp_src", 9)),
           "set the TCP, UDP or SCTP source port", "AC.13", True),
    Action("mod_tp_dst", "SET_L4_DST", "mod_tp_dst:PORT", (_of10("set_tp_dst", 10), _of11("set_tp_dst", 10)),
           "set the TCP, UDP or SCTP destination port", "AC.13", True),
    Action("set_field", "SET_FIELD", "set_field:VALUE[/MASK]->FIELD or load:VALUE->FIELD[LOW..HIGH]",
           (_of13("set_field", 25, 8, True), _nx("reg_load", 7, 24), _nx("reg_load2", 33, 16, True)),
           "set a field or some of its bits", "AC.09", True),
    Action("move", "MOVE", "move:SRC[LOW..HIGH]->DST[LOW..HIGH]", (_nx("reg_move", 6, 24, True),),
           "copy bits from a field to a field", "AC.10", True),
    Action("push", "STACK_PUSH", "push:FIELD[LOW..HIGH]", (_nx("stack_push", 27, 24, True),),
           "push bits of a field on the stack", "AC.20"),
    Action("pop", "STACK_POP", "pop:FIELD[LOW..HIGH]", (_nx("stack_pop", 28, 24, True),),
           "pop bits from the stack into a field", "AC.20"),
    Action("dec_ttl", "DEC_TTL", "dec_ttl or dec_ttl(ID,ID...)",
           (_of13("dec_nw_ttl", 24), _nx("dec_ttl", 18, only10=True), _nx("dec_ttl_cnt_ids", 21, 24, True)),
           "decrement the TTL; at 0 tell the controllers and stop", "AC.15", True),
    Action("set_tunnel", "SET_TUNNEL", "set_tunnel:ID or set_tunnel64:ID",
           (_nx("set_tunnel", 2), _nx("set_tunnel64", 9, 24)), "set the tunnel key", "AC.19", True),
    Action("set_queue", "SET_QUEUE", "set_queue:QUEUE", (_of13("set_queue", 21), _nx("set_queue", 4, only10=True)),
           "choose the queue of later outputs", "AC.07", True),
    Action("pop_queue", "POP_QUEUE", "pop_queue", (_nx("pop_queue", 5),), "undo set_queue", "AC.07"),
    Action("resubmit", "RESUBMIT", "resubmit:PORT or resubmit(PORT,TABLE)",
           (_nx("resubmit", 1), _nx("resubmit_table", 14)),
           "search a table again, and come back", "AC.21, AC.22", True),
    Action("note", "NOTE", "note:HH.HH...", (_nx("note", 8, 16, True),), "does nothing; carries bytes", "AC.27"),
    Action("exit", "EXIT", "exit", (_nx("exit", 17),), "stop here, also in the tables that resubmitted", "AC.28"),
    Action("group", "GROUP", "group:GROUP", (_of13("group", 22), _nx("group", 40, only10=True)),
           "run a group; refused with OFPBAC_BAD_OUT_GROUP while there are no groups", "AC.04", True),
    Action("apply_actions", "APPLY_ACTIONS", "apply_actions(ACTION,...)", (_inst("apply_actions", 4, 8, True),),
           "run actions now; they stand directly in the list", "AC.40"),
    Action("clear_actions", "CLEAR_ACTIONS", "clear_actions", (_inst("clear_actions", 5),),
           "empty the action set", "AC.40"),
    Action("write_actions", "WRITE_ACTIONS", "write_actions(ACTION,...)", (_inst("write_actions", 3, 8, True),),
           "merge actions into the action set", "AC.40"),
    Action("write_metadata", "WRITE_METADATA", "write_metadata:VALUE[/MASK]",
           (_inst("write_metadata", 2, 24), _nx("write_metadata", 22, 32)), "set bits of the metadata", "AC.40"),
    Action("meter", "METER", "meter:METER", (_inst("meter", 6),),
           "rate-limit; refused with OFPMMFC_INVALID_METER: there are none", "AC.39"),
    Action("goto_table", "GOTO_TABLE", "goto_table:TABLE", (_inst("goto_table", 1),),
           "go on in a later table", "AC.40"),
)

FORMS: dict[str, Form] = {form.name: form for row in ACTIONS for form in row.forms}
