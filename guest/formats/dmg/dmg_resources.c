/* SPDX-License-Identifier: Apache-2.0 */
#include "guest/formats/dmg/dmg_resources.h"

#include "base/endian.h"
#include "guest/image/format_open.h"

/* At the start of the fork. */
struct fork_disk {
    struct be32 data_off; /* from the fork's start */
    struct be32 map_off;
    struct be32 data_len;
    struct be32 map_len;
};

static bool feed_resource(struct image *image, uint64_t off, uint32_t len, struct dmg_chunks *chunks,
                          struct error *error)
{
    dmg_chunks_begin(chunks);
    for (uint32_t done_len = 0; done_len < len;) { /* ends: each round takes some */
        struct span bytes;
        RETURN_IF_FAILED(
            cache_view(image->environment->cache, image->file, off + done_len, len - done_len, &bytes, error));
        RETURN_IF_FAILED(dmg_chunks_feed(chunks, bytes, error));
        done_len += (uint32_t)bytes.len;
    }
    return true;
}

bool dmg_resources_read(struct image *image, uint64_t off, uint64_t len, struct dmg_chunks *chunks, struct error *error)
{
    struct fork_disk fork;
    RETURN_IF_FAILED(format_open_read(image, off, &fork, sizeof(fork), error));
    uint64_t data_off = be32_get(fork.data_off);
    uint64_t data_len = be32_get(fork.data_len);
    if (data_len == 0 || data_off > len || data_len > len - data_off) {
        return error_set(error, ERROR_MALFORMED, NULL,
                         "the data of the resource fork (%llu bytes at %llu) are not in it",
                         (unsigned long long)data_len, (unsigned long long)data_off);
    }
    uint64_t next_off = off + data_off;
    uint64_t end_off = next_off + data_len;
    while (next_off < end_off) { /* ends: a resource has a length, and all of them DMG_TABLES_LEN_MAX */
        struct be32 length;
        RETURN_IF_FAILED(format_open_read(image, next_off, &length, sizeof(length), error));
        uint32_t resource_len = be32_get(length);
        if (resource_len == 0 || end_off - next_off < sizeof(length) ||
            resource_len > end_off - next_off - sizeof(length)) {
            return error_set(error, ERROR_MALFORMED, NULL, "the resource at %llu has an impossible length (%u)",
                             (unsigned long long)next_off, resource_len);
        }
        next_off += sizeof(length);
        RETURN_IF_FAILED(feed_resource(image, next_off, resource_len, chunks, error));
        next_off += resource_len;
    }
    return true;
}
