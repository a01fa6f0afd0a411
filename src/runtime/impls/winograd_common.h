/* What the Winograd implementations share: tiles, and how the work is cut into items (part of the
 * output channels, image, band of tiles). */
#ifndef IMPLS_WINOGRAD_COMMON_H
#define IMPLS_WINOGRAD_COMMON_H

#include "ops/conv_attrs.h"
#include "runtime/impl.h"
#include "runtime/impls/cut.h"
#include "runtime/impls/scratch.h"

enum {
    PARE_WINOGRAD_LINE = 64, /* bytes between positions, so that they do not fall into one
                                cache set */
};

typedef struct pare_winograd_shape {
    int m; /* of tiles of m x m outputs */
    int64_t images, channels, rows, in_y, in_x, out_y, out_x, top, left;
    int64_t tiles_y, tiles_x, tiles; /* of an image */
    int64_t blocks_in, blocks_out, positions;
    int64_t groups;                /* of blocks of output channels: those of a product */
    int64_t band, bands;           /* tiles of a band; bands of an image */
    int64_t chunks, chunk;         /* parts of the output channels; groups of each */
    size_t v_position, r_position; /* numbers from position to position of inputs and products */
} pare_winograd_shape;

/* Cuts by size alone. A band has many tiles, up to `most`, for each of which a loaded weight is
 * used; fewer where there would be too few items for several threads. */
static inline void pare_winograd_cut(pare_winograd_shape *s, int64_t most)
{
    int64_t whole = pare_up(s->tiles, most), wanted = pare_up(8, whole * s->images);
    s->bands = whole;
    s->chunks = s->groups < wanted ? s->groups : wanted;
    static const struct {
        int64_t items, tiles;
    } wish[] = { { 2, 8 }, { 4, 24 }, { 8, 40 } };
    for (size_t i = 0; i < sizeof wish / sizeof *wish; i++) {
        int64_t bands = pare_up(wish[i].items, s->chunks * s->images);
        if (bands > s->bands && s->tiles / bands >= wish[i].tiles) s->bands = bands;
    }
    s->band = pare_up(s->tiles, s->bands);
    s->bands = pare_up(s->tiles, s->band);
    s->chunk = pare_up(s->groups, s->chunks);
    s->chunks = pare_up(s->groups, s->chunk);
}

/* False: the convolution of a weight in slot `w` is none for F(m x m, 3 x 3). */
static inline bool pare_winograd_shape_of(const pare_prepare *p, uint32_t w, int m, int64_t most,
                                          pare_winograd_shape *s)
{
    if (p->in[0].rank != 4 || p->in[0].dim[1] != p->in[w].dim[1]) return false; /* grouped */
    pare_window g;
    pare_conv_window(p->node, &p->in[0], &p->in[w], &g);
    for (int d = 0; d < 2; d++)
        if (g.kernel[d] != 3 || g.stride[d] != 1 || g.dilation[d] != 1) return false;
    int64_t vl = (int64_t)p->kernels->vl;
    *s = (pare_winograd_shape){ .m = m,
                                .images = p->in[0].dim[0],
                                .channels = p->in[0].dim[1],
                                .rows = p->out[0].dim[1],
                                .in_y = g.in[0],
                                .in_x = g.in[1],
                                .out_y = g.out[0],
                                .out_x = g.out[1],
                                .top = g.begin[0],
                                .left = g.begin[1],
                                .positions = (m + 2) * (m + 2) };
    s->tiles_y = pare_up(s->out_y, m);
    s->tiles_x = pare_up(s->out_x, m);
    s->tiles = s->tiles_y * s->tiles_x;
    s->blocks_in = pare_up(s->channels, vl);
    s->blocks_out = pare_up(s->rows, vl);
    s->groups = pare_up(s->blocks_out, (int64_t)p->kernels->winograd_blocks);
    pare_winograd_cut(s, most);
    return true;
}

/* Where positions lie in scratch: inputs of `lanes` numbers a tile of `v` bytes each, products of
 * 4 bytes. Returns the bytes of scratch, 0 if they are too many. */
static inline size_t pare_winograd_scratch(const pare_prepare *p, pare_winograd_shape *s,
                                           int64_t lanes, size_t v)
{
    int64_t fill = (int64_t)p->kernels->winograd_blocks, vl = (int64_t)p->kernels->vl;
    if (s->blocks_out < fill) fill = s->blocks_out;
    s->v_position = (size_t)(lanes * s->band) + PARE_WINOGRAD_LINE / v;
    s->r_position = (size_t)(fill * s->band * vl) + PARE_WINOGRAD_LINE / 4;
    size_t bytes;
    if (!pare_mul_size(s->v_position * v + s->r_position * 4, (size_t)s->positions, &bytes))
        return 0;
    return bytes + PARE_SCRATCH_HEADER;
}

static inline size_t pare_winograd_items(const pare_winograd_shape *s)
{
    return (size_t)(s->images * s->bands * s->chunks);
}

static inline double pare_winograd_macs(const pare_winograd_shape *s)
{
    return (double)(s->images * s->positions * s->tiles) * (double)s->channels * (double)s->rows;
}

/* An item: which tiles of which image against which groups. Those of the same tiles follow each
 * other: a thread transforms them once. */
typedef struct pare_winograd_part {
    int64_t place, image, first, tiles; /* place: number of the band in all images */
    int64_t group, end;
} pare_winograd_part;

static inline pare_winograd_part pare_winograd_item(const pare_winograd_shape *s, size_t index)
{
    int64_t place = (int64_t)index / s->chunks, chunk = (int64_t)index % s->chunks;
    pare_winograd_part i = { .place = place,
                             .image = place / s->bands,
                             .first = place % s->bands * s->band,
                             .group = chunk * s->chunk,
                             .end = (chunk + 1) * s->chunk };
    i.tiles = s->tiles - i.first < s->band ? s->tiles - i.first : s->band;
    if (i.end > s->groups) i.end = s->groups;
    return i;
}

#endif
