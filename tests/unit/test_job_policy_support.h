/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A tree of files for each test of the policy, below a directory of its own, which is the working directory:
 *
 *     images/image          the image that names files
 *     images/base           files in and below its directory
 *     images/sub/base
 *     images/sub/deep/base
 *     store/base            another directory
 *     store/sub/base
 *     secret                what no image may lead to
 *
 * The content of each file is its path.
 */
#ifndef INSTAR_TEST_JOB_POLICY_SUPPORT_H
#define INSTAR_TEST_JOB_POLICY_SUPPORT_H

#include <limits.h>

#include "host/job/policy/policy.h"

/*
 * For cmocka's setup and teardown; `policy` and `error` are new for each test. The policy allows nothing, or the
 * directory `images`.
 */
int tree_enter(void **state);
int tree_enter_allowed(void **state);
int tree_leave(void **state);

#define TEST_OF_NOTHING(name) cmocka_unit_test_setup_teardown(name, tree_enter, tree_leave)
#define TEST(name) cmocka_unit_test_setup_teardown(name, tree_enter_allowed, tree_leave)

extern struct policy policy;
extern struct error error; /* the last one */

/* The absolute path of `name` in the tree, "" being its top; from a few static buffers in turn. */
const char *tree_path(const char *name);

/* Adds a directory of the tree to the policy, or any absolute one. */
void allow(const char *directory);

/* Likewise a file. */
void allow_file(const char *name);

/* The image at `path`. The caller releases its directory. */
struct policy_origin origin_of(const char *path);

/* images/image calls a file `name`. Fails the test when it is not found, or has another content than
 * that (NULL: any). */
void assert_opens(const char *name, const char *content);
/* The error is ERROR_REFUSED, has no place, and its detail ends with `reason`. */
void assert_refused(const char *name, const char *reason);
/* The error is ERROR_IO and its detail is `detail`. */
void assert_fails(const char *name, const char *detail);

void assert_content(int fd, const char *content);

/* The number of descriptors that are open. */
unsigned int descriptor_count(void);

#endif
