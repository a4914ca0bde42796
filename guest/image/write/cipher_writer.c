/* SPDX-License-Identifier: Apache-2.0 */
#include "guest/image/write/cipher_writer.h"

#include <string.h>

#include "base/checked.h"
#include "guest/runtime/platform.h"
#include "guest/runtime/workers.h"

#define BUFFER_COUNT 6u
/* What one task encrypts. */
#define TASK_LEN 65536u
#define TASK_COUNT (CIPHER_WRITE_LEN_MAX / TASK_LEN)

_Static_assert(TASK_LEN % DATA_CIPHER_UNIT_LEN_MAX == 0, "a task is whole units");
_Static_assert(TASK_COUNT < WORKERS_TASK_MAX, "all tasks can be handed out");

struct cipher_task {
    struct worker_task task;
    const struct data_cipher *cipher;
    uint64_t cipher_off;
    const uint8_t *source; /* NULL: zeros */
    uint8_t *target;
    size_t len;
};

struct cipher_buffer {
    struct io_request request;
    struct io_request *user; /* NULL: free */
    uint8_t *bytes;
};

struct cipher_writer {
    struct io *io;
    const struct data_cipher *cipher;
    struct cipher_buffer buffers[BUFFER_COUNT];
    struct cipher_task tasks[TASK_COUNT];
};

bool cipher_writer_make(struct arena *arena, struct io *io, const struct data_cipher *cipher,
                        struct cipher_writer **ret_writer, struct error *error)
{
    struct cipher_writer *writer = arena_allocate(arena, sizeof(*writer), _Alignof(struct cipher_writer));
    uint8_t *bytes = arena_allocate(arena, (uint64_t)BUFFER_COUNT * CIPHER_WRITE_LEN_MAX, 4096);
    if (writer == NULL || bytes == NULL) {
        return error_set(error, ERROR_LIMIT, NULL, "no memory is left to encrypt");
    }
    writer->io = io;
    writer->cipher = cipher;
    for (uint32_t i = 0; i < BUFFER_COUNT; i++) {
        writer->buffers[i].bytes = bytes + (size_t)i * CIPHER_WRITE_LEN_MAX;
    }
    *ret_writer = writer;
    return true;
}

static void write_done(struct io_request *request, const struct error *error)
{
    struct cipher_buffer *buffer = request->owner;
    struct io_request *user = buffer->user;
    buffer->user = NULL;
    user->done(user, error);
}

static bool buffer_take(struct cipher_writer *writer, struct cipher_buffer **ret_buffer, struct error *error)
{
    for (;;) { /* ends: writes are done at some time */
        for (uint32_t i = 0; i < BUFFER_COUNT; i++) {
            if (writer->buffers[i].user == NULL) {
                *ret_buffer = &writer->buffers[i];
                return true;
            }
        }
        RETURN_IF_FAILED(io_wait(writer->io, error));
    }
}

static void run_task(struct worker_task *task, uint32_t vcpu)
{
    const struct cipher_task *work = (const struct cipher_task *)task;
    const uint8_t *source = work->source;
    (void)vcpu;
    if (source == NULL) {
        memset(work->target, 0, work->len);
        source = work->target;
    }
    work->cipher->encrypt(work->cipher, work->cipher_off, source, work->target, work->len);
}

/* Returns when all of it is encrypted. What the devices do meanwhile goes on. */
static void encrypt(struct cipher_writer *writer, uint64_t cipher_off, const uint8_t *data, uint8_t *target,
                    uint64_t len)
{
    uint32_t count = 0;
    for (uint64_t off = 0; off < len; off += TASK_LEN) {
        struct cipher_task *work = &writer->tasks[count++];
        *work = (struct cipher_task){
            .task = {.run = run_task},
            .cipher = writer->cipher,
            .cipher_off = cipher_off + off,
            .source = data != NULL ? data + off : NULL,
            .target = target + off,
            .len = (size_t)min_u64(len - off, TASK_LEN),
        };
        workers_submit(&work->task);
    }
    for (uint32_t i = 0; i < count; i++) {
        while (!worker_task_is_done(&writer->tasks[i].task)) { /* ends: tasks wait for nothing */
            if (!workers_help()) {
                platform_relax();
            }
        }
    }
}

bool cipher_write(struct cipher_writer *writer, struct io_request *request, struct file *file, uint64_t off,
                  uint64_t cipher_off, const void *data, uint64_t len, struct error *error)
{
    struct cipher_buffer *buffer;
    RETURN_IF_FAILED(buffer_take(writer, &buffer, error));
    buffer->user = request;
    buffer->request = (struct io_request){.done = write_done, .owner = buffer};
    encrypt(writer, cipher_off, data, buffer->bytes, len);
    io_write(writer->io, &buffer->request, file, off, buffer->bytes, len);
    return true;
}
