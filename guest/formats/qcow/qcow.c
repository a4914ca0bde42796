/* SPDX-License-Identifier: Apache-2.0 */
#include "guest/formats/qcow/qcow.h"

#include "guest/image/format_open.h"
#include "guest/image/probe.h"

static int qcow_probe(struct span head, struct span name)
{
    (void)name;
    return PROBE_HAS_TEXT(head, 0, "QFI\xfb\0\0\0\1") ? PROBE_SURE : 0;
}

const struct format qcow_format = {
    .name = "qcow",
    .probe = qcow_probe,
    .open = format_open_unread,
};
