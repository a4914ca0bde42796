/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Asynchronous transfers through io_uring: the I/O thread goes on while the kernel works.
 *
 * Each operation in flight has a slot, which is what the kernel hands back. A transfer that falls short goes to
 * the kernel again for its rest.
 *
 * Operations on a ring pass by the jail's list of system calls. So the ring is restricted, for good, before its first
 * one: to READV, WRITEV, FSYNC and FALLOCATE on its one registered file, and to UNREGISTER_FILES at the end.
 */
#include <errno.h>
#include <liburing.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "host/backends/file_ranges.h"
#include "host/backends/kinds.h"
#include "host/backends/vectors.h"

/* Entries that wait for submit; start submits on its own when they are used up. */
#define SUBMISSION_COUNT 64u
/* The backend's file among the ring's registered ones. */
#define REGISTERED_FILE 0
/* Vectors of one repeated transfer: enough to get on with, few enough for every slot to have its own. */
#define REST_IOV_MAX 16u

struct slot {
    struct backend_operation *operation;
    uint64_t done_len;               /* bytes of a READ or WRITE that are done */
    struct iovec rest[REST_IOV_MAX]; /* what the kernel was last asked for, when done_len > 0 */
    struct slot *next_free;
};

struct uring {
    struct backend backend;
    struct io_uring ring;
    bool has_ring;
    unsigned int in_flight_count;
    struct slot *free_slots;
    struct slot slots[BACKEND_IN_FLIGHT_MAX];
};

static void release(struct backend *backend)
{
    struct uring *uring = (struct uring *)backend;
    if (uring->has_ring) {
        /* The kernel takes a ring down at its leisure. Without this the file would stay open, and locked, so long. */
        io_uring_unregister_files(&uring->ring);
        io_uring_queue_exit(&uring->ring);
    }
    if (backend->event_fd >= 0) {
        close(backend->event_fd);
    }
    free(uring);
}

/* The library has functions for the two, but Debian 12's liburing.so does not export them. */
static int register_raw(struct uring *uring, unsigned int opcode, const void *argument, unsigned int count)
{
    return syscall(SYS_io_uring_register, uring->ring.ring_fd, opcode, argument, count) == 0 ? 0 : errno;
}

/* Returns 0 or an errno value. */
static int restrict_ring(struct uring *uring)
{
    struct io_uring_restriction restrictions[] = {
        {.opcode = IORING_RESTRICTION_SQE_OP, .sqe_op = IORING_OP_READV},
        {.opcode = IORING_RESTRICTION_SQE_OP, .sqe_op = IORING_OP_WRITEV},
        {.opcode = IORING_RESTRICTION_SQE_OP, .sqe_op = IORING_OP_FSYNC},
        {.opcode = IORING_RESTRICTION_SQE_OP, .sqe_op = IORING_OP_FALLOCATE},
        {.opcode = IORING_RESTRICTION_SQE_FLAGS_REQUIRED, .sqe_flags = IOSQE_FIXED_FILE},
        {.opcode = IORING_RESTRICTION_SQE_FLAGS_ALLOWED, .sqe_flags = IOSQE_FIXED_FILE},
        {.opcode = IORING_RESTRICTION_REGISTER_OP, .register_op = IORING_UNREGISTER_FILES},
    };
    int result = register_raw(uring, IORING_REGISTER_RESTRICTIONS, restrictions, ARRAY_COUNT(restrictions));
    return result != 0 ? result : register_raw(uring, IORING_REGISTER_ENABLE_RINGS, NULL, 0);
}

/* Returns 0 or an errno value; sets *ret_what to the step that failed. */
static int open_ring(struct uring *uring, const char **ret_what)
{
    struct io_uring_params params = {
        .flags = IORING_SETUP_CQSIZE | IORING_SETUP_R_DISABLED,
        .cq_entries = BACKEND_IN_FLIGHT_MAX,
    };
    *ret_what = "io_uring is not available";
    int result = io_uring_queue_init_params(SUBMISSION_COUNT, &uring->ring, &params);
    if (result != 0) {
        return -result;
    }
    uring->has_ring = true;
    *ret_what = "cannot register the file with io_uring";
    result = io_uring_register_files(&uring->ring, &uring->backend.fd, 1);
    if (result != 0) {
        return -result;
    }
    *ret_what = "cannot create an eventfd for io_uring";
    uring->backend.event_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    if (uring->backend.event_fd < 0) {
        return errno;
    }
    result = io_uring_register_eventfd(&uring->ring, uring->backend.event_fd);
    if (result != 0) {
        return -result;
    }
    *ret_what = "cannot restrict io_uring";
    return restrict_ring(uring);
}

struct backend *io_uring_open(const struct backend_config *config, struct error *error)
{
    struct uring *uring = backend_allocate(sizeof(*uring), &io_uring_operations, config, error);
    if (uring == NULL) {
        return NULL;
    }
    for (unsigned int i = 0; i < BACKEND_IN_FLIGHT_MAX; i++) {
        uring->slots[i].next_free = uring->free_slots;
        uring->free_slots = &uring->slots[i];
    }
    const char *what;
    int result = open_ring(uring, &what);
    if (result != 0) {
        error_fill(error, ERROR_HOST, config->path, "%s: %s", what, strerror(result));
        release(&uring->backend);
        return NULL;
    }
    return &uring->backend;
}

static void submit(struct backend *backend)
{
    struct uring *uring = (struct uring *)backend;
    while (io_uring_sq_ready(&uring->ring) > 0) {
        int result = io_uring_submit(&uring->ring);
        if (result <= 0 && result != -EINTR) {
            /* The kernel is out of memory. What stays in the queue is tried again when the owner comes to reap. */
            eventfd_write(backend->event_fd, 1);
            return;
        }
    }
}

static void prepare_transfer(struct io_uring_sqe *sqe, struct slot *slot)
{
    const struct backend_operation *operation = slot->operation;
    const struct iovec *iov = operation->iov;
    unsigned int iov_count = operation->iov_count;
    if (slot->done_len > 0) {
        iov_count =
            vectors_part(iov, iov_count, slot->done_len, operation->len - slot->done_len, slot->rest, REST_IOV_MAX);
        iov = slot->rest;
    }
    if (operation->kind == BACKEND_READ) {
        io_uring_prep_readv(sqe, REGISTERED_FILE, iov, iov_count, operation->off + slot->done_len);
    } else {
        io_uring_prep_writev(sqe, REGISTERED_FILE, iov, iov_count, operation->off + slot->done_len);
    }
}

static void prepare(struct io_uring_sqe *sqe, struct slot *slot)
{
    const struct backend_operation *operation = slot->operation;
    int mode = FILE_MODE_PUNCH;
    switch (operation->kind) {
    case BACKEND_READ:
    case BACKEND_WRITE:
        prepare_transfer(sqe, slot);
        break;
    case BACKEND_FLUSH:
        io_uring_prep_fsync(sqe, REGISTERED_FILE, IORING_FSYNC_DATASYNC);
        break;
    case BACKEND_WRITE_ZEROES:
        mode = operation->may_unmap ? FILE_MODE_PUNCH : FILE_MODE_ZERO;
        /* fallthrough */
    case BACKEND_DISCARD:
        io_uring_prep_fallocate(sqe, REGISTERED_FILE, mode, (off_t)operation->off, (off_t)operation->len);
        break;
    }
    io_uring_sqe_set_flags(sqe, IOSQE_FIXED_FILE);
    io_uring_sqe_set_data(sqe, slot);
}

/* Queues what is left of the slot's operation. Returns 0 or an errno value. */
static int queue(struct uring *uring, struct slot *slot)
{
    struct io_uring_sqe *sqe = io_uring_get_sqe(&uring->ring);
    if (sqe == NULL) {
        submit(&uring->backend);
        sqe = io_uring_get_sqe(&uring->ring);
    }
    if (sqe == NULL) {
        return EAGAIN;
    }
    prepare(sqe, slot);
    return 0;
}

static void free_slot(struct uring *uring, struct slot *slot)
{
    slot->next_free = uring->free_slots;
    uring->free_slots = slot;
    uring->in_flight_count--;
}

static bool start(struct backend *backend, struct backend_operation *operation)
{
    struct uring *uring = (struct uring *)backend;
    struct slot *slot = uring->free_slots;
    if (slot == NULL) {
        operation->result = EBUSY;
        return true;
    }
    uring->free_slots = slot->next_free;
    uring->in_flight_count++;
    slot->operation = operation;
    slot->done_len = 0;
    operation->result = queue(uring, slot);
    if (operation->result != 0) {
        free_slot(uring, slot);
        return true;
    }
    return false;
}

/* Judges a transfer's completion: returns whether it is over, with the operation's result set. */
static bool finish_transfer(struct slot *slot, int moved)
{
    struct backend_operation *operation = slot->operation;
    if (moved <= 0) {
        operation->result = moved < 0 ? -moved : EIO;
        return true;
    }
    slot->done_len += (uint64_t)moved;
    operation->result = 0;
    return slot->done_len >= operation->len;
}

/* The same for any operation. */
static bool finish(struct uring *uring, struct slot *slot, int outcome)
{
    struct backend_operation *operation = slot->operation;
    if (outcome == -EINTR || outcome == -EAGAIN) {
        return false;
    }
    switch (operation->kind) {
    case BACKEND_READ:
    case BACKEND_WRITE:
        return finish_transfer(slot, outcome);
    case BACKEND_FLUSH:
        operation->result = -outcome;
        break;
    case BACKEND_DISCARD:
        operation->result = file_mode_is_unsupported(-outcome) ? 0 : -outcome;
        break;
    case BACKEND_WRITE_ZEROES:
        operation->result = -outcome;
        if (file_mode_is_unsupported(-outcome)) {
            operation->result =
                file_write_zeroes(uring->backend.fd, operation->off, operation->len, operation->may_unmap);
        }
        break;
    }
    return true;
}

/* Takes completions from the ring, sends unfinished operations back, and returns how many are finished. */
static unsigned int collect(struct uring *uring, struct backend_operation **ret_finished, unsigned int max)
{
    unsigned int finished_count = 0;
    struct io_uring_cqe *cqe;
    while (finished_count < max && io_uring_peek_cqe(&uring->ring, &cqe) == 0) {
        struct slot *slot = io_uring_cqe_get_data(cqe);
        bool is_finished = finish(uring, slot, cqe->res);
        io_uring_cqe_seen(&uring->ring, cqe);
        if (!is_finished) {
            slot->operation->result = queue(uring, slot);
            is_finished = slot->operation->result != 0;
        }
        if (is_finished) {
            ret_finished[finished_count++] = slot->operation;
            free_slot(uring, slot);
        }
    }
    submit(&uring->backend);
    return finished_count;
}

static unsigned int reap(struct backend *backend, struct backend_operation **ret_finished, unsigned int max, bool wait)
{
    struct uring *uring = (struct uring *)backend;
    eventfd_t count;
    /* Cleared before the completions are taken: one that comes later makes it readable again. */
    eventfd_read(backend->event_fd, &count);
    unsigned int finished_count = collect(uring, ret_finished, max);
    while (finished_count == 0 && wait && max > 0 && uring->in_flight_count > 0) {
        /* Submits again what could not be submitted before, or nothing would ever come. */
        io_uring_submit_and_wait(&uring->ring, 1);
        finished_count = collect(uring, ret_finished, max);
    }
    if (io_uring_cq_ready(&uring->ring) > 0) {
        eventfd_write(backend->event_fd, 1);
    }
    return finished_count;
}

static int extent(struct backend *backend, uint64_t off, struct backend_extent *ret_extent)
{
    return file_extent(backend->fd, backend->len, off, ret_extent);
}

const struct backend_operations io_uring_operations = {
    .name = "io-uring",
    .start = start,
    .submit = submit,
    .reap = reap,
    .extent = extent,
    .release = release,
};
