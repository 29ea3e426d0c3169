"""The runtime of a switch: see runtime.pxd."""

cimport cython
from libc.stdint cimport int64_t, uint8_t, uint16_t, uint32_t, uint64_t
from libc.string cimport memcpy, memset

from datapath.act cimport ActOp, actbuf_free, actbuf_init
from datapath.drops cimport DROP_MISS_FAILED
from datapath.flow_key cimport FlowKey, KEY_PACKET_WORDS, PacketKey
from datapath.packet cimport Packet
from datapath.upcall cimport Tags, Translation
from ofproto.credits cimport Credit, PuntInfo, credit_push, credit_release
from ofproto.punt cimport punt_drain, punt_free, punt_init, punt_push
from ofproto.revalidate cimport affected
from ofproto.rule cimport Match, rule_match
from ofproto.switch cimport SwitchHandle, switch_version
from ofproto.xlate.action_set cimport list_set, run_set
from ofproto.xlate.context cimport XlateContext, context_free, context_new
from ofproto.xlate.record cimport Event, Record, record_free
from ofproto.xlate.resubmit cimport run_table
from ofproto.xlate.translate cimport translate

from vslib.errors import ConfigError


# -- the functions behind the datapath's MissHandler

cdef int on_translate(void *ctx, uint32_t forwarder, const PacketKey *key, Packet *pkt, uint64_t version,
        int64_t now_ns, Translation *out) noexcept nogil:
    cdef Engine *engine = <Engine *>ctx
    if forwarder >= FORWARDERS_MAX:
        return DROP_MISS_FAILED
    return translate(engine.contexts[forwarder], key, pkt, version, now_ns, NULL, out)


cdef int on_packet_out(void *ctx, uint32_t forwarder, const PacketKey *key, Packet *pkt, uint64_t version,
        int64_t now_ns, Translation *out) noexcept nogil:
    cdef PacketOutCtx *state = <PacketOutCtx *>ctx
    cdef int failed
    if forwarder >= FORWARDERS_MAX:
        return DROP_MISS_FAILED
    failed = translate(state.engine.contexts[forwarder], key, pkt, version, now_ns, &state.job, out)
    out.cacheable = False
    return failed


cdef void on_credit(void *ctx, void *owner, uint64_t packets, uint64_t n_bytes, int64_t used_ns,
        uint16_t tcp_flags) noexcept nogil:
    if owner != NULL:
        credit_push((<Engine *>ctx).sw, <const Credit *>owner, packets, n_bytes, used_ns)


cdef void on_release(void *ctx, void *owner) noexcept nogil:
    credit_release(<Credit *>owner)


cdef int on_punt(void *ctx, uint32_t forwarder, const Packet *pkt, uint64_t cookie) noexcept nogil:
    return punt_push(&(<Engine *>ctx).punts, forwarder, <const PuntInfo *>cookie, pkt)


cdef uint64_t on_version(void *ctx) noexcept nogil:
    return switch_version((<Engine *>ctx).sw)


cdef bint on_affected(void *ctx, uint64_t since, uint64_t upto, const Tags *tags) noexcept nogil:
    return affected((<Engine *>ctx).sw, since, upto, tags)


# -- shells

# what `handler` points to must outlive the datapath's last use, also in a reference cycle
@cython.no_gc_clear
cdef class SwitchMissHook(MissHook):
    """The switch's MissHandler for a Datapath; keeps the switch alive."""

    def __init__(self, owner: SwitchHandle) -> None:
        cdef Runtime runtime = owner.runtime
        self.owner = owner
        self.handler.ctx = &runtime.engine
        self.handler.translate, self.handler.credit, self.handler.release = on_translate, on_credit, on_release
        self.handler.punt, self.handler.version, self.handler.affected = on_punt, on_version, on_affected


@cython.no_gc_clear
cdef class PacketOut(ExecuteHook):
    """Run an OfAct list over one frame; see BridgeHandle.packet_out."""

    def __init__(self, owner: SwitchHandle, bridge_id: int, ofacts: bytes, in_port: int) -> None:
        cdef Runtime runtime = owner.runtime
        self.owner = owner
        self.ofacts = bytes(ofacts)
        self.state.engine = &runtime.engine
        self.state.job.bridge_id, self.state.job.in_port = bridge_id, in_port
        self.state.job.acts, self.state.job.acts_length = <const uint8_t *><const char *>self.ofacts, len(self.ofacts)
        self.ctx = &self.state
        self.translate = on_packet_out


cdef class Runtime:
    """Contexts and rings of one switch. Made by SwitchHandle and freed with it; only hooks point to it besides."""

    def __cinit__(self, SwitchHandle owner not None):
        cdef int i
        memset(&self.engine, 0, sizeof(Engine))
        self.engine.sw = &owner.sw
        punt_init(&self.engine.punts)
        for i in range(FORWARDERS_MAX + 1):
            self.engine.contexts[i] = context_new(&owner.sw)
            if self.engine.contexts[i] == NULL:
                raise MemoryError
            self.engine.contexts[i].run_table, self.engine.contexts[i].run_set = run_table, run_set
            self.engine.contexts[i].list_set = list_set

    def __dealloc__(self):
        cdef int i
        for i in range(FORWARDERS_MAX + 1):
            context_free(self.engine.contexts[i])
        punt_free(&self.engine.punts)

    @property
    def punt_fd(self) -> int:
        """Descriptor that is readable when poll_punts has something."""
        return self.engine.punts.fd

    def poll_punts(self, names: dict) -> list:
        """Return the frames handed up since the last call; names: bridge id -> name."""
        return punt_drain(&self.engine.punts, names)

    def affected(self, since: int, upto: int, tags: int) -> bool:
        """Return whether a translation with these tags may have changed; see SwitchHandle.affected."""
        cdef Tags filter
        words = tags.to_bytes(sizeof(Tags), "little")
        memcpy(&filter, <const char *>words, sizeof(Tags))
        return affected(self.engine.sw, since, upto, &filter)

    def translate(self, key: bytes, learn: bool, now_ns: int, job: PacketOut | None = None) -> tuple:
        """Translate on the control thread; see SwitchHandle.translate. Returns (mask, ops, drop_reason, tags)."""
        cdef PacketKey packet_key
        cdef Packet packet
        cdef Translation out
        cdef const PacketOutJob *c_job = NULL
        cdef PacketOut hook = job
        cdef int failed
        cdef int64_t now = now_ns
        if len(key) > sizeof(PacketKey):
            raise ConfigError(f"a packet key has {sizeof(PacketKey)} bytes")
        memset(&packet_key, 0, sizeof(PacketKey))
        memset(&packet, 0, sizeof(Packet))
        memset(&out, 0, sizeof(Translation))
        memcpy(&packet_key, <const char *>key, len(key))
        if actbuf_init(&out.acts) < 0:
            raise MemoryError
        if hook is not None:
            c_job = &hook.state.job
        failed = translate(
            self.engine.contexts[CONTROL_CONTEXT], &packet_key, &packet if learn else NULL,
            switch_version(self.engine.sw), now, c_job, &out,
        )
        try:
            if failed:
                return bytes(KEY_PACKET_WORDS * 8), [], failed, 0
            tags = int.from_bytes((<const char *>&out.tags)[:sizeof(Tags)], "little")
            return (<const char *>&out.mask[0])[:KEY_PACKET_WORDS * 8], _op_tuples(&out), out.drop_reason, tags
        finally:
            credit_release(<Credit *>out.owner)
            actbuf_free(&out.acts)


    def trace(self, bridge_id: int, in_port: int, key: bytes, learn: bool, now_ns: int) -> dict:
        """Translate and tell what happened; see SwitchHandle.trace."""
        cdef XlateContext *ctx = self.engine.contexts[CONTROL_CONTEXT]
        cdef Record record
        cdef Packet packet
        cdef Translation out
        cdef int64_t now = now_ns
        if len(key) != sizeof(FlowKey):
            raise ConfigError(f"a flow key has {sizeof(FlowKey)} bytes")
        memset(&record, 0, sizeof(Record))
        memset(&packet, 0, sizeof(Packet))
        memset(&out, 0, sizeof(Translation))
        record.bridge_id, record.in_port = bridge_id, in_port
        memcpy(&record.start, <const char *>key, sizeof(FlowKey))
        if actbuf_init(&out.acts) < 0:
            raise MemoryError
        ctx.record = &record
        failed = translate(ctx, &record.start.pkt, &packet if learn else NULL, switch_version(self.engine.sw), now,
            NULL, &out)
        ctx.record = NULL
        try:
            return {
                "failed": failed, "error": ctx.error,
                "mask": (<const char *>&out.mask[0])[:KEY_PACKET_WORDS * 8],
                "key": (<const char *>&ctx.key)[:sizeof(FlowKey)],
                "ops": _op_tuples(&out), "reason": out.drop_reason, "events": _events(&record),
            }
        finally:
            record_free(&record)
            credit_release(<Credit *>out.owner)
            actbuf_free(&out.acts)


cdef list _events(const Record *record):
    cdef const Event *event = <const Event *>record.events.data
    cdef uint32_t i
    rows = []
    for i in range(record.events.n):
        rows.append((event.kind, event.note, event.table_id, event.n_bits, event.bridge_id, event.number, event.aux,
            (<const char *>record.data.data)[event.at:event.at + event.length] if event.length else b"",
            _rule(event) if event.rule != NULL else None))
        event += 1
    return rows


cdef tuple _rule(const Event *event):
    cdef Match match
    rule_match(event.rule, &match)
    return ((<const char *>&match.value)[:sizeof(FlowKey)], (<const char *>&match.mask)[:sizeof(FlowKey)],
        event.rule.priority, event.rule.cookie)


cdef list _op_tuples(const Translation *out):
    cdef const ActOp *op
    cdef uint32_t i
    rows = []
    for i in range(out.acts.n):
        op = &out.acts.ops[i]
        rows.append((op.kind, op.slot, op.aux, op.arg, op.aux32, (<const char *>&op.value[0])[:16],
            (<const char *>&op.mask[0])[:16]))
    return rows
