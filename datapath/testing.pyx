"""A miss hook for tests and benchmarks: translation by a small table that Python sets, without ofproto.

The table has 64 banks; a packet is looked up in the bank of its in_port (modulo 64), first matching rule wins, and the
result depends on that bank alone (tag 1 << bank). Every edit makes a new version, and all versions are kept, so that a
translation for a version always sees just that table. Forwarder threads only read versions; edits, and rules that edit
when they are translated, take the mutex.
"""

from libc.stdint cimport int64_t, uint8_t, uint16_t, uint32_t, uint64_t
from libc.stdlib cimport calloc, free, malloc
from libc.string cimport memcpy, memset

from datapath.act cimport ActBuf, ActOp, act_add
from datapath.atomic cimport load_acquire, store_release
from datapath.drops cimport DROP_MISS_FAILED, DROP_TABLE_MISS
from datapath.flow_key cimport KEY_PACKET_WORDS, PacketKey
from datapath.forwarder cimport monotonic_ns
from datapath.packet cimport Packet
from datapath.upcall cimport ExecuteHook, MissHandler, MissHook, Tags, Translation

from typing import NamedTuple

cdef extern from "<pthread.h>" nogil:
    ctypedef struct pthread_mutex_t:
        pass
    int pthread_mutex_init(pthread_mutex_t *mutex, void *attr)
    int pthread_mutex_lock(pthread_mutex_t *mutex)
    int pthread_mutex_unlock(pthread_mutex_t *mutex)

cdef extern from * nogil:
    """
    #define testing_add(p, n) __atomic_fetch_add((p), (n), __ATOMIC_RELAXED)
    #define testing_host32(x) __builtin_bswap32(x)
    """
    uint64_t atomic_add "testing_add"(uint64_t *p, uint64_t n)
    uint32_t host32 "testing_host32"(uint32_t be)

cdef enum:
    N_BANKS = 64
    N_CREDITS = 1024           # counters that rules may name
    VERSIONS_MAX = 1 << 18
    PUNTS_MAX = 4096
    KEY_BYTES = KEY_PACKET_WORDS * 8


class Rule(NamedTuple):
    """One rule: key and mask of 584 bytes, ops as in MegaflowRow.actions.

    credit: counter of its packets (0: none is kept); cacheable: may be installed; once: leaves the table when it has
    been translated; fails: its translation does not run.
    """

    key: bytes
    mask: bytes
    ops: list
    credit: int = 0
    cacheable: bool = True
    once: bool = False
    fails: bool = False


cdef struct CRule:
    uint64_t[KEY_PACKET_WORDS] key
    uint64_t[KEY_PACKET_WORDS] mask
    ActOp *ops
    uint32_t n_ops
    uint32_t credit
    bint cacheable
    bint once
    bint fails

cdef struct Bank:
    Bank *kept                 # all banks ever made, to free them
    uint32_t n
    CRule **rules              # n pointers

cdef struct Tables:
    Bank *banks[N_BANKS]
    uint32_t changed           # the bank that this version replaced

cdef struct Owner:             # a credit list of one rule
    uint32_t refs
    uint32_t credit

cdef struct Punted:
    uint64_t cookie
    uint32_t n_bytes
    uint8_t *frame

cdef struct Context:
    pthread_mutex_t lock
    uint64_t version
    Tables **versions          # VERSIONS_MAX
    Bank *all_banks
    uint64_t owners            # alive
    uint64_t translations
    int64_t credit_ns          # how long a credit takes
    uint64_t packets[N_CREDITS]
    uint64_t bytes[N_CREDITS]
    int64_t used_ns[N_CREDITS]
    uint64_t n_punts
    Punted punts[PUNTS_MAX]


# ---- what forwarders call ----

cdef uint64_t hook_version(void *ctx) noexcept nogil:
    return load_acquire(&(<Context *> ctx).version)


cdef bint hook_affected(void *ctx, uint64_t since, uint64_t upto, const Tags *tags) noexcept nogil:
    cdef Context *context = <Context *> ctx
    while since < upto:
        since += 1
        if (tags.words[0] >> context.versions[since].changed) & 1:
            return True
    return False


cdef bint matches(const CRule *rule, const PacketKey *key) noexcept nogil:
    cdef const uint64_t *words = <const uint64_t *> key
    cdef uint64_t diff = 0
    cdef uint32_t i
    for i in range(<uint32_t> KEY_PACKET_WORDS):
        diff |= (words[i] ^ rule.key[i]) & rule.mask[i]
    return diff == 0


cdef void copy_ops(ActBuf *acts, const ActOp *ops, uint32_t n) noexcept nogil:
    cdef ActOp *op
    cdef uint32_t i
    for i in range(n):
        op = act_add(acts, ops[i].kind)
        if op != NULL:
            op[0] = ops[i]


cdef void *owner_new(Context *context, uint32_t credit) noexcept nogil:
    cdef Owner *owner = <Owner *> malloc(sizeof(Owner))
    owner.refs = 1
    owner.credit = credit
    atomic_add(&context.owners, 1)
    return owner


cdef bint publish(Context *context, uint32_t number, Bank *bank) noexcept nogil:
    """Make a version in which this bank is replaced; the mutex is held. False when there are too many versions."""
    cdef uint64_t version = context.version + 1
    cdef Tables *tables
    if version >= VERSIONS_MAX:
        return False
    tables = <Tables *> malloc(sizeof(Tables))
    tables[0] = context.versions[context.version][0]
    tables.banks[number] = bank
    tables.changed = number
    context.versions[version] = tables
    store_release(&context.version, version)
    return True


cdef Bank *bank_new(Context *context, uint32_t n) noexcept nogil:
    cdef Bank *bank = <Bank *> malloc(sizeof(Bank))
    bank.rules = <CRule **> malloc((n + 1) * sizeof(CRule *))
    bank.n = n
    bank.kept = context.all_banks
    context.all_banks = bank
    return bank


cdef void take_out(Context *context, uint32_t number, const CRule *rule) noexcept nogil:
    """Publish the bank without this rule, if it is still there."""
    cdef Bank *old
    cdef Bank *bank
    cdef uint32_t i, n = 0
    pthread_mutex_lock(&context.lock)
    old = context.versions[context.version].banks[number]
    bank = bank_new(context, old.n)
    for i in range(old.n):
        if old.rules[i] != rule:
            bank.rules[n] = old.rules[i]
            n += 1
    bank.n = n
    if n < old.n:
        publish(context, number, bank)
    pthread_mutex_unlock(&context.lock)


cdef int hook_translate(void *ctx, uint32_t forwarder, const PacketKey *key, Packet *pkt, uint64_t version,
                        int64_t now_ns,
                        Translation *out) noexcept nogil:
    cdef Context *context = <Context *> ctx
    cdef uint32_t i, j, number = host32(key.in_port) % N_BANKS
    cdef const Bank *bank = context.versions[version].banks[number]
    cdef const CRule *rule = NULL
    atomic_add(&context.translations, 1)
    memset(out.mask, 0, sizeof(out.mask))
    out.acts.n = 0
    for i in range(bank.n):
        for j in range(<uint32_t> KEY_PACKET_WORDS):
            out.mask[j] |= bank.rules[i].mask[j]
        if matches(bank.rules[i], key):
            rule = bank.rules[i]
            break
    memset(&out.tags, 0, sizeof(out.tags))
    out.tags.words[0] = <uint64_t> 1 << number
    out.version = version
    out.owner = NULL
    out.cacheable = rule == NULL or rule.cacheable
    out.drop_reason = DROP_TABLE_MISS if rule == NULL else 0
    if rule == NULL:
        return 0
    if rule.fails:
        return DROP_MISS_FAILED
    copy_ops(&out.acts, rule.ops, rule.n_ops)
    if rule.credit:
        out.owner = owner_new(context, rule.credit)
    if rule.once and pkt != NULL:
        take_out(context, number, rule)
    return 0


cdef void hook_credit(void *ctx, void *owner, uint64_t packets, uint64_t n_bytes, int64_t used_ns,
                      uint16_t tcp_flags) noexcept nogil:
    cdef Context *context = <Context *> ctx
    cdef uint32_t credit = (<Owner *> owner).credit
    cdef int64_t end_ns = monotonic_ns() + context.credit_ns
    while context.credit_ns and monotonic_ns() < end_ns:
        pass
    atomic_add(&context.packets[credit], packets)
    atomic_add(&context.bytes[credit], n_bytes)
    context.used_ns[credit] = used_ns


cdef void hook_release(void *ctx, void *owner) noexcept nogil:
    cdef Owner *list = <Owner *> owner
    list.refs -= 1
    if list.refs == 0:
        free(list)
        atomic_add(&(<Context *> ctx).owners, <uint64_t> -1)


cdef int hook_punt(void *ctx, uint32_t forwarder, const Packet *pkt, uint64_t cookie) noexcept nogil:
    cdef Context *context = <Context *> ctx
    cdef Punted *punted
    pthread_mutex_lock(&context.lock)
    if context.n_punts < PUNTS_MAX:
        punted = &context.punts[context.n_punts]
        context.n_punts += 1
        punted.cookie = cookie
        punted.n_bytes = pkt.length
        punted.frame = <uint8_t *> malloc(pkt.length)
        memcpy(punted.frame, pkt.data, pkt.length)
    pthread_mutex_unlock(&context.lock)
    return 0


# ---- what Python sees ----

cdef ActOp *ops_from(list ops) except? NULL:
    cdef ActOp *made = <ActOp *> calloc(len(ops) + 1, sizeof(ActOp))
    if made == NULL:
        raise MemoryError
    for i, (kind, slot, aux, arg, aux32, value, mask) in enumerate(ops):
        made[i].kind = kind
        made[i].slot = slot
        made[i].aux = aux
        made[i].arg = arg
        made[i].aux32 = aux32
        memcpy(made[i].value, <const char *> <bytes> value, 16)
        memcpy(made[i].mask, <const char *> <bytes> mask, 16)
    return made


cdef class TableHook(MissHook):
    """The table-driven miss hook; one bank per in_port modulo 64, empty at first."""

    cdef Context *context
    cdef list all_rules        # addresses of CRules, to free them

    def __cinit__(self):
        cdef Tables *tables = <Tables *> calloc(1, sizeof(Tables))
        cdef Context *context = <Context *> calloc(1, sizeof(Context))
        self.all_rules = []
        self.context = context
        pthread_mutex_init(&context.lock, NULL)
        context.versions = <Tables **> calloc(VERSIONS_MAX, sizeof(Tables *))
        context.version = 1
        context.versions[1] = tables
        for i in range(N_BANKS):
            tables.banks[i] = bank_new(context, 0)
        self.handler = MissHandler(context, hook_translate, hook_credit, hook_release, hook_punt, hook_version,
                                   hook_affected)

    def __dealloc__(self):
        cdef Context *context = self.context
        cdef Bank *bank
        cdef CRule *rule
        for i in range(1, context.version + 1):
            free(context.versions[i])
        free(context.versions)
        while context.all_banks != NULL:
            bank = context.all_banks
            context.all_banks = bank.kept
            free(bank.rules)
            free(bank)
        for address in self.all_rules:
            rule = <CRule *> <size_t> address
            free(rule.ops)
            free(rule)
        self.take_punts()
        free(context)

    cdef CRule *make(self, rule) except NULL:
        cdef CRule *made = <CRule *> calloc(1, sizeof(CRule))
        if made == NULL:
            raise MemoryError
        self.all_rules.append(<size_t> made)
        if len(rule.key) != KEY_BYTES or len(rule.mask) != KEY_BYTES or not 0 <= rule.credit < N_CREDITS:
            raise ValueError(f"a rule needs {KEY_BYTES} bytes of key and mask, and a credit below {N_CREDITS}")
        memcpy(made.key, <const char *> <bytes> rule.key, KEY_BYTES)
        memcpy(made.mask, <const char *> <bytes> rule.mask, KEY_BYTES)
        made.ops = ops_from(rule.ops)
        made.n_ops = len(rule.ops)
        made.credit = rule.credit
        made.cacheable = rule.cacheable
        made.once = rule.once
        made.fails = rule.fails
        return made

    def set_bank(self, uint32_t number, rules: list[Rule]) -> int:
        """Replace the rules of a bank; returns the version that it makes."""
        cdef Context *context = self.context
        cdef bint published
        cdef Bank *bank
        made = []
        for rule in rules:
            made.append(<size_t> self.make(rule))
        pthread_mutex_lock(&context.lock)
        bank = bank_new(context, len(made))
        for i, address in enumerate(made):
            bank.rules[i] = <CRule *> <size_t> address
        published = publish(context, number % N_BANKS, bank)
        pthread_mutex_unlock(&context.lock)
        if not published:
            raise ValueError("too many versions")
        return context.version

    @property
    def version(self) -> int:
        """The published version."""
        return load_acquire(&self.context.version)

    @property
    def translations(self) -> int:
        """How many translations were asked for."""
        return self.context.translations

    @property
    def owners(self) -> int:
        """Credit lists that are alive."""
        return self.context.owners

    def slow_credits(self, int64_t credit_ns) -> None:
        """Let every credit take so long."""
        self.context.credit_ns = credit_ns

    def credits(self, uint32_t number) -> tuple[int, int, int]:
        """Return (packets, bytes, used_ns) of a counter."""
        if number >= N_CREDITS:
            raise ValueError("no such counter")
        return self.context.packets[number], self.context.bytes[number], self.context.used_ns[number]

    def take_punts(self) -> list[tuple[int, bytes]]:
        """Return (cookie, frame) of what was punted since the last call (at most 4096)."""
        cdef Context *context = self.context
        cdef Punted *punted
        taken = []
        pthread_mutex_lock(&context.lock)
        for i in range(context.n_punts):
            punted = &context.punts[i]
            taken.append((punted.cookie, <bytes> (<char *> punted.frame)[:punted.n_bytes]))
            free(punted.frame)
        context.n_punts = 0
        pthread_mutex_unlock(&context.lock)
        return taken


cdef struct Given:
    Context *context
    ActOp *ops
    uint32_t n_ops
    uint32_t credit


cdef int given_translate(void *ctx, uint32_t forwarder, const PacketKey *key, Packet *pkt, uint64_t version,
                         int64_t now_ns,
                         Translation *out) noexcept nogil:
    cdef Given *given = <Given *> ctx
    copy_ops(&out.acts, given.ops, given.n_ops)
    out.owner = owner_new(given.context, given.credit)
    out.version = version
    return 0


cdef class GivenHook(ExecuteHook):
    """Packet-out with a given list of ops, counted in a counter of a TableHook."""

    cdef Given given
    cdef TableHook hook

    def __cinit__(self, TableHook hook not None, ops: list, uint32_t credit=0):
        self.hook = hook
        self.given.context = hook.context
        self.given.ops = ops_from(ops)
        self.given.n_ops = len(ops)
        self.given.credit = credit
        self.ctx = &self.given
        self.translate = given_translate

    def __dealloc__(self):
        free(self.given.ops)
