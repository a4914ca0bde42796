/* SPDX-License-Identifier: Apache-2.0 */
/* Changes what an image is said to be, where it is: its version, its features, names in it, the length of its disk. */
#include "base/checked.h"
#include "guest/image/option_values.h"
#include "guest/image/write/target.h"
#include "guest/operations/job/image_job.h"
#include "guest/operations/job/progress_report.h"

/* What a change consists of is nothing that has a length: it is told in parts of this. */
#define PROGRESS_LEN (1ull << 40)
#define PROGRESS_UNIT (1ull << 20)

static void tell(void *context, uint64_t done, uint64_t total)
{
    struct progress *progress = context;
    uint64_t len = min_u64(done * PROGRESS_UNIT / total, PROGRESS_UNIT) * (PROGRESS_LEN / PROGRESS_UNIT);
    if (len > progress->done_len) {
        progress_add(progress, len - progress->done_len);
        (void)progress_report(progress);
    }
}

static bool names_take(const instar_AmendRequest *request, struct amend_plan *plan, struct error *error)
{
    plan->has_backing_name = request->has_backing_file;
    plan->has_data_name = request->has_data_file;
    return (target_name_set(&plan->backing_name, request->backing_file.bytes, request->backing_file.size) &&
            target_name_set(&plan->data_name, request->data_file.bytes, request->data_file.size)) ||
           error_set(error, ERROR_USAGE, NULL, "a name of a file is too long");
}

bool operation_amend(struct image_job *job, struct error *error)
{
    static struct amend_plan plan; /* large */
    static struct progress progress;
    const instar_AmendRequest *request = &job->message->operation.amend;
    const instar_FormatOption *size = options_find(request->options, request->options_count, "size");
    struct image *image;
    plan = (struct amend_plan){
        .options = request->options,
        .option_count = request->options_count,
        .changes_encryption = request->encryption,
        .force = request->force,
        .random = {job->message->identity.random, sizeof(job->message->identity.random)},
        .sync = request->sync,
        .tell = tell,
        .tell_context = &progress,
    };
    progress_init(&progress, PROGRESS_LEN, PROGRESS_UNIT, job->message->progress_percent);
    RETURN_IF_FAILED(names_take(request, &plan, error));
    RETURN_IF_FAILED(image_job_open_change(job, &image, error));
    if (image->format->amend == NULL) {
        return error_set(error, ERROR_UNSUPPORTED, NULL, "Format driver '%s' does not support option amendment",
                         image->format->name);
    }
    RETURN_IF_FAILED(size == NULL || option_size(size, &plan.virtual_len, error));
    RETURN_IF_FAILED(image_job_look_behind(job, image, plan.virtual_len, error));
    return image->format->amend(image, &plan, error);
}
