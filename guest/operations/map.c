/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What is where, as runs that are all of one sort (qemu-img map). What makes one run is QEMU's: all that can be said of
 * its parts is the same, and their places in the file follow each other.
 */
#include "base/checked.h"
#include "guest/operations/job/image_job.h"
#include "guest/runtime/messages.h"

static instar_MapExtent map_extent_of(const struct chain_extent *chain)
{
    const struct extent *extent = &chain->extent;
    instar_MapExtent map = {
        .start = extent->voff,
        .length = extent->len,
        .depth = chain->depth,
        .present = chain->is_present,
        .zero = extent->kind == EXTENT_ZERO || chain->is_hole,
        .data = extent->kind != EXTENT_ZERO,
        .compressed = extent->kind == EXTENT_COMPRESSED,
        /* QEMU does not tell where compressed and encrypted data are: nobody could use them as they are there. */
        .has_offset = extent->has_file_off && (extent->kind == EXTENT_ZERO || extent->kind == EXTENT_DATA),
    };
    if (map.has_offset) {
        map.offset = extent->file_off;
        map.device = extent->file->device;
    }
    return map;
}

static bool can_be_joined(const instar_MapExtent *map, const instar_MapExtent *next)
{
    return map->depth == next->depth && map->present == next->present && map->zero == next->zero &&
           map->data == next->data && map->compressed == next->compressed && map->has_offset == next->has_offset &&
           map->device == next->device && (!map->has_offset || map->offset + map->length == next->offset);
}

/* Adds a run to the message, and sends that when it is full. */
static void map_add(instar_GuestMessage *message, const instar_MapExtent *map)
{
    instar_MapMessage *body = &message->kind.map;
    body->extents[body->extents_count++] = *map;
    if (body->extents_count == ARRAY_COUNT(body->extents)) {
        messages_post(message);
        body->extents_count = 0;
    }
}

/* The runs from `start` to `end`, not empty, within the disk. */
static bool map_range(struct image *image, uint64_t start, uint64_t end, instar_GuestMessage *message,
                      struct error *error)
{
    instar_MapExtent map = {0};
    uint64_t voff = start;
    while (voff < end) { /* ends: extents are not empty */
        struct chain_extent chain;
        RETURN_IF_FAILED(image_status(image, voff, end - voff, &chain, error));
        instar_MapExtent next = map_extent_of(&chain);
        voff += next.length;
        if (map.length == 0) {
            map = next;
        } else if (can_be_joined(&map, &next)) {
            map.length += next.length;
        } else {
            map_add(message, &map);
            map = next;
        }
    }
    map_add(message, &map);
    return true;
}

bool operation_map(struct image_job *job, struct error *error)
{
    static instar_GuestMessage message;
    const instar_MapRequest *request = &job->message->operation.map;
    struct image *image;
    RETURN_IF_FAILED(image_job_open(job, 0, IMAGE_TO_READ, &image, error));
    message = (instar_GuestMessage){.which_kind = instar_GuestMessage_map_tag};
    uint64_t end = image->virtual_len;
    if (request->start < end) {
        end = request->start + min_u64(request->length, end - request->start);
    }
    if (request->start < end) {
        RETURN_IF_FAILED(map_range(image, request->start, end, &message, error));
    } else {
        /* Nothing to say is said by an empty run, as qemu-img does it. */
        instar_MapExtent nothing = {.start = request->start};
        map_add(&message, &nothing);
    }
    if (message.kind.map.extents_count > 0) {
        messages_post(&message);
    }
    messages_flush();
    return true;
}
