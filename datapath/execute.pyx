"""Action programs at work: see execute.pxd. One function per op kind, found in the table OPS."""

from libc.stdint cimport uint8_t, uint16_t, uint32_t
from libc.stdlib cimport calloc, free
from libc.string cimport memset

from datapath.act cimport (
    ACT_DROP, ACT_OUTPUT, ACT_POP_VLAN, ACT_PUNT, ACT_PUSH_VLAN, ACT_SET, ACT_SET_MARK, ACT_SET_PRIORITY, ACT_TRUNC,
    N_ACT_KINDS, ActOp, Program, SetRun, act_punt_cookie,
)
from datapath.atomic cimport unlikely
from datapath.drops cimport (
    DROP_INVALID_ACTION, DROP_NO_OUTPUT, DROP_OUT_OF_MEMORY, DROP_TX_NO_PORT, N_DROP_REASONS,
)
from datapath.edit cimport edit_pop_vlan, edit_push_vlan
from datapath.edit_plan cimport edit_by_op, edit_planned
from datapath.headers cimport ETH_SVLAN, ETH_VLAN
from datapath.lines cimport lines_get
from datapath.packet cimport OFFLOAD_CSUM_PARTIAL, OFFLOAD_GSO, Packet, packet_clone, packet_release, packet_writable
from datapath.ports.port cimport PORTS_MAX, Port, port_send
from datapath.shape cimport N_KINDS, SHAPE_TAGS_MAX

# Runs one op over pkts[0:n], compacting the array when packets end here; returns how many remain. last: no op follows,
# so that an output may hand over the reference.
ctypedef uint32_t (*OpFn)(Sender *sender, const ActOp *op, Packet **pkts, uint32_t n, bint last) noexcept nogil
ctypedef int (*EditFn)(Packet *pkt, const ActOp *op) noexcept nogil


# ---- vectors ----

cdef int sender_init(Sender *sender, uint32_t forwarder, MissHandler *handler) noexcept nogil:
    memset(sender, 0, sizeof(Sender))
    sender.by_port = <OutVector **> calloc(PORTS_MAX, sizeof(OutVector *))
    sender.forwarder = forwarder
    sender.handler = handler
    return 0 if sender.by_port != NULL else -1


cdef void sender_destroy(Sender *sender) noexcept nogil:
    cdef uint32_t i
    if sender.by_port != NULL:
        for i in range(<uint32_t> PORTS_MAX):
            free(sender.by_port[i])
    free(sender.by_port)
    sender.by_port = NULL


cdef int sender_attach(Sender *sender, Port *port) noexcept nogil:
    # In cache lines of its own: one thread may attach a port to all forwarders, and would get neighbouring memory.
    cdef OutVector *vector = <OutVector *> lines_get(sizeof(OutVector))
    if vector == NULL:
        return -1
    memset(vector, 0, sizeof(OutVector))
    vector.port = port
    sender.by_port[port.port_no] = vector
    return 0


cdef void sender_detach(Sender *sender, uint32_t port_no) noexcept nogil:
    free(sender.by_port[port_no])
    sender.by_port[port_no] = NULL


cdef void vector_send(Sender *sender, OutVector *vector) noexcept nogil:
    cdef uint32_t n = vector.n
    vector.n = 0
    sender.sent += n
    sender.sent_batches += 1
    port_send(vector.port, vector.pkts, n, sender.forwarder)


cdef void sender_flush(Sender *sender) noexcept nogil:
    cdef OutVector *vector = sender.first
    sender.first = sender.last = NULL
    while vector != NULL:
        vector.listed = False
        if vector.n:
            vector_send(sender, vector)
        vector = vector.next


cdef inline void vector_list(Sender *sender, OutVector *vector) noexcept nogil:
    """Have sender_flush send the vector. A full one is sent at once and stays listed, empty, for what comes."""
    if vector.listed:
        return
    vector.listed = True
    vector.next = NULL
    if sender.last == NULL:
        sender.first = vector
    else:
        sender.last.next = vector
    sender.last = vector


cdef inline void vector_extend(Sender *sender, OutVector *vector, Packet **pkts, uint32_t n) noexcept nogil:
    """Queue one reference of each packet."""
    cdef uint32_t i, part
    vector_list(sender, vector)
    while n:
        part = min(n, <uint32_t> OUT_VECTOR_MAX - vector.n)
        for i in range(part):
            vector.pkts[vector.n + i] = pkts[i]
        vector.n += part
        pkts += part
        n -= part
        if vector.n == OUT_VECTOR_MAX:
            vector_send(sender, vector)


cdef void vector_add(Sender *sender, OutVector *vector, Packet *pkt) noexcept nogil:
    vector_extend(sender, vector, &pkt, 1)


# ---- drops ----

cdef void count_drops(Sender *sender, uint32_t in_port, uint32_t reason, uint32_t n) noexcept nogil:
    cdef OutVector *vector = sender.by_port[in_port] if in_port < PORTS_MAX else NULL
    if reason >= N_DROP_REASONS:
        reason = DROP_INVALID_ACTION
    sender.drops[reason] += n
    if vector != NULL:
        vector.port.stats[sender.forwarder].drops[reason] += n
    else:
        sender.orphans[reason] += n


cdef void drop_packet(Sender *sender, Packet *pkt, uint32_t reason) noexcept nogil:
    count_drops(sender, pkt.in_port, reason, 1)
    packet_release(pkt)


# ---- one function per op ----

cdef uint32_t op_output(Sender *sender, const ActOp *op, Packet **pkts, uint32_t n, bint last) noexcept nogil:
    cdef OutVector *vector = sender.by_port[op.arg] if op.arg < PORTS_MAX else NULL
    cdef uint32_t i
    sender.consumed = True
    if unlikely(vector == NULL):
        for i in range(n):
            count_drops(sender, pkts[i].in_port, DROP_TX_NO_PORT, 1)
        sender.trunc_bytes = 0
        return n
    if unlikely(sender.trunc_bytes != 0):
        return output_truncated(sender, vector, pkts, n)
    if not last:
        for i in range(n):
            pkts[i].refs += 1
    vector_extend(sender, vector, pkts, n)
    return 0 if last else n


cdef uint32_t output_truncated(Sender *sender, OutVector *vector, Packet **pkts, uint32_t n) noexcept nogil:
    """Queue shortened copies; a cut frame is no GSO frame any more and its checksum cannot be completed."""
    cdef uint32_t i, limit = sender.trunc_bytes
    cdef Packet *copy
    sender.trunc_bytes = 0
    for i in range(n):
        if pkts[i].length <= limit:
            pkts[i].refs += 1
            vector_add(sender, vector, pkts[i])
            continue
        copy = packet_clone(pkts[i])
        if copy == NULL:
            count_drops(sender, pkts[i].in_port, DROP_OUT_OF_MEMORY, 1)
            continue
        copy.length = limit
        copy.offload &= ~<uint32_t> (OFFLOAD_GSO | OFFLOAD_CSUM_PARTIAL)
        copy.gso_size = 0
        vector_add(sender, vector, copy)
    return n


cdef uint32_t op_punt(Sender *sender, const ActOp *op, Packet **pkts, uint32_t n, bint last) noexcept nogil:
    cdef uint32_t i
    cdef int reason
    cdef unsigned long long cookie = act_punt_cookie(op)
    sender.consumed = True
    for i in range(n):
        reason = sender.handler.punt(sender.handler.ctx, sender.forwarder, pkts[i], cookie)
        if reason:
            count_drops(sender, pkts[i].in_port, <uint32_t> reason, 1)
    return n


cdef uint32_t op_drop(Sender *sender, const ActOp *op, Packet **pkts, uint32_t n, bint last) noexcept nogil:
    cdef uint32_t i
    sender.consumed = True
    for i in range(n):
        drop_packet(sender, pkts[i], op.arg)
    return 0


cdef uint32_t op_trunc(Sender *sender, const ActOp *op, Packet **pkts, uint32_t n, bint last) noexcept nogil:
    sender.trunc_bytes = op.arg
    return n


cdef int edit_by_push_vlan(Packet *pkt, const ActOp *op) noexcept nogil:
    cdef uint8_t shape = pkt.shape
    cdef uint16_t tpid = <uint16_t> (op.arg >> 16)
    cdef int reason = edit_push_vlan(pkt, tpid, <uint16_t> op.arg)
    if shape and shape < SHAPE_TAGS_MAX * N_KINDS and (tpid == ETH_VLAN or tpid == ETH_SVLAN):
        pkt.shape = shape + N_KINDS
    return reason


cdef int edit_by_pop_vlan(Packet *pkt, const ActOp *op) noexcept nogil:
    cdef uint8_t shape = pkt.shape
    cdef int reason = edit_pop_vlan(pkt)
    if shape >= N_KINDS:
        pkt.shape = shape - N_KINDS
    return reason


cdef int edit_mark(Packet *pkt, const ActOp *op) noexcept nogil:
    pkt.pkt_mark = (pkt.pkt_mark & ~op.aux32) | (op.arg & op.aux32)
    return 0


cdef int edit_priority(Packet *pkt, const ActOp *op) noexcept nogil:
    pkt.skb_priority = op.arg
    return 0


cdef EditFn[N_ACT_KINDS] EDIT_OPS
memset(EDIT_OPS, 0, sizeof(EDIT_OPS))
EDIT_OPS[<int> ACT_PUSH_VLAN] = edit_by_push_vlan
EDIT_OPS[<int> ACT_POP_VLAN] = edit_by_pop_vlan
EDIT_OPS[<int> ACT_SET_MARK] = edit_mark
EDIT_OPS[<int> ACT_SET_PRIORITY] = edit_priority


cdef uint32_t op_edit(Sender *sender, const ActOp *op, Packet **pkts, uint32_t n, bint last) noexcept nogil:
    """Any op that changes the packet or its metadata: on a copy of its own where others hold the packet too."""
    cdef EditFn edit = EDIT_OPS[op.kind]
    cdef uint32_t i, kept = 0
    cdef Packet *own
    cdef int reason
    for i in range(n):
        # pkts[0:kept] are edited, pkts[kept:i] are stale, pkts[i:n] wait
        own = packet_writable(pkts[i])
        if own == NULL:
            drop_packet(sender, pkts[i], DROP_OUT_OF_MEMORY)
            continue
        reason = edit(own, op)
        if reason:
            drop_packet(sender, own, <uint32_t> reason)
            continue
        pkts[kept] = own
        kept += 1
    return kept


cdef uint32_t run_sets(Sender *sender, SetRun *run, const ActOp *ops, Packet **pkts, uint32_t n) noexcept nogil:
    """A run of ACT_SETs: each packet gets all of them at once. Copies and counts as op_edit does."""
    cdef uint32_t i, kept = 0
    cdef Packet *own
    for i in range(n):
        # pkts[0:kept] are edited, pkts[kept:i] are stale, pkts[i:n] wait
        own = pkts[i]
        if unlikely(own.refs != 1):
            own = packet_writable(own)
            if own == NULL:
                drop_packet(sender, pkts[i], DROP_OUT_OF_MEMORY)
                continue
        if unlikely(not edit_planned(run, ops, own)):
            edit_by_op(own, ops, run.n_ops)
        pkts[kept] = own
        kept += 1
    return kept


cdef uint32_t op_unknown(Sender *sender, const ActOp *op, Packet **pkts, uint32_t n, bint last) noexcept nogil:
    """An op that translation cannot have meant: the packet ends here, counted."""
    cdef uint32_t i
    sender.consumed = True
    for i in range(n):
        drop_packet(sender, pkts[i], DROP_INVALID_ACTION)
    return 0


cdef OpFn[N_ACT_KINDS] OPS
for _kind in range(N_ACT_KINDS):
    OPS[<int> _kind] = op_unknown if EDIT_OPS[<int> _kind] == NULL else op_edit
OPS[<int> ACT_OUTPUT] = op_output
OPS[<int> ACT_PUNT] = op_punt
OPS[<int> ACT_DROP] = op_drop
OPS[<int> ACT_TRUNC] = op_trunc


# ---- programs ----

cdef void program_run(Sender *sender, const Program *program, Packet **pkts, uint32_t n) noexcept nogil:
    cdef uint32_t i = 0, left = n
    cdef const ActOp *op
    cdef SetRun *run = program.runs
    sender.trunc_bytes = 0
    sender.consumed = False
    while i < program.n_ops:
        op = &program.ops[i]
        if op.kind == ACT_SET:
            left = run_sets(sender, run, op, pkts, left)
            i += run.n_ops
            run += 1
        else:
            i += 1
            left = (OPS[op.kind] if op.kind < N_ACT_KINDS else op_unknown)(sender, op, pkts, left, i == program.n_ops)
        if left == 0:
            return
    if not sender.consumed:
        count_drops(sender, pkts[0].in_port, DROP_NO_OUTPUT, left)
    for i in range(left):
        packet_release(pkts[i])
