/* SPDX-License-Identifier: Apache-2.0 */
#include "test_job_policy_support.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include <dirent.h>
#include <fcntl.h>
#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

struct policy policy;
struct error error;

static char root[PATH_MAX];
static unsigned int descriptors_before;

unsigned int descriptor_count(void)
{
    DIR *stream = opendir("/proc/self/fd");
    assert_non_null(stream);
    unsigned int count = 0;
    while (readdir(stream) != NULL) {
        count++;
    }
    closedir(stream);
    return count - 3; /* ".", ".." and the stream itself */
}

const char *tree_path(const char *name)
{
    static char paths[4][2 * PATH_MAX];
    static unsigned int next;
    char *path = paths[next++ % 4];
    snprintf(path, sizeof(paths[0]), "%s%s%s", root, name[0] != '\0' ? "/" : "", name);
    return path;
}

static void file_make(const char *name)
{
    int fd = open(name, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0644);
    assert_true(fd >= 0);
    assert_int_equal(write(fd, name, strlen(name)), strlen(name));
    close(fd);
}

int tree_enter(void **state)
{
    (void)state;
    static const char *const directories[] = {"images", "images/sub", "images/sub/deep", "store", "store/sub"};
    static const char *const files[] = {
        "images/image", "images/base",    "images/sub/base", "images/sub/deep/base",
        "store/base",   "store/sub/base", "secret",
    };
    char path[] = "/tmp/instar-test-XXXXXX";
    assert_non_null(mkdtemp(path));
    assert_non_null(realpath(path, root));
    assert_int_equal(chmod(root, 0755), 0);
    assert_int_equal(chdir(root), 0);
    for (size_t i = 0; i < sizeof(directories) / sizeof(directories[0]); i++) {
        assert_int_equal(mkdir(directories[i], 0755), 0);
    }
    for (size_t i = 0; i < sizeof(files) / sizeof(files[0]); i++) {
        file_make(files[i]);
    }
    error = (struct error){0};
    descriptors_before = descriptor_count();
    return 0;
}

int tree_enter_allowed(void **state)
{
    int result = tree_enter(state);
    allow("images");
    return result;
}

static int entry_remove(const char *path, const struct stat *status, int type, struct FTW *where)
{
    (void)status;
    (void)type;
    (void)where;
    return remove(path);
}

int tree_leave(void **state)
{
    (void)state;
    policy_release(&policy);
    assert_int_equal(descriptor_count(), descriptors_before);
    assert_int_equal(chdir("/"), 0);
    return nftw(root, entry_remove, 16, FTW_DEPTH | FTW_PHYS);
}

void allow(const char *directory)
{
    error = (struct error){0};
    assert_true(policy_allow(&policy, directory[0] == '/' ? directory : tree_path(directory), &error));
}

void allow_file(const char *name)
{
    error = (struct error){0};
    assert_true(policy_allow_file(&policy, name, "a backing file", &error));
}

struct policy_origin origin_of(const char *path)
{
    struct policy_origin origin = {0};
    struct stat status;
    struct error problem = {0};
    assert_int_equal(stat(path, &status), 0);
    origin.owner = status.st_uid;
    assert_true(policy_directory_open(path, &origin.directory, &problem));
    return origin;
}

static bool name_open(const char *name, struct policy_file *ret_file)
{
    error = (struct error){0};
    /* On the heap and exact, so that a sanitizer sees a byte too many. */
    size_t len = strlen(name);
    uint8_t *copy = malloc(len > 0 ? len : 1);
    memcpy(copy, name, len);
    struct policy_origin origin = origin_of(tree_path("images/image"));
    bool success = policy_open(&policy, &origin, (struct span){copy, len}, POLICY_BACKING, ret_file, NULL, &error);
    policy_directory_release(&origin.directory);
    free(copy);
    return success;
}

void assert_content(int fd, const char *content)
{
    char found[PATH_MAX];
    ssize_t len = pread(fd, found, sizeof(found), 0);
    assert_int_equal(len, strlen(content));
    assert_memory_equal(found, content, (size_t)len);
}

void assert_opens(const char *name, const char *content)
{
    struct policy_file file;
    if (!name_open(name, &file)) {
        fail_msg("'%s': %s: %s", name, error.place, error.detail);
    }
    if (content != NULL) {
        assert_content(file.fd, content);
    }
    close(file.fd);
}

void assert_refused(const char *name, const char *reason)
{
    struct policy_file file = {.fd = -7};
    assert_false(name_open(name, &file));
    assert_int_equal(error.kind, ERROR_REFUSED);
    assert_string_equal(error.place, "");
    size_t len = strlen(error.detail);
    if (len < strlen(reason) || strcmp(error.detail + len - strlen(reason), reason) != 0) {
        fail_msg("'%s': expected '... %s', got '%s'", name, reason, error.detail);
    }
}

void assert_fails(const char *name, const char *detail)
{
    struct policy_file file;
    assert_false(name_open(name, &file));
    assert_int_equal(error.kind, ERROR_IO);
    assert_non_null(strstr(error.detail, detail));
}
