"""Wire actions and instructions to OfAct lists; see act_decode.pxd.

Place in the packet's path: none; the control thread runs it for each flow-mod and packet-out. One small function
decodes each wire form (act_openflow.pyx, act_nicira.pyx); they are found by (space, number) in a table that is filled
from ACTIONS at import.
"""

from libc.stdint cimport uint8_t, uint32_t
from libc.string cimport memset

from datapath.bytes cimport load_be16 as get16, load_be32 as get32
from ofproto.act_form cimport *
from ofproto.codec cimport act_room
from ofproto.of_error cimport (
    OFPBAC_BAD_LEN, OFPBAC_BAD_TYPE, OFPBAC_BAD_VENDOR, OFPBAC_BAD_VENDOR_TYPE, OFPBAC_TOO_MANY,
    OFPBAC_UNSUPPORTED_ORDER, OFPBIC_BAD_EXPERIMENTER, OFPBIC_BAD_LEN, OFPBIC_DUP_INST, OFPBIC_UNKNOWN_INST,
    OFPBRC_BAD_LEN, OFPFMFC_TABLE_FULL, OFPMMFC_INVALID_METER,
)
from ofproto.of_number cimport NICIRA, OFPAT_VENDOR, ONF
from ofproto.ofact cimport *

import ofproto.act_nicira
import ofproto.act_openflow
from ofproto.actions import ACTIONS, FORMS, KINDS
from vslib.errors import InternalError

cdef enum:
    N_INST = 7                     # OpenFlow instructions 1 to 6 by type
    NESTED_MAX = 0xfff8            # OfAct.length has 16 bits

cdef uint8_t[N_OFACT_KINDS] IN_SET         # 1 = the kind may stand in write-actions
cdef uint8_t[N_OFACT_KINDS] RANK           # place of an instruction in the order of execution; 0 = an action
cdef uint32_t[N_INST] INST_BYTES           # length of a fixed-length instruction
cdef uint8_t[N_INST] INST_VARIABLE
cdef uint32_t I_APPLY, I_CLEAR, I_WRITE, I_METADATA, I_GOTO, I_METER     # their types, from ACTIONS


# -- lists -----------------------------------------------------------------------------------------------------------

cdef uint32_t find(const uint8_t *p, uint32_t length, uint8_t version, const Decoder **decoder) noexcept nogil:
    cdef uint32_t space = SPACE_OF10 if version == 1 else SPACE_OF13
    cdef uint32_t number = get16(p), vendor = 0
    if number == OFPAT_VENDOR:
        if length < 16:
            return OFPBAC_BAD_LEN
        vendor = get32(p + 4)
        if vendor != NICIRA:
            return OFPBAC_BAD_VENDOR_TYPE if vendor == ONF else OFPBAC_BAD_VENDOR
        number = get16(p + 8)
        space = SPACE_NX
    decoder[0] = &DECODER[space][number] if number < FORM_NUMBERS else NULL
    if decoder[0] == NULL or decoder[0].fn == NULL or (decoder[0].only10 and version != 1):
        return OFPBAC_BAD_VENDOR_TYPE if vendor else OFPBAC_BAD_TYPE
    return 0


cdef uint32_t act_decode(const uint8_t *p, uint32_t left, uint8_t version, OfActBuf *out,
                         uint32_t *used) noexcept nogil:
    cdef const Decoder *decoder = NULL
    cdef uint32_t length, error
    if left < 8:
        return OFPBAC_BAD_LEN
    length = get16(p + 2)
    if length < 8 or length > left or length & 7:
        return OFPBAC_BAD_LEN
    used[0] = length
    error = find(p, length, version, &decoder)
    if error:
        return error
    if length < decoder.n_bytes or (length > decoder.n_bytes and not decoder.variable):
        return OFPBAC_BAD_LEN
    return decoder.fn(p, length, out)


cdef uint32_t order_error(const OfActBuf *out, uint32_t start) noexcept nogil:
    # Actions before instructions, and each instruction once in its place: NXAST_WRITE_METADATA can break that.
    cdef const OfAct *act
    cdef uint8_t last = 0, rank
    cdef uint32_t at = start
    while at < out.length:
        act = <const OfAct *>(out.data + at)
        rank = RANK[act.kind]
        if rank < last or (rank and rank == last):
            return OFPBAC_UNSUPPORTED_ORDER
        last = rank
        at += act.length
    return 0


cdef uint32_t decode_run(const uint8_t *p, uint32_t length, uint8_t version, OfActBuf *out) noexcept nogil:
    cdef uint32_t error, used = 0
    while length:
        error = act_decode(p, length, version, out, &used)
        if error:
            return error
        p += used
        length -= used
    return 0


cdef uint32_t act_list_decode(const uint8_t *p, uint32_t length, uint8_t version, OfActBuf *out) noexcept nogil:
    cdef uint32_t start = out.length
    cdef uint32_t error = OFPBRC_BAD_LEN if length & 7 else decode_run(p, length, version, out)
    return error if error else order_error(out, start)


# -- instructions ------------------------------------------------------------------------------------------------------

cdef uint32_t write_actions(const uint8_t *p, uint32_t length, uint8_t version, OfActBuf *out) noexcept nogil:
    cdef uint32_t start = out.length, at, error
    cdef OfAct *act = act_room(out, OFACT_WRITE_ACTIONS, sizeof(OfActNested))
    if act == NULL:
        return OFPFMFC_TABLE_FULL
    error = decode_run(p, length, version, out)
    if error:
        return error
    if out.length - start > NESTED_MAX:
        return OFPBAC_TOO_MANY
    (<OfAct *>(out.data + start)).length = <uint16_t>(out.length - start)
    at = start + sizeof(OfActNested)
    while at < out.length:
        act = <OfAct *>(out.data + at)
        if not IN_SET[act.kind]:
            return OFPBAC_BAD_TYPE
        at += act.length
    return 0


cdef uint32_t find_instructions(const uint8_t *p, uint32_t length, const uint8_t **inst) noexcept nogil:
    # Sets inst[type] to where each instruction starts.
    cdef uint32_t kind, n
    while length:
        if length < 8:
            return OFPBIC_BAD_LEN
        kind = get16(p)
        n = get16(p + 2)
        if n < 8 or n > length or n & 7:
            return OFPBIC_BAD_LEN
        if kind == OFPAT_VENDOR:
            return OFPBIC_BAD_EXPERIMENTER
        if kind == 0 or kind >= N_INST:
            return OFPBIC_UNKNOWN_INST
        if n != INST_BYTES[kind] and not INST_VARIABLE[kind]:
            return OFPBIC_BAD_LEN
        if inst[kind] != NULL:
            return OFPBIC_DUP_INST
        inst[kind] = p
        p += n
        length -= n
    return 0


cdef uint32_t instructions_decode(const uint8_t *p, uint32_t length, uint8_t version, OfActBuf *out) noexcept nogil:
    cdef const uint8_t *inst[N_INST]
    cdef uint32_t error, start = out.length
    memset(inst, 0, sizeof(inst))
    error = OFPBRC_BAD_LEN if length & 7 else find_instructions(p, length, inst)
    if not error and inst[I_METER] != NULL:
        # there are no meters, as in any switch without one of that number
        error = OFPMMFC_INVALID_METER
    if not error and inst[I_APPLY] != NULL:
        error = decode_run(inst[I_APPLY] + 8, get16(inst[I_APPLY] + 2) - 8, version, out)
    if not error and inst[I_CLEAR] != NULL:
        error = add_plain(out, OFACT_CLEAR_ACTIONS)
    if not error and inst[I_WRITE] != NULL:
        error = write_actions(inst[I_WRITE] + 8, get16(inst[I_WRITE] + 2) - 8, version, out)
    if not error and inst[I_METADATA] != NULL:
        error = add_metadata(inst[I_METADATA] + 8, inst[I_METADATA] + 16, out)
    if not error and inst[I_GOTO] != NULL:
        error = add_value(out, OFACT_GOTO_TABLE, inst[I_GOTO][4], 0)
    return error if error else order_error(out, start)


# -- set-up ------------------------------------------------------------------------------------------------------------

cdef uint32_t instruction(str name) except 0:
    form = FORMS[name]
    INST_BYTES[<int>form.number] = form.n_bytes
    INST_VARIABLE[<int>form.number] = form.variable
    return form.number


def _fill_instructions():
    global I_APPLY, I_CLEAR, I_WRITE, I_METADATA, I_GOTO, I_METER
    I_APPLY = instruction("inst_apply_actions")
    I_CLEAR = instruction("inst_clear_actions")
    I_WRITE = instruction("inst_write_actions")
    I_METADATA = instruction("inst_write_metadata")
    I_GOTO = instruction("inst_goto_table")
    I_METER = instruction("inst_meter")
    RANK[<int>OFACT_CLEAR_ACTIONS] = 1
    RANK[<int>OFACT_WRITE_ACTIONS] = 2
    RANK[<int>OFACT_WRITE_METADATA] = 3
    RANK[<int>OFACT_GOTO_TABLE] = 4


def _fill():
    _fill_instructions()
    if unbound_forms():
        raise InternalError(f"action forms without a decoder: {unbound_forms()}")
    if len(KINDS) != N_OFACT_KINDS - 1 or KINDS["GOTO_TABLE"] != OFACT_GOTO_TABLE or KINDS["MOVE"] != OFACT_MOVE:
        raise InternalError("actions.KINDS does not follow ofact.pxd")
    for row in ACTIONS:
        if row.kind in KINDS:
            IN_SET[<int>KINDS[row.kind]] = row.in_set


_fill()
