/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The file mapped into memory, a few windows at a time: mapped pages count as the process's memory, which must
 * not grow with the file.
 *
 * A file that shrinks, a full disk or a failing one raise SIGBUS in the copy. Then the piece is done again by
 * a plain read or write, which tells the error. Behind the end of the file, but in its last page, there is no
 * SIGBUS: reads would find zeros and writes get lost. So the file's length is looked at after each copy.
 *
 * On tmpfs, reading a hole through a mapping stores zeros there; inputs are better read another way.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "base/checked.h"
#include "host/backends/file_ranges.h"
#include "host/backends/guarded_copy.h"
#include "host/backends/kinds.h"

/* At most 16 MiB of a file count as memory. More than one window, as tables and data lie apart. */
#define WINDOW_LEN (4ull * 1024u * 1024u)
#define WINDOW_COUNT 4u

struct window {
    uint8_t *start; /* NULL: none */
    size_t len;
    uint64_t off; /* a multiple of WINDOW_LEN */
    uint64_t last_use;
};

struct mapped {
    struct backend backend;
    uint64_t use_count;
    struct window windows[WINDOW_COUNT];
};

static void unmap_window(struct window *window)
{
    if (window->start != NULL) {
        munmap(window->start, window->len);
        window->start = NULL;
    }
}

/* Maps the window at `off`. Returns 0 or an errno value. */
static int map_window(struct mapped *mapped, struct window *window, uint64_t off)
{
    unmap_window(window);
    size_t len = (size_t)min_u64(WINDOW_LEN, mapped->backend.len - off);
    int protection = mapped->backend.writable ? PROT_READ | PROT_WRITE : PROT_READ;
    void *start = mmap(NULL, len, protection, MAP_SHARED, mapped->backend.fd, (off_t)off);
    if (start == MAP_FAILED) {
        return errno;
    }
    if (!mapped->backend.writable) {
        /* Inputs are mostly read from front to back. A hint, so its failure is none. */
        madvise(start, len, MADV_SEQUENTIAL);
    }
    window->start = start;
    window->len = len;
    window->off = off;
    return 0;
}

/* Finds the window that holds the byte at `off`, or maps it in place of the one unused for longest. */
static int find_window(struct mapped *mapped, uint64_t off, struct window **ret_window)
{
    struct window *oldest = &mapped->windows[0];
    mapped->use_count++;
    for (unsigned int i = 0; i < WINDOW_COUNT; i++) {
        struct window *window = &mapped->windows[i];
        if (window->start != NULL && off - window->off < window->len) {
            window->last_use = mapped->use_count;
            *ret_window = window;
            return 0;
        }
        if (window->start == NULL || (oldest->start != NULL && window->last_use < oldest->last_use)) {
            oldest = window;
        }
    }
    int result = map_window(mapped, oldest, round_down(off, WINDOW_LEN));
    if (result == 0) {
        oldest->last_use = mapped->use_count;
        *ret_window = oldest;
    }
    return result;
}

static void release(struct backend *backend)
{
    struct mapped *mapped = (struct mapped *)backend;
    for (unsigned int i = 0; i < WINDOW_COUNT; i++) {
        unmap_window(&mapped->windows[i]);
    }
    free(mapped);
}

struct backend *mmap_open(const struct backend_config *config, struct error *error)
{
    struct mapped *mapped = backend_allocate(sizeof(*mapped), &mmap_operations, config, error);
    if (mapped == NULL) {
        return NULL;
    }
    int result = guarded_copy_install();
    if (result == 0 && config->len > 0) {
        /* A file that cannot be mapped is known now, not in the middle of the job. */
        struct window *first;
        result = find_window(mapped, 0, &first);
    }
    if (result != 0) {
        error_fill(error, ERROR_IO, config->path, "cannot map: %s", strerror(result));
        release(&mapped->backend);
        return NULL;
    }
    return &mapped->backend;
}

/* Moves the beginning of `memory`, as much as lies in one window; *ret_len says how much that is. */
static int copy_piece(struct mapped *mapped, bool is_write, struct iovec memory, uint64_t off, size_t *ret_len)
{
    struct window *window;
    int result = find_window(mapped, off, &window);
    if (result != 0) {
        return result;
    }
    struct iovec piece = {memory.iov_base, (size_t)min_u64(memory.iov_len, window->off + window->len - off)};
    uint8_t *bytes = window->start + (off - window->off);
    if (!guarded_copy(is_write ? bytes : piece.iov_base, is_write ? piece.iov_base : bytes, piece.iov_len,
                      window->start, window->len)) {
        result =
            is_write ? file_write(mapped->backend.fd, &piece, 1, off) : file_read(mapped->backend.fd, &piece, 1, off);
    }
    *ret_len = piece.iov_len;
    return result;
}

static int copy_all(struct mapped *mapped, const struct backend_operation *operation)
{
    uint64_t off = operation->off;
    for (unsigned int i = 0; i < operation->iov_count; i++) {
        struct iovec rest = operation->iov[i];
        while (rest.iov_len > 0) {
            size_t len = 0;
            int result = copy_piece(mapped, operation->kind == BACKEND_WRITE, rest, off, &len);
            if (result != 0) {
                return result;
            }
            rest = (struct iovec){(uint8_t *)rest.iov_base + len, rest.iov_len - len};
            off += len;
        }
    }
    return 0;
}

static int transfer(struct mapped *mapped, const struct backend_operation *operation)
{
    int result = copy_all(mapped, operation);
    uint64_t end = 0;
    if (result == 0) {
        result = file_end(mapped->backend.fd, &end);
    }
    if (result == 0 && end < operation->off + operation->len) {
        result = file_run(mapped->backend.fd, operation);
    }
    return result;
}

/* FLUSH needs no msync: on Linux, fdatasync writes back what was written through any shared mapping. */
static bool start(struct backend *backend, struct backend_operation *operation)
{
    if (operation->kind == BACKEND_READ || operation->kind == BACKEND_WRITE) {
        operation->result = transfer((struct mapped *)backend, operation);
    } else {
        operation->result = file_run(backend->fd, operation);
    }
    return true;
}

static int extent(struct backend *backend, uint64_t off, struct backend_extent *ret_extent)
{
    return file_extent(backend->fd, backend->len, off, ret_extent);
}

/* Windows end where the file did. */
static int set_len(struct backend *backend, uint64_t len)
{
    struct mapped *mapped = (struct mapped *)backend;
    for (unsigned int i = 0; i < WINDOW_COUNT; i++) {
        unmap_window(&mapped->windows[i]);
    }
    return file_set_len(backend->fd, len);
}

const struct backend_operations mmap_operations = {
    .name = "mmap",
    .start = start,
    .extent = extent,
    .set_len = set_len,
    .release = release,
};
