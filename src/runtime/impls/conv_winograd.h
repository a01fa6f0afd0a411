/* What a convolution by Winograd's minimal filtering costs, and where its rounding allows it: for
 * conv_winograd, and for others that contain one. */
#ifndef IMPLS_CONV_WINOGRAD_H
#define IMPLS_CONV_WINOGRAD_H

#include "ops/conv_attrs.h"

/* F(m x m, 3 x 3) */
typedef struct pare_winograd_form {
    int m;
    double lambda;              /* of the rounding of varied inputs */
    double input_ns, output_ns; /* to transform one tile of one block */
} pare_winograd_form;

enum { PARE_WINOGRAD_FORMS = 2 };
extern const pare_winograd_form pare_winograd_forms[PARE_WINOGRAD_FORMS];

/* A 3x3 kernel of stride 1, and rounding below what is offered, for so many input channels? */
bool pare_winograd_fits(const pare_winograd_form *f, const pare_window *w, int64_t channels);

#endif
