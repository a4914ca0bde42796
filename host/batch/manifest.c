/* SPDX-License-Identifier: Apache-2.0 */
#include "host/batch/manifest.h"

#include <inttypes.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <nettle/sha2.h>

#include "host/batch/passphrase.h"

static bool no_memory(struct error *error)
{
    return error_set(error, ERROR_HOST, NULL, "out of memory");
}

/* The words of a task grow one by one; the array has room for all. */
static bool word_add(struct batch_task *task, const char *text, struct error *error)
{
    if (task->word_count == MANIFEST_WORDS_MAX) {
        return error_set(error, ERROR_USAGE, NULL, "the job has more than %u words", MANIFEST_WORDS_MAX);
    }
    char *word = strdup(text);
    if (word == NULL) {
        return no_memory(error);
    }
    task->words[task->word_count++] = word;
    return true;
}

/* A list of texts, or nothing where there may be none. */
static bool list_check(const json_t *list, const char *key, struct error *error)
{
    if (list != NULL && !json_is_array(list)) {
        return error_set(error, ERROR_USAGE, NULL, "\"%s\" is not a list", key);
    }
    size_t i;
    const json_t *entry;
    json_array_foreach(list, i, entry)
    {
        if (!json_is_string(entry)) {
            return error_set(error, ERROR_USAGE, NULL, "\"%s\" has an entry that is no text", key);
        }
    }
    return true;
}

static bool words_add(struct batch_task *task, const json_t *list, size_t first, struct error *error)
{
    for (size_t i = first; i < json_array_size(list); i++) {
        RETURN_IF_FAILED(word_add(task, json_string_value(json_array_get(list, i)), error));
    }
    return true;
}

static bool limits_add(struct batch_task *task, const json_t *limits, struct error *error)
{
    static const char wrong[] = "\"limits\" is not an object of numbers and texts, by names such as \"max-time\"";
    if (limits != NULL && !json_is_object(limits)) {
        return error_set(error, ERROR_USAGE, NULL, wrong);
    }
    const char *key;
    json_t *value;
    json_object_foreach((json_t *)limits, key, value)
    {
        char option[128];
        const char *text = json_string_value(value);
        bool is_limit = strncmp(key, "max-", 4) == 0 || strcmp(key, "min-free") == 0;
        bool is_value = json_is_integer(value) || (text != NULL && strlen(text) <= 64);
        if (!is_limit || strlen(key) > 32 || !is_value) {
            return error_set(error, ERROR_USAGE, NULL, wrong);
        }
        if (json_is_integer(value)) {
            snprintf(option, sizeof(option), "--%s=%" JSON_INTEGER_FORMAT, key, json_integer_value(value));
        } else {
            snprintf(option, sizeof(option), "--%s=%s", key, text);
        }
        RETURN_IF_FAILED(word_add(task, option, error));
    }
    return true;
}

static bool accepted_take(struct batch_task *task, const json_t *list, struct error *error)
{
    if (list == NULL) {
        task->accepted[0] = 1;
        return true;
    }
    size_t i;
    const json_t *entry;
    json_array_foreach(list, i, entry)
    {
        json_int_t code = json_is_integer(entry) ? json_integer_value(entry) : -1;
        if (code < 0 || code > 255) {
            return error_set(error, ERROR_USAGE, NULL, "\"accept\" has an entry that is no exit code");
        }
        task->accepted[code / 64] |= UINT64_C(1) << (code % 64);
    }
    return json_array_size(list) > 0 || error_set(error, ERROR_USAGE, NULL, "\"accept\" is not a list of exit codes");
}

enum output_place {
    OUTPUT_ADDED,   /* it is put behind the command's words */
    OUTPUT_NAMED,   /* they have it: `convert a b`, `create b 1G`, `dd of=b` */
    OUTPUT_UNCLEAR, /* one of them is the same text, and may be something else, as in `convert -O raw` */
};

/*
 * The options of commands are not known here: behind one there may be its value. Of the operands the output is the last
 * one where the others are read, and none where inputs are put behind them.
 */
static enum output_place output_place_find(const json_t *command, bool has_inputs, const char *output)
{
    size_t count = json_array_size(command);
    const char *name = json_string_value(json_array_get(command, 0));
    bool is_last_operand = strcmp(name, "convert") == 0 || strcmp(name, "copy") == 0;
    enum output_place place = OUTPUT_ADDED;
    for (size_t i = 1; i < count; i++) {
        const char *word = json_string_value(json_array_get(command, i));
        const char *before = i > 1 ? json_string_value(json_array_get(command, i - 1)) : "";
        if (strcmp(name, "dd") == 0 && strncmp(word, "of=", 3) == 0 && strcmp(word + 3, output) == 0) {
            return OUTPUT_NAMED;
        }
        if (strcmp(word, output) != 0) {
            continue;
        }
        bool may_be_value = before[0] == '-' && strcmp(before, "--") != 0;
        if (!has_inputs && !may_be_value && (!is_last_operand || i + 1 == count)) {
            return OUTPUT_NAMED;
        }
        place = OUTPUT_UNCLEAR;
    }
    return place;
}

static bool operands_add(struct batch_task *task, const json_t *command, const json_t *inputs, const json_t *output,
                         struct error *error)
{
    enum output_place place = output == NULL
                                  ? OUTPUT_NAMED
                                  : output_place_find(command, json_array_size(inputs) > 0, json_string_value(output));
    if (place == OUTPUT_UNCLEAR) {
        return error_set(
            error, ERROR_USAGE, NULL,
            "\"output\" is a word of \"command\", too, which may be something else: write ./NAME, or \"--\" "
            "before the operands");
    }
    if (json_array_size(inputs) > 0 || place == OUTPUT_ADDED) {
        RETURN_IF_FAILED(word_add(task, "--", error)); /* a name may begin with a hyphen */
    }
    task->inputs = &task->words[task->word_count];
    task->input_count = json_array_size(inputs);
    RETURN_IF_FAILED(words_add(task, inputs, 0, error));
    if (output == NULL) {
        return true;
    }
    task->output = strdup(json_string_value(output));
    return (task->output != NULL || no_memory(error)) && (place == OUTPUT_NAMED || word_add(task, task->output, error));
}

/* With an end, as words may not have one. */
static void bytes_add(struct sha256_ctx *hash, const char *text, size_t len)
{
    sha256_update(hash, len, (const uint8_t *)text);
    sha256_update(hash, 1, (const uint8_t *)"");
}

static void text_add(struct sha256_ctx *hash, const char *text)
{
    bytes_add(hash, text, strlen(text));
}

/*
 * Limits say when a job is given up, not what comes out. A passphrase is left out: everybody may read results, and
 * whether a guess is the right one would be told by them at once.
 */
static void fingerprint_make(struct batch_task *task)
{
    struct sha256_ctx hash;
    uint8_t digest[MANIFEST_FINGERPRINT_LEN / 2];
    char number[8];
    bool has_passphrase = false;
    sha256_init(&hash);
    for (size_t i = 0; i < task->word_count; i++) {
        if (strncmp(task->words[i], "--max-", 6) != 0 && strncmp(task->words[i], "--min-free", 10) != 0) {
            size_t open_len = passphrase_off(task->words[i], i > 0 ? task->words[i - 1] : NULL);
            bytes_add(&hash, task->words[i], open_len);
            has_passphrase = has_passphrase || task->words[i][open_len] != '\0';
        }
    }
    text_add(&hash, ""); /* what is behind it is no word */
    text_add(&hash, task->output != NULL ? task->output : "");
    for (unsigned int code = 0; code < 256; code++) {
        if (batch_task_accepts(task, (int)code)) {
            snprintf(number, sizeof(number), "%u", code);
            text_add(&hash, number);
        }
    }
    sha256_digest(&hash, sizeof(digest), digest);
    for (size_t i = 0; i < sizeof(digest); i++) {
        snprintf(&task->fingerprint[2 * i], 3, "%02x", digest[i]);
    }
    if (has_passphrase) {
        passphrase_keep_from_cores();
    }
}

/* Not so with -n, which may stand among other letters, nor of a part; and devices take what they are given. */
static bool makes_output(const struct batch_task *task)
{
    const char *name = task->words[0];
    bool makes_files = strcmp(name, "convert") == 0 || strcmp(name, "copy") == 0 || strcmp(name, "create") == 0 ||
                       strcmp(name, "dd") == 0;
    if (!makes_files || task->output == NULL || strncmp(task->output, "/dev/", 5) == 0) {
        return false;
    }
    for (size_t i = 1; i < task->word_count && strcmp(task->words[i], "--") != 0; i++) {
        const char *word = task->words[i];
        bool has_letter_n = word[0] == '-' && word[1] != '-' && strchr(word, 'n') != NULL;
        if (has_letter_n || strncmp(word, "--sh", 4) == 0) {
            return false;
        }
    }
    return true;
}

static bool keys_check(const json_t *object, struct error *error)
{
    static const char *const known[] = {"id", "command", "inputs", "output", "limits", "accept", "digest"};
    const char *key;
    json_t *value;
    json_object_foreach((json_t *)object, key, value)
    {
        bool is_known = false;
        for (size_t i = 0; i < sizeof(known) / sizeof(known[0]); i++) {
            is_known = is_known || strcmp(key, known[i]) == 0;
        }
        if (!is_known) {
            return error_set(error, ERROR_USAGE, NULL, "the key \"%.64s\" is not known", key);
        }
    }
    return true;
}

static bool id_take(struct batch_task *task, const json_t *id, struct error *error)
{
    const char *text = json_string_value(id);
    if (text == NULL || text[0] == '\0' || strlen(text) > MANIFEST_ID_LEN_MAX) {
        return error_set(error, ERROR_USAGE, NULL, "\"id\" is not a text of 1 to %u bytes", MANIFEST_ID_LEN_MAX);
    }
    task->id = strdup(text);
    return task->id != NULL || no_memory(error);
}

static bool object_take(struct batch_task *task, const json_t *object, const char *const *options, size_t option_count,
                        struct error *error)
{
    const json_t *command = json_object_get(object, "command");
    const json_t *inputs = json_object_get(object, "inputs");
    const json_t *output = json_object_get(object, "output");
    const json_t *digest = json_object_get(object, "digest");
    if (!json_is_object(object)) {
        return error_set(error, ERROR_USAGE, NULL, "is not a JSON object");
    }
    RETURN_IF_FAILED(id_take(task, json_object_get(object, "id"), error));
    RETURN_IF_FAILED(keys_check(object, error));
    RETURN_IF_FAILED(list_check(command, "command", error));
    RETURN_IF_FAILED(list_check(inputs, "inputs", error));
    if (json_array_size(command) == 0) {
        return error_set(error, ERROR_USAGE, NULL, "\"command\" is not a list of words");
    }
    if (output != NULL && !json_is_string(output)) {
        return error_set(error, ERROR_USAGE, NULL, "\"output\" is no text");
    }
    if (digest != NULL && !json_is_boolean(digest)) {
        return error_set(error, ERROR_USAGE, NULL, "\"digest\" is neither true nor false");
    }
    task->wants_digest = json_is_true(digest);
    RETURN_IF_FAILED(accepted_take(task, json_object_get(object, "accept"), error));
    RETURN_IF_FAILED(word_add(task, json_string_value(json_array_get(command, 0)), error));
    for (size_t i = 0; i < option_count; i++) {
        RETURN_IF_FAILED(word_add(task, options[i], error));
    }
    return limits_add(task, json_object_get(object, "limits"), error) && words_add(task, command, 1, error) &&
           operands_add(task, command, inputs, output, error);
}

bool batch_task_parse(struct batch_task *ret_task, const char *text, size_t len, const char *const *options,
                      size_t option_count, struct error *error)
{
    *ret_task = (struct batch_task){.words = calloc(MANIFEST_WORDS_MAX + 1, sizeof(char *))};
    if (ret_task->words == NULL) {
        return no_memory(error);
    }
    json_error_t problem;
    json_t *object = json_loadb(text, len, JSON_REJECT_DUPLICATES, &problem);
    if (object == NULL) {
        const char *quoted = passphrase_is_likely(text, len) ? strstr(problem.text, " near ") : NULL;
        return error_set(error, ERROR_USAGE, NULL, "is not JSON: column %d: %.*s", problem.column,
                         quoted != NULL ? (int)(quoted - problem.text) : 160, problem.text);
    }
    bool success = object_take(ret_task, object, options, option_count, error);
    if (success) {
        fingerprint_make(ret_task);
        ret_task->makes_output = makes_output(ret_task);
    }
    json_decref(object);
    return success;
}

void batch_task_release(struct batch_task *task)
{
    for (size_t i = 0; i < task->word_count; i++) {
        free(task->words[i]);
    }
    free(task->words);
    free(task->id);
    free(task->output);
    *task = (struct batch_task){0};
}
