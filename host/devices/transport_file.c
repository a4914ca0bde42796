/* SPDX-License-Identifier: Apache-2.0 */
#include "host/devices/transport_file.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>

#include "base/checked.h"

/* Ends: what was started finishes, and nothing else is in flight. */
static int operation_execute(struct transport_file *file, struct backend_operation *operation)
{
    bool is_finished = backend_start(file->backend, operation);
    backend_submit(file->backend);
    while (!is_finished) {
        struct backend_operation *finished;
        is_finished = backend_reap(file->backend, &finished, 1, true) > 0;
    }
    return operation->result;
}

static void result_note(struct transport_file *file, int result, const char *verb, uint64_t off)
{
    if (result == 0) {
        return;
    }
    file->statistics.failures++;
    if (file->errno_value == 0) {
        file->errno_value = result;
        snprintf(file->what, sizeof(file->what), "%s at offset %" PRIu64, verb, off);
    }
}

static bool range_check(const struct transport_file *file, uint64_t off, uint64_t len, const char *verb,
                        struct error *error)
{
    if (len > 0 && range_is_within(off, len, file->backend->len)) {
        return true;
    }
    return error_set(error, ERROR_GUEST, file->name,
                     "the guest %s %" PRIu64 " bytes at offset %" PRIu64 " of a file of %" PRIu64, verb, len, off,
                     file->backend->len);
}

static int transfer(struct transport_file *file, enum backend_operation_kind kind, uint64_t off, void *host,
                    uint64_t len)
{
    struct iovec iov = {.iov_base = host, .iov_len = (size_t)len};
    struct backend_operation operation = {.kind = kind, .off = off, .len = len, .iov = &iov, .iov_count = 1};
    return operation_execute(file, &operation);
}

bool transport_file_read(struct transport_file *file, uint64_t off, void *host, uint64_t len, int *ret_errno,
                         struct error *error)
{
    RETURN_IF_FAILED(range_check(file, off, len, "reads", error));
    int result = transfer(file, BACKEND_READ, off, host, len);
    result_note(file, result, "read", off);
    file->statistics.reads++;
    file->statistics.bytes_read += result == 0 ? len : 0;
    *ret_errno = result;
    return true;
}

bool transport_file_write(struct transport_file *file, uint64_t off, const void *host, uint64_t len, int *ret_errno,
                          struct error *error)
{
    if (!file->backend->writable) {
        return error_set(error, ERROR_GUEST, file->name, "the guest writes to a file that is read-only");
    }
    RETURN_IF_FAILED(range_check(file, off, len, "writes", error));
    uint64_t room_len;
    enum write_answer answer = write_room_take(&file->room, off, len, &room_len);
    if (answer != WRITE_GRANTED) {
        write_room_refuse(&file->room, answer, error);
        return false;
    }
    int result = transfer(file, BACKEND_WRITE, off, (void *)(uintptr_t)host, len);
    write_room_stored(&file->room, room_len);
    result_note(file, result, "write", off);
    file->statistics.writes++;
    file->statistics.bytes_written += len;
    *ret_errno = result;
    return true;
}

int transport_file_flush(struct transport_file *file)
{
    struct backend_operation operation = {.kind = BACKEND_FLUSH};
    int result = operation_execute(file, &operation);
    file->statistics.flushes++;
    result_note(file, result, "flush", 0);
    return result;
}
