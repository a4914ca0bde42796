/* SPDX-License-Identifier: Apache-2.0 */
#include "host/vmm/page_tables.h"

#include <assert.h>
#include <stddef.h>

#include "abi/layout.h"
#include "base/checked.h"

/* Intel SDM volume 3, tables 4-15 to 4-20. */
#define ENTRY_PRESENT 0x1ull
#define ENTRY_WRITABLE 0x2ull
#define ENTRY_USER 0x4ull
#define ENTRY_ACCESSED 0x20ull
#define ENTRY_DIRTY 0x40ull
#define ENTRY_HUGE 0x80ull
#define ENTRY_NO_EXECUTE 0x8000000000000000ull
#define ENTRY_ADDRESS_MASK 0x000ffffffffff000ull

#define TABLE_ENTRIES 512u
#define LEVEL_COUNT 4
#define LEVEL_PAGE 0 /* entries map 4 KiB */
#define LEVEL_HUGE 1 /* entries map 2 MiB, or name a table of the level below */

void page_tables_init(struct page_tables *tables, uint8_t *host, uint64_t gpa, uint64_t len)
{
    assert(len >= LAYOUT_PAGE_LEN);
    *tables = (struct page_tables){.host = host, .gpa = gpa, .len = len, .used_len = LAYOUT_PAGE_LEN};
}

static uint64_t *table_at(const struct page_tables *tables, uint64_t gpa)
{
    return (uint64_t *)(tables->host + (gpa - tables->gpa));
}

static unsigned int entry_index(uint64_t address, int level)
{
    return (unsigned int)(address >> (12 + 9 * level)) % TABLE_ENTRIES;
}

/*
 * Accessed and dirty are set beforehand, so that the processor has no reason to write to the tables. What
 * may be accessed is decided by the last level; the levels above permit all.
 */
static uint64_t leaf_bits(enum page_access access)
{
    const uint64_t common = ENTRY_PRESENT | ENTRY_ACCESSED | ENTRY_DIRTY;
    switch (access) {
    case PAGE_SUPERVISOR:
        return common | ENTRY_WRITABLE | ENTRY_NO_EXECUTE;
    case PAGE_SUPERVISOR_EXECUTE:
        return common;
    case PAGE_READ:
        return common | ENTRY_USER | ENTRY_NO_EXECUTE;
    case PAGE_READ_WRITE:
        return common | ENTRY_USER | ENTRY_WRITABLE | ENTRY_NO_EXECUTE;
    case PAGE_READ_EXECUTE:
        return common | ENTRY_USER;
    }
    __builtin_unreachable();
}

/* The table that `entry` names, made when it is not there yet; NULL when there is no memory for one. */
static uint64_t *table_below(struct page_tables *tables, uint64_t *entry)
{
    if ((*entry & ENTRY_PRESENT) == 0) {
        if (tables->used_len + LAYOUT_PAGE_LEN > tables->len) {
            return NULL;
        }
        *entry = (tables->gpa + tables->used_len) | ENTRY_PRESENT | ENTRY_WRITABLE | ENTRY_USER | ENTRY_ACCESSED;
        tables->used_len += LAYOUT_PAGE_LEN;
    }
    return table_at(tables, *entry & ENTRY_ADDRESS_MASK);
}

static bool map_one(struct page_tables *tables, uint64_t address, uint64_t gpa, int leaf_level, uint64_t bits)
{
    uint64_t *table = table_at(tables, tables->gpa);
    for (int level = LEVEL_COUNT - 1; level > leaf_level; level--) {
        table = table_below(tables, &table[entry_index(address, level)]);
        if (table == NULL) {
            return false;
        }
    }
    uint64_t *leaf = &table[entry_index(address, leaf_level)];
    assert((*leaf & ENTRY_PRESENT) == 0);
    *leaf = gpa | bits | (leaf_level == LEVEL_HUGE ? ENTRY_HUGE : 0);
    return true;
}

bool page_tables_map_at(struct page_tables *tables, uint64_t address, uint64_t gpa, uint64_t len,
                        enum page_access access, struct error *error)
{
    assert(address % LAYOUT_PAGE_LEN == 0 && gpa % LAYOUT_PAGE_LEN == 0 && len % LAYOUT_PAGE_LEN == 0);
    uint64_t bits = leaf_bits(access);
    for (uint64_t done_len = 0; done_len < len;) { /* ends: each round maps a page at least */
        bool huge = (address + done_len) % LAYOUT_HUGE_PAGE_LEN == 0 && (gpa + done_len) % LAYOUT_HUGE_PAGE_LEN == 0 &&
                    len - done_len >= LAYOUT_HUGE_PAGE_LEN;
        if (!map_one(tables, address + done_len, gpa + done_len, huge ? LEVEL_HUGE : LEVEL_PAGE, bits)) {
            return error_set(error, ERROR_HOST, NULL, "the guest's page tables do not fit %llu bytes",
                             (unsigned long long)tables->len);
        }
        done_len += huge ? LAYOUT_HUGE_PAGE_LEN : LAYOUT_PAGE_LEN;
    }
    return true;
}

bool page_tables_map(struct page_tables *tables, uint64_t gpa, uint64_t len, enum page_access access,
                     struct error *error)
{
    return page_tables_map_at(tables, gpa, gpa, len, access, error);
}
