/* SPDX-License-Identifier: Apache-2.0 */
#include "guest/formats/cloop/cloop.h"

#include "guest/image/format_open.h"
#include "guest/image/probe.h"

/* A shell script that mounts itself. */
static int cloop_probe(struct span head, struct span name)
{
    (void)name;
    return PROBE_HAS_TEXT(head, 0,
                          "#!/bin/sh\n#V2.0 Format\nmodprobe cloop file=$0 && mount -r -t iso9660 /dev/cloop $1\n")
               ? PROBE_MAYBE
               : 0;
}

const struct format cloop_format = {
    .name = "cloop",
    .is_opaque = true,
    .is_read_only = true,
    .probe = cloop_probe,
    .open = format_open_unread,
};
