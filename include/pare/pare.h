/* Everything at once. */
#ifndef PARE_PARE_H
#define PARE_PARE_H

#include "pare/base.h"
#include "pare/compress.h"
#include "pare/data.h"
#include "pare/eval.h"
#include "pare/model.h"
#include "pare/plan.h"
#include "pare/tensor.h"
#include "pare/train.h"

#endif
