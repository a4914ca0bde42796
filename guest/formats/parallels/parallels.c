/* SPDX-License-Identifier: Apache-2.0 */
#include "guest/formats/parallels/parallels.h"

#include "guest/image/format_open.h"
#include "guest/image/probe.h"

static int parallels_probe(struct span head, struct span name)
{
    (void)name;
    bool has_magic = PROBE_HAS_TEXT(head, 0, "WithoutFreeSpace") || PROBE_HAS_TEXT(head, 0, "WithouFreSpacExt");
    return has_magic && PROBE_HAS_TEXT(head, 16, "\2\0\0\0") ? PROBE_SURE : 0;
}

const struct format parallels_format = {
    .name = "parallels",
    .probe = parallels_probe,
    .open = format_open_unread,
};
