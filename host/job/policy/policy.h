/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The host's policy on files that images name: backing files, data files. The guest can only ask; the answer is
 * made of rules that the user gave, never of anything in an image. What is opened by them is read; what is written is
 * always a file that the user named, or part of one by its name.
 *
 * By default an image leads nowhere but to its parts: an image that is called NAME.vmdk may consist of files that are
 * called NAME-SOMETHING.vmdk, beside it, as VMware and qemu-img call them. They are as much the user's choice as the
 * image, so no rule closes that. policy.allows_beside lets it lead to what is beside it or below, with
 * restrictions; policy_allow to all regular files of a directory, policy_allow_file to one file (--backing,
 * --backing-dir, --backing-file, the configuration file).
 */
#ifndef INSTAR_HOST_JOB_POLICY_POLICY_H
#define INSTAR_HOST_JOB_POLICY_POLICY_H

#include <limits.h>
#include <stdbool.h>
#include <sys/stat.h>

#include "base/error.h"
#include "base/span.h"
#include "host/job/files/files.h"

/* More directories, and more files, than anybody lists by hand. */
#define POLICY_DIRECTORY_MAX 64u
#define POLICY_FILE_MAX 64u

/* A directory that is held: whatever is renamed or linked later, it stays the one that was meant. */
struct policy_directory {
    int fd;     /* O_PATH, close-on-exec */
    char *path; /* canonical, when it was opened: what names are compared with */
    /* As it was named, absolute and clean (policy_path.h), where links may be on the way: such names lead here, too.
     * NULL: they don't. */
    char *given;
};

/* A file that the user names, held. */
struct policy_named {
    int handle; /* O_PATH, close-on-exec, of a regular file */
    struct file_identity identity;
    char *path; /* absolute, as the user wrote it */
    struct policy_directory directory;
};

/* All zero allows nothing. */
struct policy {
    bool no_backing;    /* refuse all, whatever else is here */
    bool allows_beside; /* what is beside or below the image that names it */
    unsigned int directory_count;
    struct policy_directory directories[POLICY_DIRECTORY_MAX];
    unsigned int file_count;
    struct policy_named files[POLICY_FILE_MAX];
};

void policy_release(struct policy *policy);

/* Allows regular files in and below `path`, a directory, that are on its file system. */
bool policy_allow(struct policy *policy, const char *path, struct error *error);
/* Allows one regular file, which errors call `what`, as below. */
bool policy_allow_file(struct policy *policy, const char *path, const char *what, struct error *error);
/* Whether there is anything that an image could lead to. */
bool policy_allows_something(const struct policy *policy);

/*
 * Opens the directory in which names of the image at `image_path` start: as in QEMU the one that the path names,
 * also when its last component is a symbolic link to an image elsewhere. The image itself need not exist.
 */
bool policy_directory_open(const char *image_path, struct policy_directory *ret_directory, struct error *error);
/* The same of one that is open: `fd` is O_PATH, found by `image_path` (file_place.named_fd), and stays the caller's. */
bool policy_directory_hold(int fd, const char *image_path, struct policy_directory *ret_directory, struct error *error);
/* Of an all-zero directory, nothing. */
void policy_directory_release(struct policy_directory *directory);

/* A file that the user names, or with may_be_device also a block device. `what` is it called: "a backing file". */
bool policy_named_open(const char *path, const char *what, bool may_be_device, struct policy_named *ret_named,
                       struct error *error);
/* Of an all-zero one, nothing. */
void policy_named_release(struct policy_named *named);

/* What an image names a file for. */
enum policy_use {
    POLICY_BACKING, /* the image behind it */
    POLICY_DATA,    /* its data, in a file of its own */
    POLICY_PART,    /* one of several files that it consists of */
};

/* Where a name starts: the image that has it. */
struct policy_origin {
    struct policy_directory directory;
    uid_t owner;      /* of the image */
    const char *path; /* of the image, as the user or another image names it; outlives this. NULL: it has no parts */
};

/* Whether the image is called so that it may consist of several files. */
bool policy_origin_has_parts(const struct policy_origin *origin);

/* What policy_open found. */
struct policy_file {
    int fd;              /* close-on-exec, a regular file, open for reading; the caller's */
    char path[PATH_MAX]; /* a canonical directory, and the file's name in it */
    struct stat status;
};

/*
 * Opens the file that an image calls `name`: relative to its directory, or absolute. The name is untrusted: any bytes,
 * of any length. A refusal is ERROR_REFUSED, without a place, and tells why and which option would allow the file when
 * one would; a file in an allowed directory that cannot be opened is ERROR_IO. Nothing was opened then, and nothing
 * outside of what is allowed was looked at. Of what is beside the image, one error stands for files that are not there
 * and for those that are none of the image's business.
 *
 * *ret_directory is where names in the file start, for the caller to release; NULL: nobody wants to know.
 */
bool policy_open(const struct policy *policy, const struct policy_origin *origin, struct span name, enum policy_use use,
                 struct policy_file *ret_file, struct policy_directory *ret_directory, struct error *error);

/*
 * Whether what an image calls `name` is the file that the user named, which is to be written. Otherwise a refusal, as
 * above. NULL: the user named none.
 */
bool policy_leads_to(const struct policy_origin *origin, struct span name, const struct policy_named *named,
                     struct error *error);

/* Whether it is this file, which lies beside the image or below. For the words of a refusal; nothing else comes of it.
 */
bool policy_leads_to_file(const struct policy_origin *origin, struct span name, const struct file_identity *identity);

#endif
