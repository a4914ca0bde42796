/* SPDX-License-Identifier: Apache-2.0 */
/* What the image program can do; an operation is one line here. */
#include "guest/operations/image_job.h"

const struct operation operations[] = {
    {"info", instar_ImageJob_info_tag, operation_info},
    {"map", instar_ImageJob_map_tag, operation_map},
    {0},
};
