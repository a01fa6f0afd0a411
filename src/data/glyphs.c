/* Digits as pen strokes, drawn from distances: a pixel's ink is how far it lies inside the pen's
 * width.
 *
 * Position, size, rotation, shear, a smooth bend, pen width, ink and paper colour (dark on light or
 * light on dark), a gradient, stray strokes and noise vary. Together they leave little to a
 * classifier that is linear in the pixels (tests/unit/test_data_glyphs.c measures it), while shape
 * alone still tells every class. Not a font. */
#include "data/glyphs.h"

#include "base/rng.h"

#include <math.h>

enum { SIDE = PARE_GLYPH_SIDE, MOST_POINTS = 16 };

/* A part of a figure in a unit box, y downwards: an arc of an ellipse from angle a to b (degrees, 0
 * to the right, 90 down), or with rx = 0 the line from (cx, cy) to (a, b). */
typedef struct part {
    float cx, cy, rx, ry, a, b;
} part;

#define LINE(x0, y0, x1, y1) \
    {                        \
        x0, y0, 0, 0, x1, y1 \
    }
#define ARC(cx, cy, rx, ry, a, b) \
    {                             \
        cx, cy, rx, ry, a, b      \
    }

static const part figures[PARE_GLYPH_CLASSES][4] = {
    { ARC(.5f, .5f, .29f, .45f, 0, 360) },
    { LINE(.3f, .26f, .53f, .05f), LINE(.53f, .05f, .53f, .95f) },
    { ARC(.5f, .31f, .27f, .26f, -170, 40), LINE(.71f, .48f, .24f, .95f),
      LINE(.24f, .95f, .79f, .95f) },
    { ARC(.48f, .28f, .26f, .23f, -150, 90), ARC(.48f, .73f, .29f, .22f, -90, 150) },
    { LINE(.6f, .05f, .2f, .66f), LINE(.2f, .66f, .83f, .66f), LINE(.6f, .05f, .6f, .95f) },
    { LINE(.75f, .05f, .31f, .05f), LINE(.31f, .05f, .28f, .46f),
      ARC(.48f, .67f, .28f, .28f, -135, 150) },
    { ARC(.5f, .68f, .27f, .27f, 0, 360), ARC(.76f, .68f, .53f, .63f, 180, 262) },
    { LINE(.22f, .06f, .79f, .06f), LINE(.79f, .06f, .4f, .95f) },
    { ARC(.5f, .27f, .23f, .22f, 0, 360), ARC(.5f, .73f, .28f, .23f, 0, 360) },
    { ARC(.5f, .32f, .27f, .27f, 0, 360), ARC(.24f, .32f, .53f, .63f, 0, 82) },
};

static float between(pare_rng *r, float lo, float hi)
{
    return lo + (hi - lo) * (float)pare_rng_uniform(r);
}

static float sign(pare_rng *r) { return pare_rng_below(r, 2) ? 1.f : -1.f; }

/* The points of a part; how many there are. */
static int trace(const part *p, float (*at)[2])
{
    if (p->rx == 0) {
        enum { STEPS = 4 }; /* a line needs points inside, too, to bend */
        for (int i = 0; i <= STEPS; i++) {
            float t = (float)i / STEPS;
            at[i][0] = p->cx + (p->a - p->cx) * t;
            at[i][1] = p->cy + (p->b - p->cy) * t;
        }
        return STEPS + 1;
    }
    int steps = (int)((p->b - p->a) / 30) + 3;
    for (int i = 0; i <= steps; i++) {
        float t = (p->a + (p->b - p->a) * (float)i / (float)steps) * 0.017453293f;
        at[i][0] = p->cx + p->rx * cosf(t);
        at[i][1] = p->cy + p->ry * sinf(t);
    }
    return steps + 1;
}

/* Lays ink along a straight stroke of half width `half`: ink[y][x] becomes the largest so far. */
static void stroke(float (*ink)[SIDE], const float *p, const float *q, float half)
{
    float ux = q[0] - p[0], uy = q[1] - p[1], len2 = ux * ux + uy * uy, reach = half + 1;
    int x0 = (int)floorf(fminf(p[0], q[0]) - reach), x1 = (int)ceilf(fmaxf(p[0], q[0]) + reach);
    int y0 = (int)floorf(fminf(p[1], q[1]) - reach), y1 = (int)ceilf(fmaxf(p[1], q[1]) + reach);
    if (x0 < 0) x0 = 0;
    if (y0 < 0) y0 = 0;
    for (int y = y0; y <= y1 && y < SIDE; y++)
        for (int x = x0; x <= x1 && x < SIDE; x++) {
            float vx = (float)x + 0.5f - p[0], vy = (float)y + 0.5f - p[1];
            float t = len2 > 0 ? (vx * ux + vy * uy) / len2 : 0;
            t = t < 0 ? 0 : t > 1 ? 1 : t;
            float dx = vx - t * ux, dy = vy - t * uy, in = half + 0.5f - sqrtf(dx * dx + dy * dy);
            if (in > ink[y][x]) ink[y][x] = in < 1 ? in : 1;
        }
}

static void blend(float (*rgb)[SIDE][SIDE], float (*ink)[SIDE], const float *colour)
{
    for (int c = 0; c < 3; c++)
        for (int y = 0; y < SIDE; y++)
            for (int x = 0; x < SIDE; x++) rgb[c][y][x] += ink[y][x] * (colour[c] - rgb[c][y][x]);
}

static void figure(pare_rng *r, int class, float (*ink)[SIDE])
{
    float angle = between(r, -0.42f, 0.42f), shear = between(r, -0.3f, 0.3f);
    float height = between(r, 17, 26), width = height * between(r, 0.72f, 1.1f),
          half = between(r, 0.75f, 1.7f);
    float room = (SIDE - height) / 2, x0 = SIDE / 2.f + between(r, -room, room),
          y0 = SIDE / 2.f + between(r, -room, room);
    float bend = between(r, -0.06f, 0.06f), phase = between(r, 0, 6.2831853f), co = cosf(angle),
          si = sinf(angle);
    for (const part *p = figures[class]; p < figures[class] + 4 && (p->rx != 0 || p->cx != 0);
         p++) {
        float at[MOST_POINTS][2];
        int n = trace(p, at);
        for (int i = 0; i < n; i++) {
            float u = at[i][0] - 0.5f, v = at[i][1] - 0.5f;
            u += bend * sinf(5 * v + phase) - shear * v;
            v += bend * cosf(5 * u + phase);
            u *= width, v *= height;
            at[i][0] = x0 + co * u - si * v;
            at[i][1] = y0 + si * u + co * v;
            if (i) stroke(ink, at[i - 1], at[i], half);
        }
    }
}

/* A colour of given brightness. */
static void tint(pare_rng *r, float brightness, float spread, float *rgb)
{
    for (int c = 0; c < 3; c++) rgb[c] = brightness + between(r, -spread, spread);
}

void pare_glyph_draw(uint64_t seed, uint64_t set, int64_t index, uint8_t *planes)
{
    pare_rng rng = pare_rng_stream(pare_mix64(seed) + set, (uint64_t)index), *r = &rng;
    float rgb[3][SIDE][SIDE], paper[3], slope[3][2], pen[3];

    /* Paper: any brightness, slanting from side to side. Ink: clearly darker or clearly lighter. */
    float bright = between(r, 45, 210), contrast = between(r, 65, 130) * sign(r);
    if (bright + contrast < 0 || bright + contrast > 255) contrast = -contrast;
    tint(r, bright, 28, paper);
    tint(r, bright + contrast, 28, pen);
    float lean[2] = { between(r, -1.1f, 1.1f), between(r, -1.1f, 1.1f) };
    for (int c = 0; c < 3; c++)
        for (int k = 0; k < 2; k++) slope[c][k] = lean[k] + between(r, -0.4f, 0.4f);
    for (int c = 0; c < 3; c++)
        for (int y = 0; y < SIDE; y++)
            for (int x = 0; x < SIDE; x++)
                rgb[c][y][x] = paper[c] + slope[c][0] * ((float)x - SIDE / 2.f) +
                               slope[c][1] * ((float)y - SIDE / 2.f);

    /* Stray strokes under the figure: short, thin, of any colour. */
    int strays = 1 + (int)pare_rng_below(r, 4);
    for (int i = 0; i < strays; i++) {
        float ink[SIDE][SIDE] = { { 0 } }, colour[3];
        float p[2] = { between(r, 0, SIDE), between(r, 0, SIDE) }, way = between(r, 0, 6.2831853f),
              len = between(r, 3, 11);
        float q[2] = { p[0] + len * cosf(way), p[1] + len * sinf(way) };
        tint(r, bright + between(r, 25, 90) * sign(r), 30, colour);
        stroke(ink, p, q, between(r, 0.4f, 1.1f));
        blend(rgb, ink, colour);
    }

    float ink[SIDE][SIDE] = { { 0 } };
    figure(r, (int)((uint64_t)index % PARE_GLYPH_CLASSES), ink);
    blend(rgb, ink, pen);

    /* Noise: sums of four bytes are normal enough, with a standard deviation of 147.8. */
    float noise = between(r, 3, 16) / 147.8f;
    const float *in = &rgb[0][0][0];
    for (int i = 0; i < PARE_GLYPH_BYTES; i += 2) {
        uint64_t bits = pare_rng_u64(r);
        for (int k = 0; k < 2; k++, bits >>= 32) {
            int sum =
                (int)((bits & 255) + (bits >> 8 & 255) + (bits >> 16 & 255) + (bits >> 24 & 255)) -
                510;
            float v = in[i + k] + noise * (float)sum + 0.5f;
            planes[i + k] = (uint8_t)(v < 0 ? 0 : v > 255 ? 255 : v);
        }
    }
}
