/* SPDX-License-Identifier: Apache-2.0 */
/* A directory of its own for each test that works on files; the working directory while the test runs. */
#ifndef INSTAR_TEST_JOB_SUPPORT_H
#define INSTAR_TEST_JOB_SUPPORT_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

/* For cmocka's setup and teardown; the latter removes what is in the directory, which must be files. */
int directory_enter(void **state);
int directory_leave(void **state);

void file_make(const char *name, const char *content);
/* Fails the test when the file has another content. */
void assert_file_content(const char *name, const char *content);
bool file_exists(const char *name);
/* The number of names in the directory, hidden ones included. */
size_t directory_count(void);

#endif
