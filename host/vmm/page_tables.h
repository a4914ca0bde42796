/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The page tables of a machine: four levels (Intel SDM volume 3, section 4.5), identity mapped but for what an engine
 * has elsewhere, built once before the start in memory that the guest cannot reach.
 */
#ifndef INSTAR_HOST_VMM_PAGE_TABLES_H
#define INSTAR_HOST_VMM_PAGE_TABLES_H

#include <stdbool.h>
#include <stdint.h>

#include "base/error.h"

enum page_access {
    PAGE_SUPERVISOR,         /* for the processor's own structures: ring 3 cannot touch it */
    PAGE_SUPERVISOR_EXECUTE, /* likewise, read-only */
    PAGE_READ,
    PAGE_READ_WRITE,
    PAGE_READ_EXECUTE,
};

struct page_tables {
    uint8_t *host;     /* the memory for the tables, zero at first */
    uint64_t gpa;      /* its address; the root table is its first page, so this is CR3 */
    uint64_t len;      /* bytes */
    uint64_t used_len; /* bytes handed out to tables */
};

void page_tables_init(struct page_tables *tables, uint8_t *host, uint64_t gpa, uint64_t len);

/*
 * Maps [gpa, gpa + len) onto itself; both page-aligned, below 2^47, not mapped before. Uses 2 MiB pages where
 * alignment allows. Fails when the memory for tables is used up.
 */
bool page_tables_map(struct page_tables *tables, uint64_t gpa, uint64_t len, enum page_access access,
                     struct error *error);
/* The same, where what the guest has at `address` lies at `gpa`. */
bool page_tables_map_at(struct page_tables *tables, uint64_t address, uint64_t gpa, uint64_t len,
                        enum page_access access, struct error *error);

#endif
