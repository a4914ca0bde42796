/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The files that a user names: regular files and block devices, and pipes, whose content becomes a file first
 * (spool.h). What else could block or has no length (directories, sockets, character devices) is refused before it is
 * opened.
 */
#ifndef INSTAR_HOST_JOB_FILES_FILES_H
#define INSTAR_HOST_JOB_FILES_FILES_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/stat.h>
#include <sys/types.h>

#include "base/error.h"

/* Where bytes live: two names with the same identity name the same bytes. */
struct file_identity {
    bool is_block;
    dev_t device;
    ino_t inode; /* 0 for a block device: its node may have several inodes */
};

struct input_file {
    int fd;                 /* O_RDONLY */
    uint64_t len;           /* bytes */
    uint64_t allocated_len; /* bytes of storage */
    bool is_regular;
    struct file_identity identity;
    uid_t owner;
    int directory_fd; /* O_PATH: the one that the path names, where names in an image start */
};

/*
 * Opens `path` for reading. On failure *ret_input is left alone. `min_free_len` is what stays free where the content of
 * a pipe goes (job_limits).
 */
bool input_file_open(struct input_file *ret_input, const char *path, uint64_t min_free_len, struct error *error);
void input_file_close(struct input_file *input);

/* Whether `status` is that of a regular file or a block device; otherwise *error says what it is. */
bool file_type_check(const struct stat *status, const char *path, struct error *error);
/* The length of an open regular file or block device in bytes. */
bool file_len(int fd, const struct stat *status, const char *path, uint64_t *ret_len, struct error *error);
/* Bytes of storage that a file takes, as qemu-img has it: 0 for a block device. */
uint64_t file_allocated_len(const struct stat *status);
struct file_identity file_identity(const struct stat *status);
bool file_identity_equal(const struct file_identity *a, const struct file_identity *b);
/* Whether `fd` is a loop device, and of which file or device. */
bool file_identity_of_loop(int fd, struct file_identity *ret_identity);

/* ERROR_NO_SPACE or ERROR_IO, whichever an errno value of a file operation means. */
enum error_kind file_error_kind(int error_number);

#endif
