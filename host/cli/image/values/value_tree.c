/* SPDX-License-Identifier: Apache-2.0 */
#include "host/cli/image/values/value_tree.h"

#include <stdlib.h>
#include <string.h>

#define CHUNK_LEN 65536u
#define ALIGNMENT sizeof(uint64_t)
#define DICTIONARY_BUCKET_COUNT 512u

struct value_chunk {
    struct value_chunk *next;
    size_t used;
    size_t len;
    _Alignas(ALIGNMENT) uint8_t bytes[];
};

void value_tree_init(struct value_tree *tree)
{
    *tree = (struct value_tree){.root = {.kind = VALUE_OBJECT, .key = ""}};
}

void value_tree_release(struct value_tree *tree)
{
    while (tree->chunks != NULL) {
        struct value_chunk *chunk = tree->chunks;
        tree->chunks = chunk->next;
        free(chunk);
    }
    value_tree_init(tree);
}

bool value_tree_check(const struct value_tree *tree, struct error *error)
{
    return tree->failure == NULL || error_set(error, ERROR_LIMIT, NULL, "%s", tree->failure);
}

static void *tree_fail(struct value_tree *tree, const char *failure)
{
    if (tree->failure == NULL) {
        tree->failure = failure;
    }
    return NULL;
}

static struct value_chunk *chunk_add(struct value_tree *tree, size_t len_min)
{
    size_t len = len_min > CHUNK_LEN ? len_min : CHUNK_LEN;
    if (len > VALUE_TREE_LEN_MAX - tree->len) {
        return tree_fail(tree, "the images say more about themselves than there is room for");
    }
    struct value_chunk *chunk = malloc(sizeof(*chunk) + len);
    if (chunk == NULL) {
        return tree_fail(tree, "out of memory");
    }
    chunk->next = tree->chunks;
    chunk->used = 0;
    chunk->len = len;
    tree->chunks = chunk;
    tree->len += len;
    return chunk;
}

/* len: far below SIZE_MAX, as lengths of messages and command lines are. */
static void *tree_allocate(struct value_tree *tree, size_t len)
{
    size_t aligned_len = (len + ALIGNMENT - 1) / ALIGNMENT * ALIGNMENT;
    struct value_chunk *chunk = tree->chunks;
    if (chunk == NULL || chunk->len - chunk->used < aligned_len) {
        chunk = chunk_add(tree, aligned_len);
        if (chunk == NULL) {
            return NULL;
        }
    }
    void *memory = chunk->bytes + chunk->used;
    chunk->used += aligned_len;
    return memory;
}

/* Where QEMU's dictionaries keep a key; they are printed bucket by bucket. The hash is that of Samba's tdb. */
static uint32_t key_bucket(const char *key)
{
    uint32_t hash = 0x238f13afu * (uint32_t)strlen(key);
    for (uint32_t i = 0; key[i] != '\0'; i++) {
        hash += (uint32_t)(uint8_t)key[i] << (i * 5 % 24);
    }
    return (1103515243u * hash + 12345u) % DICTIONARY_BUCKET_COUNT;
}

/* In one bucket, what came last stands first. */
static bool object_insert(struct value_tree *tree, struct value *object, struct value *member)
{
    uint32_t bucket = key_bucket(member->key);
    struct value **at = &object->first;
    while (*at != NULL && key_bucket((*at)->key) < bucket) {
        at = &(*at)->next;
    }
    for (const struct value *other = *at; other != NULL; other = other->next) {
        if (strcmp(other->key, member->key) == 0) {
            tree_fail(tree, "an image says something about itself twice");
            return false;
        }
    }
    if (object->count == VALUE_MEMBERS_MAX) {
        tree_fail(tree, "the images say more about themselves than there is room for");
        return false;
    }
    member->next = *at;
    *at = member;
    object->count++;
    return true;
}

static void list_append(struct value *list, struct value *member)
{
    if (list->last == NULL) {
        list->first = member;
    } else {
        list->last->next = member;
    }
    list->last = member;
    list->count++;
}

static struct value *value_add(struct value_tree *tree, struct value *parent, const char *key, struct value content)
{
    if (parent == NULL || tree->failure != NULL) {
        return NULL;
    }
    bool is_member = parent->kind == VALUE_OBJECT;
    size_t key_len = is_member ? strlen(key) : 0;
    struct value *value = tree_allocate(tree, sizeof(*value) + key_len + 1);
    if (value == NULL) {
        return NULL;
    }
    char *own_key = (char *)(value + 1);
    memcpy(own_key, key, key_len);
    own_key[key_len] = '\0';
    *value = content;
    value->key = own_key;
    if (!is_member) {
        list_append(parent, value);
        return value;
    }
    return object_insert(tree, parent, value) ? value : NULL;
}

struct value *value_add_object(struct value_tree *tree, struct value *parent, const char *key)
{
    return value_add(tree, parent, key, (struct value){.kind = VALUE_OBJECT});
}

struct value *value_add_list(struct value_tree *tree, struct value *parent, const char *key)
{
    return value_add(tree, parent, key, (struct value){.kind = VALUE_LIST});
}

void value_add_bool(struct value_tree *tree, struct value *parent, const char *key, bool is_true)
{
    value_add(tree, parent, key, (struct value){.kind = VALUE_BOOL, .number = is_true});
}

void value_add_number(struct value_tree *tree, struct value *parent, const char *key, int64_t number)
{
    value_add(tree, parent, key, (struct value){.kind = VALUE_NUMBER, .number = number});
}

void value_add_text(struct value_tree *tree, struct value *parent, const char *key, struct span text)
{
    uint8_t *bytes = tree_allocate(tree, text.len + 1);
    if (bytes != NULL) {
        memcpy(bytes, text.data, text.len);
        value_add(tree, parent, key, (struct value){.kind = VALUE_TEXT, .text = {bytes, text.len}});
    }
}

void value_add_string(struct value_tree *tree, struct value *parent, const char *key, const char *string)
{
    value_add_text(tree, parent, key, (struct span){(const uint8_t *)string, strlen(string)});
}

void value_add_existing(struct value_tree *tree, struct value *parent, const char *key, const struct value *existing)
{
    struct value content = *existing;
    content.next = NULL;
    value_add(tree, parent, key, content);
}

const struct value *value_member(const struct value *object, const char *key, enum value_kind kind)
{
    for (const struct value *at = object != NULL ? object->first : NULL; at != NULL; at = at->next) {
        if (strcmp(at->key, key) == 0) {
            return at->kind == kind ? at : NULL;
        }
    }
    return NULL;
}

int64_t value_member_number(const struct value *object, const char *key, int64_t absent)
{
    const struct value *number = value_member(object, key, VALUE_NUMBER);
    return number != NULL ? number->number : absent;
}
