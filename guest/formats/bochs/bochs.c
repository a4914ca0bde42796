/* SPDX-License-Identifier: Apache-2.0 */
#include "guest/formats/bochs/bochs.h"

#include "guest/image/format_open.h"
#include "guest/image/probe.h"

static int bochs_probe(struct span head, struct span name)
{
    (void)name;
    bool has_names = PROBE_HAS_TEXT(head, 0, "Bochs Virtual HD Image\0") && PROBE_HAS_TEXT(head, 32, "Redolog\0") &&
                     PROBE_HAS_TEXT(head, 48, "Growing\0");
    bool has_version = PROBE_HAS_TEXT(head, 64, "\0\0\2\0") || PROBE_HAS_TEXT(head, 64, "\0\0\1\0");
    return has_names && has_version ? PROBE_SURE : 0;
}

const struct format bochs_format = {
    .name = "bochs",
    .is_opaque = true,
    .is_read_only = true,
    .probe = bochs_probe,
    .open = format_open_unread,
};
