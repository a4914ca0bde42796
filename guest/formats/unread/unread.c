/* SPDX-License-Identifier: Apache-2.0 */
#include "guest/formats/unread/unread.h"

#include <string.h>

#include "guest/image/image.h"

/* A match of a magic number, and of something that other files may have, too. */
#define SCORE_SURE 100
#define SCORE_MAYBE 2

static bool unread_open(struct image *image, struct error *error)
{
    return error_set(error, ERROR_UNSUPPORTED, NULL, "reading images of format '%s' is not supported yet",
                     image->format->name);
}

/* Whether `text`, without its NUL, stands at `off`. */
#define HAS_TEXT(head, off, text) has_bytes(head, off, text, sizeof(text) - 1)

static bool has_bytes(struct span head, size_t off, const char *bytes, size_t len)
{
    return head.len >= off && head.len - off >= len && memcmp(head.data + off, bytes, len) == 0;
}

static int bochs_probe(struct span head, struct span name)
{
    (void)name;
    bool has_names = HAS_TEXT(head, 0, "Bochs Virtual HD Image\0") && HAS_TEXT(head, 32, "Redolog\0") &&
                     HAS_TEXT(head, 48, "Growing\0");
    bool has_version = HAS_TEXT(head, 64, "\0\0\2\0") || HAS_TEXT(head, 64, "\0\0\1\0");
    return has_names && has_version ? SCORE_SURE : 0;
}

/* A shell script that mounts itself. */
static int cloop_probe(struct span head, struct span name)
{
    (void)name;
    return HAS_TEXT(head, 0, "#!/bin/sh\n#V2.0 Format\nmodprobe cloop file=$0 && mount -r -t iso9660 /dev/cloop $1\n")
               ? SCORE_MAYBE
               : 0;
}

/* Its magic number is at the end of the file. */
static int dmg_probe(struct span head, struct span name)
{
    static const char suffix[] = {'.', 'd', 'm', 'g'};
    (void)head;
    return name.len >= sizeof(suffix) && memcmp(name.data + name.len - sizeof(suffix), suffix, sizeof(suffix)) == 0
               ? SCORE_MAYBE
               : 0;
}

static int parallels_probe(struct span head, struct span name)
{
    (void)name;
    bool has_magic = HAS_TEXT(head, 0, "WithoutFreeSpace") || HAS_TEXT(head, 0, "WithouFreSpacExt");
    return has_magic && HAS_TEXT(head, 16, "\2\0\0\0") ? SCORE_SURE : 0;
}

static int qcow_probe(struct span head, struct span name)
{
    (void)name;
    return HAS_TEXT(head, 0, "QFI\xfb\0\0\0\1") ? SCORE_SURE : 0;
}

static int qed_probe(struct span head, struct span name)
{
    (void)name;
    return HAS_TEXT(head, 0, "QED\0") ? SCORE_SURE : 0;
}

static int vdi_probe(struct span head, struct span name)
{
    (void)name;
    return HAS_TEXT(head, 64, "\x7f\x10\xda\xbe") ? SCORE_SURE : 0;
}

static int vhdx_probe(struct span head, struct span name)
{
    (void)name;
    return HAS_TEXT(head, 0, "vhdxfile") ? SCORE_SURE : 0;
}

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
    if (off >= text.len ||
        !(HAS_TEXT(text, off, "version=1") || HAS_TEXT(text, off, "version=2") || HAS_TEXT(text, off, "version=3"))) {
        return false;
    }
    return HAS_TEXT(text, off + 9, "\n") || HAS_TEXT(text, off + 9, "\r\n");
}

static int vmdk_probe(struct span head, struct span name)
{
    (void)name;
    return HAS_TEXT(head, 0, "COWD") || HAS_TEXT(head, 0, "KDMV") || is_vmdk_descriptor(head) ? SCORE_SURE : 0;
}

/* Only dynamic ones have this at their start; QEMU takes fixed ones for raw. */
static int vpc_probe(struct span head, struct span name)
{
    (void)name;
    return HAS_TEXT(head, 0, "conectix") ? SCORE_SURE : 0;
}

const struct format bochs_format = {.name = "bochs", .probe = bochs_probe, .open = unread_open};
const struct format cloop_format = {.name = "cloop", .probe = cloop_probe, .open = unread_open};
const struct format dmg_format = {.name = "dmg", .probe = dmg_probe, .open = unread_open};
const struct format parallels_format = {.name = "parallels", .probe = parallels_probe, .open = unread_open};
const struct format qcow_format = {.name = "qcow", .probe = qcow_probe, .open = unread_open};
const struct format qed_format = {.name = "qed", .probe = qed_probe, .open = unread_open};
const struct format vdi_format = {.name = "vdi", .probe = vdi_probe, .open = unread_open};
const struct format vhdx_format = {.name = "vhdx", .probe = vhdx_probe, .open = unread_open};
const struct format vmdk_format = {.name = "vmdk", .probe = vmdk_probe, .open = unread_open};
const struct format vpc_format = {.name = "vpc", .probe = vpc_probe, .open = unread_open};
