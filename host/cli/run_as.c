/* SPDX-License-Identifier: Apache-2.0 */
#include "host/cli/run_as.h"

#include <pwd.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "host/cli/options.h"

#define PASSWORD_FILE "/etc/passwd"
/* The last number is no user: to setresuid(2) it means none. */
#define USER_MAX (UINT32_MAX - 1)

/* False when there is none. By number: the group is that of the user of this number, or has the same number. */
static bool user_find(const char *name, const uint32_t *number, struct job_user *ret_user)
{
    FILE *file = fopen(PASSWORD_FILE, "re");
    char *text = NULL;
    size_t room = 0;
    /* All of it at once: the C library asks a file for its position at each line, twice. */
    ssize_t len = file != NULL ? getdelim(&text, &room, '\0', file) : -1;
    FILE *stream = len > 0 ? fmemopen(text, (size_t)len, "r") : NULL;
    bool is_found = false;
    const struct passwd *entry;
    while (stream != NULL && !is_found && (entry = fgetpwent(stream)) != NULL) {
        is_found = number != NULL ? entry->pw_uid == *number : strcmp(entry->pw_name, name) == 0;
        if (is_found) {
            *ret_user = (struct job_user){.is_set = true, .uid = entry->pw_uid, .gid = entry->pw_gid};
        }
    }
    if (stream != NULL) {
        fclose(stream);
    }
    if (file != NULL) {
        fclose(file);
    }
    free(text);
    return is_found;
}

bool run_as_parse(const char *text, const char *place, struct job_user *ret_user, struct error *error)
{
    struct job_user user;
    struct error ignored = {0};
    uint32_t number;
    bool is_number =
        text[0] >= '0' && text[0] <= '9' && option_number_parse(place, text, 0, USER_MAX, &number, &ignored);
    if (!user_find(text, is_number ? &number : NULL, &user)) {
        if (!is_number) {
            return error_set(error, ERROR_USAGE, place, "'%s' is neither a user in " PASSWORD_FILE " nor a number",
                             text);
        }
        user = (struct job_user){.is_set = true, .uid = number, .gid = number};
    }
    user.is_set = user.uid != 0;
    *ret_user = user;
    return true;
}

struct job_user run_as_default(void)
{
    struct job_user user = {.is_set = false};
    if (user_find(RUN_AS_DEFAULT, NULL, &user)) {
        user.is_set = user.uid != 0;
        user.is_optional = true;
    }
    return user;
}
