/* SPDX-License-Identifier: Apache-2.0 */
#include "guest/formats/qed/qed.h"

#include "guest/image/format_open.h"
#include "guest/image/probe.h"

static int qed_probe(struct span head, struct span name)
{
    (void)name;
    return PROBE_HAS_TEXT(head, 0, "QED\0") ? PROBE_SURE : 0;
}

const struct format qed_format = {
    .name = "qed",
    .probe = qed_probe,
    .open = format_open_unread,
};
