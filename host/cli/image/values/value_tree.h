/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Values as JSON has them, in a tree that is printed as JSON or in qemu-img's words (value_print.h).
 *
 * Members of an object stand in the order in which qemu-img prints them: that of its dictionary's hash, so that
 * output is the same byte for byte.
 *
 * A tree takes memory up to a bound of its own, as what fills it is a guest. Whoever builds one need not look at every
 * step: adding to NULL, which is what adding returns when it failed, adds nothing, and value_tree_check tells.
 */
#ifndef INSTAR_HOST_CLI_IMAGE_VALUES_VALUE_TREE_H
#define INSTAR_HOST_CLI_IMAGE_VALUES_VALUE_TREE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/attributes.h"
#include "base/error.h"
#include "base/span.h"

/* Room for the 65,536 snapshots that a qcow2 image may have. */
#define VALUE_TREE_LEN_MAX (64u << 20)
/* The largest object of qemu-img has about 20; looking for one of a name takes that many steps. */
#define VALUE_MEMBERS_MAX 64u

enum value_kind {
    VALUE_OBJECT,
    VALUE_LIST,
    VALUE_BOOL,
    VALUE_NUMBER,
    VALUE_TEXT,
};

struct value {
    struct value *next;  /* in the object or list that it belongs to */
    struct value *first; /* of an object or a list */
    struct value *last;  /* of a list */
    uint32_t count;      /* of an object's or list's values */
    enum value_kind kind;
    int64_t number;   /* 0 or 1 of a bool */
    struct span text; /* any bytes */
    const char *key;  /* empty in a list */
};

struct value_chunk;

struct value_tree {
    struct value_chunk *chunks;
    size_t len; /* bytes of all chunks */
    const char *failure;
    struct value root; /* an object */
};

void value_tree_init(struct value_tree *tree);
void value_tree_release(struct value_tree *tree);
/* Whether everything could be added. */
bool value_tree_check(const struct value_tree *tree, struct error *error);

/* These copy key and text. A key that the object has already is a failure. */
struct value *value_add_object(struct value_tree *tree, struct value *parent, const char *key);
struct value *value_add_list(struct value_tree *tree, struct value *parent, const char *key);
void value_add_bool(struct value_tree *tree, struct value *parent, const char *key, bool is_true);
void value_add_number(struct value_tree *tree, struct value *parent, const char *key, int64_t number);
void value_add_text(struct value_tree *tree, struct value *parent, const char *key, struct span text);
void value_add_string(struct value_tree *tree, struct value *parent, const char *key, const char *string);
/* Makes an existing object or list a member of another one of the same tree; it must not be printed where it was. */
void value_add_existing(struct value_tree *tree, struct value *parent, const char *key, const struct value *existing);

/* The member of an object, if it is of this kind; otherwise NULL. `object` may be NULL. */
const struct value *value_member(const struct value *object, const char *key, enum value_kind kind);
/* The same, for a number; `absent` if there is none. */
int64_t value_member_number(const struct value *object, const char *key, int64_t absent);

#endif
