/* SPDX-License-Identifier: Apache-2.0 */
#include "host/job/outputs/output_publish.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/fs.h>
#include <stdio.h>
#include <string.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <unistd.h>

#include "host/job/files/file_owner.h"

/* New names that are tried before giving up: with 32^6 of them, even one retry is rare. */
#define TEMPORARY_TRIES 16
#define TEMPORARY_RANDOM_LEN 6
/* What `.NAME.instar-XXXXXX` adds to NAME. */
#define TEMPORARY_EXTRA_LEN (sizeof("..instar-") - 1 + TEMPORARY_RANDOM_LEN)

static bool temporary_name_make(char ret_name[NAME_MAX + 1], const char *name)
{
    static const char digits[] = "abcdefghijklmnopqrstuvwxyz234567";
    char random[TEMPORARY_RANDOM_LEN];
    if (getrandom(random, sizeof(random), 0) != (ssize_t)sizeof(random)) {
        return false;
    }
    for (size_t i = 0; i < sizeof(random); i++) {
        random[i] = digits[random[i] & 31];
    }
    snprintf(ret_name, NAME_MAX + 1, ".%.*s.instar-%.*s", (int)(NAME_MAX - TEMPORARY_EXTRA_LEN), name,
             (int)sizeof(random), random);
    return true;
}

/* Gives an unnamed file a name. Returns 0 or an errno. */
static int name_link(struct output_file *output, const char *name)
{
    char self[64];
    snprintf(self, sizeof(self), "/proc/self/fd/%d", output->fd);
    return linkat(AT_FDCWD, self, output->directory_fd, name, AT_SYMLINK_FOLLOW) == 0 ? 0 : errno;
}

/* Until it has the permissions of the old file, nobody else reads what replaces it. */
static mode_t creation_mode(const struct output_file *output)
{
    return output->replaces ? 0600 : 0666;
}

/* Creates the file under a name. Returns 0 or an errno. */
static int name_create(struct output_file *output, const char *name)
{
    int flags = O_RDWR | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC;
    output->fd = openat(output->directory_fd, name, flags, creation_mode(output));
    return output->fd >= 0 ? 0 : errno;
}

/* Gives the file a temporary name, by one of the two. Returns 0 or an errno. */
static int temporary_name_give(struct output_file *output, int (*give)(struct output_file *output, const char *name))
{
    int result = EEXIST;
    for (int i = 0; i < TEMPORARY_TRIES && result == EEXIST; i++) {
        char name[NAME_MAX + 1];
        if (!temporary_name_make(name, output->name)) {
            return errno;
        }
        result = give(output, name);
        if (result == 0) {
            memcpy(output->temporary_name, name, sizeof(name));
        }
    }
    return result;
}

int output_unseen_create(struct output_file *output, bool forbid_unnamed)
{
    int result = EOPNOTSUPP;
    /* Without /proc an unnamed file would get no name: linkat(2) has no other way that all may go. */
    if (!forbid_unnamed && access("/proc/self/fd", F_OK) == 0) {
        output->fd = openat(output->directory_fd, ".", O_TMPFILE | O_RDWR | O_CLOEXEC, creation_mode(output));
        result = output->fd >= 0 ? 0 : errno;
    }
    /* EISDIR and ENOENT: kernels and file systems that do not know O_TMPFILE. */
    if (result == EOPNOTSUPP || result == EISDIR || result == ENOENT || result == EINVAL) {
        result = temporary_name_give(output, name_create);
    }
    return result;
}

void output_unseen_drop(struct output_file *output)
{
    if (output->temporary_name[0] != '\0') {
        unlinkat(output->directory_fd, output->temporary_name, 0);
        output->temporary_name[0] = '\0';
    }
    if (output->fd >= 0) {
        close(output->fd);
        output->fd = -1;
    }
}

/*
 * Whether what `name` stands for may be removed. In a sticky directory that others may write to, that is what stood
 * under the output's name from the start, as that was looked at, what is ours, and what is the directory's owner's:
 * the kernel says so to others, but not to root. Returns 0 or an errno.
 */
static int name_check(const struct output_file *output, const char *name)
{
    struct stat directory;
    struct stat status;
    int fd = openat(output->directory_fd, name, O_PATH | O_NOFOLLOW | O_CLOEXEC);
    if (fd < 0) {
        return errno == ENOENT ? 0 : errno;
    }
    int result = fstat(fd, &status) == 0 && fstat(output->directory_fd, &directory) == 0 ? 0 : errno;
    close(fd);
    if (result != 0 || (directory.st_mode & S_ISVTX) == 0 || (directory.st_mode & (S_IWOTH | S_IWGRP)) == 0) {
        return result;
    }
    struct file_identity identity = file_identity(&status);
    bool is_known = output->has_old && file_identity_equal(&identity, &output->old_identity);
    return is_known || status.st_uid == geteuid() || file_owner_is_of_directory(&status, &directory) ? 0 : EPERM;
}

/* After the exchange: the temporary name is the old file's. */
static int old_remove(struct output_file *output)
{
    int directory = output->directory_fd;
    int result = name_check(output, output->temporary_name);
    if (result == 0 && unlinkat(directory, output->temporary_name, 0) != 0 && errno != ENOENT) {
        result = errno;
    }
    if (result != 0) {
        renameat2(directory, output->temporary_name, directory, output->name, RENAME_EXCHANGE);
        return result;
    }
    output->temporary_name[0] = '\0';
    return 0;
}

/* Where the file system cannot exchange. */
static int name_rename(struct output_file *output)
{
    int directory = output->directory_fd;
    int result = name_check(output, output->name);
    if (result == 0 && renameat(directory, output->temporary_name, directory, output->name) != 0) {
        result = errno;
    }
    if (result == 0) {
        output->temporary_name[0] = '\0';
    }
    return result;
}

/*
 * Puts the file with the temporary name under its own, over what stands there. Returns 0 or an errno.
 *
 * An exchange and not a rename, although both are atomic: ext4 and btrfs start writing the whole file back when
 * it is renamed over another one, which takes as long as the copy (0.4 s for 1 GiB). Being on the disk after a
 * power failure is the promise of `sync`, not of this step.
 */
static int name_replace(struct output_file *output)
{
    int directory = output->directory_fd;
    for (int i = 0; i < TEMPORARY_TRIES; i++) { /* somebody may make and remove the name as often */
        if (renameat2(directory, output->temporary_name, directory, output->name, RENAME_EXCHANGE) == 0) {
            return old_remove(output);
        }
        if (errno != ENOENT) {
            break;
        }
        /* Nothing stands there (any more). */
        if (renameat2(directory, output->temporary_name, directory, output->name, RENAME_NOREPLACE) == 0) {
            output->temporary_name[0] = '\0';
            return 0;
        }
        if (errno != EEXIST) {
            break;
        }
    }
    return name_rename(output);
}

int output_publish(struct output_file *output)
{
    if (output->temporary_name[0] == '\0') {
        int result = output->replaces ? EEXIST : name_link(output, output->name);
        if (result != EEXIST) {
            return result;
        }
        result = temporary_name_give(output, name_link);
        if (result != 0) {
            return result;
        }
    }
    return name_replace(output);
}

int output_publish_new(struct output_file *output)
{
    int directory = output->directory_fd;
    if (output->temporary_name[0] == '\0') {
        return name_link(output, output->name);
    }
    if (renameat2(directory, output->temporary_name, directory, output->name, RENAME_NOREPLACE) != 0) {
        return errno;
    }
    output->temporary_name[0] = '\0';
    return 0;
}

int output_withdraw(const struct output_file *output)
{
    return unlinkat(output->directory_fd, output->name, 0) == 0 || errno == ENOENT ? 0 : errno;
}

int output_directory_sync(const struct output_file *output)
{
    int fd = openat(output->directory_fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0) {
        return errno;
    }
    int result = fsync(fd) == 0 ? 0 : errno;
    close(fd);
    return result;
}
