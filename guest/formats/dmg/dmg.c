/* SPDX-License-Identifier: Apache-2.0 */
#include "guest/formats/dmg/dmg.h"

#include <string.h>

#include "guest/image/format_open.h"
#include "guest/image/probe.h"

/* Its magic number is at the end of the file. */
static int dmg_probe(struct span head, struct span name)
{
    static const char suffix[] = {'.', 'd', 'm', 'g'};
    (void)head;
    return name.len >= sizeof(suffix) && memcmp(name.data + name.len - sizeof(suffix), suffix, sizeof(suffix)) == 0
               ? PROBE_MAYBE
               : 0;
}

const struct format dmg_format = {
    .name = "dmg",
    .is_opaque = true,
    .is_read_only = true,
    .probe = dmg_probe,
    .open = format_open_unread,
};
