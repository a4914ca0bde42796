/* SPDX-License-Identifier: Apache-2.0 */
#include "host/cli/image/job/new_extents.h"

#include <string.h>

#include "base/checked.h"
#include "host/cli/image/job/first_job.h"

/* What the image says of itself. */
struct look {
    uint64_t virtual_len; /* bytes, as are: */
    uint64_t last_len;    /* what its last file has of the disk */
    uint32_t extent_count;
    char letter; /* in the names of its files; 0: they are not limited */
};

_Static_assert(sizeof(struct look) <= FIRST_JOB_RESULT_LEN_MAX, "a first job can say so much");

struct looking {
    struct command_job *job;
    struct look look;
    bool has_result;
    unsigned int depth; /* of objects and lists: within "extents" */
};

static char letter_of(const instar_DetailMessage *type)
{
    static const struct {
        const char *type;
        char letter;
    } types[] = {{"twoGbMaxExtentSparse", 's'}, {"twoGbMaxExtentFlat", 'f'}};
    for (size_t i = 0; i < ARRAY_COUNT(types); i++) {
        if (type->text.size == strlen(types[i].type) && memcmp(type->text.bytes, types[i].type, type->text.size) == 0) {
            return types[i].letter;
        }
    }
    return 0;
}

/* Each extent is an object in the list "extents", with its "virtual-size". */
static void detail_take(struct looking *looking, const instar_DetailMessage *detail)
{
    struct look *look = &looking->look;
    bool opens = detail->kind == instar_DetailKind_DETAIL_OBJECT || detail->kind == instar_DetailKind_DETAIL_LIST;
    if (looking->depth == 0) {
        looking->depth = detail->kind == instar_DetailKind_DETAIL_LIST && strcmp(detail->key, "extents") == 0 ? 1 : 0;
        look->letter = strcmp(detail->key, "create-type") == 0 ? letter_of(detail) : look->letter;
    } else if (opens) {
        looking->depth++;
        look->extent_count += looking->depth == 2 ? 1 : 0;
    } else if (detail->kind == instar_DetailKind_DETAIL_END) {
        looking->depth--;
    } else if (looking->depth == 2 && strcmp(detail->key, "virtual-size") == 0) {
        look->last_len = (uint64_t)detail->number;
    }
}

static bool message_take(void *context, const instar_GuestMessage *message, struct error *error)
{
    struct looking *looking = context;
    if (message->which_kind == instar_GuestMessage_detail_tag) {
        detail_take(looking, &message->kind.detail);
        return true;
    }
    if (message->which_kind != instar_GuestMessage_info_tag || looking->has_result) {
        return command_job_unexpected(message, error);
    }
    looking->has_result = true;
    looking->look.virtual_len = message->kind.info.virtual_size;
    return true;
}

/* In a process of its own. */
static int look_run(void *context)
{
    struct looking *looking = context;
    return first_job_look(looking->job, message_take, looking, &looking->look, sizeof(looking->look));
}

/* How long the disk is to be; 0: not longer, or what cannot be, which the job itself refuses. */
static uint64_t longer_len(const instar_ResizeRequest *request, uint64_t len)
{
    uint64_t new_len = request->size;
    if (request->relative && (request->change < 0 || !checked_add(len, (uint64_t)request->change, &new_len))) {
        return 0;
    }
    return new_len > len && new_len <= INT64_MAX ? new_len : 0;
}

/* The same as the guest does (vmdk_parts_resize.c): the last file becomes as long as one may be, others follow. */
static bool count_choose(struct command_job *job, const struct look *look, unsigned int file_count)
{
    const instar_ResizeRequest *request = &job->message.operation.resize;
    uint64_t len = longer_len(request, look->virtual_len);
    if (look->letter == 0 || look->last_len > look->virtual_len || len == 0) {
        return true;
    }
    uint64_t reach_len = look->virtual_len - look->last_len + max_u64(look->last_len, IMAGE_EXTENT_LEN);
    uint64_t rest_len = len - min_u64(len, reach_len);
    uint64_t count = divide_up(rest_len, IMAGE_EXTENT_LEN);
    if (count > 0 &&
        (look->extent_count > IMAGE_EXTENT_COUNT_MAX || count > IMAGE_EXTENT_COUNT_MAX - look->extent_count)) {
        return error_set(&job->error, ERROR_UNSUPPORTED, NULL, "an image in files of 2 GiB has %u of them at most",
                         IMAGE_EXTENT_COUNT_MAX);
    }
    job->new_extents =
        (struct image_new_extents){.count = (unsigned int)count, .first = file_count + 1, .letter = look->letter};
    return true;
}

bool new_extents_choose(struct command_job *job)
{
    static struct looking looking;
    struct look look;
    instar_ResizeRequest *request = &job->message.operation.resize;
    const struct image_name *name = &job->sources[0];
    bool is_vmdk = strcmp(name->format, "vmdk") == 0;
    unsigned int sparse_count = 0;
    unsigned int flat_count = 0;
    if ((request->relative && request->change < 0) || (!is_vmdk && name->format[0] != '\0')) {
        return true;
    }
    RETURN_IF_FAILED(image_extents_count(name->path, is_vmdk, 's', &sparse_count, &job->error) &&
                     image_extents_count(name->path, is_vmdk, 'f', &flat_count, &job->error));
    if (sparse_count == 0 && flat_count == 0) {
        return true;
    }
    looking.job = job;
    RETURN_IF_FAILED(first_job_run(look_run, &looking, job, &look, sizeof(look)) &&
                     count_choose(job, &look, look.letter == 's' ? sparse_count : flat_count));
    request->new_part_count = job->new_extents.count;
    request->new_part_first = job->new_extents.first;
    return true;
}
