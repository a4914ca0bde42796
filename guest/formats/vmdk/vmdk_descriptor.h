/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The descriptor: a text of lines, in a file of its own or within a sparse extent, that tells which extents a disk
 * consists of and what is behind it ("Virtual Disk Format 5.0", The Descriptor File). All of it is parsed without I/O.
 *
 * As in QEMU a key is found wherever it stands first, and the text ends with its first zero byte. Other than QEMU,
 * which takes an extent twice when an empty line stands before it, extents are lines.
 */
#ifndef INSTAR_GUEST_FORMATS_VMDK_VMDK_DESCRIPTOR_H
#define INSTAR_GUEST_FORMATS_VMDK_VMDK_DESCRIPTOR_H

#include <stdbool.h>
#include <stdint.h>

#include "base/attributes.h"
#include "base/error.h"
#include "base/span.h"

/* Bytes of a text that are looked at, as in QEMU: for extents and the type, and for what else there is. */
#define VMDK_DESCRIPTOR_LEN_MAX ((1u << 20) - 1)
#define VMDK_DESCRIPTOR_HEAD_LEN (20u * 512 - 1)

/* The longest name of an extent's file, and of a type, that QEMU takes. */
#define VMDK_EXTENT_NAME_LEN_MAX 511u
#define VMDK_CREATE_TYPE_LEN_MAX 127u

/* What there is in an extent's file. */
enum vmdk_extent_type {
    VMDK_EXTENT_FLAT,
    VMDK_EXTENT_VMFS, /* the same, on ESX */
    VMDK_EXTENT_SPARSE,
    VMDK_EXTENT_VMFSSPARSE, /* the same for a reader: the file says which kind of sparse extent it is */
    VMDK_EXTENT_SESPARSE,
    VMDK_EXTENT_ZERO, /* no file */
};

/* As it stands in a descriptor. */
const char *vmdk_extent_type_name(enum vmdk_extent_type type);

/* An extent line. */
struct vmdk_extent_line {
    enum vmdk_extent_type type;
    bool has_access;   /* false: NOACCESS, which reads as zeros */
    bool is_read_only; /* RDONLY */
    uint64_t sectors;  /* not 0, INT64_MAX / 512 at most */
    uint64_t flat_off; /* of FLAT and VMFS: bytes of the file before the extent, INT64_MAX at most */
    struct span name;  /* of the file; not empty but for ZERO */
};

/* The text without what follows a zero byte. */
struct span vmdk_descriptor_text(struct span bytes);

/* Sets *ret_type to the value of createType; false, without an error, when there is none. */
MUST_CHECK bool vmdk_descriptor_create_type(struct span text, struct span *ret_type);

/* The content ID, or that of the image behind it. False, without an error, when it is missing or no number. */
MUST_CHECK bool vmdk_descriptor_cid(struct span text, uint32_t *ret_cid);
MUST_CHECK bool vmdk_descriptor_parent_cid(struct span text, uint32_t *ret_cid);

/* The name of the image behind it; empty when there is none. False, without an error, when it does not end. */
MUST_CHECK bool vmdk_descriptor_parent(struct span text, struct span *ret_name);

/*
 * The next extent line from *pos on, which is 0 at first. Sets *ret_found, and *ret_line if that is true; *pos is
 * behind it then. Lines that are something else are skipped.
 */
MUST_CHECK bool vmdk_descriptor_next_extent(struct span text, size_t *pos, bool *ret_found,
                                            struct vmdk_extent_line *ret_line, struct error *error);

#endif
