/* SPDX-License-Identifier: Apache-2.0 */
#include "guest/formats/vdi/vdi.h"

#include "guest/image/format_open.h"
#include "guest/image/probe.h"

static int vdi_probe(struct span head, struct span name)
{
    (void)name;
    return PROBE_HAS_TEXT(head, 64, "\x7f\x10\xda\xbe") ? PROBE_SURE : 0;
}

const struct format vdi_format = {
    .name = "vdi",
    .probe = vdi_probe,
    .open = format_open_unread,
};
