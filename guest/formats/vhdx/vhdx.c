/* SPDX-License-Identifier: Apache-2.0 */
#include "guest/formats/vhdx/vhdx.h"

#include "guest/image/format_open.h"
#include "guest/image/probe.h"

static int vhdx_probe(struct span head, struct span name)
{
    (void)name;
    return PROBE_HAS_TEXT(head, 0, "vhdxfile") ? PROBE_SURE : 0;
}

const struct format vhdx_format = {
    .name = "vhdx",
    .probe = vhdx_probe,
    .open = format_open_unread,
};
