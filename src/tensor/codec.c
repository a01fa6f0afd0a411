#include "tensor/codec.h"

int pare_weight_parts(const pare_weight *w)
{
    if (!w->codec) return 1;
    int n = 0;
    while (w->codec->parts[n]) n++;
    return n;
}

pare_weight pare_weight_ref(const pare_weight *w)
{
    pare_weight r = *w;
    for (int i = 0; i < pare_weight_parts(w); i++) r.part[i] = pare_tensor_ref(&w->part[i]);
    return r;
}

void pare_weight_free(pare_weight *w)
{
    if (!w) return;
    for (int i = 0; i < PARE_MAX_PARTS; i++) pare_tensor_free(&w->part[i]);
    *w = (pare_weight){ 0 };
}

pare_weight pare_weight_dense(pare_tensor t)
{
    return (pare_weight){ .type = pare_tensor_type(&t), .part = { t } };
}

pare_status pare_weight_decode(const pare_weight *w, pare_tensor *out)
{
    if (!w->codec) {
        *out = pare_tensor_ref(&w->part[0]);
        return PARE_OK;
    }
    pare_tensor t;
    PARE_TRY(pare_tensor_of(&w->type, &t));
    pare_status st = w->codec->decode(w, t.data);
    if (st != PARE_OK) {
        pare_tensor_free(&t);
        return pare_note(st, "codec %s", w->codec->name);
    }
    *out = t;
    return PARE_OK;
}

pare_status pare_weight_load(pare_weight *w)
{
    for (int i = 0; i < pare_weight_parts(w); i++) {
        pare_tensor t;
        PARE_TRY(pare_tensor_load(&w->part[i], &t));
        pare_tensor_free(&w->part[i]);
        w->part[i] = t;
    }
    return PARE_OK;
}

void pare_weight_stat(const pare_weight *w, pare_weight_stats *s)
{
    *s = (pare_weight_stats){ .density = 1 };
    for (int i = 0; i < pare_weight_parts(w); i++)
        s->stored_bytes += (int64_t)pare_tensor_bytes(&w->part[i]);
    if (w->codec) {
        w->codec->stats(w, s);
        return;
    }
    s->params = pare_tensor_count(&w->part[0]);
    for (int64_t i = 0; i < s->params; i++) s->nonzeros += pare_tensor_get_f64(&w->part[0], i) != 0;
}
