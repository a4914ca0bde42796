/* SPDX-License-Identifier: Apache-2.0 */
#include "host/backends/file_storage.h"

#include <errno.h>
#include <linux/fiemap.h>
#include <linux/fs.h>
#include <stdbool.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/checked.h"
#include "host/backends/file_ranges.h"

/* The unit of st_blocks, whatever the file system's own is. */
#define STAT_BLOCK_LEN 512u
/* What memory file systems store a file's end in. */
#define PAGE_LEN 4096u
/* Extents that the kernel tells of in one call. */
#define EXTENT_MAX 64u

/* Raw: fstat of glibc is newfstatat, which takes a name, and so has no place in a jail. */
static bool status_get(int fd, struct stat *ret_status)
{
    return syscall(SYS_fstat, fd, ret_status) == 0;
}

static uint64_t status_stored_len(const struct stat *status)
{
    uint64_t len;
    return status->st_blocks > 0 && checked_multiply((uint64_t)status->st_blocks, STAT_BLOCK_LEN, &len) ? len : 0;
}

uint64_t file_stored_len(int fd)
{
    struct stat status;
    return status_get(fd, &status) ? status_stored_len(&status) : 0;
}

/* Files that are not touched by a write of ours share storage with others: that is found anew for what is written. */
static bool extent_is_own(const struct fiemap_extent *extent)
{
    return (extent->fe_flags & FIEMAP_EXTENT_SHARED) == 0;
}

/*
 * Sets *ret_len by the file system's own list, which has storage that was allocated and never written, too. False where
 * there is no such list.
 */
static bool listed_unstored_len(int fd, uint64_t off, uint64_t end, uint64_t *ret_len)
{
    union {
        struct fiemap map;
        uint8_t room[sizeof(struct fiemap) + EXTENT_MAX * sizeof(struct fiemap_extent)];
    } list;
    uint64_t unstored_len = 0;
    bool is_last = false;
    while (off < end && !is_last) { /* ends: each round goes on, or is the last one */
        list.map = (struct fiemap){.fm_start = off, .fm_length = end - off, .fm_extent_count = EXTENT_MAX};
        if (ioctl(fd, FS_IOC_FIEMAP, &list.map) != 0) {
            return false;
        }
        uint64_t first_off = off;
        for (uint32_t i = 0; i < min_u64(list.map.fm_mapped_extents, EXTENT_MAX); i++) {
            const struct fiemap_extent *extent = &list.map.fm_extents[i];
            uint64_t extent_off = min_u64(max_u64(extent->fe_logical, off), end);
            uint64_t extent_end = min_u64(extent->fe_logical + extent->fe_length, end);
            unstored_len += extent_off - off;
            off = extent_off;
            if (extent_end > off) {
                unstored_len += extent_is_own(extent) ? 0 : extent_end - off;
                off = extent_end;
            }
            is_last = is_last || (extent->fe_flags & FIEMAP_EXTENT_LAST) != 0;
        }
        is_last = is_last || off == first_off;
    }
    *ret_len = unstored_len + (end - off);
    return true;
}

/* By holes. What has storage without ever having been written looks like one: all holes together are no more than the
 * file has less of storage than of length. */
static uint64_t hole_len(int fd, uint64_t off, uint64_t end, const struct stat *status)
{
    uint64_t file_len = (uint64_t)status->st_size;
    uint64_t inside_end = max_u64(min_u64(end, file_len), off);
    uint64_t stored_len = status_stored_len(status);
    uint64_t whole_len = round_up(file_len, PAGE_LEN);
    uint64_t len = 0;
    uint64_t pos = off;
    while (pos < inside_end) { /* ends: no extent is empty */
        struct backend_extent extent;
        if (file_extent(fd, file_len, pos, &extent) != 0) {
            len += inside_end - pos;
            break;
        }
        uint64_t part_len = min_u64(extent.len, inside_end - pos);
        len += extent.kind == BACKEND_EXTENT_HOLE ? part_len : 0;
        pos += part_len;
    }
    return min_u64(len, whole_len - min_u64(whole_len, stored_len)) + (end - inside_end);
}

uint64_t file_unstored_len(int fd, uint64_t off, uint64_t len)
{
    uint64_t end;
    uint64_t unstored_len = 0;
    struct stat status;
    if (!checked_add(off, len, &end) || end > INT64_MAX) {
        return len;
    }
    if (listed_unstored_len(fd, off, end, &unstored_len)) {
        return unstored_len;
    }
    return status_get(fd, &status) ? hole_len(fd, off, end, &status) : len;
}
