"""Builders of action programs: an array of ops that translation grows and the forwarder keeps.

Place: between the miss function (writes an ActBuf) and execute (runs a Program). Thread rule: an ActBuf belongs to
one translation, a Program to one forwarder.
"""

from libc.stdlib cimport free, malloc, realloc
from libc.string cimport memcmp, memcpy, memset

from datapath.hash cimport mum

cdef enum:
    FIRST_OPS = 32             # capacity of a fresh buffer: most programs have fewer ops

cdef uint64_t SHARE_FACTOR = 0x9e3779b97f4a7c15        # 2^64 / golden ratio: who aims at collisions only shares less


cdef int actbuf_init(ActBuf *buf) noexcept nogil:
    memset(buf, 0, sizeof(ActBuf))
    buf.ops = <ActOp *>malloc(FIRST_OPS * sizeof(ActOp))
    if buf.ops == NULL:
        buf.overflow = True
        return -1
    buf.capacity = FIRST_OPS
    return 0


cdef void actbuf_free(ActBuf *buf) noexcept nogil:
    free(buf.ops)
    memset(buf, 0, sizeof(ActBuf))


cdef bint grow(ActBuf *buf) noexcept nogil:
    cdef uint32_t capacity = min(<uint32_t>PROGRAM_OPS_MAX, max(<uint32_t>FIRST_OPS, buf.capacity * 2))
    cdef ActOp *ops
    if buf.n >= PROGRAM_OPS_MAX:
        return False
    ops = <ActOp *>realloc(buf.ops, capacity * sizeof(ActOp))
    if ops == NULL:
        return False
    buf.ops = ops
    buf.capacity = capacity
    return True


cdef ActOp *act_add(ActBuf *buf, uint8_t kind) noexcept nogil:
    cdef ActOp *op
    if buf.n >= buf.capacity and not grow(buf):
        buf.overflow = True
        return NULL
    op = &buf.ops[buf.n]
    buf.n += 1
    memset(op, 0, sizeof(ActOp))
    op.kind = kind
    return op


cdef void act_output(ActBuf *buf, uint32_t port_no) noexcept nogil:
    cdef ActOp *op = act_add(buf, ACT_OUTPUT)
    if op != NULL:
        op.arg = port_no


cdef void act_set(
    ActBuf *buf, uint8_t slot, const uint8_t *value, const uint8_t *mask, uint32_t n_bytes,
) noexcept nogil:
    cdef ActOp *op = act_add(buf, ACT_SET)
    cdef uint32_t i
    if op == NULL:
        return
    op.slot = slot
    # Bits outside the mask are cleared, so that equal programs are equal bytes.
    for i in range(min(n_bytes, <uint32_t>sizeof(op.value))):
        op.value[i] = value[i] & mask[i]
        op.mask[i] = mask[i]


cdef void act_push_vlan(ActBuf *buf, uint16_t tpid, uint16_t tci) noexcept nogil:
    cdef ActOp *op = act_add(buf, ACT_PUSH_VLAN)
    if op != NULL:
        op.arg = <uint32_t>tpid << 16 | tci


cdef void act_pop_vlan(ActBuf *buf) noexcept nogil:
    act_add(buf, ACT_POP_VLAN)


cdef void act_punt(ActBuf *buf, uint64_t cookie) noexcept nogil:
    cdef ActOp *op = act_add(buf, ACT_PUNT)
    if op != NULL:
        memcpy(op.value, &cookie, sizeof(cookie))


cdef uint64_t act_punt_cookie(const ActOp *op) noexcept nogil:
    cdef uint64_t cookie
    memcpy(&cookie, op.value, sizeof(cookie))
    return cookie


cdef void act_drop(ActBuf *buf, uint32_t reason, uint16_t table) noexcept nogil:
    cdef ActOp *op = act_add(buf, ACT_DROP)
    if op != NULL:
        op.arg = reason
        op.aux = table


cdef Program *program_make(const ActBuf *buf) noexcept nogil:
    cdef uint32_t n_runs = find_runs(buf, NULL)
    cdef size_t n_bytes = sizeof(Program) + buf.n * sizeof(ActOp) + n_runs * sizeof(SetRun)
    cdef Program *program = <Program *>malloc(n_bytes)
    if program == NULL:
        return NULL
    program.refs = 1
    program.n_ops = buf.n
    memcpy(program.ops, buf.ops, buf.n * sizeof(ActOp))
    program.runs = <SetRun *>&program.ops[buf.n]
    program.n_runs = find_runs(buf, program.runs)
    program.batch = 0
    program.home = NULL
    return program


cdef Program *program_share(Programs *programs, const ActBuf *buf) noexcept nogil:
    cdef const uint64_t *words = <const uint64_t *>buf.ops
    cdef uint64_t h = buf.n
    cdef uint32_t i
    cdef Program **home
    cdef Program *program
    for i in range(buf.n * sizeof(ActOp) // sizeof(uint64_t)):
        h = mum(h ^ words[i], SHARE_FACTOR)
    home = &programs.homes[(h ^ (h >> 32)) & (PROGRAM_HOMES - 1)]
    if home[0] != NULL and program_equal(home[0], buf):
        home[0].refs += 1
        return home[0]
    program = program_make(buf)
    if program != NULL:
        program.home = home
        home[0] = program
    return program


cdef uint32_t find_runs(const ActBuf *buf, SetRun *runs) noexcept nogil:
    """Fill the runs of adjacent ACT_SETs (not if NULL); how many there are."""
    cdef uint32_t i, n = 0
    for i in range(buf.n):
        if buf.ops[i].kind != ACT_SET:
            continue
        if i == 0 or buf.ops[i - 1].kind != ACT_SET:
            n += 1
            if runs != NULL:
                memset(&runs[n - 1], 0, sizeof(SetRun))
        if runs != NULL:
            runs[n - 1].n_ops += 1
    return n


cdef void program_unref(Program *program) noexcept nogil:
    cdef uint32_t i
    program.refs -= 1
    if program.refs != 0:
        return
    for i in range(program.n_runs):
        free_plans(program.runs[i].plans)
    if program.home != NULL and program.home[0] == program:
        program.home[0] = NULL
    free(program)


cdef void free_plans(EditPlan *plan) noexcept nogil:
    cdef EditPlan *following
    while plan != NULL:
        following = plan.next
        free(plan)
        plan = following


cdef bint program_equal(const Program *a, const ActBuf *b) noexcept nogil:
    return a.n_ops == b.n and memcmp(a.ops, b.ops, b.n * sizeof(ActOp)) == 0


# -- for tests ---------------------------------------------------------------------------------------------------------

cdef void add_from_tuple(ActBuf *buf, tuple op):
    cdef uint32_t arg, aux32
    cdef uint64_t cookie
    kind, *args = op
    if kind == ACT_SET:
        slot, value, mask = args
        act_set(buf, slot, value, mask, <uint32_t>len(value))
    elif kind == ACT_PUSH_VLAN:
        act_push_vlan(buf, args[0], args[1])
    elif kind == ACT_PUNT:
        act_punt(buf, args[0])
    elif kind == ACT_DROP:
        act_drop(buf, args[0], args[1])
    elif kind == ACT_OUTPUT:
        act_output(buf, args[0])
    else:
        act_add(buf, kind)


cdef list op_tuples(const ActOp *ops, uint32_t n):
    return [
        (ops[i].kind, ops[i].slot, ops[i].aux, ops[i].arg, ops[i].aux32, ops[i].value[:16], ops[i].mask[:16])
        for i in range(n)
    ]


def build_program(list ops) -> tuple:
    """Build a program with the act_* functions; for tests.

    ops: (kind, arguments of its builder...) each. Returns (op tuples kind, slot, aux, arg, aux32, value, mask;
    whether the buffer overflowed; whether the finished program equals the buffer; punt cookies in order;
    whether it still does after one more op). Raises MemoryError.
    """
    cdef ActBuf buf
    cdef Program *program
    if actbuf_init(&buf) != 0:
        raise MemoryError
    try:
        for op in ops:
            add_from_tuple(&buf, op)
        program = program_make(&buf)
        if program == NULL:
            raise MemoryError
        finished = op_tuples(program.ops, program.n_ops)
        cookies = [act_punt_cookie(&program.ops[i]) for i in range(program.n_ops) if program.ops[i].kind == ACT_PUNT]
        result = (finished, bool(buf.overflow), bool(program_equal(program, &buf)), cookies)
        act_pop_vlan(&buf)
        equal_after = bool(program_equal(program, &buf))
        program_unref(program)
        return (*result, equal_after)
    finally:
        actbuf_free(&buf)
