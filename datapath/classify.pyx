"""From packets to programs: see classify.pxd. `batch_run` is the hot path, read it top-down."""

from libc.stdint cimport uint8_t, uint16_t, uint32_t, uint64_t
from libc.string cimport memcpy, memset

from datapath.act cimport Program, act_drop, program_equal, program_share, program_unref
from datapath.atomic cimport likely, unlikely
from datapath.bytes cimport load_be16
from datapath.drops cimport DROP_NO_OUTPUT, DROP_OUT_OF_MEMORY, DROP_RX_NO_BUFFER, DROP_TOO_MANY_ACTIONS
from datapath.execute cimport count_drops, drop_packet, program_run, sender_flush
from datapath.flow_cache cimport flow_cache_insert, flow_cache_lookup
from datapath.flow_key cimport KEY_BASE_WORDS, OFS_IN_PORT, OFS_RECIRC_ID, PacketKey
from datapath.forwarder cimport Forwarder, Group
from datapath.frame_cache cimport (
    FrameLook, frame_cache_follow, frame_cache_insert, frame_cache_look, frame_cache_tend,
)
from datapath.hash cimport hash_words
from datapath.mailbox cimport Command
from datapath.megaflow cimport (
    Megaflow, classifier_insert, classifier_lookup, classifier_mask_is, classifier_reap, classifier_remove,
    megaflow_replace,
)
from datapath.packet cimport OFS_ABSENT, Batch, Packet, packet_alloc
from datapath.parse cimport parse
from datapath.shape cimport KIND_NONE, N_KINDS, SHAPE_PLACES, shape_is_tcp, shape_of
from datapath.upcall cimport TranslateFn, Translation

cdef enum:
    NO_GROUP = 0xffff          # group_of: the packet was dropped
    NO_TABLE = 0xff            # ACT_DROP: no table decided


cdef uint32_t batch_run(Forwarder *fwd) noexcept nogil:
    cdef uint32_t start = 0
    frame_cache_tend(&fwd.frames, &fwd.classifier, fwd.now_ns)
    fwd.stats.batches += 1
    fwd.stats.packets += fwd.batch.n
    while start < fwd.batch.n and fwd.translations_left:
        look_ahead(fwd, start)
        start = classify_some(fwd, start)
    fwd.stats.packets -= fwd.batch.n - start
    sender_flush(&fwd.sender)
    return start


cdef void look_ahead(Forwarder *fwd, uint32_t start) noexcept nogil:
    """Ask the frame cache for all packets from `start` on, which come from one port."""
    cdef FrameLook *look = &fwd.look
    cdef Packet *pkt
    cdef uint32_t i, shape
    for i in range(start, fwd.batch.n):
        pkt = fwd.batch.pkts[i]
        shape = shape_of(pkt.data, pkt.length)
        look.data[i] = pkt.data
        look.shapes[i] = <uint8_t> (shape if shape % N_KINDS != KIND_NONE else 0)
    frame_cache_look(&fwd.frames, &fwd.secret, look, start, fwd.batch.n, fwd.batch.pkts[start].in_port)


cdef uint32_t classify_some(Forwarder *fwd, uint32_t start) noexcept nogil:
    """Look up and run packets from `start` on, up to one whose translation changed the tables or the masks, or used up
    the budget.

    Returns where to go on.
    """
    cdef uint32_t i = start, hits = 0
    cdef Packet *pkt
    cdef Megaflow *flow
    cdef Megaflow *last = NULL             # known to be right for this version
    cdef uint16_t group = NO_GROUP         # of `last`
    cdef uint64_t serial = fwd.frames.serial
    fwd.version = fwd.handler.version(fwd.handler.ctx)
    fwd.n_groups = 0
    fwd.serial += 1
    fwd.serial += fwd.serial == 0
    while i < fwd.batch.n:
        flow = fwd.look.flows[i]
        if flow != last and flow != NULL and not flow.dead and flow_is_current(fwd, flow, fwd.version):
            last = flow
            group = group_of_flow(fwd, flow)
        if unlikely(flow == NULL or flow != last):
            last = NULL
            i += 1
            if classify_slowly(fwd, i - 1) or fwd.frames.serial != serial:
                break
            continue
        pkt = fwd.batch.pkts[i]
        note_layers(pkt, fwd.look.shapes[i])
        count_packet(flow, pkt)
        fwd.groups[group].n += 1
        fwd.group_of[i] = group
        hits += 1
        i += 1
    fwd.stats.exact_hits += hits
    run_groups(fwd, start, i)
    classifier_reap(&fwd.classifier)
    return i


cdef inline void note_layers(Packet *pkt, uint32_t shape) noexcept nogil:
    """Set what parse() would for a frame of this shape."""
    pkt.shape = <uint8_t> shape
    pkt.l3_ofs = SHAPE_PLACES[shape].l3_ofs
    pkt.l4_ofs = SHAPE_PLACES[shape].l4_ofs
    pkt.l25_ofs = OFS_ABSENT
    pkt.tcp_flags = 0
    if shape_is_tcp(shape):
        pkt.tcp_flags = load_be16(pkt.data + pkt.l4_ofs + 12) & 0x0fff


cdef inline void count_packet(Megaflow *flow, const Packet *pkt) noexcept nogil:
    flow.packets += 1
    flow.bytes += pkt.length
    flow.tcp_flags |= pkt.tcp_flags


cdef inline uint16_t group_of_flow(Forwarder *fwd, Megaflow *flow) noexcept nogil:
    """The group that runs the megaflow's program; megaflows with the same program share one."""
    cdef Program *program = flow.program
    flow.batch = fwd.serial
    flow.used_ns = fwd.now_ns
    if program.batch != fwd.serial:
        program.batch = fwd.serial
        program.group = group_new(fwd, program)
    return program.group


cdef inline uint16_t group_new(Forwarder *fwd, Program *program) noexcept nogil:
    cdef Group *group = &fwd.groups[fwd.n_groups]
    memset(group, 0, sizeof(Group))
    group.program = program
    fwd.n_groups += 1
    return <uint16_t> (fwd.n_groups - 1)


cdef uint16_t group_packet(Forwarder *fwd, Megaflow *flow, const Packet *pkt) noexcept nogil:
    """Count a packet for its megaflow and add it to the group."""
    cdef uint16_t group = group_of_flow(fwd, flow)
    count_packet(flow, pkt)
    fwd.groups[group].n += 1
    return group


cdef bint flow_is_current(Forwarder *fwd, Megaflow *flow, unsigned long long version) noexcept nogil:
    if unlikely(flow.version < version):
        if fwd.handler.affected(fwd.handler.ctx, flow.version, version, &flow.tags):
            return False
        flow.version = version
    return True


cdef bint classify_slowly(Forwarder *fwd, uint32_t i) noexcept nogil:
    """Find the group of packet i without the frame cache's plain answer.

    Returns True when the batch is to be cut: its translation changed the tables, or was the last of the turn.
    """
    cdef PacketKey *key = &fwd.key
    cdef Packet *pkt = fwd.batch.pkts[i]
    cdef Megaflow *flow = NULL
    cdef bint exact = False
    cdef int reason = parse(pkt, key)
    if unlikely(reason != 0):
        drop_packet(&fwd.sender, pkt, <uint32_t> reason)
        fwd.group_of[i] = NO_GROUP
        fwd.stats.packets -= 1
        return False
    pkt.shape = fwd.look.shapes[i]
    if pkt.shape == 0:
        # No shape. A frame straight from a port has no tunnel words.
        pkt.flow_hash = hash_words(&fwd.secret, <uint64_t *> key, KEY_BASE_WORDS)
        flow = flow_cache_lookup(&fwd.cache, key, KEY_BASE_WORDS, pkt.flow_hash)
        exact = flow != NULL
    if flow == NULL:
        flow = classifier_lookup(&fwd.classifier, key)
    if flow != NULL and flow_is_current(fwd, flow, fwd.version):
        fwd.stats.exact_hits += exact
        fwd.stats.masked_hits += not exact
        if not exact:
            remember(fwd, i, flow)
        fwd.group_of[i] = group_packet(fwd, flow, pkt)
        return False
    fwd.translations_left -= 1
    fwd.stats.misses += flow == NULL
    fwd.stats.retranslations += flow != NULL
    fwd.group_of[i] = translate_packet(fwd, key, pkt, flow, i)
    return fwd.handler.version(fwd.handler.ctx) != fwd.version or fwd.translations_left == 0


cdef void remember(Forwarder *fwd, uint32_t i, Megaflow *flow) noexcept nogil:
    """Let the caches lead from packet i, not yet changed, to its megaflow."""
    cdef Packet *pkt = fwd.batch.pkts[i]
    if pkt.shape == 0:
        flow_cache_insert(&fwd.cache, &fwd.key, KEY_BASE_WORDS, pkt.flow_hash, flow)
        return
    frame_cache_follow(&fwd.frames, &fwd.classifier)
    frame_cache_insert(&fwd.frames, &fwd.secret, pkt.data, pkt.shape, pkt.in_port, flow)


# ---- translation ----

cdef Program *translate(Forwarder *fwd, TranslateFn fn, void *ctx, const PacketKey *key, Packet *pkt,
                        const Program *known) noexcept nogil:
    """Fill fwd.translation.

    Its program (`known` itself if equal), or NULL when the packet was dropped (counted, released).
    """
    cdef Translation *out = &fwd.translation
    cdef Program *program
    cdef int reason
    memset(out.mask, 0, sizeof(out.mask))
    out.acts.n = 0
    out.acts.overflow = False
    out.owner = NULL
    memset(&out.tags, 0, sizeof(out.tags))
    out.version = fwd.version
    out.cacheable = False
    out.drop_reason = 0
    reason = fn(ctx, fwd.number, key, pkt, fwd.version, fwd.now_ns, out)
    if reason:
        fwd.stats.lost += 1
        release_owner(fwd, out.owner)
        drop_packet(&fwd.sender, pkt, <uint32_t> reason)
        return NULL
    if out.acts.overflow:
        out.acts.n = 0
        out.acts.overflow = False
        out.drop_reason = DROP_TOO_MANY_ACTIONS
    if out.acts.n == 0:
        act_drop(&out.acts, out.drop_reason if out.drop_reason else <uint32_t> DROP_NO_OUTPUT, NO_TABLE)
    if known != NULL and program_equal(known, &out.acts):
        return <Program *> known
    program = program_share(&fwd.programs, &out.acts)
    if program == NULL:
        release_owner(fwd, out.owner)
        drop_packet(&fwd.sender, pkt, DROP_OUT_OF_MEMORY)
    return program


cdef void release_owner(Forwarder *fwd, void *owner) noexcept nogil:
    if owner != NULL:
        fwd.handler.release(fwd.handler.ctx, owner)


cdef uint16_t translate_packet(Forwarder *fwd, const PacketKey *key, Packet *pkt, Megaflow *stale,
                              uint32_t i) noexcept nogil:
    """Translate a packet that missed, or hit a megaflow that the tables have changed under; its group, or NO_GROUP."""
    cdef Translation *out = &fwd.translation
    cdef Program *program = translate(fwd, fwd.handler.translate, fwd.handler.ctx, key, pkt,
                                      NULL if stale == NULL else stale.program)
    cdef Megaflow *flow = NULL
    if program == NULL:
        if stale != NULL:
            classifier_remove(&fwd.classifier, stale)
        return NO_GROUP
    if out.cacheable and out.version >= fwd.version:
        flow = install(fwd, key, program, stale)
    elif stale != NULL:
        if program == stale.program:
            program.refs += 1
        classifier_remove(&fwd.classifier, stale)
    if flow == NULL:
        fwd.stats.uncached += 1
        return group_of_uncached(fwd, program, out.owner, pkt)
    remember(fwd, i, flow)
    return group_packet(fwd, flow, pkt)


cdef Megaflow *install(Forwarder *fwd, const PacketKey *key, Program *program, Megaflow *stale) noexcept nogil:
    """Put the translation into the megaflow that it renews, or a new one.

    NULL without memory (then the packet still has its program).
    """
    cdef Translation *out = &fwd.translation
    cdef uint8_t *mask = <uint8_t *> out.mask
    memset(mask + OFS_IN_PORT, 0xff, 4)
    memset(mask + OFS_RECIRC_ID, 0xff, 4)
    # One that is in a group already is not touched any more: its old program still waits to run.
    if stale != NULL and stale.batch != fwd.serial and classifier_mask_is(stale, out.mask):
        megaflow_replace(&fwd.classifier, stale, program, out.owner, &out.tags, out.version)
        return stale
    if stale != NULL:
        if program == stale.program:
            program.refs += 1
        classifier_remove(&fwd.classifier, stale)
    return classifier_insert(&fwd.classifier, key, out.mask, program, out.owner, &out.tags, out.version)


cdef uint16_t group_of_uncached(Forwarder *fwd, Program *program, void *owner, const Packet *pkt) noexcept nogil:
    cdef uint16_t number = group_new(fwd, program)
    cdef Group *group = &fwd.groups[number]
    group.uncached = True
    group.owner = owner
    group.n = 1
    group.bytes = pkt.length
    group.tcp_flags = pkt.tcp_flags
    return number


# ---- running ----

cdef void run_groups(Forwarder *fwd, uint32_t start, uint32_t end) noexcept nogil:
    """Sort packets start..end by group, keeping their order, and run each group's program."""
    cdef uint32_t i, at = 0
    cdef Group *group = &fwd.groups[0]
    if likely(fwd.n_groups == 1 and group.n == end - start):
        run_group(fwd, group, &fwd.batch.pkts[start])
        return
    for i in range(fwd.n_groups):
        fwd.groups[i].at = at
        at += fwd.groups[i].n
    for i in range(start, end):
        if unlikely(fwd.group_of[i] == NO_GROUP):
            continue
        group = &fwd.groups[fwd.group_of[i]]
        fwd.sorted[group.at] = fwd.batch.pkts[i]
        group.at += 1
    for i in range(fwd.n_groups):
        group = &fwd.groups[i]
        run_group(fwd, group, &fwd.sorted[group.at - group.n])


cdef inline void run_group(Forwarder *fwd, Group *group, Packet **pkts) noexcept nogil:
    program_run(&fwd.sender, group.program, pkts, group.n)
    if unlikely(group.uncached):
        run_down(fwd, group)


cdef void run_down(Forwarder *fwd, Group *group) noexcept nogil:
    """Let go of a translation that no megaflow holds."""
    program_unref(group.program)
    if group.owner != NULL:
        fwd.handler.credit(fwd.handler.ctx, group.owner, group.n, group.bytes, fwd.now_ns, group.tcp_flags)
        fwd.handler.release(fwd.handler.ctx, group.owner)


cdef int frame_run(Forwarder *fwd, const Command *command) noexcept nogil:
    cdef PacketKey *key = &fwd.key
    cdef Packet *pkt = packet_alloc(&fwd.pool, command.frame_bytes)
    cdef Program *program
    cdef int reason
    if pkt == NULL:
        count_drops(&fwd.sender, command.in_port, DROP_RX_NO_BUFFER, 1)
        return -1
    memcpy(pkt.data, command.frame, command.frame_bytes)
    pkt.length = command.frame_bytes
    pkt.in_port = command.in_port
    fwd.version = fwd.handler.version(fwd.handler.ctx)
    reason = parse(pkt, key)
    if reason:
        drop_packet(&fwd.sender, pkt, <uint32_t> reason)
        return 0
    program = translate(fwd, command.translate, command.hook_ctx, key, pkt, NULL)
    if program == NULL:
        return 0
    fwd.n_groups = 0
    fwd.batch.n = 1
    fwd.batch.pkts[0] = pkt
    fwd.group_of[0] = group_of_uncached(fwd, program, fwd.translation.owner, pkt)
    run_groups(fwd, 0, 1)
    sender_flush(&fwd.sender)
    return 0
