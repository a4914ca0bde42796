/* SPDX-License-Identifier: Apache-2.0 */
#include "test_job_support.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>

#include <cmocka.h>

#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

struct directory {
    char path[64];
    int old_fd;
};

int directory_enter(void **state)
{
    struct directory *directory = calloc(1, sizeof(*directory));
    assert_non_null(directory);
    snprintf(directory->path, sizeof(directory->path), "/tmp/instar-test-XXXXXX");
    assert_non_null(mkdtemp(directory->path));
    directory->old_fd = open(".", O_PATH | O_DIRECTORY | O_CLOEXEC);
    assert_int_equal(chdir(directory->path), 0);
    *state = directory;
    return 0;
}

/* Calls `visit`, which may be NULL, for every name but "." and "..". */
static size_t names_visit(int (*visit)(const char *name))
{
    DIR *stream = opendir(".");
    assert_non_null(stream);
    size_t count = 0;
    struct dirent *entry;
    while ((entry = readdir(stream)) != NULL) {
        if (strcmp(entry->d_name, ".") != 0 && strcmp(entry->d_name, "..") != 0) {
            count++;
            if (visit != NULL) {
                visit(entry->d_name);
            }
        }
    }
    closedir(stream);
    return count;
}

int directory_leave(void **state)
{
    struct directory *directory = *state;
    names_visit(remove);
    assert_int_equal(fchdir(directory->old_fd), 0);
    close(directory->old_fd);
    assert_int_equal(rmdir(directory->path), 0);
    free(directory);
    return 0;
}

void file_make(const char *name, const char *content)
{
    FILE *stream = fopen(name, "w");
    assert_non_null(stream);
    assert_int_equal(fwrite(content, 1, strlen(content), stream), strlen(content));
    assert_int_equal(fclose(stream), 0);
}

void assert_file_content(const char *name, const char *content)
{
    char found[256];
    FILE *stream = fopen(name, "r");
    assert_non_null(stream);
    size_t len = fread(found, 1, sizeof(found), stream);
    fclose(stream);
    assert_int_equal(len, strlen(content));
    assert_memory_equal(found, content, len);
}

bool file_exists(const char *name)
{
    return access(name, F_OK) == 0;
}

size_t directory_count(void)
{
    return names_visit(NULL);
}
