/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The FUSE protocol (linux/fuse.h, fuse(4)), version 7.31, as far as a client uses it that copies one file to another.
 * A request is a header, the arguments of its kind, and a name or data; an answer is a header and, when it is no error,
 * what its kind returns. Little-endian, as both ends are.
 */
#ifndef INSTAR_ABI_FUSE_H
#define INSTAR_ABI_FUSE_H

#include <stdint.h>

#define FUSE_MAJOR 7u
#define FUSE_MINOR 31u
/* From here on the answer to INIT has the length below. */
#define FUSE_MINOR_MIN 23u

#define FUSE_ROOT_NODE 1ull
#define FUSE_NAME_LEN_MAX 255u /* without the zero at its end */
#define FUSE_PAGE_LEN 4096u

enum fuse_opcode {
    FUSE_LOOKUP = 1,
    FUSE_SETATTR = 4,
    FUSE_OPEN = 14,
    FUSE_READ = 15,
    FUSE_WRITE = 16,
    FUSE_RELEASE = 18,
    FUSE_FSYNC = 20,
    FUSE_FLUSH = 25,
    FUSE_INIT = 26,
    FUSE_CREATE = 35,
};

struct fuse_in_header {
    uint32_t len; /* of the whole request */
    uint32_t opcode;
    uint64_t unique; /* comes back in the answer */
    uint64_t node;
    uint32_t uid;
    uint32_t gid;
    uint32_t pid;
    uint32_t extensions; /* 0 */
};

struct fuse_out_header {
    uint32_t len;  /* of the whole answer */
    int32_t error; /* 0, or an errno value, negative */
    uint64_t unique;
};

/* errno values of Linux, which is whose FUSE speaks. */
#define FUSE_ERRNO_MAX 4095
#define FUSE_ENOENT 2
#define FUSE_EFBIG 27
#define FUSE_ENOSPC 28
#define FUSE_ENOSYS 38
#define FUSE_EDQUOT 122

#define FUSE_INIT_ASYNC_READ (1u << 0)
#define FUSE_INIT_BIG_WRITES (1u << 5)
#define FUSE_INIT_MAX_PAGES (1u << 22)

struct fuse_init_in {
    uint32_t major;
    uint32_t minor;
    uint32_t max_readahead;
    uint32_t flags; /* FUSE_INIT_* */
};

struct fuse_init_out {
    uint32_t major;
    uint32_t minor;
    uint32_t max_readahead;
    uint32_t flags;
    uint16_t max_background;
    uint16_t congestion_threshold;
    uint32_t max_write; /* bytes */
    uint32_t time_granularity;
    uint16_t max_pages; /* of a request, with FUSE_INIT_MAX_PAGES */
    uint16_t map_alignment;
    uint32_t unused[8];
};

struct fuse_attributes {
    uint64_t inode;
    uint64_t len; /* bytes */
    uint64_t blocks;
    uint64_t times_s[3];
    uint32_t times_ns[3];
    uint32_t mode; /* as in stat(2) */
    uint32_t links;
    uint32_t uid;
    uint32_t gid;
    uint32_t device;
    uint32_t block_len;
    uint32_t flags;
};

#define FUSE_MODE_TYPE 0170000u
#define FUSE_MODE_REGULAR 0100000u

/* LOOKUP; the request is a name. */
struct fuse_entry_out {
    uint64_t node;
    uint64_t generation;
    uint64_t valid_s[2];
    uint32_t valid_ns[2];
    struct fuse_attributes attributes;
};

/* As in open(2). */
#define FUSE_OPEN_READ_ONLY 0u
#define FUSE_OPEN_WRITE_ONLY 1u
#define FUSE_OPEN_EXCLUSIVE 0200u

struct fuse_open_in {
    uint32_t flags;
    uint32_t open_flags;
};

struct fuse_open_out {
    uint64_t handle;
    uint32_t open_flags;
    uint32_t padding;
};

/* A name follows. */
struct fuse_create_in {
    uint32_t flags;
    uint32_t mode;
    uint32_t umask;
    uint32_t open_flags;
};

struct fuse_create_out {
    struct fuse_entry_out entry;
    struct fuse_open_out open;
};

/* READ, and WRITE, whose data follows. */
struct fuse_transfer_in {
    uint64_t handle;
    uint64_t off;
    uint32_t len;
    uint32_t transfer_flags;
    uint64_t lock_owner;
    uint32_t flags;
    uint32_t padding;
};

struct fuse_write_out {
    uint32_t len;
    uint32_t padding;
};

#define FUSE_SETATTR_LEN (1u << 3)
#define FUSE_SETATTR_HANDLE (1u << 6)

struct fuse_setattr_in {
    uint32_t valid; /* FUSE_SETATTR_*: what counts */
    uint32_t padding;
    uint64_t handle;
    uint64_t len;
    uint64_t lock_owner;
    uint64_t times_s[3];
    uint32_t times_ns[3];
    uint32_t mode;
    uint32_t unused;
    uint32_t uid;
    uint32_t gid;
    uint32_t unused2;
};

struct fuse_attributes_out {
    uint64_t valid_s;
    uint32_t valid_ns;
    uint32_t padding;
    struct fuse_attributes attributes;
};

/* FSYNC */
struct fuse_fsync_in {
    uint64_t handle;
    uint32_t flags;
    uint32_t padding;
};

/* FLUSH and RELEASE; what stands between differs, and is 0 here. */
struct fuse_close_in {
    uint64_t handle;
    uint64_t flags;
    uint64_t lock_owner;
};

_Static_assert(sizeof(struct fuse_in_header) == 40 && sizeof(struct fuse_out_header) == 16 &&
                   sizeof(struct fuse_init_in) == 16 && sizeof(struct fuse_init_out) == 64 &&
                   sizeof(struct fuse_attributes) == 88 && sizeof(struct fuse_entry_out) == 128 &&
                   sizeof(struct fuse_open_out) == 16 && sizeof(struct fuse_create_out) == 144 &&
                   sizeof(struct fuse_transfer_in) == 40 && sizeof(struct fuse_setattr_in) == 88 &&
                   sizeof(struct fuse_attributes_out) == 104 && sizeof(struct fuse_fsync_in) == 16 &&
                   sizeof(struct fuse_close_in) == 24,
               "no padding");

#endif
