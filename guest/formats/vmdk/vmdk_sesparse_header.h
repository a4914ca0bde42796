/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The two headers of a seSparse extent, of ESX 6.5 and later. The format is not published; known is what QEMU and
 * libvmdk found out: everything else is refused.
 */
#ifndef INSTAR_GUEST_FORMATS_VMDK_VMDK_SESPARSE_HEADER_H
#define INSTAR_GUEST_FORMATS_VMDK_VMDK_SESPARSE_HEADER_H

#include <stdbool.h>
#include <stdint.h>

#include "base/attributes.h"
#include "base/error.h"
#include "base/span.h"
#include "guest/formats/vmdk/vmdk_tables.h"

#define VMDK_SESPARSE_HEADER_LEN 512u

/* The constant header, at the file's start. *ret_volatile_off: bytes, where the other one is. */
MUST_CHECK bool vmdk_sesparse_header_parse(struct span bytes, struct vmdk_tables *ret_tables,
                                           uint64_t *ret_volatile_off, struct error *error);

/* The volatile header, which says whether there is a journal to replay: that is refused. */
MUST_CHECK bool vmdk_sesparse_volatile_check(struct span bytes, struct error *error);

/* What an entry of the grain directory or of a grain table says. */
enum vmdk_sesparse_entry {
    VMDK_SESPARSE_UNALLOCATED,
    VMDK_SESPARSE_ZERO,    /* of a table only: unmapped, or zeros */
    VMDK_SESPARSE_STORED,  /* *ret_index: number of the table, or of the grain */
    VMDK_SESPARSE_INVALID, /* has bits that nobody knows */
};
enum vmdk_sesparse_entry vmdk_sesparse_directory_entry(uint64_t entry, uint64_t *ret_index);
enum vmdk_sesparse_entry vmdk_sesparse_table_entry(uint64_t entry, uint64_t *ret_index);

#endif
