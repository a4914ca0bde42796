/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A job of one of qemu-img's commands: options and names of images become a job and an ImageJob; it runs; errors are
 * printed in qemu-img's form, and become an exit code.
 *
 * A command calls these in the order in which they stand here, and command_job_end however far it came.
 */
#ifndef INSTAR_HOST_CLI_IMAGE_JOB_COMMAND_JOB_H
#define INSTAR_HOST_CLI_IMAGE_JOB_COMMAND_JOB_H

#include "host/cli/image/names/image_extents.h"
#include "host/cli/image/names/image_name.h"
#include "host/cli/image/names/image_options.h"
#include "host/cli/line_budget.h"
#include "host/cli/output_console.h"
#include "host/job/job.h"
#include "messages.pb.h"

/* Takes a message of the guest's results. False, with *error, when it is none that a sound guest would send. */
typedef bool (*command_job_handler)(void *context, const instar_GuestMessage *message, struct error *error);

/* Large: make it static. */
struct command_job {
    struct image_options options;
    instar_ImageJob message; /* the operation is the command's, the rest is done here */
    struct image_name sources[JOB_INPUT_MAX];
    unsigned int source_count;
    bool leaves_backing;    /* the source alone is told of: image_name_parse_alone */
    bool has_alike_sources; /* they are all files of one format, and as many as a machine has inputs */
    const struct image_name *behind[JOB_INPUT_MAX]; /* of the sources: what is to be behind them, and headers */
    unsigned int behind_count;
    unsigned int target_behind_count; /* the last of them are target_name's */
    struct console errors;            /* standard error */
    struct console output;            /* standard output, while the job runs */
    bool shows_progress;
    bool progress_waits;      /* 0% is for when the images are open, otherwise for the start */
    bool has_progress;        /* it has been shown */
    bool answers_progress;    /* SIGUSR1 asks for it, and ends nothing, whether or not it is shown */
    double percent;           /* how far it is */
    double shown_percent;     /* how far it was when that was shown last */
    double progress_step;     /* per cent that it has to be further to be shown again where that is no terminal */
    struct console *progress; /* where it is shown: standard output, unless the target is written there */
    bool progress_at_once;    /* that is a terminal */
    bool progress_is_new;     /* it is further than shown */
    const struct image_name *target_name; /* of one that is written into (convert -n); NULL: none is */
    const char *target_backing;   /* a file that the user lets the new image lead to, as sources may, too; NULL: none */
    const char *target_data_file; /* of an image that is changed, besides the sources; NULL: not given with its name */
    bool writes_source;           /* the first source is written, where it is (JOB_OUTPUT_IN_PLACE) */
    bool writes_directly;         /* then: past the page cache, whatever -T says */
    struct image_new_extents new_extents; /* then: files that it gets, if it consists of several */
    bool keeps_source;                    /* then: nothing of it changes, and its data file is only read (commit -d) */
    const char *base_path;                /* then: of a file behind it that is written, too; NULL: none is */
    const struct image_name *base_name;   /* the one of `behind` that this is; NULL: an image leads to it */
    const char *base_data_file;           /* then: the data file of that one, which is written; NULL: it is not named */
    bool has_base_identity;               /* then: it must be this file: */
    struct file_identity base_identity;
    bool is_object_wrong;            /* the error is about --object, and about no image */
    bool is_name_wrong;              /* the error is about the name of a source, which may be empty */
    bool is_guess_told;              /* that the image to write was found to be raw */
    bool has_second_guess;           /* qemu-img opens it twice, and tells that twice */
    uint32_t finding_count;          /* of what is wrong with an image */
    uint32_t findings_max;           /* lines of them that are printed */
    const char *subject;             /* errors begin with it: the name of what is made; NULL: none */
    char used_path[ERROR_PLACE_LEN]; /* of the image that somebody else uses, after an error for that; else empty */
    const char *failure_note;        /* a line after an error, once something is known to be the reason; NULL: none */
    command_job_handler handler;
    void *context;
    struct error failure; /* what is wrong with the guest's messages */
    struct line_budget warnings;
    struct job_result result;
    struct error error; /* the one that ends the command */
};

/* *job is zero, as what has static storage is: it is large, and clearing it once more took a twentieth of `info`. */
void command_job_init(struct command_job *job);

/* Adds an image to read. `format` is NULL where none was given. */
MUST_CHECK bool command_job_add_source(struct command_job *job, const char *text, const char *format);

/* The same for a file at `path`, whatever protocol that looks like. */
MUST_CHECK bool command_job_add_source_path(struct command_job *job, const char *path, const char *format);

/* Whether the names that a target's nodes have are no source's. An error without a place. */
bool command_job_names_are_apart(const struct command_job *job, const struct image_name *target, struct error *error);

/* Of the image that is written into, what is to be behind it, and its header. After all sources. */
MUST_CHECK bool command_job_add_target(struct command_job *job, const struct image_name *name);

/*
 * The first source is the only one, and of it only the header is wanted: true, if that is in a file of its own, which
 * is the source then.
 */
bool command_job_choose_header(struct command_job *job);

/* Images to read, sources and what is behind them: the machine's first devices. When all sources have been added. */
unsigned int command_job_input_count(const struct command_job *job);

/* The one with the number of a device: sources first. */
const struct image_name *command_job_input(const struct command_job *job, unsigned int device);

/*
 * After the options: the one image that is left of the arguments, with the format of -f. Nothing when help or the
 * version is wanted.
 */
MUST_CHECK bool command_job_add_operand(struct command_job *job, int argc, char *const argv[]);

/* The value of -t, where the first source is written: how, and whether all of it is on stable storage at the end. */
MUST_CHECK bool command_job_take_target_cache(struct command_job *job, const char *text);

/* Prints the help or the version if that is wanted. True then, and the command is over: see command_job_end. */
bool command_job_explain(struct command_job *job, const char *help);

/* The secrets of --object, if they were not taken before. command_job_run does it; who starts a process does it first.
 */
MUST_CHECK bool command_job_take_objects(struct command_job *job);

/*
 * Runs it, on one vCPU unless --vcpus was given or `options.machine.job.vcpu_count` set. `handler` gets messages as
 * they come, but for progress, formats and warnings, and of a job that changes an image, findings; job.result has the
 * devices meanwhile and afterwards.
 */
MUST_CHECK bool command_job_run(struct command_job *job, enum job_kind kind, command_job_handler handler,
                                void *context);

/* For a handler: a message that has no place in this command. False. */
bool command_job_unexpected(const instar_GuestMessage *message, struct error *error);

/* Prints what is wrong with an image. More than findings_max of them are an error where the guest was told that number.
 */
MUST_CHECK bool command_job_print_finding(struct command_job *job, const instar_FindingMessage *finding,
                                          struct error *error);

/*
 * As qemu-img: a raw image that is written to may turn into one of another format for whoever looks at it next. Tells
 * so of the first source, once, if it is of that format and nobody has said which one it is.
 */
void command_job_tell_guess(struct command_job *job, const char *format);

/* Percentage on standard output, if there is to be one. */
void command_job_show_progress(struct command_job *job, double percent);
/* After the last one. */
void command_job_end_progress(struct command_job *job);

/* Prints job.error if there is one, and frees everything. Returns `exit_code`, or `error_code` after an error. */
int command_job_end(struct command_job *job, int exit_code, int error_code);

#endif
