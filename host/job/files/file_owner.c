/* SPDX-License-Identifier: Apache-2.0 */
#include "host/job/files/file_owner.h"

#include <inttypes.h>
#include <stdint.h>
#include <stdio.h>

/* DEFAULT_OVERFLOWUID of the kernel's include/linux/highuid.h, where /proc/sys does not say otherwise. */
#define OVERFLOW_USER 65534u

/* Whether each user is mapped, as in the first namespace: user_namespaces(7). Unknown is no. */
static bool all_are_mapped(void)
{
    FILE *map = fopen("/proc/self/uid_map", "re");
    uint64_t mapped_count = 0;
    uint32_t count;
    while (map != NULL && fscanf(map, "%*u %*u %" SCNu32, &count) == 1) { /* the kernel has 340 lines at most */
        mapped_count += count;
    }
    if (map != NULL) {
        fclose(map);
    }
    return mapped_count >= UINT32_MAX;
}

static uid_t overflow_user(void)
{
    FILE *file = fopen("/proc/sys/kernel/overflowuid", "re");
    uint32_t user = OVERFLOW_USER;
    if (file != NULL) {
        if (fscanf(file, "%" SCNu32, &user) != 1) {
            user = OVERFLOW_USER;
        }
        fclose(file);
    }
    return user;
}

bool file_owner_is_one(uid_t owner)
{
    static bool is_known;
    static bool is_ambiguous;
    static uid_t ambiguous;
    if (!is_known) {
        is_ambiguous = !all_are_mapped();
        ambiguous = is_ambiguous ? overflow_user() : 0;
        is_known = true;
    }
    return !is_ambiguous || owner != ambiguous;
}

bool file_owner_is_of_directory(const struct stat *file, const struct stat *directory)
{
    return file->st_uid == directory->st_uid &&
           (file_owner_is_one(file->st_uid) || (directory->st_mode & (S_IWOTH | S_IWGRP)) == 0);
}
