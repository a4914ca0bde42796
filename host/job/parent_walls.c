/* SPDX-License-Identifier: Apache-2.0 */
#include "host/job/parent_walls.h"

#include <time.h>

#include "host/jail/jail_landlock.h"
#include "host/jail/jail_privileges.h"

/* Each image's directory, the policy's directories and files, the outputs' directories. */
#define RULE_MAX (JOB_DEVICE_MAX + POLICY_DIRECTORY_MAX + 2 * POLICY_FILE_MAX + 4u)

struct rules {
    struct jail_landlock_rule list[RULE_MAX];
    unsigned int count;
};

/* What is not open, as the job has none, has the number 0 or less: that of standard input, which is no directory. */
static void rule_add(struct rules *rules, int fd, enum jail_landlock_use use)
{
    if (fd > 2) {
        rules->list[rules->count++] = (struct jail_landlock_rule){fd, use};
    }
}

static void readable_list(struct rules *rules, const struct job *job, const struct openings *openings)
{
    if (job->policy == NULL) {
        return;
    }
    for (unsigned int i = 0; i < openings->origin_count; i++) {
        const struct policy_origin *origin = &openings->origins[i];
        bool has_parts = job->late_device_count > 0 && policy_origin_has_parts(origin);
        if (origin->directory.path != NULL && (job->policy->allows_beside || has_parts)) {
            rule_add(rules, openings->origins[i].directory.fd, JAIL_LANDLOCK_READ_BELOW);
        }
    }
    for (unsigned int i = 0; i < job->policy->directory_count; i++) {
        rule_add(rules, job->policy->directories[i].fd, JAIL_LANDLOCK_READ_BELOW);
    }
    for (unsigned int i = 0; i < job->policy->file_count; i++) {
        rule_add(rules, job->policy->files[i].handle, JAIL_LANDLOCK_READ_FILE);
        if (job->policy->allows_beside) {
            rule_add(rules, job->policy->files[i].directory.fd, JAIL_LANDLOCK_READ_BELOW);
        }
    }
}

static void output_list(struct rules *rules, bool has_output, const struct output_file *output)
{
    if (has_output) {
        rule_add(rules, output->directory_fd, JAIL_LANDLOCK_CHANGE_BELOW);
    }
}

bool parent_walls_raise(const struct job *job, const struct openings *openings, struct error *error)
{
    tzset(); /* reads a file, for who prints dates later */
    RETURN_IF_FAILED(jail_privileges_keep_files(error));
    struct rules rules = {.count = 0};
    readable_list(&rules, job, openings);
    output_list(&rules, openings->images->has_output, &openings->images->output);
    output_list(&rules, openings->images->has_data_output, &openings->images->data_output);
    bool has_landlock;
    return jail_landlock_confine(rules.list, rules.count, &has_landlock, error);
}
