/* SPDX-License-Identifier: Apache-2.0 */
#include "host/cli/image/names/secret.h"

#include <errno.h>
#include <jansson.h>
#include <malloc.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/attributes.h"
#include "base/checked.h"
#include "base/text.h"
#include "host/cli/image/names/secret_decode.h"
#include "host/cli/image/values/json_dialect.h"
#include "host/cli/image/values/key_values.h"
#include "host/cli/reach.h"
#include "host/job/files/file_place.h"
#include "host/job/files/named_file.h"

#define PAGE_LEN 4096u
/* A file of more is none that has a passphrase. */
#define FILE_LEN_MAX (1u << 20)

void secret_memory_hide(const void *memory, size_t len)
{
    uintptr_t start = round_down((uintptr_t)memory, PAGE_LEN);
    uintptr_t end = round_up((uintptr_t)memory + len, PAGE_LEN);
    madvise((void *)start, end - start, MADV_DONTDUMP); /* where it fails, the memory is as it was */
}

/* A mapping of its own, so that nothing of it stays with the allocator. */
static uint8_t *memory_take(size_t len, struct error *error)
{
    void *memory = mmap(NULL, len, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (memory == MAP_FAILED) {
        return (void)error_set(error, ERROR_HOST, NULL, "out of memory"), NULL;
    }
    madvise(memory, len, MADV_DONTDUMP);
    return memory;
}

static void memory_give(uint8_t *memory, size_t len)
{
    if (memory != NULL) {
        explicit_bzero(memory, len);
        munmap(memory, len);
    }
}

/* What Jansson frees has been a secret's, perhaps. */
static void free_wiped(void *memory)
{
    if (memory != NULL) {
        explicit_bzero(memory, malloc_usable_size(memory));
    }
    free(memory);
}

static bool json_read(struct key_values *list, const char *text, struct error *error)
{
    struct error problem = {0};
    const char *key;
    json_t *root;
    json_t *value;
    bool success = true;
    json_set_alloc_funcs(malloc, free_wiped);
    if (!json_dialect_parse(text, &root, &problem)) {
        size_t len = strcspn(problem.detail, "'\\"); /* what is quoted may be the secret */
        len -= len > 0 && problem.detail[len - 1] == ' ' ? 1 : 0;
        (void)error_set(error, ERROR_USAGE, NULL, "%.*s", (int)len, problem.detail);
        explicit_bzero(&problem, sizeof(problem));
        return false;
    }
    json_object_foreach(root, key, value)
    {
        success = success &&
                  (json_is_string(value) ||
                   error_set(error, ERROR_USAGE, NULL, "Invalid parameter type for '%s', expected: string", key)) &&
                  key_values_add(list, key, json_string_value(value), error);
    }
    json_decref(root);
    return success;
}

/* "secret,id=...": the type is the one key that may be left out. */
static bool text_read(struct key_values *list, const char *text, struct error *error)
{
    size_t first_len = strcspn(text, "=,");
    if (first_len > 0 && text[first_len] != '=') {
        char *type = strndup(text, first_len);
        bool success = type != NULL ? key_values_add(list, "qom-type", type, error)
                                    : error_set(error, ERROR_HOST, NULL, "out of memory");
        free(type);
        RETURN_IF_FAILED(success);
        text += first_len + (text[first_len] == ',' ? 1 : 0);
    }
    return key_values_parse(list, text, error);
}

static bool id_check(const char *id, struct error *error)
{
    static const char letters[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ";
    static const char others[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-._";
    if (id == NULL) {
        return error_set(error, ERROR_USAGE, NULL, "Parameter 'id' is missing");
    }
    if (strspn(id, letters) == 0 || id[strspn(id, others)] != '\0') {
        return error_set(error, ERROR_USAGE, NULL, "Parameter 'id' expects an identifier");
    }
    return strlen(id) < SECRET_ID_LEN ||
           error_set(error, ERROR_UNSUPPORTED, NULL, "the id of a secret is longer than %zu bytes", SECRET_ID_LEN - 1);
}

/* What is behind a comma of the passphrase looks like a key. QEMU prints it. */
static bool keys_check(const struct key_values *list, bool is_json, struct error *error)
{
    static const char *const keys[] = {"qom-type", "id", "data", "file", "format", "keyid", "iv"};
    bool may_be_secret = !is_json && key_values_find(list, "data") != NULL;
    for (unsigned int i = 0; i < list->count; i++) {
        bool is_known = false;
        for (size_t k = 0; k < ARRAY_COUNT(keys); k++) {
            is_known = is_known || strcmp(list->pairs[i].key, keys[k]) == 0;
        }
        if (!is_known && may_be_secret) {
            return error_set(error, ERROR_USAGE, NULL, "A parameter is unexpected; a comma in 'data' is doubled");
        }
        if (!is_known) {
            return error_set(error, ERROR_USAGE, NULL, "Parameter '%s' is unexpected", list->pairs[i].key);
        }
    }
    return true;
}

static bool check(const struct key_values *list, bool is_json, struct error *error)
{
    const char *type = key_values_find(list, "qom-type");
    const char *data = key_values_find(list, "data");
    const char *file = key_values_find(list, "file");
    const char *format = key_values_find(list, "format");
    if (type == NULL) {
        return error_set(error, ERROR_USAGE, NULL, "Parameter 'qom-type' is missing");
    }
    if (strcmp(type, "secret") != 0) {
        return error_set(error, ERROR_USAGE, NULL, "Parameter 'qom-type' does not accept value '%s'", type);
    }
    RETURN_IF_FAILED(id_check(key_values_find(list, "id"), error) && keys_check(list, is_json, error));
    if (format != NULL && strcmp(format, "raw") != 0 && strcmp(format, "base64") != 0) {
        return error_set(error, ERROR_USAGE, NULL, "Parameter 'format' does not accept value '%s'", format);
    }
    if (data == NULL && file == NULL) {
        return error_set(error, ERROR_USAGE, NULL, "Either 'file' or 'data' must be provided");
    }
    return data == NULL || file == NULL ||
           error_set(error, ERROR_USAGE, NULL, "'file' and 'data' are mutually exclusive");
}

/* All of a file, which may be a pipe. */
static bool file_read_all(const char *path, int fd, struct secret *secret, struct error *error)
{
    size_t room = FILE_LEN_MAX + 1; /* of secret->data */
    for (;;) {                      /* ends: the room does */
        ssize_t count = read(fd, secret->data + secret->len, room - secret->len);
        if (count < 0 && errno == EINTR) {
            continue;
        }
        if (count < 0) {
            return error_set(error, ERROR_IO, NULL, "Unable to read %s: Error reading file “%s”: %s", path, path,
                             strerror(errno));
        }
        if (count == 0) {
            return true;
        }
        secret->len += (size_t)count;
        if (secret->len == room) {
            return error_set(error, ERROR_LIMIT, NULL, "Unable to read %s: it has more than %u bytes", path,
                             FILE_LEN_MAX);
        }
    }
}

struct file_reading {
    const char *path;
    struct secret *secret;
    struct error *error;
};

/* For reach_do. */
static bool file_take(void *context)
{
    const struct file_reading *reading = context;
    int fd = -1;
    int result = named_file_open(reading->path, true, &fd);
    if (result != 0) {
        return error_set(reading->error, ERROR_IO, NULL, "Unable to read %s: Failed to open file “%s”: %s",
                         reading->path, reading->path, file_place_problem(result));
    }
    bool success = file_read_all(reading->path, fd, reading->secret, reading->error);
    close(fd);
    return success;
}

static void secret_release(struct secret *secret, size_t room)
{
    memory_give(secret->data, room);
    *secret = (struct secret){0};
}

static bool decode(const struct secret_store *store, const struct key_values *list, struct secret *secret,
                   struct error *error)
{
    const char *format = key_values_find(list, "format");
    const char *keyid = key_values_find(list, "keyid");
    bool is_base64 = format != NULL && strcmp(format, "base64") == 0;
    const struct secret *key = keyid != NULL ? secret_store_find(store, keyid) : NULL;
    if (keyid != NULL && key == NULL) {
        return strcmp(keyid, key_values_find(list, "id")) == 0
                   ? error_set(error, ERROR_USAGE, NULL, "Secret with id '%s' has no data", keyid)
                   : error_set(error, ERROR_USAGE, NULL, "No secret with id '%.150s'", keyid);
    }
    if (keyid == NULL) {
        return !is_base64 || secret_decode_base64(secret->data, secret->len, &secret->len, error);
    }
    const struct secret_key encryption = {
        .key = {key->data, key->len}, .iv = key_values_find(list, "iv"), .is_base64 = is_base64};
    return secret_decrypt(&encryption, secret->data, secret->len, &secret->len, error);
}

/* Sets *ret_room to what secret_release needs to know. */
static bool content_take(const struct secret_store *store, const struct key_values *list, struct secret *secret,
                         size_t *ret_room, struct error *error)
{
    const char *data = key_values_find(list, "data");
    if (data != NULL) {
        *ret_room = strlen(data) + 1;
        secret->data = memory_take(*ret_room, error);
        RETURN_IF_FAILED(secret->data != NULL);
        secret->len = strlen(data);
        memcpy(secret->data, data, secret->len);
    } else {
        *ret_room = FILE_LEN_MAX + 1;
        struct file_reading reading = {.path = key_values_find(list, "file"), .secret = secret, .error = error};
        secret->data = memory_take(*ret_room, error);
        RETURN_IF_FAILED(secret->data != NULL && reach_do(file_take, &reading, error));
    }
    return decode(store, list, secret, error);
}

static bool add(struct secret_store *store, const struct key_values *list, struct error *error)
{
    struct secret secret = {0};
    size_t room = 0;
    const char *id = key_values_find(list, "id");
    if (secret_store_find(store, id) != NULL) {
        return error_set(error, ERROR_USAGE, NULL,
                         "attempt to add duplicate property '%s' to object (type 'container')", id);
    }
    if (store->count == SECRETS_MAX) {
        return error_set(error, ERROR_LIMIT, NULL, "more than %u secrets", SECRETS_MAX);
    }
    if (!content_take(store, list, &secret, &room, error)) {
        secret_release(&secret, room);
        return false;
    }
    /* Only what it is: the memory that it was made in goes. */
    struct secret *kept = &store->secrets[store->count];
    text_copy(kept->id, sizeof(kept->id), id);
    kept->data = secret.len > 0 ? memory_take(secret.len, error) : NULL;
    bool success = secret.len == 0 || kept->data != NULL;
    if (success) {
        kept->len = secret.len;
        store->count++;
    }
    if (kept->data != NULL) {
        memcpy(kept->data, secret.data, secret.len);
    }
    secret_release(&secret, room);
    return success;
}

static void wipe_values(struct key_values *list)
{
    const struct key_value *end = list->pairs + list->count;
    for (struct key_value *pair = list->pairs; pair < end; pair++) {
        explicit_bzero(pair->value, strlen(pair->value));
    }
    key_values_release(list);
}

/* Of a value of --object: what stands behind "data", which others could see among the program's arguments. */
static void wipe_text(char *text)
{
    char *data = text[0] == '{' ? text : strstr(text, "data"); /* JSON has more ways to write the word */
    if (data != NULL) {
        size_t len = strlen(data);
        explicit_bzero(data, len);
        memset(data, '*', len);
    }
}

static bool list_read(struct key_values *list, const char *text, struct error *error)
{
    return text[0] == '{' ? json_read(list, text, error) : text_read(list, text, error);
}

const char *secret_text_help(const char *text)
{
    static const char types[] = "List of user creatable objects:\n"
                                "  secret\n";
    static const char options[] = "secret options:\n"
                                  "  data=<string>\n"
                                  "  file=<string>\n"
                                  "  format=<QCryptoSecretFormat>\n"
                                  "  iv=<string>\n"
                                  "  keyid=<string>\n";
    bool is_secret = strncmp(text, "secret,", strlen("secret,")) == 0;
    for (size_t len; *text != '\0' && *text != '{'; text += len + (text[len] == ',' ? 1 : 0)) {
        len = strcspn(text, ",");
        if ((len == 4 && strncmp(text, "help", len) == 0) || (len == 1 && text[0] == '?')) {
            return is_secret ? options : types;
        }
    }
    return NULL;
}

bool secret_text_check(const char *text, struct error *error)
{
    struct key_values list = {0};
    bool success = list_read(&list, text, error) && check(&list, text[0] == '{', error);
    wipe_values(&list);
    return success;
}

char *secret_text_move(char *text, struct error *error)
{
    size_t len = strlen(text) + 1;
    char *moved = (char *)memory_take(len, error);
    if (moved != NULL) {
        memcpy(moved, text, len);
    }
    wipe_text(text);
    return moved;
}

void secret_text_release(char *moved)
{
    if (moved != NULL) {
        memory_give((uint8_t *)moved, strlen(moved) + 1);
    }
}

bool secret_store_take(struct secret_store *store, const char *text, struct error *error)
{
    struct key_values list = {0};
    bool success = list_read(&list, text, error) && add(store, &list, error);
    wipe_values(&list);
    return success;
}

void secret_store_release(struct secret_store *store)
{
    for (unsigned int i = 0; i < store->count; i++) {
        secret_release(&store->secrets[i], store->secrets[i].len);
    }
    store->count = 0;
}

const struct secret *secret_store_find(const struct secret_store *store, const char *id)
{
    for (unsigned int i = 0; i < store->count; i++) {
        if (strcmp(store->secrets[i].id, id) == 0) {
            return &store->secrets[i];
        }
    }
    return NULL;
}

bool secret_store_give(const struct secret_store *store, const char *id, instar_ImageJob *job, uint32_t *ret_number,
                       struct error *error)
{
    for (pb_size_t i = 0; i < job->secrets_count; i++) {
        if (strcmp(job->secrets[i].id, id) == 0) {
            *ret_number = i + 1u;
            return true;
        }
    }
    const struct secret *secret = secret_store_find(store, id);
    if (job->secrets_count == ARRAY_COUNT(job->secrets)) {
        return error_set(error, ERROR_LIMIT, NULL, "the job's images have more than %zu secrets",
                         ARRAY_COUNT(job->secrets));
    }
    instar_Secret *given = &job->secrets[job->secrets_count];
    if (secret != NULL && secret->len > sizeof(given->data.bytes)) {
        return error_set(error, ERROR_UNSUPPORTED, NULL, "secret '%s' has %zu bytes, more than %zu", id, secret->len,
                         sizeof(given->data.bytes));
    }
    text_copy(given->id, sizeof(given->id), id);
    given->is_known = secret != NULL;
    if (secret != NULL && secret->len > 0) {
        secret_memory_hide(given, sizeof(*given));
        memcpy(given->data.bytes, secret->data, secret->len);
        given->data.size = (pb_size_t)secret->len;
    }
    job->secrets_count++;
    *ret_number = job->secrets_count;
    return true;
}
