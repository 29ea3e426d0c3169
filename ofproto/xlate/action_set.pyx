"""The action set: see action_set.pxd.

Of the actions that take something off, push, or send, the last one written counts; all that set fields run in the order
they were written (a later one overwrites an earlier one). A set without an action that sends does nothing.
"""

from libc.stdint cimport uint8_t, uint32_t
from libc.string cimport memcpy, memset

from ofproto.ofact cimport (
    N_OFACT_KINDS, OFACT_CONTROLLER, OFACT_DEC_TTL, OFACT_ENQUEUE, OFACT_MOVE, OFACT_OUTPUT, OFACT_OUTPUT_REG,
    OFACT_PUSH_VLAN, OFACT_RESUBMIT, OFACT_SET_ETH_DST, OFACT_SET_ETH_SRC, OFACT_SET_FIELD, OFACT_SET_IPV4_DST,
    OFACT_SET_IPV4_SRC, OFACT_SET_IP_DSCP, OFACT_SET_IP_ECN, OFACT_SET_IP_TTL, OFACT_SET_L4_DST, OFACT_SET_L4_SRC,
    OFACT_SET_QUEUE, OFACT_SET_TUNNEL, OFACT_SET_VLAN_PCP, OFACT_SET_VLAN_VID, OFACT_STRIP_VLAN, OfAct,
)
from ofproto.xlate.apply cimport apply_one
from ofproto.xlate.context cimport XlateContext, grow_add
from ofproto.xlate.record cimport EVENT_ACTION_SET, Grow
from ofproto.xlate.report cimport report_close, report_open

cdef enum Phase:
    PHASE_NONE = 0             # not of an action set: ignored
    PHASE_POP
    PHASE_PUSH
    PHASE_TTL
    PHASE_SET                  # all of them, the others only the last
    PHASE_QUEUE
    PHASE_RESUBMIT             # only without an output
    PHASE_OUTPUT
    N_PHASES

cdef enum:
    ENTRY_BYTES_MAX = 320      # longest action: set_field with two values of 124 bytes

cdef uint8_t[N_OFACT_KINDS] PHASE_OF


def _fill() -> None:
    memset(&PHASE_OF[0], PHASE_NONE, sizeof(PHASE_OF))
    for kind in (
        OFACT_SET_VLAN_VID, OFACT_SET_VLAN_PCP, OFACT_SET_ETH_SRC, OFACT_SET_ETH_DST, OFACT_SET_IPV4_SRC,
        OFACT_SET_IPV4_DST, OFACT_SET_IP_DSCP, OFACT_SET_IP_ECN, OFACT_SET_IP_TTL, OFACT_SET_L4_SRC, OFACT_SET_L4_DST,
        OFACT_SET_FIELD, OFACT_MOVE, OFACT_SET_TUNNEL,
    ):
        PHASE_OF[<int>kind] = PHASE_SET
    for kind in (OFACT_OUTPUT, OFACT_OUTPUT_REG, OFACT_CONTROLLER, OFACT_ENQUEUE):
        PHASE_OF[<int>kind] = PHASE_OUTPUT
    PHASE_OF[<int>OFACT_STRIP_VLAN], PHASE_OF[<int>OFACT_PUSH_VLAN] = PHASE_POP, PHASE_PUSH
    PHASE_OF[<int>OFACT_DEC_TTL] = PHASE_TTL
    PHASE_OF[<int>OFACT_SET_QUEUE], PHASE_OF[<int>OFACT_RESUBMIT] = PHASE_QUEUE, PHASE_RESUBMIT


_fill()


cdef uint32_t last_of(const XlateContext *ctx, uint32_t first, uint32_t end, uint32_t phase) noexcept nogil:
    """Offset of the last entry of a phase in the set; `end` if there is none."""
    cdef const OfAct *act
    cdef uint32_t found = end
    while first < end:
        act = <const OfAct *>(ctx.action_set.data + first)
        if PHASE_OF[act.kind] == phase:
            found = first
        first += act.length
    return found


cdef bint run_at(XlateContext *ctx, uint32_t ofs) noexcept nogil:
    """Run one entry, from a copy: a resubmit may write to the set and move it."""
    cdef uint8_t[ENTRY_BYTES_MAX] entry
    cdef const OfAct *act = <const OfAct *>(ctx.action_set.data + ofs)
    if act.length > ENTRY_BYTES_MAX:
        return False
    memcpy(&entry[0], act, act.length)
    return apply_one(ctx, <const OfAct *>&entry[0])


cdef bint run_phase(XlateContext *ctx, uint32_t first, uint32_t end, uint32_t phase) noexcept nogil:
    cdef uint32_t ofs
    cdef const OfAct *act
    if phase != PHASE_SET:
        ofs = last_of(ctx, first, end, phase)
        return run_at(ctx, ofs) if ofs < end else False
    while first < end:
        act = <const OfAct *>(ctx.action_set.data + first)
        if PHASE_OF[act.kind] == PHASE_SET and run_at(ctx, first):
            return True
        first += (<const OfAct *>(ctx.action_set.data + first)).length
    return False


cdef void copy_entry(const XlateContext *ctx, uint32_t ofs, Grow *out) noexcept nogil:
    cdef const OfAct *act = <const OfAct *>(ctx.action_set.data + ofs)
    cdef void *copy = grow_add(out, 1, act.length)
    if copy != NULL:
        memcpy(copy, act, act.length)


cdef void copy_phase(const XlateContext *ctx, uint32_t phase, Grow *out) noexcept nogil:
    cdef uint32_t ofs = ctx.set_base
    cdef uint32_t end = ctx.action_set.n
    if phase != PHASE_SET:
        ofs = last_of(ctx, ofs, end, phase)
        if ofs < end:
            copy_entry(ctx, ofs, out)
        return
    while ofs < end:
        if PHASE_OF[(<const OfAct *>(ctx.action_set.data + ofs)).kind] == PHASE_SET:
            copy_entry(ctx, ofs, out)
        ofs += (<const OfAct *>(ctx.action_set.data + ofs)).length


cdef void list_set(XlateContext *ctx, Grow *out) noexcept nogil:
    cdef uint32_t end = ctx.action_set.n
    cdef bint has_output = last_of(ctx, ctx.set_base, end, PHASE_OUTPUT) < end
    cdef uint32_t phase
    if not has_output and last_of(ctx, ctx.set_base, end, PHASE_RESUBMIT) == end:
        return
    for phase in range(PHASE_POP, N_PHASES):
        if phase != PHASE_RESUBMIT or not has_output:
            copy_phase(ctx, phase, out)


cdef void run_set(XlateContext *ctx) noexcept nogil:
    cdef uint32_t first = ctx.set_base
    cdef uint32_t end = ctx.action_set.n
    cdef bint has_output = last_of(ctx, first, end, PHASE_OUTPUT) < end
    cdef uint32_t phase
    if ctx.error or ctx.exit or (not has_output and last_of(ctx, first, end, PHASE_RESUBMIT) == end):
        return
    ctx.set_base = end
    ctx.in_action_set = True
    report_open(ctx, EVENT_ACTION_SET)
    for phase in range(PHASE_POP, N_PHASES):
        if ctx.error or ctx.exit or (phase == PHASE_RESUBMIT and has_output):
            continue
        if run_phase(ctx, first, end, phase):
            break
    ctx.in_action_set = False
    report_close(ctx)
    ctx.set_base = first
    ctx.action_set.n = first
