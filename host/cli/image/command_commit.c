/* SPDX-License-Identifier: Apache-2.0 */
/* `commit`: what an image has is written into one that is behind it. */
#include <getopt.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "host/cli/command.h"
#include "host/cli/image/job/command_job.h"
#include "host/cli/image/job/first_job.h"
#include "host/cli/image/names/image_path.h"
#include "host/cli/reach.h"
#include "host/cli/report.h"

enum {
    OPTION_BASE_DATA_FILE = IMAGE_OPTION_COMMAND_FIRST,
    OPTION_RECOMPRESS,
};

static const struct option commit_options[] = {
    {"base-data-file", required_argument, NULL, OPTION_BASE_DATA_FILE},
    {"recompress", no_argument, NULL, OPTION_RECOMPRESS},
    IMAGE_OPTIONS,
};

static const char commit_help[] = "Usage: instar commit [OPTION]... FILE\n"
                                  "Write what a disk image has into the one that is behind it, and empty it. The\n"
                                  "file that is written must be named: by -b, by --backing-file, or, where the\n"
                                  "configuration says [backing] commit = yes, by the image alone.\n"
                                  "\n"
                                  "Options:\n"
                                  "  -b BASE                  into this one of its chain; FILE stays as it is\n"
                                  "  --base-data-file FILE    the data file of the one that is written, if it has\n"
                                  "                           one\n"
                                  "  -d                       FILE stays as it is\n"
                                  "  -f FORMAT                FILE is of this format, instead of the one that it\n"
                                  "                           looks like\n"
                                  "  --recompress             write all that the base gets uncompressed, also what\n"
                                  "                           is compressed as the base would have it, instead of\n"
                                  "                           taking that as it is\n"
                                  "  -r RATE                  write no more than so many bytes per second\n"
                                  "  -t MODE                  none and directsync go past the page cache;\n"
                                  "                           directsync and writethrough end when the data is on\n"
                                  "                           stable storage\n"
                                  "  -p                       show progress\n"
                                  "  -q                       do not say that it is done\n"
                                  "  -h                       show this text\n";

struct commit {
    struct command_job job;
    const char *base; /* -b; NULL: the one right behind the image */
    const char *cache;
    char base_path[IMAGE_PATH_LEN_MAX + 1]; /* of the file that is written */
};

/*
 * What the image says of the one behind it. A process of its own finds it out, by a job that opens nothing but the
 * image: what was confined for that job could open nothing any more, and this process decodes nothing of a guest's.
 */
struct look {
    uint32_t has_backing;
    uint32_t name_len;
    uint8_t name[sizeof(((instar_InfoMessage *)NULL)->backing_file.bytes)];
};

_Static_assert(sizeof(struct look) <= FIRST_JOB_RESULT_LEN_MAX, "a first job can say so much");

/* The first job, and what it has found so far. */
struct looking {
    struct commit commit;
    struct look look;
    bool has_result;
};

static bool option_take(struct commit *commit, int code)
{
    struct command_job *job = &commit->job;
    switch (code) {
    case '?':
        return false;
    case 'b':
        commit->base = optarg;
        job->message.operation.commit.drop = true; /* as in qemu-img */
        return true;
    case OPTION_BASE_DATA_FILE:
        job->base_data_file = optarg;
        return optarg[0] != '\0' ||
               error_set(&job->error, ERROR_USAGE, "--base-data-file", "the name of the file is empty");
    case 'd':
        job->message.operation.commit.drop = true;
        return true;
    case OPTION_RECOMPRESS:
        job->message.operation.commit.recompress = true;
        return true;
    case 'r':
        return size_argument_parse("rate limit", optarg, &job->message.operation.commit.rate_limit, &job->error);
    case 't':
        commit->cache = optarg;
        return true;
    default:
        return image_options_take(&job->options, code, optarg, &job->error);
    }
}

static bool arguments_take(struct commit *commit, int argc, char **argv)
{
    struct command_job *job = &commit->job;
    int code;
    commit->cache = "writeback";
    job->message.which_operation = instar_ImageJob_commit_tag;
    job->writes_source = true;
    optind = 0; /* getopt starts anew: a first job takes them, too */
    while ((code = image_options_next(&job->options, argc, argv, ":f:ht:b:dpqr:", commit_options, &job->error)) != -1) {
        RETURN_IF_FAILED(option_take(commit, code));
    }
    return command_job_take_target_cache(job, commit->cache) && command_job_add_operand(job, argc, argv);
}

static bool not_in_chain(struct commit *commit)
{
    struct command_job *job = &commit->job;
    struct error error = {0};
    error_fill(&error, ERROR_USAGE, NULL, "Did not find '%.90s' in the backing chain of '%.90s'", commit->base,
               job->sources[0].text);
    job->error = error;
    job->result.is_opening = false;
    return false;
}

/* Where the file is that the user names: as the image would name it. */
static bool base_name(struct commit *commit)
{
    static struct image_path path;
    struct span name = {(const uint8_t *)commit->base, strlen(commit->base)};
    if (strncmp(commit->base, "file:", strlen("file:")) == 0) {
        name = (struct span){name.data + strlen("file:"), name.len - strlen("file:")};
    } else if (image_path_has_protocol(name)) {
        return not_in_chain(commit);
    }
    if (name.len == 0 || !image_path_beside(commit->job.sources[0].path, name, &path)) {
        return not_in_chain(commit);
    }
    memcpy(commit->base_path, path.bytes, path.len);
    commit->base_path[path.len] = '\0';
    return reach_access(commit->base_path, F_OK) || not_in_chain(commit);
}

/* The base is a node of the user's: the one right behind the image, or the one that -b names. */
static bool node_find(struct commit *commit)
{
    struct command_job *job = &commit->job;
    struct stat wanted;
    struct stat status;
    bool is_named = commit->base != NULL;
    const struct image_name *name = job->sources[0].backing;
    if (is_named && !reach_stat(commit->base_path, &wanted)) {
        return true; /* whoever opens it says so */
    }
    while (is_named && name != NULL &&
           (!reach_stat(name->path, &status) || status.st_dev != wanted.st_dev || status.st_ino != wanted.st_ino)) {
        name = name->backing;
    }
    if (name == NULL) {
        return true;
    }
    if (!is_named) {
        snprintf(commit->base_path, sizeof(commit->base_path), "%s", name->path);
    }
    job->base_name = name;
    return image_name_is_writable(name, &job->error);
}

static bool look_message_take(void *context, const instar_GuestMessage *message, struct error *error)
{
    struct looking *looking = context;
    struct look *look = &looking->look;
    const instar_InfoMessage *info = &message->kind.info;
    if (message->which_kind == instar_GuestMessage_detail_tag) {
        return true; /* nobody wants to know */
    }
    if (message->which_kind != instar_GuestMessage_info_tag || looking->has_result) {
        return command_job_unexpected(message, error);
    }
    looking->has_result = true;
    command_job_tell_guess(&looking->commit.job, info->format); /* of what would be written to */
    look->has_backing = info->has_backing_file;
    look->name_len = info->backing_file.size;
    memcpy(look->name, info->backing_file.bytes, info->backing_file.size);
    return true;
}

/* In a process of its own. */
static int look_run(void *context)
{
    struct looking *looking = context;
    return first_job_look(&looking->commit.job, look_message_take, looking, &looking->look, sizeof(looking->look));
}

/* Runs that and waits for it. False after an error that it has told. */
static bool look_wait(struct looking *looking, struct command_job *command, struct look *ret_look)
{
    return first_job_run(look_run, looking, command, ret_look, sizeof(*ret_look)) &&
           ret_look->name_len <= sizeof(ret_look->name);
}

/* How the image's name for the file behind it is understood. */
struct naming {
    struct policy_origin origin;
    struct span name;
    const struct policy *policy;
    unsigned int own_file_count; /* of the policy's files: those of the command line */
    bool may_be_written;         /* the configuration says so of what the policy lets it lead to */
};

/* The file that the image names is one that the command line names, too: --backing-file. */
static bool named_find(struct commit *commit, const struct naming *naming)
{
    for (unsigned int i = 0; i < naming->own_file_count; i++) {
        const struct policy_named *file = &naming->policy->files[i];
        struct error ignored = {0};
        if (policy_leads_to(&naming->origin, naming->name, file, &ignored)) {
            snprintf(commit->base_path, sizeof(commit->base_path), "%s", file->path);
            return true;
        }
    }
    return false;
}

/* Or the configuration lets the image choose, among those that it may read. */
static bool allowed_find(struct commit *commit, const struct naming *naming, struct error *error)
{
    static struct policy_file file; /* large */
    const char *path = naming->origin.path;
    if (!naming->may_be_written) {
        return error_set(error, ERROR_REFUSED, path,
                         "what is behind the image is written to when the user names it: by -b, --backing-file, or "
                         "commit = yes in [backing] of the configuration");
    }
    if (!policy_open(naming->policy, &naming->origin, naming->name, POLICY_BACKING, &file, NULL, error)) {
        error_add_place(error, path);
        return false;
    }
    close(file.fd);
    snprintf(commit->base_path, sizeof(commit->base_path), "%s", file.path);
    commit->job.has_base_identity = true;
    commit->job.base_identity = file_identity(&file.status);
    return true;
}

static bool base_choose(struct commit *commit, const struct naming *naming, struct error *error)
{
    struct naming held = *naming;
    struct stat status;
    RETURN_IF_FAILED(policy_directory_open(held.origin.path, &held.origin.directory, error));
    held.origin.owner = stat(held.origin.path, &status) == 0 ? status.st_uid : 0;
    bool success = named_find(commit, &held) || allowed_find(commit, &held, error);
    policy_directory_release(&held.origin.directory);
    return success;
}

/* For reach_do. */
struct choice {
    struct commit *commit;
    const struct naming *naming;
    struct error *error;
};

static bool choice_make(void *context)
{
    const struct choice *choice = context;
    return base_choose(choice->commit, choice->naming, choice->error);
}

/* Without -b: asks the image what is behind it. */
static bool base_find(struct commit *commit, int argc, char **argv)
{
    static struct looking looking; /* large */
    static struct look look;
    struct command_job *job = &looking.commit.job;
    struct error *error = &commit->job.error;
    command_job_init(job);
    RETURN_IF_FAILED(arguments_take(&looking.commit, argc, argv));
    /* The same arguments once more: what is secret is taken from them once. */
    job->options.object_count = 0;
    RETURN_IF_FAILED(look_wait(&looking, &commit->job, &look));
    if (look.has_backing == 0) {
        return error_set(error, ERROR_USAGE, NULL, "Image does not have a backing file");
    }
    struct machine_options *machine = &job->options.machine;
    struct naming naming = {
        .origin = {.path = job->sources[0].path},
        .name = {look.name, look.name_len},
        .policy = &machine->policy,
    };
    RETURN_IF_FAILED(machine_options_complete(machine, JOB_INSPECT, error));
    naming.own_file_count = machine->own_file_count;
    naming.may_be_written = machine->commits;
    struct choice choice = {commit, &naming, error};
    bool success = reach_do(choice_make, &choice, error);
    image_name_release(&job->sources[0]);
    machine_options_release(machine);
    return success;
}

static bool message_take(void *context, const instar_GuestMessage *message, struct error *error)
{
    (void)context;
    return command_job_unexpected(message, error);
}

static void commit_run(struct commit *commit)
{
    struct command_job *job = &commit->job;
    struct job *machine_job = &job->options.machine.job;
    job->base_path = commit->base_path;
    job->keeps_source = job->message.operation.commit.drop;
    machine_job->want_copies = true;
    machine_job->flushes_outputs = true;
    job->message.operation.commit.sync = machine_job->sync;
    if (command_job_run(job, JOB_CONVERT, message_take, NULL)) {
        command_job_show_progress(job, 100);
    } else if (commit->base != NULL &&
               (job->error.reason == ERROR_REASON_NOT_IN_CHAIN || job->error.reason == ERROR_REASON_DATA_IS_IMAGE)) {
        not_in_chain(commit);
    }
    command_job_end_progress(job);
    if (!error_is_set(&job->error) && !job->options.is_quiet) {
        console_print(&job->output, "Image committed.\n");
    }
}

int command_commit(int argc, char **argv)
{
    static struct commit commit; /* large */
    struct command_job *job = &commit.job;
    command_job_init(job);
    bool is_ready = arguments_take(&commit, argc, argv);
    if (!is_ready || command_job_explain(job, commit_help)) {
        return command_job_end(job, EXIT_OK, EXIT_ERROR);
    }
    bool has_node = job->sources[0].backing != NULL;
    is_ready = (commit.base == NULL || base_name(&commit)) && node_find(&commit);
    is_ready = is_ready && (commit.base != NULL || has_node || base_find(&commit, argc, argv));
    if (is_ready) {
        commit_run(&commit);
    }
    return command_job_end(job, is_ready ? EXIT_OK : EXIT_ERROR, EXIT_ERROR);
}
