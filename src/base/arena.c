/* A list of chunks, each filled from the front; chunks grow so that their number stays small. */
#include "base/arena.h"

#include <stdatomic.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

typedef struct chunk {
    struct chunk *next;
    size_t size, used;
    _Alignas(16) unsigned char data[];
} chunk;

struct pare_arena {
    atomic_int shares;
    pare_arena *base; /* kept alive: memory of this arena may point into it */
    chunk *head;
    size_t budget, used;
    int over;
};

enum { FIRST_CHUNK = 4096, MAX_CHUNK = 1 << 20 };

pare_arena *pare_arena_new(size_t budget)
{
    pare_arena *a = calloc(1, sizeof *a);
    if (a) {
        a->budget = budget;
        atomic_init(&a->shares, 1);
    }
    return a;
}

pare_arena *pare_arena_share(pare_arena *a)
{
    atomic_fetch_add(&a->shares, 1);
    return a;
}

void pare_arena_rest_on(pare_arena *a, pare_arena *base) { a->base = base; }

void pare_arena_free(pare_arena *a)
{
    if (!a || atomic_fetch_sub(&a->shares, 1) > 1) return;
    pare_arena_free(a->base);
    for (chunk *c = a->head, *next; c; c = next) {
        next = c->next;
        free(c);
    }
    free(a);
}

void *pare_arena_alloc(pare_arena *a, size_t size)
{
    if (size > SIZE_MAX - 64) return NULL;
    size = (size + 15) & ~(size_t)15;
    if (size == 0) size = 16;
    if (a->budget && size > a->budget - a->used) {
        a->over = 1;
        return NULL;
    }
    chunk *c = a->head;
    if (!c || c->size - c->used < size) {
        size_t want = c ? c->size * 2 : FIRST_CHUNK;
        if (want > MAX_CHUNK) want = MAX_CHUNK;
        if (want < size) want = size;
        c = malloc(sizeof *c + want);
        if (!c) return NULL;
        c->size = want;
        c->used = 0;
        c->next = a->head;
        a->head = c;
    }
    void *p = c->data + c->used;
    c->used += size;
    a->used += size;
    memset(p, 0, size);
    return p;
}

void *pare_arena_array(pare_arena *a, size_t count, size_t size)
{
    if (size && count > SIZE_MAX / size) return NULL;
    return pare_arena_alloc(a, count * size);
}

char *pare_arena_strn(pare_arena *a, const char *s, size_t n)
{
    if (n == SIZE_MAX) return NULL;
    char *p = pare_arena_alloc(a, n + 1);
    if (p) memcpy(p, s, n);
    return p;
}

char *pare_arena_str(pare_arena *a, const char *s) { return pare_arena_strn(a, s, strlen(s)); }

void *pare_arena_copy(pare_arena *a, const void *p, size_t size)
{
    void *q = pare_arena_alloc(a, size);
    if (q && size) memcpy(q, p, size);
    return q;
}

int pare_arena_over_budget(const pare_arena *a) { return a->over; }
size_t pare_arena_used(const pare_arena *a) { return a->used; }
