/* SPDX-License-Identifier: Apache-2.0 */
#include "host/job/parent/parent_walls.h"

#include <time.h>

#include "host/jail/jail_landlock.h"
#include "host/jail/jail_parent.h"
#include "host/jail/jail_privileges.h"

/* Each image's directory, also of outputs, the policy's directories and files. */
#define RULE_MAX (JOB_DEVICE_MAX + JOB_FURTHER_OUTPUT_MAX + POLICY_DIRECTORY_MAX + 2 * POLICY_FILE_MAX + 4u)

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

static void readable_list(struct rules *rules, const struct openings *openings)
{
    const struct job *job = openings->job;
    for (unsigned int i = 0; i < openings_origin_end(openings); i++) {
        const struct policy_origin *origin = &openings->origins[i];
        bool has_parts = policy_origin_has_parts(origin);
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

static bool rules_enter(const struct rules *rules, struct error *error)
{
    bool has_landlock;
    return jail_privileges_keep_files(error) && jail_landlock_confine(rules->list, rules->count, &has_landlock, error);
}

/* What outputs need: rules for their directories, which are added, and parts. */
static uint32_t outputs_list(struct rules *rules, const struct job_images *images)
{
    uint32_t parts = 0;
    const struct output_file *output;
    for (unsigned int i = 0; (output = job_images_output(images, i)) != NULL; i++) {
        rule_add(rules, output->directory_fd, JAIL_LANDLOCK_CHANGE_BELOW);
        parts |= JAIL_PARENT_OUTPUT | (output->is_new ? JAIL_PARENT_NEW_OUTPUT : 0);
    }
    return parts;
}

/* Of the process's only walls. Not on the stack, each page of which would be touched: it has room for thousands. */
static struct rules rules;

bool parent_walls_raise(const struct openings *openings, pid_t child, pid_t opener, struct error *error)
{
    rules.count = 0;
    tzset(); /* reads a file, for who prints dates later */
    uint32_t parts = outputs_list(&rules, openings->images);
    struct jail_parent_config config = {
        .role = JAIL_PARENT_RELAY,
        .parts = parts | (openings->job->late_device_count > 0 ? JAIL_PARENT_FILES : 0),
        .children = {child, opener},
    };
    return rules_enter(&rules, error) && jail_parent_confine(&config, error);
}

bool parent_walls_raise_opener(const struct openings *openings, struct error *error)
{
    rules.count = 0;
    readable_list(&rules, openings);
    struct jail_parent_config config = {.role = JAIL_PARENT_OPENER, .parts = JAIL_PARENT_FILES};
    return rules_enter(&rules, error) && jail_parent_confine(&config, error);
}
