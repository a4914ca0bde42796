/* SPDX-License-Identifier: Apache-2.0 */
/* What the image program can do; an operation is one line here. */
#include "guest/operations/job/image_job.h"

const struct operation operations[] = {
    {"check", instar_ImageJob_check_tag, operation_check},
    {"info", instar_ImageJob_info_tag, operation_info},
    {"map", instar_ImageJob_map_tag, operation_map},
    {"measure", instar_ImageJob_measure_tag, operation_measure},
    {"compare", instar_ImageJob_compare_tag, operation_compare},
    {"convert", instar_ImageJob_convert_tag, operation_convert},
    {"create", instar_ImageJob_create_tag, operation_create},
    {"resize", instar_ImageJob_resize_tag, operation_resize},
    {"snapshot", instar_ImageJob_snapshots_tag, operation_snapshot},
    {"amend", instar_ImageJob_amend_tag, operation_amend},
    {"bitmap", instar_ImageJob_bitmap_tag, operation_bitmap},
    {"commit", instar_ImageJob_commit_tag, operation_commit},
    {"rebase", instar_ImageJob_rebase_tag, operation_rebase},
    {"bench", instar_ImageJob_bench_tag, operation_bench},
    {0},
};
