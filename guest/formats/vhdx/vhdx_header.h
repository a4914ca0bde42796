/* SPDX-License-Identifier: Apache-2.0 */
/* The two headers (2.2.2), of which the one with the higher sequence number counts. */
#ifndef INSTAR_GUEST_FORMATS_VHDX_VHDX_HEADER_H
#define INSTAR_GUEST_FORMATS_VHDX_VHDX_HEADER_H

#include "base/attributes.h"
#include "base/error.h"
#include "guest/formats/vhdx/vhdx_layout.h"

#define VHDX_HEADER_1_OFF (64u << 10)
#define VHDX_HEADER_2_OFF (128u << 10)
#define VHDX_HEADER_LEN 4096u

struct vhdx_header {
    uint64_t sequence;
    struct vhdx_guid
        data_write_id;       /* another one for each other content of the disk: what a child knows its parent by */
    struct vhdx_guid log_id; /* of entries that count; zeros: no log */
    uint32_t log_len;        /* bytes */
    uint64_t log_off;        /* bytes */
};

/*
 * One of a new file: `ret_bytes` has VHDX_HEADER_LEN zeros. `file_write_id` is another one whenever the file was opened
 * to be written.
 */
void vhdx_header_emit(const struct vhdx_header *header, const struct vhdx_guid *file_write_id, uint8_t *ret_bytes);

/* Whether a header's VHDX_HEADER_LEN bytes are sound, and those of this one; and who wrote last, by these bytes. */
bool vhdx_header_is(const struct vhdx_header *header, struct span bytes);
struct vhdx_guid vhdx_header_file_write_id(struct span bytes);

/* Both are VHDX_HEADER_LEN bytes. False when neither is sound, or both count. */
MUST_CHECK bool vhdx_header_choose(struct span first, struct span second, struct vhdx_header *ret_header,
                                   struct error *error);

#endif
