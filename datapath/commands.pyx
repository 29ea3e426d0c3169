"""Commands: one function per kind, in the tables RUN (done at once) and VISIT (per megaflow of a sliced one)."""

from libc.stdint cimport int64_t, uint32_t, uint64_t
from libc.stdlib cimport free, malloc
from libc.string cimport memcpy, memset

from datapath.act cimport ActOp, Program
from datapath.atomic cimport store_release, unlikely
from datapath.classify cimport flow_is_current, frame_run
from datapath.execute cimport sender_attach, sender_detach
from datapath.forwarder cimport SLICE_NS, SLICE_STEP, Forwarder, forwarder_finish, monotonic_ns
from datapath.mailbox cimport (
    CMD_ATTACH, CMD_BARRIER, CMD_DETACH, CMD_DUMP, CMD_EXECUTE, CMD_FLUSH, CMD_LEAVE, CMD_RECEIVE, CMD_STOP, CMD_SWEEP,
    FIRST_SLICED, N_COMMAND_KINDS, Command, DumpRow, mailbox_complete, stack_take_all,
)
from datapath.megaflow cimport Classifier, Megaflow, Subtable, classifier_reap, classifier_remove, megaflow_push
from datapath.ports.port cimport Port
from datapath.rx_ports cimport rx_ports_add, rx_ports_remove, rx_ports_rewatch

cdef enum:
    CROWDED_IDLE_NS = 100000000        # how long a megaflow may be unused while there are more than the limit

ctypedef int (*RunFn)(Forwarder *fwd, Command *command) noexcept nogil                 # Command.status
# May remove this megaflow, no other.
ctypedef void (*VisitFn)(Forwarder *fwd, Command *command, Megaflow *flow) noexcept nogil


# ---- done at once ----

cdef int run_attach(Forwarder *fwd, Command *command) noexcept nogil:
    return sender_attach(&fwd.sender, command.port)


cdef void finish_batches(Forwarder *fwd, const Port *port) noexcept nogil:
    """Run what waits of the last batch of a port, or of every port (NULL)."""
    cdef uint32_t i
    for i in range(fwd.rx.n):
        if port == NULL or fwd.rx.all[i].port == port:
            forwarder_finish(fwd, fwd.rx.all[i])


cdef int run_detach(Forwarder *fwd, Command *command) noexcept nogil:
    cdef uint32_t queue
    finish_batches(fwd, command.port)
    for queue in range(command.port.n_rxq):
        rx_ports_remove(&fwd.rx, command.port, queue)
    sender_detach(&fwd.sender, command.port.port_no)
    return 0


cdef int run_receive(Forwarder *fwd, Command *command) noexcept nogil:
    return rx_ports_add(&fwd.rx, command.port, command.queue, fwd.now_ns)


cdef int run_leave(Forwarder *fwd, Command *command) noexcept nogil:
    finish_batches(fwd, command.port)
    rx_ports_remove(&fwd.rx, command.port, command.queue)
    return 0


cdef int run_barrier(Forwarder *fwd, Command *command) noexcept nogil:
    return 0


cdef int run_stop(Forwarder *fwd, Command *command) noexcept nogil:
    finish_batches(fwd, NULL)
    store_release(&fwd.stopping, 1)
    return 0


cdef int run_execute(Forwarder *fwd, Command *command) noexcept nogil:
    return frame_run(fwd, command)


cdef int begin_sliced(Forwarder *fwd, Command *command) noexcept nogil:
    command.began_ns = fwd.now_ns
    command.cursor = fwd.classifier.n
    if command.kind == CMD_DUMP:
        fwd.dump_serial += 1
    if command.kind == CMD_SWEEP:
        rx_ports_rewatch(&fwd.rx, fwd.now_ns)
    return 0


cdef RunFn[N_COMMAND_KINDS] RUN
for _kind in range(N_COMMAND_KINDS):
    RUN[<int> _kind] = begin_sliced
RUN[<int> CMD_ATTACH] = run_attach
RUN[<int> CMD_DETACH] = run_detach
RUN[<int> CMD_RECEIVE] = run_receive
RUN[<int> CMD_LEAVE] = run_leave
RUN[<int> CMD_BARRIER] = run_barrier
RUN[<int> CMD_STOP] = run_stop
RUN[<int> CMD_EXECUTE] = run_execute


cdef uint32_t commands_run(Forwarder *fwd) noexcept nogil:
    cdef Command *command = stack_take_all(&fwd.box.inward)
    cdef Command *following
    cdef uint32_t n = 0
    while command != NULL:
        following = command.next
        command.next = NULL
        n += 1
        if command.kind >= FIRST_SLICED:
            append_sliced(fwd, command)
        else:
            command.status = RUN[command.kind](fwd, command)
            mailbox_complete(&fwd.box, command)
        command = following
    return n


# ---- in slices ----

cdef void append_sliced(Forwarder *fwd, Command *command) noexcept nogil:
    cdef Command **place = &fwd.sweeps
    while place[0] != NULL:
        place = &place[0].next
    place[0] = command


cdef void visit_sweep(Forwarder *fwd, Command *command, Megaflow *flow) noexcept nogil:
    """Push counts.

    Remove what is idle, and what the tables have changed under unless it is in use (then its next packet renews it).
    Over the limit less counts as idle, and over twice the limit anything.
    """
    cdef const Classifier *cls = &fwd.classifier
    cdef bint unused = flow.packets == flow.pushed_packets
    cdef int64_t max_idle_ns = command.max_idle_ns
    cdef bint idle
    if unlikely(cls.n > cls.limit):
        max_idle_ns = min(max_idle_ns, <int64_t> CROWDED_IDLE_NS)
    idle = fwd.now_ns - flow.used_ns > max_idle_ns or cls.n > 2 * <uint64_t> cls.limit
    megaflow_push(&fwd.classifier, flow)
    if idle or ((unused or command.full) and not flow_is_current(fwd, flow, fwd.version)):
        classifier_remove(&fwd.classifier, flow)


cdef void visit_flush(Forwarder *fwd, Command *command, Megaflow *flow) noexcept nogil:
    classifier_remove(&fwd.classifier, flow)


cdef void visit_dump(Forwarder *fwd, Command *command, Megaflow *flow) noexcept nogil:
    cdef DumpRow *row
    if flow.dump_serial == fwd.dump_serial:
        return                 # removals move the last megaflow down, so one may come up twice
    flow.dump_serial = fwd.dump_serial
    row = copy_row(flow)
    if row == NULL:
        command.status = -1
        return
    row.forwarder = fwd.number
    row.next = command.rows
    command.rows = row


cdef DumpRow *copy_row(const Megaflow *flow) noexcept nogil:
    cdef const Subtable *sub = flow.subtable
    cdef size_t n_bytes = sizeof(Program) + flow.program.n_ops * sizeof(ActOp)
    cdef DumpRow *row = <DumpRow *> malloc(sizeof(DumpRow))
    cdef Program *program = <Program *> malloc(n_bytes)
    if row == NULL or program == NULL:
        free(row)
        free(program)
        return NULL
    memcpy(program, flow.program, sizeof(Program) - sizeof(ActOp) + flow.program.n_ops * sizeof(ActOp))
    program.runs = NULL
    program.n_runs = 0
    row.program = program
    row.packets = flow.packets
    row.bytes = flow.bytes
    row.used_ns = flow.used_ns
    row.tcp_flags = flow.tcp_flags
    row.n_words = sub.n_words
    memcpy(row.index, sub.index, sub.n_words)
    memcpy(row.mask, sub.mask, sub.n_words * sizeof(uint64_t))
    memcpy(row.key, flow.words, sub.n_words * sizeof(uint64_t))
    return row


cdef VisitFn[N_COMMAND_KINDS] VISIT
memset(VISIT, 0, sizeof(VISIT))
VISIT[<int> CMD_SWEEP] = visit_sweep
VISIT[<int> CMD_FLUSH] = visit_flush
VISIT[<int> CMD_DUMP] = visit_dump


cdef uint32_t commands_slice(Forwarder *fwd) noexcept nogil:
    cdef Command *command = fwd.sweeps
    cdef VisitFn visit
    cdef int64_t end_ns
    if command == NULL:
        return 0
    if not command.started:
        command.started = True
        RUN[command.kind](fwd, command)
    fwd.version = fwd.handler.version(fwd.handler.ctx)
    visit = VISIT[command.kind]
    # Downwards: a removal moves the last megaflow, which was visited already, into the gap.
    command.cursor = min(command.cursor, fwd.classifier.n)
    fwd.stats.slices += 1
    end_ns = monotonic_ns() + SLICE_NS
    while command.cursor:
        command.cursor -= 1
        visit(fwd, command, fwd.classifier.all[command.cursor])
        if command.cursor % SLICE_STEP == 0:
            classifier_reap(&fwd.classifier)
            if monotonic_ns() >= end_ns:
                break
    classifier_reap(&fwd.classifier)
    if command.cursor == 0:
        command.took_ns = fwd.now_ns - command.began_ns
        fwd.sweeps = command.next
        command.next = NULL
        mailbox_complete(&fwd.box, command)
    return 1
