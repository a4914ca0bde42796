/* SPDX-License-Identifier: Apache-2.0 */
#include "host/cli/backing_names.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/attributes.h"

bool backing_names_add(struct backing_names *names, bool is_file, const char *path, const char *place,
                       struct error *error)
{
    unsigned int count = is_file ? names->file_count : names->count - names->file_count;
    unsigned int most = is_file ? POLICY_FILE_MAX : POLICY_DIRECTORY_MAX;
    if (count == most) {
        return error_set(error, ERROR_USAGE, place != NULL ? place : path, "more than %u %s", most,
                         is_file ? "backing files" : "directories for backing files");
    }
    struct backing_name name = {
        .path = strdup(path), .place = place != NULL ? strdup(place) : NULL, .is_file = is_file};
    if (name.path == NULL || (place != NULL && name.place == NULL)) {
        free(name.path);
        free(name.place);
        return error_set(error, ERROR_HOST, NULL, "out of memory");
    }
    names->list[names->count++] = name;
    names->file_count += is_file ? 1 : 0;
    return true;
}

static bool is_out_of_reach(const struct backing_name *name)
{
    return name->place != NULL && euidaccess(name->path, F_OK) != 0 && errno == EACCES;
}

static bool name_open(const struct backing_name *name, struct policy *policy, struct error *error)
{
    if (is_out_of_reach(name)) {
        return true;
    }
    struct error problem = {0};
    if (name->is_file ? policy_allow_file(policy, name->path, "a backing file", &problem)
                      : policy_allow(policy, name->path, &problem)) {
        return true;
    }
    if (name->place == NULL) {
        *error = problem;
        return false;
    }
    return error_set(error, ERROR_USAGE, name->place, "%s: %s", problem.place, problem.detail);
}

bool backing_names_open(const struct backing_names *names, struct policy *policy, struct error *error)
{
    for (unsigned int i = 0; i < names->count; i++) {
        RETURN_IF_FAILED(name_open(&names->list[i], policy, error));
    }
    return true;
}

void backing_names_release(struct backing_names *names)
{
    for (unsigned int i = 0; i < names->count; i++) {
        free(names->list[i].path);
        free(names->list[i].place);
    }
    *names = (struct backing_names){0};
}
