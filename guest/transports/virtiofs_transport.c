/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Two files in a directory that another process shares (virtio-fs, abi/fuse.h). The output is made where there is none,
 * and begins as a hole of the input's length. A call becomes requests of request_len bytes, `depth` of them under way.
 */
#include <string.h>

#include "base/checked.h"
#include "guest/drivers/fuse_client.h"
#include "guest/transports/transport_kinds.h"

#define OUTPUT_MODE 0644u
/* The longest file that there is. */
#define FILE_LEN_MAX INT64_MAX

struct shared_file {
    const char *place; /* for errors */
    const char *name;
    bool is_there;
    uint64_t node;
    uint64_t len;
    uint64_t handle;
};

/* What a request moves. */
struct transfer {
    uint64_t off;
    uint8_t *data;
    uint32_t len;
};

struct virtiofs {
    struct transport transport; /* first */
    struct fuse_client client;
    struct shared_file input;
    struct shared_file output;
    uint32_t request_len;
    uint32_t count;
    struct fuse_request *requests;
    struct fuse_request **unused;
    struct transfer *transfers; /* one for each request */
};

static bool file_failed(const struct shared_file *file, const char *verb, int errno_value, struct error *error)
{
    bool is_full = errno_value == FUSE_ENOSPC || errno_value == FUSE_EDQUOT || errno_value == FUSE_EFBIG;
    return error_set(error, is_full ? ERROR_NO_SPACE : ERROR_IO, file->place, "cannot %s: %s (error %d of the server)",
                     verb, is_full ? "no space is left" : file->name, errno_value);
}

/* A call about a file: the server's errors are the user's. */
static bool ask(struct virtiofs *fs, const struct shared_file *file, const char *verb, const struct fuse_call *call,
                union fuse_answer *ret_answer, struct error *error)
{
    struct fuse_result result;
    RETURN_IF_FAILED(fuse_client_call(&fs->client, &fs->requests[0], call, &result, error));
    if (result.errno_value != 0) {
        return file_failed(file, verb, result.errno_value, error);
    }
    *ret_answer = result.answer;
    return true;
}

static bool entry_check(const struct shared_file *file, const struct fuse_entry_out *entry, struct error *error)
{
    if (entry->node == 0) {
        return file_failed(file, "find", FUSE_ENOENT, error);
    }
    if ((entry->attributes.mode & FUSE_MODE_TYPE) != FUSE_MODE_REGULAR) {
        return error_set(error, ERROR_USAGE, file->place, "%s is not a regular file", file->name);
    }
    return entry->attributes.len <= FILE_LEN_MAX ||
           error_set(error, ERROR_MALFORMED, file->place, "the server says that %s has %llu bytes", file->name,
                     (unsigned long long)entry->attributes.len);
}

static bool file_find(struct virtiofs *fs, struct shared_file *file, struct error *error)
{
    struct fuse_call call = {
        .opcode = FUSE_LOOKUP,
        .node = FUSE_ROOT_NODE,
        .name = file->name,
        .answer_len = sizeof(struct fuse_entry_out),
    };
    struct fuse_result result;
    RETURN_IF_FAILED(fuse_client_call(&fs->client, &fs->requests[0], &call, &result, error));
    if (result.errno_value == FUSE_ENOENT) {
        return true;
    }
    if (result.errno_value != 0) {
        return file_failed(file, "find", result.errno_value, error);
    }
    const struct fuse_entry_out *entry = &result.answer.entry;
    RETURN_IF_FAILED(entry_check(file, entry, error));
    file->is_there = true;
    file->node = entry->node;
    file->len = entry->attributes.len;
    return true;
}

static bool file_open(struct virtiofs *fs, struct shared_file *file, uint32_t flags, struct error *error)
{
    struct fuse_open_in open = {.flags = flags};
    struct fuse_call call = {
        .opcode = FUSE_OPEN,
        .node = file->node,
        .arguments = &open,
        .arguments_len = sizeof(open),
        .answer_len = sizeof(struct fuse_open_out),
    };
    union fuse_answer answer;
    RETURN_IF_FAILED(ask(fs, file, "open", &call, &answer, error));
    file->handle = answer.open.handle;
    return true;
}

static bool file_create(struct virtiofs *fs, struct shared_file *file, struct error *error)
{
    struct fuse_create_in create = {
        .flags = FUSE_OPEN_WRITE_ONLY | FUSE_OPEN_EXCLUSIVE,
        .mode = FUSE_MODE_REGULAR | OUTPUT_MODE,
    };
    struct fuse_call call = {
        .opcode = FUSE_CREATE,
        .node = FUSE_ROOT_NODE,
        .arguments = &create,
        .arguments_len = sizeof(create),
        .name = file->name,
        .answer_len = sizeof(struct fuse_create_out),
    };
    union fuse_answer answer;
    RETURN_IF_FAILED(ask(fs, file, "create", &call, &answer, error));
    RETURN_IF_FAILED(entry_check(file, &answer.create.entry, error));
    file->node = answer.create.entry.node;
    file->handle = answer.create.open.handle;
    return true;
}

static bool len_set(struct virtiofs *fs, const struct shared_file *file, uint64_t len, struct error *error)
{
    struct fuse_setattr_in attributes = {
        .valid = FUSE_SETATTR_LEN | FUSE_SETATTR_HANDLE,
        .handle = file->handle,
        .len = len,
    };
    struct fuse_call call = {
        .opcode = FUSE_SETATTR,
        .node = file->node,
        .arguments = &attributes,
        .arguments_len = sizeof(attributes),
        .answer_len = sizeof(struct fuse_attributes_out),
    };
    union fuse_answer ignored;
    return ask(fs, file, "set the length", &call, &ignored, error);
}

/* Nothing of what an output held before is left. */
static bool output_open(struct virtiofs *fs, struct error *error)
{
    struct shared_file *output = &fs->output;
    RETURN_IF_FAILED(file_find(fs, output, error));
    if (output->is_there && output->node == fs->input.node) {
        return error_set(error, ERROR_USAGE, output->place, "is the input");
    }
    if (output->is_there) {
        RETURN_IF_FAILED(file_open(fs, output, FUSE_OPEN_WRITE_ONLY, error));
        RETURN_IF_FAILED(len_set(fs, output, 0, error));
    } else {
        RETURN_IF_FAILED(file_create(fs, output, error));
    }
    return len_set(fs, output, fs->input.len, error);
}

static bool memory_get(struct virtiofs *fs, const struct transport_setup *setup, struct error *error)
{
    fs->count = setup->depth;
    fs->requests = arena_allocate(setup->arena, fs->count * sizeof(*fs->requests), _Alignof(struct fuse_request));
    fs->unused = arena_allocate(setup->arena, fs->count * sizeof(*fs->unused), sizeof(*fs->unused));
    fs->transfers = arena_allocate(setup->arena, fs->count * sizeof(*fs->transfers), _Alignof(struct transfer));
    return (fs->requests != NULL && fs->unused != NULL && fs->transfers != NULL) ||
           error_set(error, ERROR_LIMIT, NULL, "the machine has no memory for %u requests", fs->count);
}

static bool virtiofs_open(const struct transport_setup *setup, struct transport **ret_transport, struct error *error)
{
    struct virtiofs *fs = arena_allocate(setup->arena, sizeof(*fs), _Alignof(struct virtiofs));
    if (fs == NULL) {
        return error_set(error, ERROR_LIMIT, NULL, "the machine has no memory for a transport");
    }
    *fs = (struct virtiofs){
        .input = {.place = "input", .name = setup->input_name},
        .output = {.place = "output", .name = setup->output_name},
    };
    struct fuse_client_setup client = {
        .name = "virtiofs",
        .registers_gpa = LAYOUT_REGISTERS_DEVICE_GPA(0),
        .tsc_khz = setup->boot->tsc_khz,
        .rings = setup->queues,
        .arena = setup->arena,
    };
    RETURN_IF_FAILED(memory_get(fs, setup, error));
    RETURN_IF_FAILED(fuse_client_open(&fs->client, &client, error));
    fs->request_len = (uint32_t)min_u64(setup->request_len, fs->client.transfer_len);
    RETURN_IF_FAILED(file_find(fs, &fs->input, error));
    if (!fs->input.is_there) {
        return file_failed(&fs->input, "find", FUSE_ENOENT, error);
    }
    RETURN_IF_FAILED(file_open(fs, &fs->input, FUSE_OPEN_READ_ONLY, error));
    RETURN_IF_FAILED(output_open(fs, error));
    fs->transport = (struct transport){
        .operations = &virtiofs_transport,
        .input_len = fs->input.len,
        .is_output_zeroed = true,
    };
    *ret_transport = &fs->transport;
    return true;
}

static struct transfer *transfer_of(const struct virtiofs *fs, const struct fuse_request *request)
{
    return &fs->transfers[request - fs->requests];
}

static void transfer_submit(struct virtiofs *fs, struct fuse_request *request, struct transfer transfer, bool is_write)
{
    const struct shared_file *file = is_write ? &fs->output : &fs->input;
    struct fuse_transfer_in arguments = {.handle = file->handle, .off = transfer.off, .len = transfer.len};
    struct fuse_call call = {
        .opcode = is_write ? FUSE_WRITE : FUSE_READ,
        .node = file->node,
        .arguments = &arguments,
        .arguments_len = sizeof(arguments),
        .data = is_write ? transfer.data : NULL,
        .room = is_write ? NULL : transfer.data,
        .data_len = transfer.len,
        .answer_len = is_write ? sizeof(struct fuse_write_out) : 0,
    };
    *transfer_of(fs, request) = transfer;
    fuse_client_submit(&fs->client, request, &call);
}

/*
 * Looks at an answer. A server may write less than it was asked to, as write(2) does, and is asked for the rest, of
 * which there is less each time; *ret_is_done is false then. Less is read only at a file's end, before which we stay.
 */
static bool transfer_finish(struct virtiofs *fs, struct fuse_request *request, bool is_write, bool *ret_is_done,
                            struct error *error)
{
    const struct shared_file *file = is_write ? &fs->output : &fs->input;
    struct transfer rest = *transfer_of(fs, request);
    struct fuse_result result;
    RETURN_IF_FAILED(fuse_client_result(&fs->client, request, &result, error));
    if (result.errno_value != 0) {
        return file_failed(file, is_write ? "write" : "read", result.errno_value, error);
    }
    uint32_t done_len = is_write ? result.answer.write.len : result.data_len;
    *ret_is_done = done_len == rest.len;
    if (*ret_is_done) {
        return true;
    }
    if (!is_write || done_len == 0 || done_len > rest.len) {
        return error_set(error, ERROR_IO, file->place, "the server %s %u bytes instead of %u",
                         is_write ? "writes" : "reads", done_len, rest.len);
    }
    rest.off += done_len;
    rest.data += done_len;
    rest.len -= done_len;
    transfer_submit(fs, request, rest, is_write);
    return true;
}

/* Takes back what was answered. */
static bool reap(struct virtiofs *fs, bool is_write, uint32_t *unused_count, struct error *error)
{
    RETURN_IF_FAILED(fuse_client_wait(&fs->client, error));
    for (;;) { /* ends: only so many are in flight */
        struct fuse_request *request;
        RETURN_IF_FAILED(fuse_client_reap(&fs->client, &request, error));
        if (request == NULL) {
            return true;
        }
        bool is_done;
        RETURN_IF_FAILED(transfer_finish(fs, request, is_write, &is_done, error));
        if (is_done) {
            fs->unused[(*unused_count)++] = request;
        }
    }
}

static bool move(struct virtiofs *fs, uint64_t off, uint8_t *data, uint64_t len, bool is_write, struct error *error)
{
    uint32_t unused_count = fs->count;
    for (uint32_t i = 0; i < fs->count; i++) {
        fs->unused[i] = &fs->requests[i];
    }
    /* Ends: each round submits something or waits until something is answered. */
    for (uint64_t done_len = 0; done_len < len || unused_count < fs->count;) {
        while (done_len < len && unused_count > 0 && fuse_client_room(&fs->client) > 0) {
            struct transfer part = {off + done_len, data + done_len,
                                    (uint32_t)min_u64(len - done_len, fs->request_len)};
            transfer_submit(fs, fs->unused[--unused_count], part, is_write);
            done_len += part.len;
        }
        fuse_client_kick(&fs->client);
        RETURN_IF_FAILED(reap(fs, is_write, &unused_count, error));
    }
    return true;
}

static bool virtiofs_read(struct transport *transport, uint64_t off, void *data, uint64_t len, struct error *error)
{
    return move((struct virtiofs *)transport, off, data, len, false, error);
}

static bool virtiofs_write(struct transport *transport, uint64_t off, const void *data, uint64_t len,
                           struct error *error)
{
    return move((struct virtiofs *)transport, off, (uint8_t *)(uintptr_t)data, len, true, error);
}

static bool virtiofs_flush(struct transport *transport, struct error *error)
{
    struct virtiofs *fs = (struct virtiofs *)transport;
    struct fuse_fsync_in fsync = {.handle = fs->output.handle};
    struct fuse_call call = {
        .opcode = FUSE_FSYNC,
        .node = fs->output.node,
        .arguments = &fsync,
        .arguments_len = sizeof(fsync),
    };
    union fuse_answer ignored;
    return ask(fs, &fs->output, "flush", &call, &ignored, error);
}

static bool file_close(struct virtiofs *fs, const struct shared_file *file, struct error *error)
{
    struct fuse_close_in close = {.handle = file->handle};
    struct fuse_call call = {
        .opcode = FUSE_FLUSH,
        .node = file->node,
        .arguments = &close,
        .arguments_len = sizeof(close),
    };
    struct fuse_result result;
    /* What the server finds out only now, a full disk on a network for one. Servers need not have it. */
    RETURN_IF_FAILED(fuse_client_call(&fs->client, &fs->requests[0], &call, &result, error));
    if (result.errno_value != 0 && result.errno_value != FUSE_ENOSYS) {
        return file_failed(file, "close", result.errno_value, error);
    }
    call.opcode = FUSE_RELEASE;
    return fuse_client_call(&fs->client, &fs->requests[0], &call, &result, error);
}

static bool virtiofs_finish(struct transport *transport, struct error *error)
{
    struct virtiofs *fs = (struct virtiofs *)transport;
    return file_close(fs, &fs->output, error) && file_close(fs, &fs->input, error);
}

const struct transport_operations virtiofs_transport = {
    .name = "virtiofs",
    .id = TRANSPORT_VIRTIOFS,
    .open = virtiofs_open,
    .read = virtiofs_read,
    .write = virtiofs_write,
    .flush = virtiofs_flush,
    .finish = virtiofs_finish,
};
