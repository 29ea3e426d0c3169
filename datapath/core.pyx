"""Core: the shell around the forwarders. Owns their memory and threads, checks arguments, posts commands and collects
what was done.

Thread rule: every method runs with the GIL on a Python thread; forwarder threads enter `_run` once and stay without the
GIL until they are stopped. Policy (port numbers, who receives what) is in datapath.py.
"""

cimport cython
from cpython.bytes cimport PyBytes_FromStringAndSize
from cpython.exc cimport PyErr_CheckSignals
from cpython.ref cimport Py_DECREF, Py_INCREF
from libc.stdint cimport int64_t, uint8_t, uint32_t, uint64_t
from libc.stdlib cimport free, malloc
from libc.string cimport memcpy, memset
from posix.unistd cimport close

from datapath.act cimport ActOp
from datapath.atomic cimport load_relaxed, store_relaxed
from datapath.drops cimport DROP_MISS_NO_BRIDGE, N_DROP_REASONS
from datapath.flow_key cimport KEY_PACKET_WORDS, PacketKey
from datapath.forwarder cimport (
    Forwarder, cycles_now, forwarder_destroy, forwarder_init, forwarder_loop, forwarder_step, monotonic_ns,
)
from datapath.lines cimport lines_get
from datapath.mailbox cimport (
    CMD_ATTACH, CMD_BARRIER, CMD_DETACH, CMD_DUMP, CMD_EXECUTE, CMD_FLUSH, CMD_LEAVE, CMD_RECEIVE, CMD_STOP, CMD_SWEEP,
    Command, DumpRow, Stack, command_free, command_new, fd_drain, fd_signal, mailbox_passed, mailbox_post,
    stack_take_all,
)
from datapath.packet cimport LARGE_FRAME_MAX, Packet
from datapath.ports.port cimport FORWARDERS_MAX, PORTS_MAX, PortHandle
from datapath.upcall cimport ExecuteHook, MissHandler, MissHook, Tags, Translation

import os
import threading

from datapath.drops import DROP_NAMES
from vslib.clock import CLOCK
from vslib.errors import ConfigError, InternalError
from vslib.vlog import get

cdef extern from "<sys/eventfd.h>" nogil:
    int eventfd(unsigned int initval, int flags)
    enum: EFD_CLOEXEC
    enum: EFD_NONBLOCK

cdef extern from "<poll.h>" nogil:
    cdef struct pollfd:
        int fd
        short events
        short revents
    int poll(pollfd *fds, unsigned long n, int timeout)
    enum: POLLIN

cdef enum:
    SAME_CLOCK_NS = 1000000    # a smaller difference between vslib's clock and the host's is the time it took to read
                               # both

log = get("dpif_netdev")


# ---- before ofproto has come: every packet is dropped ----

cdef int no_translate(void *ctx, uint32_t forwarder, const PacketKey *key, Packet *pkt, uint64_t version,
                      int64_t now_ns,
                      Translation *out) noexcept nogil:
    return DROP_MISS_NO_BRIDGE


cdef void no_credit(void *ctx, void *owner, uint64_t packets, uint64_t n_bytes, int64_t used_ns,
                    unsigned short tcp_flags) noexcept nogil:
    pass


cdef void no_release(void *ctx, void *owner) noexcept nogil:
    pass


cdef int no_punt(void *ctx, uint32_t forwarder, const Packet *pkt, uint64_t cookie) noexcept nogil:
    return DROP_MISS_NO_BRIDGE


cdef uint64_t no_version(void *ctx) noexcept nogil:
    return 0


cdef bint all_affected(void *ctx, uint64_t since, uint64_t upto, const Tags *tags) noexcept nogil:
    return True


cdef class Request:
    """What the control thread asked of some forwarders; done when `remaining` is 0."""

    cdef uint32_t remaining
    cdef int64_t took_ns       # of the slowest forwarder, for sliced commands
    cdef bint failed           # a forwarder ran out of memory
    cdef object callback       # called by run_callbacks() when done, or None
    cdef object kept           # what the command's C pointers point into
    cdef list rows             # CMD_DUMP: tuples of MegaflowRow's members

    def __cinit__(self, callback=None, kept=None):
        self.callback = callback
        self.kept = kept
        self.rows = []


# The hook must outlive the megaflows that __dealloc__ lets go of, also in a reference cycle.
@cython.no_gc_clear
cdef class Core:
    """Forwarders and their mailboxes.

    n_forwarders: 1..16; inline: no threads, `step` runs everything on the caller's. Raises ConfigError for a bad
    number, MemoryError.
    """

    cdef Forwarder *fwds[FORWARDERS_MAX]
    cdef readonly uint32_t n_forwarders
    cdef readonly bint inline
    cdef readonly bint running         # threads are in their loops
    cdef MissHandler handler           # what all forwarders call
    cdef MissHook hook                 # keeps its ctx
    cdef Stack done                    # commands that forwarders have completed
    cdef readonly int completion_fd    # readable while `done` or `ready` hold something
    cdef list ready                    # callbacks of finished requests
    cdef list threads
    cdef readonly list cpus            # by forwarder: the processor that its thread stays on, None = any
    cdef bint made                     # completion_fd is ours: __dealloc__ also runs when the arguments were refused
    cdef set attached                  # handles that forwarders point into: a datapath may be dropped without stop()
    cdef readonly int64_t sweep_ns     # how long the last sweep took from its first slice to its last
    cdef uint32_t executing            # frames given to `execute` that are not known to be done
    cdef object collecting             # lock: whoever waits for completions is the only one to take them, so that
                                       # none is missed

    def __cinit__(self, uint32_t n_forwarders, bint inline=False):
        self.completion_fd = -1
        self.made = True
        if not 0 < n_forwarders <= FORWARDERS_MAX:
            raise ConfigError(f"{n_forwarders} forwarders are not in 1..{FORWARDERS_MAX}")
        self.inline = inline
        self.ready = []
        self.threads = []
        self.cpus = []
        self.attached = set()
        self.collecting = threading.Lock()
        self.handler = MissHandler(NULL, no_translate, no_credit, no_release, no_punt, no_version, all_affected)
        self.completion_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)
        if self.completion_fd < 0:
            raise OSError("no event descriptor")
        for _ in range(n_forwarders):
            self.make_forwarder()

    cdef int make_forwarder(self) except -1:
        """Add a forwarder behind the others."""
        cdef uint32_t i = self.n_forwarders
        self.fwds[i] = <Forwarder *> lines_get(sizeof(Forwarder))
        if self.fwds[i] == NULL:
            raise MemoryError
        self.n_forwarders = i + 1
        self.cpus.append(None)
        if forwarder_init(self.fwds[i], i, &self.handler, &self.done, self.completion_fd):
            raise MemoryError
        return 0

    cdef void free_forwarder(self) noexcept:
        """Free the last forwarder, with commands that nobody will run or collect any more."""
        cdef Forwarder *fwd = self.fwds[self.n_forwarders - 1]
        self.n_forwarders -= 1
        drop_commands(stack_take_all(&fwd.box.inward))
        drop_commands(fwd.sweeps)
        forwarder_destroy(fwd)
        free(fwd)

    def __dealloc__(self):
        while self.n_forwarders:
            self.free_forwarder()
        drop_commands(stack_take_all(&self.done))
        if self.made and self.completion_fd >= 0:
            close(self.completion_fd)

    # ---- threads ----

    def set_miss_hook(self, MissHook hook not None) -> None:
        """Let `hook` translate what misses. Raises InternalError while forwarders run."""
        if self.running:
            raise InternalError("the miss hook cannot change while forwarders run")
        if hook.handler.translate == NULL:
            raise InternalError("the miss hook has no functions")
        self.flush()           # what megaflows hold belongs to the old hook
        self.hook = hook
        self.handler = hook.handler

    def start(self) -> None:
        """Start the threads (inline: nothing). Raises InternalError when they run already."""
        if self.inline:
            return
        if self.running:
            raise InternalError("forwarders run already")
        self.follow_clock()
        self.running = True
        for i in range(self.n_forwarders):
            thread = threading.Thread(target=self._run, args=(i,), name=f"forwarder{i}", daemon=True)
            self.threads.append(thread)
            thread.start()

    def _run(self, uint32_t number) -> None:
        cdef Forwarder *fwd = self.fwds[number]
        cpu = self.cpus[number]
        if cpu is not None:
            try:
                os.sched_setaffinity(0, {cpu})     # of this thread
            except OSError as error:
                log.warn("forwarder %d cannot run on core %d (%s)", number, cpu, error.strerror)
        with nogil:
            forwarder_loop(fwd)

    def resize(self, uint32_t n_forwarders) -> None:
        """Have so many forwarders from now on, each of which may send to every port; not while threads run.

        Ports that a forwarder received from which is no longer there are received from by nobody. Raises ConfigError
        for a bad number, MemoryError (then there are fewer).
        """
        if not 0 < n_forwarders <= FORWARDERS_MAX:
            raise ConfigError(f"{n_forwarders} forwarders are not in 1..{FORWARDERS_MAX}")
        if self.running:
            raise InternalError("the number of forwarders cannot change while they run")
        self.flush()
        while self.n_forwarders > n_forwarders:
            self.free_forwarder()
            self.cpus.pop()
        while self.n_forwarders < n_forwarders:
            self.make_forwarder()
            for handle in self.attached:
                self.attach_to(handle, self.n_forwarders - 1)

    def set_cpus(self, cpus: list[int | None]) -> None:
        """Choose the processor that each forwarder's thread stays on once it is started, None = any."""
        if len(cpus) != self.n_forwarders:
            raise InternalError(f"{len(cpus)} processors for {self.n_forwarders} forwarders")
        self.cpus[:] = cpus

    def set_polling(self, uint32_t number, bint always, uint64_t max_sleep_ns) -> None:
        """Let a forwarder never wait for news (see polling.pxd), but sleep up to max_sleep_ns when it has little to do.

        Raises ConfigError if there is no such forwarder.
        """
        cdef Forwarder *fwd = self.forwarder(number)
        store_relaxed(&fwd.polling.always, always)
        store_relaxed(&fwd.polling.max_sleep_ns, max_sleep_ns if always else 0)
        self.wait(self.post(number, self.new_command(CMD_BARRIER), Request()))     # one that sleeps wakes up

    cdef Forwarder *forwarder(self, uint32_t number) except NULL:
        if number >= self.n_forwarders:
            raise ConfigError(f"no forwarder {number}")
        return self.fwds[number]

    def stop(self) -> None:
        """End the threads, finish what is in the mailboxes, push the last counts and let go of all megaflows."""
        self.wait(self.post_all(CMD_STOP, Request()))
        for thread in self.threads:
            thread.join()
        self.threads.clear()
        self.running = False
        self.flush()

    cdef void follow_clock(self):
        """Let the forwarders' time follow vslib's clock when that was warped."""
        cdef int64_t offset_ns = CLOCK.now_ns() - monotonic_ns()
        cdef uint32_t i
        for i in range(self.n_forwarders):
            self.fwds[i].clock_offset_ns = 0 if -SAME_CLOCK_NS < offset_ns < SAME_CLOCK_NS else offset_ns

    # ---- commands ----

    cdef Request post(self, uint32_t number, Command *command, Request request):
        command.forwarder = number
        command.request = <void *> request
        Py_INCREF(request)
        request.remaining += 1
        mailbox_post(&self.fwds[number].box, command)
        return request

    cdef Request post_all(self, uint32_t kind, Request request):
        cdef uint32_t i
        for i in range(self.n_forwarders):
            self.post(i, self.new_command(kind), request)
        return request

    cdef Command *new_command(self, uint32_t kind) except NULL:
        cdef Command *command = command_new(kind)
        if command == NULL:
            raise MemoryError
        return command

    cdef int collect(self) except -1:
        """Take what forwarders have done; callbacks of finished requests become ready.

        The caller holds `collecting`.
        """
        cdef Command *command
        cdef Command *following
        cdef Request request
        fd_drain(self.completion_fd)
        command = stack_take_all(&self.done)
        while command != NULL:
            following = command.next
            request = <Request> command.request
            Py_DECREF(request)
            request.remaining -= 1
            self.executing -= command.kind == CMD_EXECUTE
            request.failed = request.failed or command.status != 0
            request.took_ns = max(request.took_ns, command.took_ns)
            if command.kind == CMD_SWEEP:
                self.sweep_ns = request.took_ns
            take_rows(command, request.rows)
            command_free(command)
            if request.remaining == 0 and request.callback is not None:
                self.ready.append(request.callback)
            command = following
        return 0

    cdef int wait(self, Request request) except -1:
        """Return when the request is done, without the GIL meanwhile; others' callbacks stay for run_callbacks()."""
        cdef pollfd wait_for
        wait_for.fd = self.completion_fd
        wait_for.events = POLLIN
        with self.collecting:
            while request.remaining:
                if self.running:
                    with nogil:
                        poll(&wait_for, 1, -1)
                    PyErr_CheckSignals()
                else:
                    self.drive()
                self.collect()
        if self.ready:
            fd_signal(self.completion_fd)
        return 0

    cdef int drive(self) except -1:
        """Without threads: run what is in the mailboxes here."""
        cdef int64_t now_ns = CLOCK.now_ns()
        cdef uint32_t i
        for i in range(self.n_forwarders):
            while forwarder_step(self.fwds[i], now_ns, False):
                pass
        return 0

    def run_callbacks(self) -> int:
        """Call back for every finished request; returns how many. Call it when completion_fd is readable."""
        n = 0
        with self.collecting:
            self.collect()
        try:
            while self.ready:
                n += 1
                self.ready.pop(0)()
        finally:
            if self.ready:
                fd_signal(self.completion_fd)
        return n

    def step(self, now_ns: int, max_rounds: int | None = None) -> int:
        """Inline only: run all forwarders at time now_ns until nothing is left to do, or for max_rounds.

        Returns the rounds that did something.
        """
        cdef int64_t now = now_ns
        cdef uint32_t i, busy = 1
        cdef uint64_t rounds = 0
        cdef uint64_t limit = <uint64_t> -1 if max_rounds is None else <uint64_t> max_rounds
        if not self.inline:
            raise InternalError("step is for inline datapaths")
        while busy and rounds < limit:
            busy = 0
            with nogil:
                for i in range(self.n_forwarders):
                    busy += forwarder_step(self.fwds[i], now, True)
            busy += <uint32_t> self.run_callbacks()
            rounds += busy != 0
        return rounds

    def attach(self, PortHandle handle not None, uint32_t number) -> None:
        """Give a port its number and let all forwarders send to it; none receives from it yet.

        Raises MemoryError (nothing is attached).
        """
        cdef Request request = Request(None, handle)
        if number >= PORTS_MAX:
            raise ConfigError(f"port number {number} is not below {PORTS_MAX}")
        handle.port.port_no = number
        handle.attached = True
        self.attached.add(handle)
        for i in range(self.n_forwarders):
            self.post_port(CMD_ATTACH, handle, 0, i, request)
        self.wait(request)
        if request.failed:
            self.detach(handle)
            raise MemoryError

    cdef int attach_to(self, PortHandle handle, uint32_t number) except -1:
        """Let one more forwarder send to an attached port."""
        cdef Request request = Request(None, handle)
        self.post_port(CMD_ATTACH, handle, 0, number, request)
        self.wait(request)
        if request.failed:
            raise MemoryError
        return 0

    cdef int post_port(self, uint32_t kind, PortHandle handle, uint32_t queue, uint32_t number,
                       Request request) except -1:
        cdef Command *command = self.new_command(kind)
        command.port = &handle.port
        command.queue = queue
        self.post(number, command, request)
        return 0

    def receive(self, PortHandle handle not None, uint32_t queue, uint32_t number) -> None:
        """Let a forwarder receive from a queue of an attached port, from which no other does.

        Raises ConfigError if there is no such queue or forwarder, MemoryError.
        """
        cdef Request request = Request(None, handle)
        self.forwarder(number)
        if queue >= handle.port.n_rxq:
            raise ConfigError(f"port {handle.name} has no queue {queue}")
        self.post_port(CMD_RECEIVE, handle, queue, number, request)
        self.wait(request)
        if request.failed:
            raise MemoryError

    def leave(self, PortHandle handle not None, uint32_t queue, uint32_t number) -> None:
        """Let a forwarder receive from a queue no longer; on return what it received from there has been sent.

        So another may go on, and packets keep their order.
        """
        cdef Request request = Request(None, handle)
        self.forwarder(number)
        self.post_port(CMD_LEAVE, handle, queue, number, request)
        self.wait(request)

    def detach(self, PortHandle handle not None) -> None:
        """Take a port from all forwarders; on return none uses it any more."""
        cdef Request request = Request(None, handle)
        for i in range(self.n_forwarders):
            self.post_port(CMD_DETACH, handle, 0, i, request)
        self.wait(request)
        handle.attached = False
        self.attached.discard(handle)

    cdef Request post_barrier(self, callback):
        cdef Request request = Request(callback)
        cdef uint32_t i
        for i in range(self.n_forwarders):
            if not (self.running and mailbox_passed(&self.fwds[i].box)):
                self.post(i, self.new_command(CMD_BARRIER), request)
        return request

    def barrier(self, callback) -> bool:
        """Call back when each forwarder has finished what it received before and will read the tables anew.

        Returns True, and never calls back, when that is so already because all of them sleep.
        """
        return self.post_barrier(callback).remaining == 0

    def executed(self) -> bool:
        """Return whether every frame given to `execute` is known to be done."""
        return self.executing == 0

    def call_soon(self, callback) -> None:
        """Let `run_callbacks` call `callback` with what else has finished."""
        self.ready.append(callback)
        fd_signal(self.completion_fd)

    def barrier_wait(self) -> None:
        """Return when each forwarder has passed a barrier."""
        self.wait(self.post_barrier(None))

    def sweep(self, callback, int64_t max_idle_ns, bint full) -> None:
        """Push counts to owners and expire megaflows that were idle longer than max_idle_ns.

        Call back (if not None) when done.
        """
        cdef Request request = Request(callback)
        cdef Command *command
        self.follow_clock()
        for i in range(self.n_forwarders):
            command = self.new_command(CMD_SWEEP)
            command.max_idle_ns = max_idle_ns
            command.full = full
            self.post(i, command, request)

    def flush(self) -> None:
        """Remove every megaflow that is there now, pushing its last counts."""
        self.wait(self.post_all(CMD_FLUSH, Request()))

    def dump(self) -> list[tuple]:
        """Return a copy of all megaflows: (key, mask, actions, packets, bytes, used_ns, tcp_flags, forwarder).

        Raises MemoryError.
        """
        cdef Request request = self.post_all(CMD_DUMP, Request())
        self.wait(request)
        if request.failed:
            raise MemoryError
        return request.rows

    def execute(self, bytes frame not None, uint32_t in_port, ExecuteHook hook not None) -> None:
        """Run a frame through `hook` on forwarder 0, after all earlier commands.

        Raises ConfigError for a frame that no buffer holds.
        """
        cdef Py_ssize_t n_bytes = len(frame)
        cdef Command *command
        if not 0 < n_bytes <= LARGE_FRAME_MAX:
            raise ConfigError(f"a frame of {n_bytes} bytes is not in 1..{LARGE_FRAME_MAX}")
        if hook.translate == NULL:
            raise InternalError("the hook has no function")
        command = self.new_command(CMD_EXECUTE)
        command.frame = <uint8_t *> malloc(n_bytes)
        if command.frame == NULL:
            command_free(command)
            raise MemoryError
        memcpy(command.frame, <const char *> frame, n_bytes)
        command.frame_bytes = <uint32_t> n_bytes
        command.in_port = in_port
        command.hook_ctx = hook.ctx
        command.translate = hook.translate
        self.executing += 1
        self.post(0, command, Request(None, hook))

    # ---- settings and counters ----

    def set_flow_limit(self, uint32_t limit) -> None:
        """Bound the megaflows of each forwarder; those above it go as new ones come."""
        cdef uint32_t i
        for i in range(self.n_forwarders):
            self.fwds[i].classifier.limit = limit

    def forwarder_stats(self, uint32_t number) -> dict:
        """Return the counters of one forwarder; drops and orphans map the reasons that have occurred to packets."""
        cdef Forwarder *fwd = self.forwarder(number)
        return {
            "packets": fwd.stats.packets,
            "exact_hits": fwd.stats.exact_hits,
            "masked_hits": fwd.stats.masked_hits,
            "misses": fwd.stats.misses,
            "retranslations": fwd.stats.retranslations,
            "uncached": fwd.stats.uncached,
            "lost": fwd.stats.lost,
            "batches": fwd.stats.batches,
            "slices": fwd.stats.slices,
            "sleeps": fwd.stats.sleeps,
            "busy_cycles": fwd.stats.busy_cycles,
            "sent": fwd.sender.sent,
            "sent_batches": fwd.sender.sent_batches,
            "subtable_lookups": fwd.classifier.probes,
            "asleep": bool(load_relaxed(&fwd.box.asleep)),
            "n_flows": fwd.classifier.n,
            "n_masks": fwd.classifier.n_subtables,
            "evicted": fwd.classifier.evicted,
            "allocated": fwd.classifier.allocated,
            "n_rx_ports": fwd.rx.n,
            "buffers_in_use": fwd.pool.in_use,
            "drops": named(fwd.sender.drops),
            "orphans": named(fwd.sender.orphans),
        }

    def cycles(self) -> int:
        """Return the processor's time stamp counter, in which `busy_cycles` are."""
        return cycles_now()


cdef void drop_commands(Command *command) noexcept:
    """Free commands that nobody will run or collect any more, oldest first, with what they keep."""
    cdef Command *following
    while command != NULL:
        following = command.next
        Py_DECREF(<object> command.request)
        command_free(command)
        command = following


cdef dict named(const uint64_t *counts):
    cdef uint32_t i
    return {DROP_NAMES[i]: counts[i] for i in range(<uint32_t> N_DROP_REASONS) if counts[i]}


cdef list program_ops(const DumpRow *row):
    ops = []
    cdef uint32_t i
    cdef const ActOp *op
    for i in range(row.program.n_ops):
        op = &row.program.ops[i]
        ops.append((op.kind, op.slot, op.aux, op.arg, op.aux32, <bytes> op.value[:16], <bytes> op.mask[:16]))
    return ops


cdef int take_rows(const Command *command, list rows) except -1:
    """Append the megaflows that a dump has copied."""
    cdef const DumpRow *row = command.rows
    cdef uint64_t[KEY_PACKET_WORDS] key
    cdef uint64_t[KEY_PACKET_WORDS] mask
    cdef uint32_t i
    while row != NULL:
        memset(key, 0, sizeof(key))
        memset(mask, 0, sizeof(mask))
        for i in range(row.n_words):
            key[row.index[i]] = row.key[i]
            mask[row.index[i]] = row.mask[i]
        wanted = PyBytes_FromStringAndSize(<char *> key, sizeof(key))
        bits = PyBytes_FromStringAndSize(<char *> mask, sizeof(mask))
        rows.append((wanted, bits, program_ops(row), row.packets, row.bytes, row.used_ns, row.tcp_flags, row.forwarder))
        row = row.next
    return 0
