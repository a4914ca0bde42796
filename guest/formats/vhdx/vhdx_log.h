/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The log (2.3): changes of metadata that are to be made again when a file was not closed. Nothing is written here:
 * what the log says becomes patches, which the cache and the map lay over the file.
 */
#ifndef INSTAR_GUEST_FORMATS_VHDX_VHDX_LOG_H
#define INSTAR_GUEST_FORMATS_VHDX_VHDX_LOG_H

#include "base/attributes.h"
#include "base/error.h"
#include "guest/formats/vhdx/vhdx_header.h"
#include "guest/formats/vhdx/vhdx_patches.h"
#include "guest/image/image.h"

/* Ours: longer ones are read only when there is nothing to replay. 1 MiB is what writers make. */
#define VHDX_LOG_LEN_MAX (64u << 20)
/* Ours: of all entries that are replayed together. */
#define VHDX_LOG_DESCRIPTORS_MAX 8192u

/* An entry that is written: pages of metadata, each of which goes to a place of the file. It begins the log. */
#define VHDX_LOG_ENTRY_PAGES_MAX 32u
struct vhdx_log_entry {
    struct vhdx_guid log_id;
    uint64_t sequence;    /* not 0 */
    uint64_t file_len;    /* bytes of the file, which are stable */
    const uint64_t *offs; /* bytes, multiples of VHDX_LOG_SECTOR_LEN */
    const uint8_t *pages; /* VHDX_LOG_SECTOR_LEN bytes each */
    uint32_t count;       /* VHDX_LOG_ENTRY_PAGES_MAX at most */
};

/* Into 1 + count sectors; returns their length. */
uint32_t vhdx_log_entry_emit(const struct vhdx_log_entry *entry, uint8_t *ret_bytes);

/*
 * Finds the entries of `header`'s log that have to be replayed, and puts what they say into *ret_patches, with memory
 * from the arena. *ret_is_needed: there are such entries. False where the log is damaged, or the file shorter than it
 * was.
 */
MUST_CHECK bool vhdx_log_read(struct image *image, const struct vhdx_header *header, bool *ret_is_needed,
                              struct vhdx_patches *ret_patches, struct error *error);

#endif
