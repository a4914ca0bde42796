/* SPDX-License-Identifier: Apache-2.0 */
#include "guest/formats/vpc/vpc.h"

#include "guest/image/format_open.h"
#include "guest/image/probe.h"

/* Only dynamic ones have this at their start; QEMU takes fixed ones for raw. */
static int vpc_probe(struct span head, struct span name)
{
    (void)name;
    return PROBE_HAS_TEXT(head, 0, "conectix") ? PROBE_SURE : 0;
}

const struct format vpc_format = {
    .name = "vpc",
    .probe = vpc_probe,
    .open = format_open_unread,
};
