/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The configuration file, /etc/instar/instar.conf or that of --config: defaults for all jobs of a system, and the
 * directories that images may lead to. docs/configuration.md and man/instar.conf.5 describe it.
 */
#ifndef INSTAR_HOST_CLI_CONFIGURATION_H
#define INSTAR_HOST_CLI_CONFIGURATION_H

#include <stdbool.h>

#include "base/error.h"
#include "host/cli/backing_names.h"
#include "host/cli/limit_values.h"
#include "host/job/job.h"

#define CONFIGURATION_PATH "/etc/instar/instar.conf"

/* Jobs have different limits by what they are for. */
enum job_kind {
    JOB_INSPECT, /* reads an image to tell something about it */
    JOB_CONVERT, /* writes one */
    JOB_KIND_COUNT,
};

struct configuration {
    struct limit_values limits;                      /* [limits] */
    struct limit_values kind_limits[JOB_KIND_COUNT]; /* [limits.inspect], [limits.convert] */
    enum job_sandbox sandbox;
    bool has_user; /* [sandbox] run-as: */
    struct job_user user;
    bool allows_beside; /* images may lead to what is beside them */
    bool commits;       /* and what is right behind one may be written to by `commit`, where it may be read */
};

/*
 * Reads the file at `path`. The directories and files that it allows are added to `names`, which stay the caller's to
 * release, also on failure.
 *
 * One that the user named must be there, and may be a pipe: the caller reads it where that may wait. The default one
 * may be missing, but must be safe: a regular file, owned by root or this user, and writable by nobody else.
 */
bool configuration_read(const char *path, bool is_named, struct configuration *ret_configuration,
                        struct backing_names *names, struct error *error);

/* The limits of a job: what the command line says, then the file for this kind of job, for all, then our own. */
struct job_limits configuration_limits(const struct configuration *configuration, enum job_kind kind,
                                       const struct limit_values *command_line);

/* "no" or "beside". */
bool backing_parse(const char *text, const char *place, bool *ret_allows_beside, struct error *error);

/* "auto", "kvm" or "process". `place` is where it stands, for messages. */
bool sandbox_parse(const char *text, const char *place, enum job_sandbox *ret_sandbox, struct error *error);

#endif
