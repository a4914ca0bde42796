/* SPDX-License-Identifier: Apache-2.0 */
#include "host/devices/virtio_blk_request.h"

#include <string.h>

#include "base/checked.h"

static uint64_t vectors_len(const struct iovec *vectors, unsigned int count)
{
    uint64_t len = 0;
    for (unsigned int i = 0; i < count; i++) {
        len += vectors[i].iov_len; /* at most 256 times 4 GiB */
    }
    return len;
}

/* Takes `len` bytes off the front of *vectors, copying them to `target`; false when there are not that many. */
static bool front_take(struct iovec **vectors, unsigned int *count, void *target, size_t len)
{
    uint8_t *to = target;
    while (len > 0) {
        if (*count == 0) {
            return false;
        }
        struct iovec *first = *vectors;
        size_t part_len = (size_t)min_u64(first->iov_len, len);
        memcpy(to, first->iov_base, part_len);
        to += part_len;
        len -= part_len;
        first->iov_base = (uint8_t *)first->iov_base + part_len;
        first->iov_len -= part_len;
        if (first->iov_len == 0) {
            (*vectors)++;
            (*count)--;
        }
    }
    return true;
}

/* Takes the last byte off; NULL when there is none. */
static uint8_t *last_byte_take(struct iovec *vectors, unsigned int *count)
{
    if (*count == 0) {
        return NULL;
    }
    struct iovec *last = &vectors[*count - 1];
    last->iov_len--;
    uint8_t *byte = (uint8_t *)last->iov_base + last->iov_len;
    if (last->iov_len == 0) {
        (*count)--;
    }
    return byte;
}

bool virtio_blk_request_parse(struct virtq_chain *chain, struct virtio_blk_request *ret_request, struct error *error)
{
    struct iovec *readable = chain->buffers;
    unsigned int readable_count = chain->readable_count;
    struct iovec *writable = chain->buffers + chain->readable_count;
    unsigned int writable_count = chain->writable_count;

    struct virtio_blk_request_header header;
    if (!front_take(&readable, &readable_count, &header, sizeof(header))) {
        return error_set(error, ERROR_GUEST, NULL, "broken request: the header is not whole");
    }
    uint8_t *status = last_byte_take(writable, &writable_count);
    if (status == NULL) {
        return error_set(error, ERROR_GUEST, NULL, "broken request: no room for the status");
    }
    if (readable_count > 0 && writable_count > 0) {
        return error_set(error, ERROR_GUEST, NULL, "broken request: data in both directions");
    }
    bool data_is_writable = writable_count > 0;
    struct virtio_blk_request request = {
        .head = chain->head,
        .type = header.type,
        .argument = header.argument,
        .sector = header.sector,
        .data = data_is_writable ? writable : readable,
        .data_count = data_is_writable ? writable_count : readable_count,
        .data_is_writable = data_is_writable,
        .status = status,
    };
    request.data_len = vectors_len(request.data, request.data_count);
    *ret_request = request;
    return true;
}

bool virtio_blk_request_is_within(const struct virtio_blk_request *request, uint64_t capacity)
{
    for (unsigned int i = 0; i < request->data_count; i++) {
        if (request->data[i].iov_len > VIRTIO_BLK_SEGMENT_LEN_MAX) {
            return false;
        }
    }
    return request->data_len > 0 && request->data_len <= VIRTIO_BLK_DATA_LEN_MAX &&
           request->data_len % VIRTIO_BLK_SECTOR_LEN == 0 && request->data_count <= VIRTIO_BLK_SEGMENT_MAX &&
           range_is_within(request->sector, request->data_len / VIRTIO_BLK_SECTOR_LEN, capacity);
}

bool virtio_blk_request_data(const struct virtio_blk_request *request, void *ret_data, size_t len)
{
    if (request->data_is_writable || request->data_len != len) {
        return false;
    }
    uint8_t *to = ret_data;
    for (unsigned int i = 0; i < request->data_count; i++) {
        memcpy(to, request->data[i].iov_base, request->data[i].iov_len);
        to += request->data[i].iov_len;
    }
    return true;
}

size_t virtio_blk_request_fill(const struct virtio_blk_request *request, size_t off, const void *bytes, size_t len)
{
    const uint8_t *from = bytes;
    size_t filled_len = 0;
    for (unsigned int i = 0; i < request->data_count && filled_len < len; i++) {
        const struct iovec *vector = &request->data[i];
        if (off >= vector->iov_len) {
            off -= vector->iov_len;
            continue;
        }
        size_t part_len = (size_t)min_u64(vector->iov_len - off, len - filled_len);
        memcpy((uint8_t *)vector->iov_base + off, from + filled_len, part_len);
        filled_len += part_len;
        off = 0;
    }
    return filled_len;
}
