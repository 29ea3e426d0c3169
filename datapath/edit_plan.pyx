"""Edit plans: see edit_plan.pxd, where what runs per packet is. Here: making them, once a program and shape."""

from libc.stdint cimport uint8_t, uint16_t, uint32_t, uint64_t
from libc.stdlib cimport malloc
from libc.string cimport memset

from datapath.act cimport ACT_SET, ActBuf, Program, act_set, actbuf_free, actbuf_init, program_make, program_unref
from datapath.csum cimport csum_add
from datapath.edit cimport (
    AT_FRAME, AT_L3, AT_L4, HAS_ICMP6, HAS_TCP, HAS_UDP, HIGH_ZERO, LOW_BYTE, NIBBLE_UP, SUM_IP4, SUM_L4, SUM_PSEUDO,
    EditRow, edit_l4_csum, edit_row, edit_set, guarded_frame, guarded_packet,
)
from datapath.flow_key cimport N_SLOTS
from datapath.packet cimport PacketPool, packet_release, pool_destroy, pool_init
from datapath.shape cimport KIND_ICMP6, KIND_NONE, N_KINDS, SHAPE_HEADERS, SHAPE_PLACES, WINDOW_WORDS, shape_of

from datapath.slots import places

cdef enum:
    FIELD_MAX = 16             # bytes of the longest slot that can be written
    IPV4_CSUM = 10             # from the IPv4 header

cdef uint8_t SLOT_TP_SRC = places()["tp_src"].number

cdef struct Window:            # the headers of a frame, as written so far
    uint64_t[WINDOW_WORDS] write           # bits that are written
    uint64_t[WINDOW_WORDS] value
    uint64_t[WINDOW_WORDS] ip4             # bits of `write` that the checksums cover
    uint64_t[WINDOW_WORDS] l4


cdef void window_put(Window *window, uint32_t at, uint8_t value, uint8_t write, bint ip4, bint l4) noexcept nogil:
    """Write some bits of one byte of the frame."""
    cdef uint8_t *into = <uint8_t *>window.value
    into[at] = (into[at] & <uint8_t>~write) | (value & write)
    (<uint8_t *>window.write)[at] |= write
    if ip4:
        (<uint8_t *>window.ip4)[at] |= write
    if l4:
        (<uint8_t *>window.l4)[at] |= write


cdef uint32_t place_of(const EditRow *row, uint32_t shape) noexcept nogil:
    """Bytes from the start of the shape's frames to the row's bytes."""
    if row.base == AT_FRAME:
        return row.offset
    return row.offset + (SHAPE_PLACES[shape].l3_ofs if row.base == AT_L3 else SHAPE_PLACES[shape].l4_ofs)


cdef void window_set(Window *window, const ActOp *op, uint32_t shape) noexcept nogil:
    """Take in one op as edit_set would do it; a header that the shape's frames do not have is left alone."""
    cdef uint32_t headers = SHAPE_HEADERS[shape]
    cdef const EditRow *row = edit_row(op.slot, headers) if op.slot < N_SLOTS else NULL
    cdef const uint8_t *value = <const uint8_t *>&op.value[0]
    cdef const uint8_t *mask = <const uint8_t *>&op.mask[0]
    cdef uint32_t i, at
    cdef bint ip4, l4
    if row == NULL or row.base not in (AT_FRAME, AT_L3, AT_L4):
        return
    at = place_of(row, shape)
    if row.twist & NIBBLE_UP:
        window_put(window, at, value[0] >> 4, mask[0] >> 4, False, False)
        window_put(window, at + 1, <uint8_t>(value[0] << 4), <uint8_t>(mask[0] << 4), False, False)
        return
    if row.twist & HIGH_ZERO:
        window_put(window, at - 1, 0, 0xff, False, False)
    if row.twist & LOW_BYTE:
        value += 1
        mask += 1
    ip4 = row.twist & SUM_IP4
    l4 = row.twist & SUM_L4 or (row.twist & SUM_PSEUDO and headers & (HAS_TCP | HAS_UDP | HAS_ICMP6))
    for i in range(row.n_bytes):
        window_put(window, at + i, value[i],
                   mask[i] & <uint8_t>~row.keep[i] if i < sizeof(row.keep) else mask[i], ip4, l4)


cdef uint16_t sum_of(const uint64_t *value, const uint64_t *covered) noexcept nogil:
    """Sum of the covered bits that are written; any representation of it will do."""
    cdef uint64_t sum = 0, word
    cdef uint32_t i
    for i in range(<uint32_t>WINDOW_WORDS):
        word = value[i] & covered[i]
        sum = csum_add(sum, <const uint8_t *>&word, sizeof(word))
    return csum_fold(sum)


cdef bint any_bit(const uint64_t *words) noexcept nogil:
    cdef uint64_t found = 0
    cdef uint32_t i
    for i in range(<uint32_t>WINDOW_WORDS):
        found |= words[i]
    return found != 0


cdef void plan_fill(EditPlan *plan, const Window *window) noexcept nogil:
    cdef uint32_t headers = SHAPE_HEADERS[plan.shape]
    cdef EditWord *word
    cdef uint32_t i
    if any_bit(window.ip4):
        plan.ip4_csum = SHAPE_PLACES[plan.shape].l3_ofs + IPV4_CSUM
        plan.ip4_new = sum_of(window.value, window.ip4)
    if any_bit(window.l4):
        plan.l4_csum = <uint16_t>(SHAPE_PLACES[plan.shape].l4_ofs + edit_l4_csum(headers))
        plan.l4_new = sum_of(window.value, window.l4)
    plan.udp = headers & HAS_UDP
    for i in range(<uint32_t>WINDOW_WORDS):
        if window.write[i]:
            word = &plan.words[plan.n_words]
            plan.n_words += 1
            word.at = 8 * i
            word.keep = ~window.write[i]
            word.value = window.value[i]
            word.ip4 = window.ip4[i]
            word.l4 = window.l4[i]


cdef EditPlan *plan_new(const ActOp *ops, uint32_t n_ops, uint32_t shape) noexcept nogil:
    cdef Window window
    cdef EditPlan *plan
    cdef uint32_t i, n = 0
    cdef size_t n_bytes
    cdef bint by_op = False
    memset(&window, 0, sizeof(window))
    for i in range(n_ops):
        window_set(&window, &ops[i], shape)
        # Another type may make it neighbour discovery, which has more to write.
        by_op = by_op or (shape % N_KINDS == KIND_ICMP6 and ops[i].slot == SLOT_TP_SRC)
    for i in range(<uint32_t>WINDOW_WORDS):
        n += window.write[i] != 0
    n_bytes = sizeof(EditPlan) + n * sizeof(EditWord)
    plan = <EditPlan *>malloc(n_bytes)
    if plan == NULL:
        return NULL
    memset(plan, 0, n_bytes)
    plan.shape = shape
    plan.by_op = by_op
    plan_fill(plan, &window)
    return plan


cdef EditPlan *edit_plan_make(SetRun *run, const ActOp *ops, uint32_t shape) noexcept nogil:
    cdef EditPlan **link = &run.plans
    cdef EditPlan *plan
    while link[0] != NULL and link[0].shape != shape:
        link = &link[0].next
    plan = link[0]
    if plan != NULL:
        link[0] = plan.next
    else:
        plan = plan_new(ops, run.n_ops, shape)
        if plan == NULL:
            return NULL
    plan.next = run.plans
    run.plans = plan
    return plan


cdef void edit_by_op(Packet *pkt, const ActOp *ops, uint32_t n_ops) noexcept nogil:
    cdef uint32_t i
    for i in range(n_ops):
        # A header that the packet does not have, or not whole, is left alone, as Open vSwitch does.
        edit_set(pkt, ops[i].slot, ops[i].value, ops[i].mask)


# ---- for tests ----

cdef Program *program_of(list edits) except NULL:
    cdef ActBuf buf
    cdef Program *program
    actbuf_init(&buf)
    for slot, value, mask in edits:
        act_set(&buf, places()[slot].number, value, mask, <uint32_t>len(value))
    program = program_make(&buf)
    actbuf_free(&buf)
    if program == NULL:
        raise MemoryError
    return program


def apply_planned(list frames, list edits, csum_start=None, uint16_t csum_offset=0) -> list:
    """Run one list of edits over frames by plan where there is one, and by op; for tests.

    frames: bytes each, from the Ethernet header on; edits: (slot name, value, mask) each, in network byte order;
    csum_start, csum_offset: bytes, make the checksum there a partial one. Returns (whether there was a plan, the frame
    by plan or None, the frame by op) each. Raises InternalError when something was written behind a frame.
    """
    cdef Program *program = program_of(edits)
    done = []
    try:
        for frame in frames:
            by_plan = edited(frame, program, True, csum_start, csum_offset)
            done.append((by_plan is not None, by_plan, edited(frame, program, False, csum_start, csum_offset)))
        return done
    finally:
        program_unref(program)


cdef object edited(bytes frame, Program *program, bint planned, csum_start, uint16_t csum_offset):
    cdef PacketPool pool
    cdef Packet *pkt = NULL
    cdef bint done = True
    pool_init(&pool, 1, 1)
    try:
        pkt = guarded_packet(&pool, frame, csum_start, csum_offset)
        pkt.shape = <uint8_t>shape_of(pkt.data, pkt.length)
        if pkt.shape % N_KINDS == KIND_NONE:
            pkt.shape = 0
        if program.n_runs and planned:
            done = edit_planned(program.runs, program.ops, pkt)
        elif program.n_runs:
            edit_by_op(pkt, program.ops, program.n_ops)
        changed = guarded_frame(pkt)
        return changed if done else None
    finally:
        if pkt != NULL:
            packet_release(pkt)
        pool_destroy(&pool)
