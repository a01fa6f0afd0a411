/* Carries out AMX instructions where the processor cannot: it catches the illegal instruction,
 * decodes it and goes on behind it. Linked to the tests; as a library of its own it serves any
 * program:
 *
 *   LD_PRELOAD=libamx_emulator.so PARE_CPU=amx pare run ...
 *
 * Checks what the processor would: unconfigured tiles, and shapes that do not fit each other, end
 * the program. After Intel's "Architecture Instruction Set Extensions Programming Reference". */
#if defined(__x86_64__)
#define _GNU_SOURCE /* names of registers */
#include <math.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <ucontext.h>

typedef struct tile {
    unsigned rows, bytes;
    char at[16][64];
} tile;
static _Thread_local tile tiles[8];

/* --- what the instructions do --- */
static bool configure(const uint8_t *from)
{
    if (from[0] != 1) return false;
    for (int i = 2; i < 16; i++)
        if (from[i]) return false;
    memset(tiles, 0, sizeof tiles);
    for (int t = 0; t < 16; t++) {
        unsigned bytes = from[16 + 2 * t] + 256u * from[17 + 2 * t], rows = from[48 + t];
        if (bytes > 64 || rows > 16 || !bytes != !rows || (t >= 8 && rows)) return false;
        if (t < 8) tiles[t].rows = rows, tiles[t].bytes = bytes;
    }
    return true;
}

static bool load(tile *t, const char *from, uint64_t stride)
{
    memset(t->at, 0, sizeof t->at);
    for (unsigned r = 0; r < t->rows; r++) memcpy(t->at[r], from + r * stride, t->bytes);
    return t->rows > 0;
}
static bool store(const tile *t, char *to, uint64_t stride)
{
    for (unsigned r = 0; r < t->rows; r++) memcpy(to + r * stride, t->at[r], t->bytes);
    return t->rows > 0;
}

static bool fit(const tile *c, const tile *a, const tile *b)
{
    return c != a && c != b && a != b && c->rows > 0 && c->rows == a->rows &&
           a->bytes == 4 * b->rows && c->bytes == b->bytes;
}

static bool dot_bytes(tile *c, const tile *a, const tile *b)
{
    for (unsigned m = 0; m < c->rows; m++)
        for (unsigned n = 0; n < c->bytes; n += 4) {
            uint32_t sum;
            memcpy(&sum, &c->at[m][n], 4);
            for (unsigned k = 0; k < a->bytes; k++)
                sum += (uint32_t)((uint8_t)a->at[m][k] * (int8_t)b->at[k / 4][n + k % 4]);
            memcpy(&c->at[m][n], &sum, 4);
        }
    return fit(c, a, b);
}

/* Numbers below the normal ones count as zero, before and after. */
static float flush(float v) { return fabsf(v) < 0x1p-126f ? copysignf(0, v) : v; }
static float bf16(const char *p)
{
    uint16_t half;
    memcpy(&half, p, 2);
    uint32_t bits = (uint32_t)half << 16;
    float v;
    memcpy(&v, &bits, 4);
    return flush(v);
}
/* Even and odd inputs are summed apart, from zero; then their sum is added. */
static bool dot_bf16(tile *c, const tile *a, const tile *b)
{
    for (unsigned m = 0; m < c->rows; m++)
        for (unsigned n = 0; n < c->bytes; n += 4) {
            float sum[2] = { 0, 0 }, all;
            for (unsigned k = 0; k < a->bytes / 2; k++)
                sum[k % 2] = flush(
                    fmaf(bf16(&a->at[m][2 * k]), bf16(&b->at[k / 2][n + 2 * (k % 2)]), sum[k % 2]));
            memcpy(&all, &c->at[m][n], 4);
            all = flush(flush(all) + flush(sum[0] + sum[1]));
            memcpy(&c->at[m][n], &all, 4);
        }
    return fit(c, a, b);
}

/* --- decoding --- */
static uint64_t of_register(const ucontext_t *u, unsigned number)
{
    static const int at[16] = { REG_RAX, REG_RCX, REG_RDX, REG_RBX, REG_RSP, REG_RBP,
                                REG_RSI, REG_RDI, REG_R8,  REG_R9,  REG_R10, REG_R11,
                                REG_R12, REG_R13, REG_R14, REG_R15 };
    return (uint64_t)u->uc_mcontext.gregs[at[number]];
}

/* The address in a ModRM byte at `at` and what follows it; its length goes to *size, the index
 * register, which is a stride, to *stride. */
static char *address(const ucontext_t *u, const uint8_t *at, unsigned x, unsigned b, size_t *size,
                     uint64_t *stride)
{
    unsigned mod = *at >> 6, rm = *at & 7;
    uint64_t where = 0;
    *size = 1;
    *stride = 0;
    bool based = true;
    if (rm == 4) {
        unsigned sib = at[1], index = (sib >> 3 & 7) | 8 * x;
        *size = 2;
        rm = sib & 7;
        if (index != 4) *stride = of_register(u, index) << (sib >> 6);
        based = mod != 0 || rm != 5;
    } else if (mod == 0 && rm == 5) { /* from the next instruction on */
        int32_t d;
        memcpy(&d, at + 1, 4);
        *size = 5;
        return (char *)(uintptr_t)((uint64_t)(uintptr_t)at + 5 + (uint64_t)(int64_t)d);
    }
    if (based) where = of_register(u, rm | 8 * b);
    if (mod == 1) {
        where += (uint64_t)(int64_t)(int8_t)at[*size];
        *size += 1;
    } else if (mod == 2 || !based) {
        int32_t d;
        memcpy(&d, at + *size, 4);
        where += (uint64_t)(int64_t)d;
        *size += 4;
    }
    return (char *)(uintptr_t)where;
}

/* False: not one of these, or one that the processor would refuse. */
static bool execute(ucontext_t *u)
{
    const uint8_t *at = (const uint8_t *)(uintptr_t)u->uc_mcontext.gregs[REG_RIP];
    if (at[0] != 0xc4 || (at[1] & 0x1f) != 2 || (at[2] & 0x84) != 0) return false;
    unsigned x = !(at[1] & 0x40), b = !(at[1] & 0x20), third = ~at[2] >> 3 & 15, prefix = at[2] & 3,
             op = at[3], reg = at[4] >> 3 & 7, rm = at[4] & 7;
    bool in_memory = at[4] >> 6 != 3, ok = false;
    size_t size = 1;
    uint64_t stride = 0;
    char *p = in_memory ? address(u, at + 4, x, b, &size, &stride) : NULL;
    if (op == 0x49 && in_memory && prefix == 0) {
        ok = configure((const uint8_t *)p);
    } else if (op == 0x49 && !in_memory && prefix == 0) {
        memset(tiles, 0, sizeof tiles);
        ok = true;
    } else if (op == 0x49 && !in_memory && prefix == 3) {
        memset(tiles[reg].at, 0, sizeof tiles[reg].at);
        ok = tiles[reg].rows > 0;
    } else if (op == 0x4b && in_memory && prefix == 3) {
        ok = load(&tiles[reg], p, stride);
    } else if (op == 0x4b && in_memory && prefix == 2) {
        ok = store(&tiles[reg], p, stride);
    } else if (op == 0x5e && !in_memory && prefix == 1 && third < 8) {
        ok = dot_bytes(&tiles[reg], &tiles[rm], &tiles[third]);
    } else if (op == 0x5c && !in_memory && prefix == 2 && third < 8) {
        ok = dot_bf16(&tiles[reg], &tiles[rm], &tiles[third]);
    }
    if (ok) u->uc_mcontext.gregs[REG_RIP] += (greg_t)(4 + size);
    return ok;
}

static void on_illegal(int signal_number, siginfo_t *info, void *context)
{
    (void)info;
    if (execute(context)) return;
    struct sigaction a = { .sa_handler = SIG_DFL }; /* and it strikes again */
    sigaction(signal_number, &a, NULL);
}

/* cmocka, which means to catch this signal for every test, calls this one. */
__attribute__((visibility("default"))) void (*signal(int number, void (*handler)(int)))(int)
{
    struct sigaction a = { .sa_handler = handler, .sa_flags = SA_RESTART }, before;
    if (number == SIGILL) return SIG_DFL;
    return sigaction(number, &a, &before) == 0 ? before.sa_handler : SIG_ERR;
}

static __attribute__((constructor)) void install(void)
{
    struct sigaction a = { .sa_sigaction = on_illegal, .sa_flags = SA_SIGINFO | SA_NODEFER };
    sigaction(SIGILL, &a, NULL);
}
#else
typedef int nothing_to_emulate;
#endif
