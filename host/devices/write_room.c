/* SPDX-License-Identifier: Apache-2.0 */
#include "host/devices/write_room.h"

#include <inttypes.h>
#include <linux/fs.h>
#include <linux/magic.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/vfs.h>

#include "base/checked.h"
#include "host/backends/file_storage.h"

/* What is granted at once, at most: others fill the file system meanwhile. Near the bound, a part of what is left. */
#define GRANT_LEN (64ull << 20)
#define GRANT_PART 8u
/* The part of a file system that is kept free, and the most that is: as much as systems need to go on working. */
#define MIN_FREE_PART 20u
#define MIN_FREE_LEN_MAX (1ull << 30)
/* The unit of storage where the file system's does not make sense, and the largest that does. */
#define BLOCK_LEN_DEFAULT 4096u
#define BLOCK_LEN_MIN 512u
#define BLOCK_LEN_MAX (64ull << 20)
/*
 * What file systems store about a stretch of a file, which they may allocate as late as its content: entries of 12 to
 * 16 bytes in blocks that are half full at worst. Later it counts as used.
 */
#define STRETCH_LEN 32u
#define STRETCHES_LEN_MAX (64ull << 20)

/* Numbers of a file system, which may be one of a server's: they need not make sense. */
static uint64_t blocks_len(uint64_t blocks, const struct statfs *status)
{
    /* f_bsize is the best length of a transfer, and the unit where there is no other. */
    long unit_len = status->f_frsize > 0 ? status->f_frsize : status->f_bsize;
    uint64_t len;
    return unit_len > 0 && checked_multiply(blocks, (uint64_t)unit_len, &len) ? len : UINT64_MAX;
}

uint64_t write_room_min_free(int fd, uint64_t wanted_len)
{
    struct statfs status;
    if (wanted_len != UINT64_MAX) {
        return wanted_len;
    }
    return fstatfs(fd, &status) == 0 ? min_u64(blocks_len(status.f_blocks, &status) / MIN_FREE_PART, MIN_FREE_LEN_MAX)
                                     : 0;
}

void write_disks_release(struct write_disk *disks)
{
    while (disks != NULL) {
        struct write_disk *next = disks->next;
        free(disks);
        disks = next;
    }
}

struct write_room write_room_of_budget(struct write_budget *budget)
{
    return (struct write_room){.budget = budget, .fd = -1, .content_fd = -1, .block_len = BLOCK_LEN_DEFAULT};
}

/* A file may be given storage in larger units than others, on XFS. */
static uint64_t block_len_of(int fd, const struct statfs *status)
{
    struct fsxattr attributes = {0};
    uint64_t unit_len = (uint64_t)(status->f_frsize > 0 ? status->f_frsize : status->f_bsize);
    if (ioctl(fd, FS_IOC_FSGETXATTR, &attributes) == 0 && (attributes.fsx_xflags & FS_XFLAG_EXTSIZE) != 0) {
        unit_len = max_u64(unit_len, attributes.fsx_extsize);
    }
    return is_power_of_two(unit_len) && unit_len >= BLOCK_LEN_MIN && unit_len <= BLOCK_LEN_MAX ? unit_len
                                                                                               : BLOCK_LEN_DEFAULT;
}

static struct write_disk *disk_find(const struct write_budget *budget, dev_t number)
{
    struct write_disk *disk = budget->disks;
    while (disk != NULL && disk->number != number) {
        disk = disk->next;
    }
    return disk;
}

static struct write_disk *disk_add(struct write_budget *budget, dev_t number, const struct statfs *status,
                                   uint64_t min_free_len)
{
    struct write_disk *disk = malloc(sizeof(*disk));
    if (disk != NULL) {
        *disk = (struct write_disk){
            .next = budget->disks,
            .number = number,
            .min_free_len = min_free_len,
            .counts_late = status->f_type == BTRFS_SUPER_MAGIC,
            .first_free_len = blocks_len(status->f_bavail, status),
        };
        budget->disks = disk;
    }
    return disk;
}

bool write_room_of_file(struct write_room *ret_room, struct write_budget *budget, int fd, uint64_t min_free_len,
                        struct error *error)
{
    struct write_room room = write_room_of_budget(budget);
    struct stat status;
    struct statfs system;
    uint64_t kept_len = write_room_min_free(fd, min_free_len);
    room.fd = room.content_fd = fd;
    /* One that does not tell is no reason to stop: it says ENOSPC when it is full. */
    if (kept_len > 0 && fstat(fd, &status) == 0 && fstatfs(fd, &system) == 0) {
        room.disk = disk_find(budget, status.st_dev);
        if (room.disk == NULL && (room.disk = disk_add(budget, status.st_dev, &system, kept_len)) == NULL) {
            return error_set(error, ERROR_HOST, NULL, "out of memory");
        }
        room.block_len = block_len_of(fd, &system);
        room.first_stored_len = file_stored_len(fd);
    }
    *ret_room = room;
    return true;
}

/* What the job itself has stored where that is not told of yet. */
static uint64_t free_len_counted(struct write_room *room)
{
    struct write_disk *disk = room->disk;
    uint64_t stored_len = file_stored_len(room->fd);
    uint64_t grown_len = stored_len - min_u64(stored_len, room->first_stored_len);
    disk->grown_len = disk->grown_len - room->grown_len + grown_len;
    room->grown_len = grown_len;
    return disk->first_free_len - min_u64(disk->first_free_len, disk->grown_len);
}

/* What may be stored beyond what has been taken. */
static uint64_t len_left(struct write_room *room)
{
    struct statfs status;
    const struct write_disk *disk = room->disk;
    if (fstatfs(room->fd, &status) != 0) {
        return UINT64_MAX;
    }
    uint64_t left_len = blocks_len(status.f_bavail, &status);
    if (disk->counts_late) {
        left_len = min_u64(left_len, free_len_counted(room));
    }
    const uint64_t parts[] = {
        disk->min_free_len,
        disk->pending_len,
        min_u64(disk->scattered_count * STRETCH_LEN, STRETCHES_LEN_MAX),
        room->content_fd != room->fd ? file_stored_len(room->content_fd) : 0,
    };
    for (unsigned int i = 0; i < sizeof(parts) / sizeof(parts[0]); i++) {
        left_len -= min_u64(left_len, parts[i]);
    }
    return left_len;
}

/* What a write stores at most: all blocks that it touches. The range is within a file's, and so are the blocks. */
static uint64_t blocks_touched_len(const struct write_room *room, uint64_t off, uint64_t len)
{
    return len > 0 ? round_up(off + len, room->block_len) - round_down(off, room->block_len) : 0;
}

/* And what it does store, as far as that can be told. */
static uint64_t blocks_missing_len(const struct write_room *room, uint64_t off, uint64_t len)
{
    uint64_t unstored_len = file_unstored_len(room->content_fd, off, len);
    if (unstored_len == 0) {
        return 0;
    }
    return min_u64(round_up(unstored_len, room->block_len) + room->block_len, blocks_touched_len(room, off, len));
}

/* Under the lock. */
static bool storage_take(struct write_room *room, uint64_t off, uint64_t len, uint64_t *ret_pending_len)
{
    struct write_disk *disk = room->disk;
    uint64_t wanted_len = blocks_touched_len(room, off, len);
    if (wanted_len > disk->granted_len) {
        uint64_t left_len = len_left(room);
        if (wanted_len > left_len) {
            wanted_len = blocks_missing_len(room, off, len);
        }
        disk->granted_len = min_u64(left_len, max_u64(wanted_len, min_u64(left_len / GRANT_PART, GRANT_LEN)));
        if (wanted_len > left_len) {
            return false;
        }
    }
    disk->granted_len -= wanted_len;
    disk->pending_len += wanted_len;
    disk->scattered_count += off != room->next_off ? 1 : 0;
    room->next_off = off + len;
    *ret_pending_len = wanted_len;
    return true;
}

bool write_room_take_storage(struct write_room *room, uint64_t off, uint64_t len, uint64_t *ret_pending_len)
{
    *ret_pending_len = 0;
    if (room->disk == NULL) {
        return true;
    }
    pthread_mutex_lock(&room->budget->lock);
    bool is_taken = storage_take(room, off, len, ret_pending_len);
    pthread_mutex_unlock(&room->budget->lock);
    return is_taken;
}

enum write_answer write_room_take(struct write_room *room, uint64_t off, uint64_t len, uint64_t *ret_pending_len)
{
    *ret_pending_len = 0;
    if (room->budget == NULL) {
        return WRITE_GRANTED;
    }
    uint64_t taken_len = write_budget_take_some(room->budget, len);
    bool is_within_limit = taken_len == len;
    if (is_within_limit && write_room_take_storage(room, off, len, ret_pending_len)) {
        return WRITE_GRANTED;
    }
    write_budget_give_back(room->budget, taken_len);
    return is_within_limit ? WRITE_NO_ROOM : WRITE_OVER_LIMIT;
}

void write_room_stored(struct write_room *room, uint64_t pending_len)
{
    if (room->disk != NULL && pending_len > 0) {
        pthread_mutex_lock(&room->budget->lock);
        room->disk->pending_len -= pending_len;
        pthread_mutex_unlock(&room->budget->lock);
    }
}

void write_room_refuse(const struct write_room *room, enum write_answer answer, struct error *error)
{
    if (answer == WRITE_OVER_LIMIT) {
        error_fill(error, ERROR_LIMIT, NULL, "the job exceeded its limit of %" PRIu64 " bytes of output",
                   room->budget->limit_len);
    } else {
        /* The first words are those of ENOSPC, which programs look for. */
        error_fill(error, ERROR_LIMIT, NULL,
                   "No space left on device: less than %" PRIu64
                   " bytes would be free on the output's file system (--min-free)",
                   room->disk->min_free_len);
    }
}
