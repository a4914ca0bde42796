/* SPDX-License-Identifier: Apache-2.0 */
#include "host/job/outputs/output_in_place.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/magic.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/vfs.h>
#include <unistd.h>

#include "base/attributes.h"
#include "host/job/files/files.h"

/* A file that is mounted (a container's): its name cannot be given to another one. */
static bool is_mount_point(int handle)
{
    struct statx status;
    return statx(handle, "", AT_EMPTY_PATH, STATX_TYPE, &status) == 0 &&
           (status.stx_attributes & STATX_ATTR_MOUNT_ROOT) != 0;
}

/* There a lease is the server's to give, and is refused to who is alone, too. */
static bool is_of_server(int fd)
{
    static const unsigned long kinds[] = {NFS_SUPER_MAGIC, CIFS_SUPER_MAGIC, SMB2_SUPER_MAGIC, V9FS_MAGIC};
    struct statfs status;
    if (fstatfs(fd, &status) != 0) {
        return true;
    }
    for (size_t i = 0; i < ARRAY_COUNT(kinds); i++) {
        if ((unsigned long)status.f_type == kinds[i]) {
            return true;
        }
    }
    return false;
}

/*
 * Whether another process has the file open: then there is no lease to be had on it (fcntl(2), F_SETLEASE). Those who
 * only read are not seen where the kernel does not count them, nor anybody where there are no leases.
 */
static bool is_open_elsewhere(int fd)
{
    if (is_of_server(fd)) {
        return false;
    }
    struct sigaction ignored = {.sa_handler = SIG_IGN};
    struct sigaction before;
    /* Somebody who opens it just now would have us told by SIGIO, which ends a process. */
    if (sigaction(SIGIO, &ignored, &before) != 0) {
        return false;
    }
    bool is_refused = fcntl(fd, F_SETLEASE, F_WRLCK) != 0 && errno == EAGAIN;
    if (!is_refused) {
        (void)fcntl(fd, F_SETLEASE, F_UNLCK);
    }
    sigaction(SIGIO, &before, NULL);
    return is_refused;
}

/* Of a loop device that only reads, a lease does not tell everywhere. */
static bool is_loop_file(const struct dirent *entry, const struct file_identity *identity)
{
    char path[sizeof("/sys/block//loop/backing_file") + NAME_MAX];
    char file[PATH_MAX];
    struct stat status;
    snprintf(path, sizeof(path), "/sys/block/%s/loop/backing_file", entry->d_name);
    FILE *stream = fopen(path, "re");
    if (stream == NULL) {
        return false;
    }
    bool is_read = fgets(file, sizeof(file), stream) != NULL;
    fclose(stream);
    if (!is_read) {
        return false;
    }
    file[strcspn(file, "\n")] = '\0';
    if (stat(file, &status) != 0) {
        return false;
    }
    struct file_identity other = file_identity(&status);
    return file_identity_equal(&other, identity);
}

static bool has_loop_device(const struct stat *status)
{
    struct file_identity identity = file_identity(status);
    DIR *directory = opendir("/sys/block");
    bool is_found = false;
    const struct dirent *entry;
    while (directory != NULL && !is_found && (entry = readdir(directory)) != NULL) {
        is_found = strncmp(entry->d_name, "loop", 4) == 0 && is_loop_file(entry, &identity);
    }
    if (directory != NULL) {
        closedir(directory);
    }
    return is_found;
}

const char *output_in_place_reason(const struct file_place *place, int fd)
{
    if (file_place_is_descriptor(place)) {
        return "it is named by an open file";
    }
    if (place->status.st_nlink > 1) {
        return "it has other names (hard links)";
    }
    if (is_mount_point(place->handle)) {
        return "it is mounted where it is";
    }
    if (has_loop_device(&place->status)) {
        return "a loop device uses it";
    }
    return is_open_elsewhere(fd) ? "another process has it open" : NULL;
}
