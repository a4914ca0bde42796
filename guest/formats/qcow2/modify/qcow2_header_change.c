/* SPDX-License-Identifier: Apache-2.0 */
#include "guest/formats/qcow2/modify/qcow2_header_change.h"

#include <string.h>

#include "base/checked.h"
#include "base/units.h"
#include "guest/formats/qcow2/layout/qcow2_header_disk.h"

#define BUFFER_ALIGN 4096u
/* An extension's data is padded to this. */
#define EXTENSION_ALIGN 8u

static bool no_space(struct error *error)
{
    return error_set(error, ERROR_NO_SPACE, NULL, "No space left in the file header");
}

/* Where the extension at `pos` of them ends. They have been checked when the image was opened. */
static uint32_t extension_end(const struct qcow2_header_change *change, uint32_t pos, uint32_t *ret_type)
{
    struct qcow2_extension_disk head;
    memcpy(&head, change->extensions + pos, sizeof(head));
    *ret_type = be32_get(head.type);
    uint64_t end = round_up(pos + sizeof(head) + (uint64_t)be32_get(head.len), EXTENSION_ALIGN);
    return (uint32_t)min_u64(end, change->extensions_len);
}

/*
 * Takes over the extensions up to end_off, and finds their end: as QEMU reads them. False when they may go on behind
 * that, as they do not end and the area has more.
 */
static bool take_extensions(struct qcow2_header_change *change, uint32_t end_off, bool has_more)
{
    uint32_t off = change->header.header_len;
    uint32_t len = 0;
    struct qcow2_extension_disk head;
    bool is_end = false;
    while (!is_end && off < end_off && end_off - off >= sizeof(head)) { /* ends: each round goes on by 8 bytes */
        memcpy(&head, change->bytes + off, sizeof(head));
        uint32_t data_len = (uint32_t)sizeof(head) + (uint32_t)min_u64(be32_get(head.len), end_off);
        is_end = be32_get(head.type) == QCOW2_EXTENSION_END;
        if (!is_end && data_len > end_off - off) {
            return false;
        }
        if (!is_end) {
            memcpy(change->extensions + len, change->bytes + off, data_len);
            len = (uint32_t)round_up(len + (uint64_t)data_len, EXTENSION_ALIGN); /* memory of the arena is zero */
        }
        off = is_end ? off + (uint32_t)sizeof(head)
                     : (uint32_t)min_u64(round_up(off + (uint64_t)data_len, EXTENSION_ALIGN), end_off);
    }
    change->extensions_len = len;
    change->old_end = off;
    return is_end || !has_more;
}

bool qcow2_header_change_begin(struct qcow2_modify *modify, struct qcow2_header_change *ret_change, struct error *error)
{
    struct image *image = modify->image;
    struct cache *cache = image->environment->cache;
    const struct qcow2_header *header = &modify->qcow2->header;
    struct arena *arena = image->environment->arena;
    struct file *file = modify->target.file;
    struct qcow2_header_change change = {
        .modify = modify,
        .header = *header,
        .room_len = (uint32_t)min_u64(modify->cluster_len, QCOW2_HEADER_CHANGE_LEN_MAX),
    };
    change.bytes = arena_allocate(arena, change.room_len, BUFFER_ALIGN);
    change.extensions = arena_allocate(arena, (size_t)change.room_len + EXTENSION_ALIGN, BUFFER_ALIGN);
    if (change.bytes == NULL || change.extensions == NULL) {
        return error_set(error, ERROR_LIMIT, file->name, "no memory is left to write to the image");
    }
    RETURN_IF_FAILED(cache_read(cache, file, 0, change.bytes, change.room_len, error));
    uint64_t name_off = header->backing_name_off; /* within the cluster, or at its end */
    uint64_t area_end = name_off != 0 ? name_off : modify->cluster_len;
    if (!take_extensions(&change, (uint32_t)min_u64(area_end, change.room_len), area_end > change.room_len)) {
        return error_set(error, ERROR_UNSUPPORTED, file->name, "the header has more than %u bytes of extensions",
                         change.room_len);
    }
    if (name_off != 0) {
        struct file_name *name = &change.backing_name;
        name->len =
            (uint16_t)min_u64(header->backing_name_len, min_u64(FILE_NAME_LEN_MAX, modify->cluster_len - name_off));
        name->is_set = name->len > 0;
        RETURN_IF_FAILED(cache_read(cache, file, name_off, name->bytes, name->len, error));
        change.old_end = (uint32_t)min_u64(max_u64(change.old_end, name_off + name->len), change.room_len);
    }
    *ret_change = change;
    return true;
}

/* Takes all extensions of the type out. */
static void remove_extensions(struct qcow2_header_change *change, uint32_t type)
{
    for (uint32_t pos = 0; pos < change->extensions_len;) { /* ends: each round goes on, or there are fewer bytes */
        uint32_t found;
        uint32_t end = extension_end(change, pos, &found);
        if (found != type) {
            pos = end;
            continue;
        }
        memmove(change->extensions + pos, change->extensions + end, change->extensions_len - end);
        change->extensions_len -= end - pos;
    }
}

bool qcow2_header_change_extension(struct qcow2_header_change *change, uint32_t type, const void *data, uint32_t len,
                                   struct error *error)
{
    struct qcow2_extension_disk head = {.type = be32_make(type), .len = be32_make(len)};
    uint64_t whole_len = round_up(sizeof(head) + (uint64_t)len, EXTENSION_ALIGN);
    remove_extensions(change, type);
    if (data == NULL) {
        return true;
    }
    if (whole_len > change->room_len - change->extensions_len) {
        return no_space(error);
    }
    uint8_t *at = change->extensions + change->extensions_len;
    memset(at, 0, whole_len);
    memcpy(at, &head, sizeof(head));
    memcpy(at + sizeof(head), data, len);
    change->extensions_len += (uint32_t)whole_len;
    return true;
}

/* Bytes of the header itself: what is known of it, and what the old one had behind that. */
static uint32_t new_header_len(const struct qcow2_header_change *change)
{
    uint32_t old_len = change->modify->qcow2->header.header_len;
    return change->header.version < 3 ? QCOW2_HEADER_LEN_V2 : (uint32_t)max_u64(old_len, QCOW2_HEADER_READ_LEN);
}

static uint64_t new_len(const struct qcow2_header_change *change)
{
    return new_header_len(change) + (uint64_t)change->extensions_len + sizeof(struct qcow2_extension_disk) +
           (change->backing_name.is_set ? change->backing_name.len : 0);
}

/* Puts the cluster together. There is room for it. */
static void emit(struct qcow2_header_change *change)
{
    struct qcow2_header *header = &change->header;
    uint32_t old_len = change->modify->qcow2->header.header_len;
    header->header_len = new_header_len(change);
    uint32_t off = header->header_len;
    uint32_t known_len = (uint32_t)min_u64(off, QCOW2_HEADER_READ_LEN);
    /* What version 2 has at the place of the new fields is no part of its header. */
    if (old_len < off) {
        memset(change->bytes + old_len, 0, off - old_len);
    }
    memset(change->bytes + off, 0, change->room_len - off);
    memcpy(change->bytes + off, change->extensions, change->extensions_len);
    off += change->extensions_len + (uint32_t)sizeof(struct qcow2_extension_disk); /* the last one is all zero */
    header->backing_name_off = change->backing_name.is_set ? off : 0;
    header->backing_name_len = change->backing_name.is_set ? change->backing_name.len : 0;
    memcpy(change->bytes + off, change->backing_name.bytes, header->backing_name_len);
    struct qcow2_header_disk disk;
    qcow2_header_to_disk(header, &disk);
    memcpy(change->bytes, &disk, known_len);
}

bool qcow2_header_change_check(struct qcow2_header_change *change, struct error *error)
{
    if (new_len(change) > change->room_len) {
        remove_extensions(change, QCOW2_EXTENSION_FEATURE_NAMES);
    }
    return new_len(change) <= change->room_len || no_space(error);
}

bool qcow2_header_change_write(struct qcow2_header_change *change, struct error *error)
{
    struct qcow2_modify *modify = change->modify;
    RETURN_IF_FAILED(qcow2_header_change_check(change, error));
    uint64_t len = new_len(change);
    emit(change);
    RETURN_IF_FAILED(qcow2_modify_flush(modify, error));
    qcow2_modify_tie_all(modify);
    uint64_t write_len = round_up(max_u64(len, change->old_end), SECTOR_LEN);
    RETURN_IF_FAILED(qcow2_modify_write(modify, 0, change->bytes, write_len, QCOW2_AREA_HEADER, error));
    modify->qcow2->header = change->header;
    modify->qcow2->l1 = (struct qcow2_l1){.off = change->header.l1_off, .entry_count = change->header.l1_entry_count};
    change->old_end = (uint32_t)len;
    return qcow2_modify_flush(modify, error);
}

bool qcow2_change_backing(struct target *target, const struct file_name *name, const char *format, struct error *error)
{
    struct qcow2_modify *modify = qcow2_modify_of(target);
    static struct qcow2_header_change change; /* large */
    uint32_t format_len = (uint32_t)strlen(format);
    bool has_format = name->is_set && format_len > 0;
    if (name->is_set && (modify->qcow2->header.autoclear_features & QCOW2_AUTOCLEAR_DATA_FILE_RAW) != 0) {
        return error_set(error, ERROR_USAGE, NULL, "Invalid argument");
    }
    if ((name->is_set && name->len > QCOW2_BACKING_NAME_LEN_MAX) || format_len > QCOW2_BACKING_FORMAT_LEN_MAX) {
        return error_set(error, ERROR_USAGE, NULL, "Invalid argument");
    }
    /* The name is nothing that bitmaps tell of. What has been written before is in them since the target was finished.
     */
    modify->keeps_bitmaps = true;
    RETURN_IF_FAILED(qcow2_modify_begin(modify, error));
    RETURN_IF_FAILED(qcow2_header_change_begin(modify, &change, error));
    change.backing_name = *name;
    RETURN_IF_FAILED(qcow2_header_change_extension(&change, QCOW2_EXTENSION_BACKING_FORMAT, has_format ? format : NULL,
                                                   format_len, error));
    return qcow2_header_change_write(&change, error);
}
