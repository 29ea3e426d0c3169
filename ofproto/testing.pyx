"""Test shell: one classifier table driven from Python, without a switch around it."""

from libc.stdint cimport uint8_t, uint32_t, uint64_t
from libc.string cimport memcpy, memset

from datapath.flow_key cimport FlowKey
from ofproto.flow_mod cimport Match
from ofproto.rule cimport (
    MaskShape, Rule, Table, mask_shape, rule_credit, rule_match, rule_new, rule_ref, rule_replace, rule_unref,
    table_collect, table_each, table_find_exact, table_free, table_insert, table_lookup, table_new, table_overlaps,
    table_remove,
)

KEY_BYTES = sizeof(FlowKey)


cdef int load_match(bytes value, bytes mask, Match *out) except -1:
    cdef uint32_t i
    cdef uint64_t *words = <uint64_t *>&out.value
    cdef const uint64_t *masks = <const uint64_t *>&out.mask
    if len(value) != sizeof(FlowKey) or len(mask) != sizeof(FlowKey):
        raise ValueError("value and mask are FlowKey images")
    memcpy(&out.value, <const uint8_t *>value, sizeof(FlowKey))
    memcpy(&out.mask, <const uint8_t *>mask, sizeof(FlowKey))
    for i in range(sizeof(FlowKey) // 8):
        words[i] &= masks[i]
    return 0


cdef int gather(void *arg, Rule *rule) noexcept nogil:
    with gil:
        (<list>arg).append(<object>rule.cookie)
    return 0


cdef class TestTable:
    """A classifier table whose rules are named by their cookie; the test holds one reference on each rule that it
    inserted.
    """

    __test__ = False
    cdef Table *table
    cdef dict rules

    def __cinit__(self):
        self.table = table_new()
        self.rules = {}
        if self.table == NULL:
            raise MemoryError

    def __dealloc__(self):
        table_free(self.table)
        for address in self.rules.values():
            rule_unref(<Rule *><size_t>address)

    cdef Rule *rule(self, cookie) except NULL:
        return <Rule *><size_t>self.rules[cookie]

    def insert(self, cookie: int, value: bytes, mask: bytes, priority: int, version: int) -> None:
        """Insert a rule that is visible from `version` on."""
        cdef Match match
        cdef MaskShape shape
        cdef Rule *rule
        load_match(value, mask, &match)
        mask_shape(&match.mask, &shape)
        rule = rule_new(&shape, 0)
        if rule == NULL:
            raise MemoryError
        rule.cookie = cookie
        rule.priority = priority
        rule.add_version = version
        if table_insert(self.table, rule, &match) < 0:
            rule_unref(rule)
            raise MemoryError
        rule_ref(rule)
        self.rules[cookie] = <size_t>rule

    def remove(self, cookie: int, version: int) -> None:
        """Make a rule invisible from `version` on."""
        table_remove(self.table, self.rule(cookie), version)

    def replace(self, old: int, new: int, forward_counts: bool) -> None:
        """Let `new` inherit the counters of `old`."""
        rule_replace(self.rule(old), self.rule(new), forward_counts)

    def forget(self, cookie: int) -> None:
        """Give up the test's reference."""
        cdef Rule *rule = self.rule(cookie)
        del self.rules[cookie]
        rule_unref(rule)

    def credit(self, cookie: int, packets: int, n_bytes: int, used_ns: int) -> None:
        """Credit packets to a rule as a forwarder would."""
        rule_credit(self.rule(cookie), packets, n_bytes, used_ns)

    def counters(self, cookie: int) -> tuple[int, int, int]:
        """Return (packets, bytes, used_ns)."""
        cdef Rule *rule = self.rule(cookie)
        return rule.n_packets, rule.n_bytes, rule.used_ns

    def lookup(self, key: bytes, version: int) -> tuple[int | None, bytes]:
        """Return the cookie of the best rule, or None, and the mask of the bits that were read."""
        cdef FlowKey flow, mask
        cdef Rule *rule
        memcpy(&flow, <const uint8_t *>key, sizeof(FlowKey))
        memset(&mask, 0, sizeof(FlowKey))
        rule = table_lookup(self.table, &flow, version, &mask, NULL)
        return (None if rule == NULL else rule.cookie), (<const uint8_t *>&mask)[:sizeof(FlowKey)]

    def lookup_many(self, list keys, version: int) -> int:
        """Look each key up (for benchmarks) and return how many matched."""
        cdef FlowKey flow, mask
        cdef int n = 0
        for key in keys:
            memcpy(&flow, <const uint8_t *>key, sizeof(FlowKey))
            n += table_lookup(self.table, &flow, version, &mask, NULL) != NULL
        return n

    def find(self, value: bytes, mask: bytes, priority: int, version: int) -> int | None:
        """Return the cookie of the rule with exactly this match and priority."""
        cdef Match match
        cdef Rule *rule
        load_match(value, mask, &match)
        rule = table_find_exact(self.table, &match, priority, version)
        return None if rule == NULL else rule.cookie

    def overlaps(self, value: bytes, mask: bytes, priority: int, version: int) -> bool:
        """Whether a rule of this priority shares a packet with the match."""
        cdef Match match
        cdef MaskShape shape
        load_match(value, mask, &match)
        mask_shape(&match.mask, &shape)
        return table_overlaps(self.table, &shape, &match.value, priority, version)

    def each(self, value: bytes, mask: bytes, version: int) -> list[int]:
        """Return the cookies of all rules at least as specific as the match."""
        cdef Match match
        cdef MaskShape shape
        found = []
        load_match(value, mask, &match)
        mask_shape(&match.mask, &shape)
        table_each(self.table, &shape, &match.value, version, gather, <void *>found)
        return found

    def collect(self, oldest_version: int) -> None:
        """Unlink the rules that no version from `oldest_version` on sees."""
        table_collect(self.table, oldest_version)

    def match_of(self, cookie: int) -> tuple[bytes, bytes]:
        """Return (value, mask) of a rule, also after it was unlinked."""
        cdef Match match
        rule_match(self.rule(cookie), &match)
        return (<const uint8_t *>&match.value)[:sizeof(FlowKey)], (<const uint8_t *>&match.mask)[:sizeof(FlowKey)]

    @property
    def shape(self) -> tuple[int, int, list[int]]:
        """(visible rules, subtables, highest priority of each in search order)."""
        priorities = [self.table.max_priorities[i] for i in range(self.table.n_subtables)]
        return self.table.n_rules, self.table.n_subtables, priorities
