/* SPDX-License-Identifier: Apache-2.0 */
#include "host/devices/write_budget.h"

#include <inttypes.h>
#include <sys/vfs.h>

#include "base/checked.h"

/* What is granted at once: others fill the file system meanwhile. */
#define GRANT_LEN (64ull << 20)
/* The part of a file system that is kept free, and the most that is: as much as systems need to go on working. */
#define MIN_FREE_PART 20u
#define MIN_FREE_LEN_MAX (1ull << 30)

void write_budget_init(struct write_budget *budget, uint64_t limit_len)
{
    *budget = (struct write_budget){.limit_len = limit_len};
    pthread_mutex_init(&budget->lock, NULL);
}

void write_budget_release(struct write_budget *budget)
{
    pthread_mutex_destroy(&budget->lock);
}

/* Numbers of a file system, which may be one of a server's: they need not make sense. */
static uint64_t blocks_len(uint64_t blocks, long block_len)
{
    uint64_t len;
    return block_len > 0 && checked_multiply(blocks, (uint64_t)block_len, &len) ? len : UINT64_MAX;
}

uint64_t write_room_min_free(int fd, uint64_t wanted_len)
{
    struct statfs status;
    if (wanted_len != UINT64_MAX) {
        return wanted_len;
    }
    return fstatfs(fd, &status) == 0
               ? min_u64(blocks_len(status.f_blocks, status.f_bsize) / MIN_FREE_PART, MIN_FREE_LEN_MAX)
               : 0;
}

static uint64_t limit_left(const struct write_budget *budget)
{
    return budget->limit_len != 0 ? budget->limit_len - budget->taken_len : UINT64_MAX;
}

/* Looks again. A file system that does not tell is no reason to stop: it says ENOSPC when it is full. */
static void room_look(struct write_room *room, uint64_t len)
{
    struct statfs status;
    if (fstatfs(room->fd, &status) != 0) {
        room->granted_len = UINT64_MAX;
        return;
    }
    uint64_t free_len = blocks_len(status.f_bavail, status.f_bsize);
    uint64_t beyond_len = free_len > room->min_free_len ? free_len - room->min_free_len : 0;
    room->granted_len = min_u64(beyond_len, max_u64(len, GRANT_LEN));
}

static uint64_t room_left(struct write_room *room, uint64_t len)
{
    if (room->fd == WRITE_ROOM_UNLIMITED || room->min_free_len == 0) {
        return UINT64_MAX;
    }
    if (room->granted_len < len) {
        room_look(room, len);
    }
    return room->granted_len;
}

static void refuse(const struct write_room *room, bool is_over_limit, struct error *error)
{
    if (is_over_limit) {
        error_fill(error, ERROR_LIMIT, NULL, "the job exceeded its limit of %" PRIu64 " bytes of output",
                   room->budget->limit_len);
    } else {
        /* The first words are those of ENOSPC, which programs look for. */
        error_fill(error, ERROR_LIMIT, NULL,
                   "No space left on device: less than %" PRIu64
                   " bytes would be free on the output's file system (--min-free)",
                   room->min_free_len);
    }
}

uint64_t write_room_take_some(struct write_room *room, uint64_t len, struct error *error)
{
    if (room->budget == NULL) {
        return len;
    }
    pthread_mutex_lock(&room->budget->lock);
    uint64_t limited_len = limit_left(room->budget);
    uint64_t free_len = room_left(room, min_u64(len, limited_len));
    uint64_t taken_len = min_u64(len, min_u64(limited_len, free_len));
    if (taken_len < len) {
        refuse(room, limited_len <= free_len, error);
    }
    room->budget->taken_len += taken_len;
    room->granted_len -= min_u64(room->granted_len, taken_len);
    pthread_mutex_unlock(&room->budget->lock);
    return taken_len;
}

void write_room_give_back(struct write_room *room, uint64_t len)
{
    if (room->budget != NULL) {
        pthread_mutex_lock(&room->budget->lock);
        room->budget->taken_len -= len;
        room->granted_len += min_u64(len, UINT64_MAX - room->granted_len);
        pthread_mutex_unlock(&room->budget->lock);
    }
}

bool write_room_take(struct write_room *room, uint64_t len, struct error *error)
{
    uint64_t taken_len = write_room_take_some(room, len, error);
    if (taken_len < len) {
        write_room_give_back(room, taken_len);
        return false;
    }
    return true;
}
