/* Activations that kernels apply in registers on the way out. NaN stays NaN in all of them. */
#ifndef KERNELS_ACT_H
#define KERNELS_ACT_H

typedef enum pare_act {
    PARE_ACT_NONE,
    PARE_ACT_RELU,  /* x < 0 ? 0 : x */
    PARE_ACT_CLIP,  /* x < lo ? lo : x > hi ? hi : x */
    PARE_ACT_LEAKY, /* x < 0 ? alpha * x : x */
} pare_act;

static inline float pare_act_apply(pare_act act, float x, float lo, float hi, float alpha)
{
    switch (act) {
    case PARE_ACT_RELU: return x < 0 ? 0 : x;
    case PARE_ACT_CLIP: return x < lo ? lo : x > hi ? hi : x;
    case PARE_ACT_LEAKY: return x < 0 ? alpha * x : x;
    default: return x;
    }
}

#endif
