"""The loop of a forwarding thread: see forwarder.pxd. `forwarder_loop` is the only long `with nogil` of the switch."""

from libc.stdint cimport int64_t, uint32_t, uint64_t
from libc.string cimport memset

from datapath.act cimport actbuf_free, actbuf_init
from datapath.atomic cimport likely, load_acquire, load_ptr, load_relaxed, store_relaxed, unlikely
from datapath.classify cimport batch_run
from datapath.commands cimport commands_run, commands_slice
from datapath.execute cimport sender_destroy, sender_init
from datapath.flow_cache cimport flow_cache_destroy, flow_cache_init
from datapath.frame_cache cimport frame_cache_destroy, frame_cache_init
from datapath.hash cimport HASH_SECRET_WORDS, HashSecret
from datapath.mailbox cimport Stack, mailbox_destroy, mailbox_fall_asleep, mailbox_init, mailbox_wake_up
from datapath.megaflow cimport classifier_destroy, classifier_init
from datapath.packet cimport pool_destroy, pool_init
from datapath.polling cimport SPIN_NS, polling_goes_on, polling_init, polling_load_sleep, polling_packets
from datapath.ports.port cimport Port, RxQueueStats
from datapath.rx_ports cimport RxPort, rx_port_cool, rx_port_failed, rx_ports_destroy, rx_ports_init, rx_ports_wait
from datapath.turns cimport (
    DEBT_MAX, TURN_TRANSLATIONS, UNLIMITED, turn_cut, turn_passes, turn_pay, turn_resume, turn_waits,
)
from datapath.upcall cimport MissHandler

cdef extern from "<time.h>" nogil:
    cdef struct timespec:
        long tv_sec
        long tv_nsec
    int clock_gettime(int clock, timespec *ts)
    int clock_nanosleep(int clock, int flags, const timespec *span, timespec *left)
    enum: CLOCK_MONOTONIC

cdef extern from "<sys/prctl.h>" nogil:
    int prctl(int option, unsigned long value)
    enum: PR_SET_TIMERSLACK

cdef extern from *:
    """
    #if defined(__x86_64__)
    #define cyvs_cycles() __builtin_ia32_rdtsc()
    #else
    #include <time.h>
    static inline unsigned long long cyvs_cycles(void) {
        struct timespec ts;
        clock_gettime(CLOCK_MONOTONIC, &ts);
        return ts.tv_sec * 1000000000ull + ts.tv_nsec;
    }
    #endif
    """
    uint64_t cyvs_cycles() nogil

cdef extern from "<sys/random.h>" nogil:
    ssize_t getrandom(void *buf, size_t n_bytes, unsigned int flags)

cdef enum:
    NS_PER_S = 1000000000


cdef int64_t monotonic_ns() noexcept nogil:
    cdef timespec ts
    clock_gettime(CLOCK_MONOTONIC, &ts)
    return <int64_t> ts.tv_sec * NS_PER_S + ts.tv_nsec


cdef uint64_t cycles_now() noexcept nogil:
    return cyvs_cycles()


# ---- life ----

cdef void draw_secret(HashSecret *secret) noexcept nogil:
    cdef uint32_t i
    getrandom(secret.words, sizeof(secret.words), 0)
    for i in range(<uint32_t> HASH_SECRET_WORDS):
        secret.words[i] |= 1


cdef int forwarder_init(Forwarder *fwd, uint32_t number, MissHandler *handler, Stack *done, int done_fd) noexcept nogil:
    memset(fwd, 0, sizeof(Forwarder))
    fwd.number = number
    fwd.handler = handler
    fwd.rx.epoll_fd = fwd.box.wake_fd = -1
    draw_secret(&fwd.secret)
    polling_init(&fwd.polling)
    classifier_init(&fwd.classifier, &fwd.secret, handler)
    if pool_init(&fwd.pool, POOL_SMALL, POOL_LARGE) or flow_cache_init(&fwd.cache) or frame_cache_init(&fwd.frames):
        return -1
    if sender_init(&fwd.sender, number, handler) or actbuf_init(&fwd.translation.acts):
        return -1
    if mailbox_init(&fwd.box, done, done_fd) or rx_ports_init(&fwd.rx, fwd.box.wake_fd):
        return -1
    return 0


cdef void forwarder_destroy(Forwarder *fwd) noexcept nogil:
    classifier_destroy(&fwd.classifier)
    frame_cache_destroy(&fwd.frames)
    flow_cache_destroy(&fwd.cache)
    sender_destroy(&fwd.sender)
    actbuf_free(&fwd.translation.acts)
    rx_ports_destroy(&fwd.rx)
    mailbox_destroy(&fwd.box)
    pool_destroy(&fwd.pool)


# ---- the loop ----

cdef uint32_t receive(Forwarder *fwd, RxPort *rx, uint32_t translations) noexcept nogil:
    """One turn of one queue: what waits there, else a new batch; the number of packets."""
    cdef Port *port = rx.port
    cdef RxQueueStats *load = &port.rxq_stats[rx.queue]
    cdef uint64_t cycles = cyvs_cycles()
    cdef uint32_t done
    cdef int n
    if unlikely(turn_waits(&rx.turn)):
        turn_resume(&rx.turn, &fwd.batch)
    else:
        n = port.rx(port, rx.queue, &fwd.pool, &fwd.batch, &port.stats[fwd.number])
        if n < 0:
            rx_port_failed(&fwd.rx, rx)
            return 0
        rx.errors = 0
        if n == 0:
            return 0
    rx.last_ns = fwd.now_ns
    polling_packets(&fwd.polling, fwd.now_ns)
    fwd.translations_left = translations
    done = batch_run(fwd)
    cycles = cyvs_cycles() - cycles
    if unlikely(fwd.translations_left == 0):
        turn_cut(&rx.turn, &fwd.batch, done, cycles)
    load.packets += done
    load.cycles += cycles
    fwd.stats.busy_cycles += cycles
    return done


cdef void forwarder_finish(Forwarder *fwd, RxPort *rx) noexcept nogil:
    while turn_waits(&rx.turn):
        receive(fwd, rx, UNLIMITED)


cdef uint32_t serve(Forwarder *fwd, RxPort **ports, uint32_t n_ports) noexcept nogil:
    """A turn for each port that owes nothing; the others are paid what that took in the mean."""
    cdef uint64_t cycles = cyvs_cycles() if fwd.n_owing else 0
    cdef uint32_t limit = TURN_TRANSLATIONS if n_ports > 1 else UNLIMITED
    cdef uint32_t i, n, served = 0, total = 0
    for i in range(n_ports):
        if likely(not turn_passes(&ports[i].turn)):
            n = receive(fwd, ports[i], limit)
            served += n != 0
            total += n
    if unlikely(fwd.n_owing and served):
        pay(ports, n_ports, (cyvs_cycles() - cycles) // served)
    fwd.n_owing = 0
    for i in range(n_ports):
        fwd.n_owing += ports[i].turn.debt != 0
    return total


cdef void pay(RxPort **ports, uint32_t n_ports, uint64_t cycles) noexcept nogil:
    cdef uint32_t i
    for i in range(n_ports):
        turn_pay(&ports[i].turn, cycles)


cdef uint32_t take_turns(Forwarder *fwd, RxPort **ports, uint32_t n_ports) noexcept nogil:
    """One round; if only ports that owe something have packets, the one that owes least has its turn."""
    cdef uint32_t i, total = serve(fwd, ports, n_ports)
    cdef uint64_t least
    while unlikely(total == 0 and fwd.n_owing):
        least = DEBT_MAX
        for i in range(n_ports):
            if ports[i].turn.debt:
                least = min(least, ports[i].turn.debt)
        pay(ports, n_ports, least)
        total = serve(fwd, ports, n_ports)
    return total


cdef uint32_t receive_hot(Forwarder *fwd) noexcept nogil:
    """A turn for each hot port; those that have been quiet for SPIN_NS grow cold."""
    cdef uint32_t i = 0
    cdef uint32_t total = take_turns(fwd, fwd.rx.hot, fwd.rx.n_hot)
    while i < fwd.rx.n_hot:
        if fwd.now_ns - fwd.rx.hot[i].last_ns > SPIN_NS and not turn_waits(&fwd.rx.hot[i].turn):
            rx_port_cool(&fwd.rx, i)
        else:
            i += 1
    return total


cdef void sleep_until_news(Forwarder *fwd) noexcept nogil:
    """Wait in epoll, unless a command came in while we said that we sleep (see mailbox.pxd)."""
    mailbox_fall_asleep(&fwd.box)
    if load_ptr(&fwd.box.inward.head) == NULL:
        fwd.stats.sleeps += 1
        rx_ports_wait(&fwd.rx, -1, fwd.now_ns)
    mailbox_wake_up(&fwd.box)
    heat_from(fwd, monotonic_ns() + fwd.clock_offset_ns)


cdef void heat_from(Forwarder *fwd, int64_t now_ns) noexcept nogil:
    """Ports that a wait made hot count as heard of now, not when the wait began."""
    cdef uint32_t i
    for i in range(fwd.rx.n_hot):
        fwd.rx.hot[i].last_ns = now_ns


cdef void rest(Forwarder *fwd) noexcept nogil:
    """With every port cold: look for news once, to be called again at once, or sleep until they come."""
    if polling_goes_on(&fwd.polling, fwd.now_ns) or (load_relaxed(&fwd.polling.always) and fwd.rx.n):
        rx_ports_wait(&fwd.rx, 0, fwd.now_ns)
    else:
        sleep_until_news(fwd)


cdef void load_sleep(Forwarder *fwd, uint32_t n) noexcept nogil:
    """Sleep a little after a round of n packets, as `max_sleep_ns` allows."""
    cdef timespec span
    span.tv_sec = 0
    span.tv_nsec = polling_load_sleep(&fwd.polling, n)
    if span.tv_nsec:
        fwd.stats.sleeps += 1
        clock_nanosleep(CLOCK_MONOTONIC, 0, &span, NULL)


cdef void forwarder_loop(Forwarder *fwd) noexcept nogil:
    cdef uint32_t n, turn = 0
    store_relaxed(&fwd.stopping, 0)
    prctl(PR_SET_TIMERSLACK, 1)        # of this thread, in ns: sleeps are as short as they say
    while True:
        fwd.now_ns = monotonic_ns() + fwd.clock_offset_ns
        if load_ptr(&fwd.box.inward.head) != NULL:
            commands_run(fwd)
        if load_acquire(&fwd.stopping):
            return
        commands_slice(fwd)
        n = receive_hot(fwd)
        turn += 1
        if load_relaxed(&fwd.polling.max_sleep_ns) and fwd.sweeps == NULL:
            load_sleep(fwd, n)
        if fwd.rx.n_hot == 0 and fwd.sweeps == NULL:
            rest(fwd)
        elif turn % LOOK_AT_EPOLL_EVERY == 0 and fwd.rx.n_hot < fwd.rx.n:
            rx_ports_wait(&fwd.rx, 0, fwd.now_ns)


cdef uint32_t forwarder_step(Forwarder *fwd, int64_t now_ns, bint receive_too) noexcept nogil:
    cdef uint32_t done
    fwd.now_ns = now_ns
    done = commands_run(fwd) + commands_slice(fwd)
    if receive_too:
        done += take_turns(fwd, fwd.rx.all, fwd.rx.n)
    return done
