/* SPDX-License-Identifier: Apache-2.0 */
#include "host/job/child/child_order.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "abi/layout.h"
#include "base/checked.h"
#include "base/text.h"
#include "host/job/transports.h"

/* The linker's: where the executable begins in memory, and where what never changes of it ends at the latest. */
extern const uint8_t __executable_start[];
extern const uint8_t end[];

static bool program_describe(struct child_order *order, const struct job *job)
{
    uintptr_t program = (uintptr_t)job->program.data;
    uintptr_t start = (uintptr_t)__executable_start;
    order->program_len = job->program.len;
    order->is_program_embedded =
        program >= start && range_is_within(program - start, job->program.len, (uintptr_t)end - start);
    /* At the file's end, without a program, there is no page. */
    uint64_t own_off = job->program.len > 0 ? round_up(order->len, LAYOUT_PAGE_LEN) : 0;
    order->program_off = order->is_program_embedded ? program - start : own_off;
    return order->is_program_embedded;
}

static void image_describe(struct child_order_image *order, const struct child_image *image)
{
    text_copy(order->path, sizeof(order->path), image->image->path);
    order->sector_len = image->image->sector_len;
    order->backend = image->image->backend;
    order->len = image->len;
    order->allocated_len = image->allocated_len;
    order->is_output = image->is_output;
    order->zeroed = image->zeroed;
    order->is_resizable = image->is_resizable;
    order->is_regular = image->is_regular;
    order->has_old_content = image->has_old_content;
}

/*
 * By default, what is made or filled leaves room on its file system. What is changed where it is may take the rest: who
 * deletes a snapshot or a bitmap there is about to make room.
 */
static uint64_t min_free_len(const struct job *job)
{
    uint64_t len = job->limits.min_free_len;
    return len == UINT64_MAX && job->may_fill_disk ? 0 : len;
}

static bool order_fill(struct child_order *order, const struct job *job, const struct child_ties *ties,
                       struct error *error)
{
    if (job->message.len > sizeof(order->message)) {
        return error_set(error, ERROR_HOST, NULL, "a job's message is longer than %zu bytes", sizeof(order->message));
    }
    order->magic = CHILD_ORDER_MAGIC;
    order->version = CHILD_ORDER_VERSION;
    order->len = (uint32_t)(offsetof(struct child_order, images) + ties->image_count * sizeof(order->images[0]));
    order->parent_pid = getpid();
    order->is_kvm = ties->engine == &kvm_engine;
    order->transport = (uint32_t)(transport_of(job) - transports);
    order->output_kind = job->output_kind;
    order->output_len = job->output_len;
    order->further_output_count = job->further_outputs.count;
    order->input_count = job->input_count;
    order->vcpu_count = job->vcpu_count;
    order->processor_level = job->processor_level;
    order->late_device_count = job->late_device_count;
    order->want_copies = job->want_copies;
    order->flushes_outputs = job->flushes_outputs;
    order->reads_in_vain = job->reads_in_vain;
    order->want_console = job->want_console;
    order->use_ioeventfd = job->use_ioeventfd;
    order->only_describes = job->only_describes;
    order->want_statistics = job->want_statistics;
    order->want_debug = job->want_debug;
    order->has_user = job->user.is_set;
    order->user_is_optional = job->user.is_optional;
    order->uid = job->user.uid;
    order->gid = job->user.gid;
    order->arena_len = job->arena_len;
    order->arena_len_min = job->arena_len_min;
    order->limits = job->limits;
    order->limits.min_free_len = min_free_len(job);
    order->message_len = (uint32_t)job->message.len;
    memcpy(order->message, job->message.data, job->message.len);
    text_copy(order->program_name, sizeof(order->program_name), job->program_name != NULL ? job->program_name : "");
    for (unsigned int i = 0; i < JOB_SOCKET_MAX; i++) {
        text_copy(order->sockets[i], sizeof(order->sockets[i]), job->sockets[i] != NULL ? job->sockets[i] : "");
    }
    order->has_grants = ties->grant_fd >= 0;
    order->has_listener = ties->listener_fd >= 0;
    order->has_network = ties->network_fd >= 0;
    order->output_fd_first = (uint32_t)ties->output_fd_first;
    order->input_fd_first = (uint32_t)ties->input_fd_first;
    order->image_count = ties->image_count;
    for (unsigned int i = 0; i < ties->image_count; i++) {
        image_describe(&order->images[i], &ties->images[i]);
    }
    return true;
}

static bool write_at(int fd, struct span content, uint64_t off)
{
    while (content.len > 0) { /* ends: each round writes at least one byte, or fails */
        ssize_t len = pwrite(fd, content.data, content.len, (off_t)off);
        if (len <= 0) {
            return false;
        }
        content.data += len;
        content.len -= (size_t)len;
        off += (uint64_t)len;
    }
    return true;
}

/* Where the message could be longer, the file has a hole: each of its pages costs as much as a dozen system calls. */
static bool order_write(int fd, const struct child_order *order)
{
    const uint8_t *bytes = (const uint8_t *)order;
    uint64_t rest_off = offsetof(struct child_order, message) + sizeof(order->message);
    return write_at(fd, (struct span){bytes, offsetof(struct child_order, message) + order->message_len}, 0) &&
           write_at(fd, (struct span){bytes + rest_off, order->len - rest_off}, rest_off);
}

bool child_order_make(const struct job *job, const struct child_ties *ties, int *ret_fd, struct error *error)
{
    struct child_order *order = calloc(1, sizeof(*order));
    if (order == NULL) {
        return error_set(error, ERROR_HOST, NULL, "out of memory");
    }
    if (!order_fill(order, job, ties, error)) {
        free(order);
        return false;
    }
    bool is_embedded = program_describe(order, job);
    int fd = memfd_create("instar-order", MFD_CLOEXEC | MFD_ALLOW_SEALING);
    bool is_written = fd >= 0 && order_write(fd, order) &&
                      (is_embedded || write_at(fd, job->program, order->program_off)) &&
                      fcntl(fd, F_ADD_SEALS, F_SEAL_WRITE | F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL) == 0;
    explicit_bzero(order->message, order->message_len);
    free(order);
    if (!is_written) {
        error_fill(error, ERROR_HOST, NULL, "cannot write the order of the machine's process: %s", strerror(errno));
        if (fd >= 0) {
            close(fd);
        }
        return false;
    }
    *ret_fd = fd;
    return true;
}

static bool malformed(struct error *error)
{
    return error_set(error, ERROR_HOST, NULL, "the order is not one of this program's");
}

static bool is_text(const char *text)
{
    return memchr(text, '\0', ERROR_PLACE_LEN) != NULL;
}

/* Whoever calls this program by the name of its child gives it what he likes. */
static bool order_check(const struct child_order *order, uint64_t file_len)
{
    if (file_len < offsetof(struct child_order, images) || order->magic != CHILD_ORDER_MAGIC ||
        order->version != CHILD_ORDER_VERSION || order->image_count > CHILD_IMAGE_MAX ||
        order->input_count > JOB_INPUT_MAX || order->message_len > sizeof(order->message) ||
        order->transport >= transport_count || order->late_device_count > JOB_LATE_DEVICE_MAX ||
        order->processor_level > JOB_PROCESSOR_LEVEL_MAX || order->vcpu_count > LAYOUT_VCPU_MAX ||
        order->len != offsetof(struct child_order, images) + order->image_count * sizeof(order->images[0]) ||
        order->len > file_len || order->input_fd_first < order->output_fd_first ||
        order->output_fd_first < CHILD_FD_END || order->input_fd_first > INT32_MAX / 2) {
        return false;
    }
    bool is_sound = is_text(order->program_name);
    for (unsigned int i = 0; i < JOB_SOCKET_MAX; i++) {
        is_sound = is_sound && is_text(order->sockets[i]);
    }
    for (unsigned int i = 0; i < order->image_count; i++) {
        const struct child_order_image *image = &order->images[i];
        is_sound = is_sound && is_text(image->path) && image->backend <= BACKEND_MEMORY;
    }
    bool has_output = order->output_kind != JOB_OUTPUT_NONE;
    is_sound = is_sound && order->further_output_count <= (has_output ? JOB_FURTHER_OUTPUT_MAX : 0) &&
               order->image_count == order->input_count + has_output + order->further_output_count &&
               order->image_count + order->late_device_count <= JOB_DEVICE_MAX;
    uint64_t whole_len = order->is_program_embedded ? (uintptr_t)end - (uintptr_t)__executable_start : file_len;
    return is_sound && range_is_within(order->program_off, order->program_len, whole_len);
}

static struct job job_of(const struct child_order *order)
{
    const uint8_t *whole = order->is_program_embedded ? __executable_start : (const uint8_t *)order;
    struct job job = {
        .program_name = order->program_name,
        .program = {whole + order->program_off, order->program_len},
        .input_count = order->input_count,
        .output_kind = order->output_kind,
        .output_len = order->output_len,
        .message = {order->message, order->message_len},
        .arena_len = order->arena_len,
        .arena_len_min = order->arena_len_min,
        .transport = &transports[order->transport],
        .want_copies = order->want_copies != 0,
        .flushes_outputs = order->flushes_outputs != 0,
        .reads_in_vain = order->reads_in_vain != 0,
        .want_console = order->want_console != 0,
        .use_ioeventfd = order->use_ioeventfd != 0,
        .vcpu_count = order->vcpu_count,
        .processor_level = order->processor_level,
        .limits = order->limits,
        .late_device_count = order->late_device_count,
        .only_describes = order->only_describes != 0,
        .want_statistics = order->want_statistics != 0,
        .want_debug = order->want_debug != 0,
        .user = {order->has_user != 0, order->user_is_optional != 0, order->uid, order->gid},
    };
    for (unsigned int i = 0; i < JOB_SOCKET_MAX; i++) {
        job.sockets[i] = order->sockets[i][0] != '\0' ? order->sockets[i] : NULL;
    }
    return job;
}

static void images_take(struct child_orders *orders, const struct child_order *order)
{
    struct job *job = &orders->job;
    job->further_outputs.list = orders->further_outputs;
    int next_fds[] = {[false] = (int)order->input_fd_first, [true] = (int)order->output_fd_first};
    for (unsigned int i = 0; i < order->image_count; i++) {
        const struct child_order_image *image = &order->images[i];
        bool is_output = image->is_output != 0;
        orders->job_images[i] = (struct job_image){image->path, image->sector_len, image->backend};
        orders->images[i] = (struct child_image){
            .image = &orders->job_images[i],
            .is_output = is_output,
            .fd = next_fds[is_output]++,
            .len = image->len,
            .allocated_len = image->allocated_len,
            .zeroed = image->zeroed != 0,
            .is_resizable = image->is_resizable != 0,
            .is_regular = image->is_regular != 0,
            .has_old_content = image->has_old_content != 0,
        };
        if (i < job->input_count) {
            job->inputs[i] = orders->job_images[i];
        } else if (i == job->input_count) {
            job->output = orders->job_images[i];
        } else {
            struct job_image *output = &orders->job_images[i];
            output->backend = job_outputs_backend(output, i - job->input_count);
            orders->further_outputs[job->further_outputs.count++] = (struct job_output){.image = *output};
        }
    }
}

bool child_order_take(struct child_orders *ret_orders, struct error *error)
{
    struct stat status;
    if (fstat(CHILD_FD_ORDER, &status) != 0 || status.st_size < (off_t)offsetof(struct child_order, images)) {
        return malformed(error);
    }
    const struct child_order *order = mmap(NULL, (size_t)status.st_size, PROT_READ, MAP_PRIVATE, CHILD_FD_ORDER, 0);
    if (order == MAP_FAILED) {
        return error_set(error, ERROR_HOST, NULL, "cannot read the order: %s", strerror(errno));
    }
    close(CHILD_FD_ORDER);
    if (!order_check(order, (uint64_t)status.st_size)) {
        return malformed(error);
    }
    if (getppid() != order->parent_pid) {
        return error_set(error, ERROR_HOST, NULL, "whose order this is has ended");
    }
    /* Of the lists, which are for thousands, only what is used: each page costs as much as a dozen system calls. */
    ret_orders->job = job_of(order);
    images_take(ret_orders, order);
    ret_orders->ties = (struct child_ties){
        .engine = order->is_kvm ? &kvm_engine : &process_engine,
        .images = ret_orders->images,
        .image_count = order->image_count,
        .event_fd = CHILD_FD_EVENTS,
        .grant_fd = order->has_grants ? CHILD_FD_GRANTS : -1,
        .listener_fd = order->has_listener ? CHILD_FD_LISTENER : -1,
        .network_fd = order->has_network ? CHILD_FD_NETWORK : -1,
        .output_fd_first = (int)order->output_fd_first,
        .input_fd_first = (int)order->input_fd_first,
    };
    return true;
}
