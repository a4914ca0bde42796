/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A backend is one way to reach the bytes of a device: a file through the page cache, past it, mapped,
 * through io_uring, or memory.
 *
 * A backend belongs to one device and is called by that device's I/O thread only, except for
 * backend_open and backend_close, which run while no such thread exists. It never looks at what the bytes
 * say. Offsets and lengths are bytes; the device has checked them: every operation lies within [0, len).
 *
 * An operation is started by backend_start. A backend either finishes it before it returns (regular,
 * direct, mmap, memory) or later: then the owner polls backend_event_fd and collects by backend_reap.
 * An operation and what it points to belong to the backend from start to finish.
 */
#ifndef INSTAR_HOST_BACKENDS_BACKEND_H
#define INSTAR_HOST_BACKENDS_BACKEND_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/uio.h>

#include "base/error.h"

/* The kernel's own bound on one preadv (IOV_MAX). */
#define BACKEND_IOV_MAX 1024u

/*
 * Operations in flight in one backend at most. Whoever starts them counts: one more is a bug of the
 * caller. Equals the number of descriptors in the longest virtqueue that a device offers.
 */
#define BACKEND_IN_FLIGHT_MAX 256u

enum backend_kind {
    BACKEND_REGULAR,
    BACKEND_DIRECT,
    BACKEND_MMAP,
    BACKEND_IO_URING,
    BACKEND_MEMORY,
};

enum backend_operation_kind {
    BACKEND_READ,         /* fill the vectors; bytes past the end of a file that shrank are EIO, not zeros */
    BACKEND_WRITE,        /* write the vectors */
    BACKEND_FLUSH,        /* all writes that finished before are on stable storage when it finishes */
    BACKEND_DISCARD,      /* the range may lose its content and its storage */
    BACKEND_WRITE_ZEROES, /* the range reads as zero; with may_unmap its storage may go */
};

struct backend_operation {
    enum backend_operation_kind kind;
    bool may_unmap;          /* WRITE_ZEROES only */
    uint64_t off;            /* bytes */
    uint64_t len;            /* bytes; for READ and WRITE the sum over the vectors; 0 for FLUSH */
    const struct iovec *iov; /* READ and WRITE; not modified, any alignment, no vector is empty */
    unsigned int iov_count;  /* 1 to BACKEND_IOV_MAX */
    int result;              /* set when finished: 0, or an errno value */
    void *owner;             /* the starter's own */
};

enum backend_extent_kind {
    BACKEND_EXTENT_DATA,
    BACKEND_EXTENT_HOLE,
};

struct backend_extent {
    uint64_t off;
    uint64_t len;
    enum backend_extent_kind kind;
};

struct backend;

struct backend_operations {
    const char *name; /* as on the command line and in statistics */
    /* Starts `operation`: returns true when it is finished already (result is set), false when it will be. */
    bool (*start)(struct backend *backend, struct backend_operation *operation);
    /* Gives started operations to the kernel; NULL when start leaves nothing to give. */
    void (*submit)(struct backend *backend);
    /*
     * Collects up to `max` finished operations and returns how many; with `wait`, waits for one when none is
     * finished and some are in flight. NULL when start always finishes.
     */
    unsigned int (*reap)(struct backend *backend, struct backend_operation **ret_finished, unsigned int max, bool wait);
    /*
     * Sets *ret_extent to the extent that starts at `off` (< len), cut at the backend's length. Returns 0 or an
     * errno value. A backend that cannot tell says that all is data.
     */
    int (*extent)(struct backend *backend, uint64_t off, struct backend_extent *ret_extent);
    /* Last words before release, on success only: memory writes its content to its file. 0 or an errno. May be NULL. */
    int (*finish)(struct backend *backend);
    /* Gives the file `len` bytes; nothing is in flight. Returns 0 or an errno. NULL: the length of data_fd is all. */
    int (*set_len)(struct backend *backend, uint64_t len);
    void (*release)(struct backend *backend);
};

/* The part that all backends share; each one's own struct begins with it. */
struct backend {
    const struct backend_operations *operations;
    int fd;               /* the file; the backend's own from open to close */
    uint64_t len;         /* bytes; of a writable backend backend_set_len changes it: other threads use backend_len */
    bool writable;        /* false: WRITE, DISCARD and WRITE_ZEROES are never started */
    int event_fd;         /* readable when reap may find something; -1 without asynchronous operations */
    int data_fd;          /* where the content is, for any thread to look at: `fd`, unless the kind has its own */
    int direct_fd;        /* the same past the page cache, or -1 */
    bool has_old_content; /* as in struct backend_config, until backend_set_len */
    uint64_t direct_len;  /* what offsets, lengths and addresses of direct_fd are multiples of */
    bool is_flushed;      /* as in struct backend_config */
    uint64_t written_len; /* bytes, of write_out, by any thread */
    bool copies_by_start; /* what backend_copy writes goes through start, which finishes at once, not to data_fd */
    /* Of backend_copy_prepare: */
    uint8_t *copy_buffer; /* NULL without it */
    uint64_t share_len;   /* what ranges that can be shared are multiples of; 0: none can */
};

struct backend_config {
    enum backend_kind kind;
    const char *path; /* for error messages only */
    int fd;       /* a regular file, a block device, or to write to a pipe; open takes it over, also when it fails */
    uint64_t len; /* bytes that the device shows; a writable regular file has this length already */
    bool writable;
    bool is_flushed;      /* a flush will follow what is written (host/backends/write_out.h) */
    bool has_old_content; /* it is shown as empty, and is not: setting a length, which comes first, takes that away */
    int written_fd_min;   /* descriptors of what the backend writes to, besides this file, have no number below */
};

/* Gives a descriptor the lowest number that is free from `fd_min` on. False, with errno, when it cannot; it is open. */
bool backend_fd_place(int *fd, int fd_min);

/* Opens a backend on a file; on failure fills *error and returns NULL. */
struct backend *backend_open(const struct backend_config *config, struct error *error);

/*
 * Ends a backend that has nothing in flight. `keep`: the job succeeded, what was written shall be in the file.
 * Closes the file in any case; returns 0 or an errno value. NULL is allowed.
 */
int backend_close(struct backend *backend, bool keep);

/* Gives a writable regular file another length; nothing is in flight. Returns 0 or an errno value. */
int backend_set_len(struct backend *backend, uint64_t len);

/* The length, for threads that are not the owner's. */
static inline uint64_t backend_len(const struct backend *backend)
{
    return __atomic_load_n(&backend->len, __ATOMIC_RELAXED);
}

/* Names for the command line, in the order of enum backend_kind. */
const char *backend_kind_name(enum backend_kind kind);
bool backend_kind_parse(const char *name, enum backend_kind *ret_kind);

static inline bool backend_start(struct backend *backend, struct backend_operation *operation)
{
    if (operation->kind == BACKEND_FLUSH && !backend->writable) {
        operation->result = 0; /* nothing was written, and the jail has no call for it */
        return true;
    }
    return backend->operations->start(backend, operation);
}

static inline void backend_submit(struct backend *backend)
{
    if (backend->operations->submit != NULL) {
        backend->operations->submit(backend);
    }
}

static inline unsigned int backend_reap(struct backend *backend, struct backend_operation **ret_finished,
                                        unsigned int max, bool wait)
{
    return backend->operations->reap != NULL ? backend->operations->reap(backend, ret_finished, max, wait) : 0;
}

static inline int backend_extent(struct backend *backend, uint64_t off, struct backend_extent *ret_extent)
{
    return backend->operations->extent(backend, off, ret_extent);
}

#endif
