/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Secrets of the user's (--object secret,...), for images that are encrypted: kept in memory that no core dump has, and
 * wiped in the end. Only a job whose images name one gives it to its machine.
 */
#ifndef INSTAR_HOST_CLI_IMAGE_NAMES_SECRET_H
#define INSTAR_HOST_CLI_IMAGE_NAMES_SECRET_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/error.h"
#include "messages.pb.h"

#define SECRETS_MAX 16u
/* With the NUL at its end. */
#define SECRET_ID_LEN sizeof(((instar_Secret *)NULL)->id)

struct secret {
    char id[SECRET_ID_LEN];
    uint8_t *data; /* a mapping of its own; NULL: of no bytes */
    size_t len;
};

/* Starts as zero. */
struct secret_store {
    struct secret secrets[SECRETS_MAX];
    unsigned int count;
};

/* What a value of --object that asks for help is to be told, as by qemu-img; NULL: it does not ask. */
const char *secret_text_help(const char *text);

/* Whether a value of --object is one, as far as that can be said without looking at files. */
bool secret_text_check(const char *text, struct error *error);

/*
 * Moves a value to memory that no core dump has, and writes over what is secret in `text`, in any case: arguments can
 * be seen by others. Of all values, before the first one is taken, which may have to wait for a file. NULL: no memory
 * is left. The caller releases it, which wipes it.
 */
char *secret_text_move(char *text, struct error *error);
void secret_text_release(char *moved);

/*
 * Takes a value that has been checked, and waits for its file as long as the job may (host/cli/reach.h). Only secrets
 * are known; errors are QEMU's.
 */
bool secret_store_take(struct secret_store *store, const char *text, struct error *error);
void secret_store_release(struct secret_store *store);

/* NULL: there is none of this id. */
const struct secret *secret_store_find(const struct secret_store *store, const char *id);

/*
 * The job's images name a secret, which the job gets, whether there is one or not: *ret_number is its place in
 * job->secrets, from 1. The same one is given once.
 */
bool secret_store_give(const struct secret_store *store, const char *id, instar_ImageJob *job, uint32_t *ret_number,
                       struct error *error);

/* Memory that has secrets is left out of core dumps, as are its neighbours within a page. */
void secret_memory_hide(const void *memory, size_t len);

#endif
