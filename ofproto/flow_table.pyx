"""What a controller edits and asks for: flow-mods, flow, aggregate and table statistics, time-outs, flow-removed
(OF.01, OF.03 to OF.07, OF.09).

Thread rule: the control thread. Decoding and the making of rules happen outside the switch's lock, edits inside it, all
without the GIL. Dumps take references under the read lock and encode without it, so a dump of a million flows does not
hold up learning.
"""

from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_FromStringAndSize, PyBytes_GET_SIZE
from libc.stdint cimport int64_t, uint8_t, uint16_t, uint32_t, uint64_t
from libc.stdlib cimport calloc, free
from libc.string cimport memcpy, memmove, memset

from datapath.atomic cimport load_seq, load_seq_i64
from datapath.flow_key cimport FlowKey, KEY_WORDS
from ofproto.expiry cimport RuleList, expiry_due, rules_release
from ofproto.flow_edit cimport (
    EDIT_BATCH, Criteria, FlowEditor, PRIORITY_MAX, bundle_begin, bundle_publish, bundle_run, bundle_undo,
    edit_add_hidden, edit_del_hidden, edit_remove_all, edit_run, editor_free, op_decode, op_refusal, rules_meeting,
)
from ofproto.flow_mod cimport (
    FlowRow, FlowStatsRequest, Match, OutBuf, flow_removed_encode, flow_stats_encode, flow_stats_request_decode,
)
from ofproto.mod_store cimport BundleAdds, Messages, ModStore, cut_messages, decode_batch, run_store, take_adds
from ofproto.of_number cimport OFPG_ANY, OFPP_ANY, TABLE_ALL
from ofproto.rule cimport Rule, Table, mask_shape, rule_match, rule_unref, table_collect_some
from ofproto.switch cimport (
    Bridge, N_TABLES, TABLE_HIDDEN, switch_edit_begin, switch_edit_end, switch_read_lock, switch_unlock, switch_version,
)

from collections.abc import Sequence

from ofproto.errors import OpenFlowError
from vslib.clock import CLOCK
from vslib.errors import InternalError

cdef enum:
    REPLY_BYTES = 60 * 1024    # room that an OpenFlow message (64 KiB) surely has for a body
    COLLECT_SLICE = 1024       # rules unlinked in one hold of the lock, some 100 us


cdef void describe(const Rule *rule, int64_t now_ns, Match *match, FlowRow *row) noexcept nogil:
    """Fill in what the encoders need; `match` is expanded and must outlive the row."""
    rule_match(rule, match)
    row.match = match
    row.acts = rule.acts
    row.acts_length = rule.acts_length
    row.cookie = rule.cookie
    row.n_packets = load_seq(&rule.n_packets)
    row.n_bytes = load_seq(&rule.n_bytes)
    row.duration_ns = max(<int64_t>0, now_ns - rule.created_ns)
    row.idle_ns = max(<int64_t>0, now_ns - load_seq_i64(&rule.used_ns))
    row.hard_ns = max(<int64_t>0, now_ns - rule.modified_ns)
    row.priority = <uint16_t>rule.priority
    row.idle_timeout_s = rule.idle_timeout_s
    row.hard_timeout_s = rule.hard_timeout_s
    row.importance = rule.importance
    row.flags = rule.flags
    row.table_id = rule.table_id
    row.reason = rule.reason


cdef bint encode_some(OutBuf *out, RuleList *rules, uint32_t *next_rule, uint32_t *body, int64_t now_ns,
                      uint8_t version, bint nxst) noexcept nogil:
    """Encode rules, giving up the reference on each, until a body is full: then body is its length and the entry behind
    it belongs to the next one. False without memory.
    """
    cdef Match match
    cdef FlowRow row
    cdef uint32_t before
    while next_rule[0] < rules.n:
        before = out.length
        describe(rules.items[next_rule[0]], now_ns, &match, &row)
        if flow_stats_encode(out, &row, version, nxst) < 0:
            return False
        rule_unref(rules.items[next_rule[0]])
        rules.items[next_rule[0]] = NULL
        next_rule[0] += 1
        if before and out.length > REPLY_BYTES:
            body[0] = before
            return True
    body[0] = out.length
    return True


cdef object error_of(uint32_t code):
    try:
        return OpenFlowError.from_code13(code)
    except KeyError:
        raise InternalError(f"flow-mod ended with unknown error {code:#x}") from None


cdef int load_match(bytes value, bytes mask, Match *out) except -1:
    cdef uint64_t *words = <uint64_t *>&out.value
    cdef const uint64_t *masks = <const uint64_t *>&out.mask
    cdef int i
    if len(value) != sizeof(FlowKey) or len(mask) != sizeof(FlowKey):
        raise InternalError(
            f"match value and mask are flow keys of {sizeof(FlowKey)} bytes, not {len(value)} and {len(mask)}")
    memcpy(&out.value, PyBytes_AS_STRING(value), sizeof(FlowKey))
    memcpy(&out.mask, PyBytes_AS_STRING(mask), sizeof(FlowKey))
    for i in range(KEY_WORDS):
        words[i] &= masks[i]
    return 0


cdef Py_ssize_t load_messages(list msgs, Py_ssize_t first, Messages *batch) except -1:
    """Fill a batch with the messages from `first` on and return how many there are."""
    cdef Py_ssize_t i, n = min(<Py_ssize_t>EDIT_BATCH, len(msgs) - first)
    for i in range(n):
        msg = msgs[first + i]
        if type(msg) is not bytes:
            raise TypeError("a flow-mod message is bytes")
        batch.data[i] = <const uint8_t *>PyBytes_AS_STRING(msg)
        batch.lengths[i] = <uint32_t>PyBytes_GET_SIZE(msg)
    batch.n = <uint32_t>n
    return n


cdef ModStore store_of(bytes msg):
    cdef ModStore store = ModStore()
    store.append(msg)
    return store


cdef class RemovedFlow:
    """A flow that was removed. Encode it after the last credits arrived, so that its counts are final."""

    def __dealloc__(self):
        rule_unref(self.rule)

    def encode(self, version: int, nxt: bool) -> bytes:
        """Return the flow-removed message in a wire version (1 or 4), or its Nicira form; xid 0. Raises MemoryError."""
        cdef OutBuf out
        cdef Match match
        cdef FlowRow row
        if self.rule == NULL:
            raise InternalError("a removed flow comes from FlowTables only")
        memset(&out, 0, sizeof(out))
        describe(self.rule, self.removed_ns, &match, &row)
        try:
            if flow_removed_encode(&out, &row, version, nxt) < 0:
                raise MemoryError
            return PyBytes_FromStringAndSize(<char *>out.data, out.length)
        finally:
            free(out.data)

    @property
    def table_id(self) -> int:
        """The table it was in."""
        return self.rule.table_id

    @property
    def priority(self) -> int:
        """Its priority."""
        return self.rule.priority

    @property
    def cookie(self) -> int:
        """Its cookie."""
        return self.rule.cookie

    @property
    def reason(self) -> int:
        """OFPRR_*: 0 idle time-out, 1 hard time-out, 2 deleted."""
        return self.rule.reason

    @property
    def n_packets(self) -> int:
        """Packets credited so far."""
        return self.rule.n_packets


cdef class FlowDump:
    """The answer to a flow statistics request, made a body at a time so that a long one needs little memory and no long
    turn of the loop (CH.16).
    """

    def __dealloc__(self):
        free(self.out.data)
        rules_release(&self.rules)

    @property
    def more(self) -> bool:
        """Whether another body is to come."""
        return self.next_rule < self.rules.n or self.out.length > 0

    def next_body(self) -> bytes:
        """Return the next body, of at most 60 KiB of entries; empty when nothing is left. Raises MemoryError."""
        cdef uint32_t body = 0
        cdef bint ok
        with nogil:
            ok = encode_some(&self.out, &self.rules, &self.next_rule, &body, self.now_ns, self.version, self.nxst)
        if not ok:
            raise MemoryError
        result = PyBytes_FromStringAndSize(<char *>self.out.data, body)
        self.out.length -= body
        if self.out.length:
            memmove(self.out.data, self.out.data + body, self.out.length)
        return result


cdef class FlowTables:
    """The flow tables of one bridge; all methods belong to the control thread and raise ConfigError once the bridge is
    deleted.
    """

    def __cinit__(self, BridgeHandle bridge not None):
        self.bridge = bridge
        self.ed = <FlowEditor *>calloc(1, sizeof(FlowEditor))
        if self.ed == NULL:
            raise MemoryError

    def __dealloc__(self):
        if self.ed != NULL:
            editor_free(self.ed)
            free(self.ed)

    cdef int prepare(self) except -1:
        """Look up the bridge, which may have been deleted, and the time."""
        self.ed.bridge = self.bridge.live()
        self.ed.now_ns = CLOCK.now_ns()
        return 0

    cdef list take_told(self):
        """Hand over the removed rules that controllers are to hear of."""
        cdef RuleList *told = &self.ed.told
        cdef RemovedFlow flow
        cdef uint32_t i
        flows = []
        for i in range(told.n):
            flow = RemovedFlow.__new__(RemovedFlow)
            flow.rule = told.items[i]
            flow.removed_ns = self.ed.now_ns
            flows.append(flow)
        told.n = 0
        return flows

    def flow_mod(self, bytes msg, nxt_table_id: bool = False) -> list[RemovedFlow]:
        """Apply one flow-mod (OpenFlow header included; nxt_table_id: NXT_FLOW_MOD_TABLE_ID is on) and return the
        removals to report.

        Raises OpenFlowError with the error to answer; nothing has changed then.
        """
        removed, errors = self.apply_many([msg], nxt_table_id)
        if errors:
            raise errors[0][1]
        return removed

    def apply_many(
        self, list msgs, nxt_table_id: bool = False
    ) -> tuple[list[RemovedFlow], list[tuple[int, OpenFlowError]]]:
        """Apply flow-mods in order, EDIT_BATCH under one lock and version.

        Returns the removals to report and, for each message that failed, its index and the error to answer; the others
        are applied.
        """
        cdef Messages batch
        cdef bint in_command = nxt_table_id
        cdef Py_ssize_t first, i, n
        errors = []
        removed = []
        self.prepare()
        for first in range(0, len(msgs), EDIT_BATCH):
            n = load_messages(msgs, first, &batch)
            with nogil:
                decode_batch(self.ed, &batch, in_command)
                edit_run(self.ed, <uint32_t>n)
            for i in range(n):
                if self.ed.ops[i].error:
                    errors.append((first + i, error_of(self.ed.ops[i].error)))
            if self.ed.told.n:
                removed += self.take_told()
        return removed, errors

    def apply_run(
        self, bytes data, Py_ssize_t at, Py_ssize_t end, nxt_table_id: bool = False
    ) -> tuple[list[RemovedFlow], list[tuple[int, OpenFlowError]]]:
        """Apply the flow-mods that stand in data[at:end], each as long as its header says, like `apply_many`.

        For each message that failed, the byte where it begins stands for its index.
        """
        cdef Messages batch
        cdef bint in_command = nxt_table_id
        cdef uint32_t i
        cdef const uint8_t *first = <const uint8_t *>PyBytes_AS_STRING(data)
        cdef const uint8_t *message = first + at
        cdef const uint8_t *behind = first + end
        errors = []
        removed = []
        self.prepare()
        while message < behind:
            with nogil:
                message = cut_messages(message, behind, 0, &batch)
                decode_batch(self.ed, &batch, in_command)
                edit_run(self.ed, batch.n)
            for i in range(batch.n):
                if self.ed.ops[i].error:
                    errors.append((batch.data[i] - first, error_of(self.ed.ops[i].error)))
            if self.ed.told.n:
                removed += self.take_told()
        return removed, errors

    def check(self, bytes msg, nxt_table_id: bool = False) -> None:
        """Raise the OpenFlowError that a flow-mod (OpenFlow header included) would get whatever is in the tables."""
        cdef const uint8_t *data = <const uint8_t *>PyBytes_AS_STRING(msg)
        cdef uint32_t length = <uint32_t>PyBytes_GET_SIZE(msg), error
        cdef bint in_command = nxt_table_id
        with nogil:
            error = op_refusal(&self.ed.ops[0], data, length, in_command)
        if error:
            raise error_of(error)

    def collect_adds(
        self, ModStore store, bytes data, Py_ssize_t at, Py_ssize_t end, Py_ssize_t room, nxt_table_id: bool = False
    ) -> int:
        """Move flow-mods out of the run of bundle-adds that begins at byte `at` into the store.

        Takes those that belong to the first one's bundle, come with the same flags, have nothing wrong with them
        whatever is in the tables, and fit into `room` bytes, MESSAGE_OVERHEAD_BYTES each included; returns where it
        stopped. Raises MemoryError.
        """
        cdef BundleAdds run
        cdef int failed
        run.at = <const uint8_t *>PyBytes_AS_STRING(data) + at
        run.end = run.at + (end - at)
        run.room = room
        run.in_command = nxt_table_id
        with nogil:
            failed = take_adds(self.ed, store, &run)
        if failed:
            raise MemoryError
        return run.at - <const uint8_t *>PyBytes_AS_STRING(data)

    def apply_bundle(
        self, msgs: Sequence[ModStore | bytes], nxt_table_id: bool = False, publish: bool = True
    ) -> tuple[list[RemovedFlow], tuple[int, OpenFlowError] | None]:
        """Apply flow-mods, whole messages or stores of them, in order as one version, all or none (OF.10, OF.11).

        Returns the removals to report and None, or no removals, the number of the first message that fails and its
        error: nothing has changed then, nor without `publish`, a trial. Each step takes the lock for EDIT_BATCH
        flow-mods; publishing takes it once.
        """
        cdef bint in_command = nxt_table_id
        cdef Py_ssize_t done = 0
        cdef ModStore store
        cdef uint32_t error
        self.prepare()
        bundle_begin(self.ed)
        try:
            for part in msgs:
                store = part if type(part) is ModStore else store_of(part)
                with nogil:
                    error = run_store(self.ed, store, in_command, &done)
                if error:
                    return [], (done, error_of(error))
            if publish:
                with nogil:
                    bundle_publish(self.ed)
        finally:
            if self.ed.bundling:
                with nogil:
                    bundle_undo(self.ed)
        return self.take_told(), None

    cdef int meeting(self, const Criteria *which, RuleList *out) except -1:
        """Take references on the rules of the newest version that meet the criteria."""
        cdef Bridge *bridge = self.bridge.live()
        cdef int failed
        with nogil:
            switch_read_lock(bridge.sw)
            failed = rules_meeting(bridge, which, switch_version(bridge.sw), out, True)
            switch_unlock(bridge.sw)
        if failed:
            rules_release(out)
            raise MemoryError
        return 0

    def flow_dump(self, bytes request, version: int, nxst: bool, now_ns: int) -> FlowDump:
        """Begin to answer a flow statistics request (whole message) in wire version 1 or 4 or NXST form.

        The flows are those of now, their counts those of the moment when they are encoded. Raises OpenFlowError for a
        malformed request.
        """
        cdef FlowStatsRequest wanted
        cdef Criteria which
        cdef FlowDump dump = FlowDump.__new__(FlowDump)
        decode_request(request, &wanted, &which)
        self.meeting(&which, &dump.rules)
        dump.now_ns, dump.version, dump.nxst = now_ns, version, nxst
        return dump

    def flow_stats(self, bytes request, version: int, nxst: bool, now_ns: int) -> list[bytes]:
        """Return all bodies of the answer that `flow_dump` begins, at least one."""
        cdef FlowDump dump = self.flow_dump(request, version, nxst, now_ns)
        bodies = []
        while not bodies or dump.more:
            bodies.append(dump.next_body())
        return bodies

    def aggregate(self, bytes request) -> tuple[int, int, int]:
        """Answer an aggregate request (whole message): (packets, bytes, flows). Raises OpenFlowError for a malformed
        request.
        """
        cdef FlowStatsRequest wanted
        cdef Criteria which
        cdef RuleList rules
        cdef uint64_t packets = 0, n_bytes = 0
        cdef uint32_t i, n
        memset(&rules, 0, sizeof(rules))
        decode_request(request, &wanted, &which)
        self.meeting(&which, &rules)
        n = rules.n
        for i in range(n):
            packets += load_seq(&rules.items[i].n_packets)
            n_bytes += load_seq(&rules.items[i].n_bytes)
        rules_release(&rules)
        return packets, n_bytes, n

    def table_stats(self) -> list[tuple[int, int, int, int]]:
        """Return (table, flows, look-ups, matches) of the tables 0 to 253; hidden flows are not counted."""
        cdef Bridge *bridge = self.bridge.live()
        cdef Table *table
        cdef int i
        rows = []
        for i in range(TABLE_HIDDEN):
            table = bridge.tables[i]
            if table == NULL:
                rows.append((i, 0, 0, 0))
            else:
                n_rules = table.n_rules - self.ed.n_hidden[i]
                rows.append((i, n_rules, load_seq(&table.n_lookups), load_seq(&table.n_matches)))
        return rows

    def expire(self, now_ns: int) -> list[RemovedFlow]:
        """Remove the flows whose idle or hard time-out has passed at now_ns and return the removals to report.

        Push the credits of the datapath first: idle times count from the last use that was credited.
        """
        cdef RuleList due
        cdef int64_t now = now_ns
        self.prepare()
        self.ed.now_ns = now
        memset(&due, 0, sizeof(due))
        with nogil:
            expiry_due(&self.ed.expiry, now, &due)
            if due.n:
                edit_remove_all(self.ed, &due, False)
            rules_release(&due)
        return self.take_told()

    def add_hidden(self, priority: int, bytes match_value, bytes match_mask, bytes ofacts, table_id: int = 0) -> None:
        """Add a rule of the switch itself (priority above 65535, or table 254), invisible to controllers; value and
        mask are FlowKey images.

        Raises OpenFlowError when memory is short.
        """
        cdef Match match
        cdef uint32_t error, rank = priority, length = <uint32_t>len(ofacts)
        cdef uint8_t table = table_id
        cdef const uint8_t *acts = <const uint8_t *>PyBytes_AS_STRING(ofacts)
        if not (priority > PRIORITY_MAX or table_id == TABLE_HIDDEN) or not 0 <= table_id < N_TABLES:
            raise InternalError(
                f"a hidden rule has a priority above {PRIORITY_MAX} or table {TABLE_HIDDEN}, "
                f"not {priority} in {table_id}")
        load_match(match_value, match_mask, &match)
        self.prepare()
        with nogil:
            error = edit_add_hidden(self.ed, table, rank, &match, acts, length)
        if error:
            raise error_of(error)

    def del_hidden(self, priority: int, bytes match_value, bytes match_mask, table_id: int = 0) -> None:
        """Remove the rule that `add_hidden` added with these arguments; nothing happens when there is none."""
        cdef Match match
        cdef uint32_t rank = priority
        cdef uint8_t table = table_id
        load_match(match_value, match_mask, &match)
        self.prepare()
        with nogil:
            edit_del_hidden(self.ed, table, rank, &match)

    def flush(self, reason: int = 2) -> list[RemovedFlow]:
        """Remove all flows that controllers made, with an OFPRR_* reason, and return the removals to report."""
        cdef RuleList rules
        cdef Match match
        cdef Criteria which
        cdef uint32_t i
        cdef uint8_t why = reason
        memset(&rules, 0, sizeof(rules))
        memset(&match, 0, sizeof(match))
        memset(&which, 0, sizeof(which))
        mask_shape(&match.mask, &which.shape)
        which.value = &match.value
        which.out_port = OFPP_ANY
        which.out_group = OFPG_ANY
        which.table_id = TABLE_ALL
        self.prepare()
        self.meeting(&which, &rules)
        with nogil:
            for i in range(rules.n):
                rules.items[i].reason = why
            edit_remove_all(self.ed, &rules, True)
            rules_release(&rules)
        return self.take_told()

    def collect(self, oldest_version: int) -> None:
        """Free the rules that no version from `oldest_version` on sees; that is the oldest one that some forwarder may
        still be using.
        """
        cdef Bridge *bridge = self.bridge.live()
        cdef uint64_t oldest = min(oldest_version, switch_version(bridge.sw))
        cdef int i
        cdef bint more
        for i in range(N_TABLES):
            more = bridge.tables[i] != NULL and bridge.tables[i].dead != NULL
            while more:
                with nogil:
                    switch_edit_begin(bridge.sw)
                    more = table_collect_some(bridge.tables[i], oldest, COLLECT_SLICE)
                    switch_edit_end(bridge.sw)

    @property
    def n_flows(self) -> int:
        """Flows in all tables, hidden ones not counted."""
        return sum(row[1] for row in self.table_stats())


cdef int decode_request(bytes request, FlowStatsRequest *wanted, Criteria *which) except -1:
    """Decode a flow or aggregate request; `which` points into `wanted`."""
    cdef uint32_t error = flow_stats_request_decode(<const uint8_t *>PyBytes_AS_STRING(request), <uint32_t>len(request),
                                                    wanted)
    if error:
        raise error_of(error)
    mask_shape(&wanted.match.mask, &which.shape)
    which.value = &wanted.match.value
    which.cookie = wanted.cookie
    which.cookie_mask = wanted.cookie_mask
    which.out_port = wanted.out_port
    which.out_group = wanted.out_group
    which.table_id = wanted.table_id
    return 0
