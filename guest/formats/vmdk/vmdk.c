/* SPDX-License-Identifier: Apache-2.0 */
#include "guest/formats/vmdk/vmdk.h"

#include "guest/image/format_open.h"
#include "guest/image/probe.h"

static size_t line_end(struct span text, size_t off)
{
    while (off < text.len && text.data[off] != '\n') { /* ends with the text */
        off++;
    }
    return off;
}

/*
 * A descriptor: comments, lines of blanks (an empty one is none), and then the version. QEMU reads it like that, and
 * takes what is different for raw.
 */
static bool is_vmdk_descriptor(struct span text)
{
    size_t off = 0;
    while (off < text.len && (text.data[off] == '#' || text.data[off] == ' ')) { /* ends: each round takes a line */
        size_t end = line_end(text, off);
        if (text.data[off] == ' ') {
            while (off < end && text.data[off] == ' ') {
                off++;
            }
            off += off + 1 == end && text.data[off] == '\r' ? 1 : 0;
            if (off != end || end == text.len) {
                return false;
            }
        }
        off = end + 1;
    }
    if (off >= text.len || !(PROBE_HAS_TEXT(text, off, "version=1") || PROBE_HAS_TEXT(text, off, "version=2") ||
                             PROBE_HAS_TEXT(text, off, "version=3"))) {
        return false;
    }
    return PROBE_HAS_TEXT(text, off + 9, "\n") || PROBE_HAS_TEXT(text, off + 9, "\r\n");
}

static int vmdk_probe(struct span head, struct span name)
{
    (void)name;
    return PROBE_HAS_TEXT(head, 0, "COWD") || PROBE_HAS_TEXT(head, 0, "KDMV") || is_vmdk_descriptor(head) ? PROBE_SURE
                                                                                                          : 0;
}

const struct format vmdk_format = {
    .name = "vmdk",
    .probe = vmdk_probe,
    .open = format_open_unread,
};
