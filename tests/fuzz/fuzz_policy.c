/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Names of files, as images have them, and what the policy opens: whatever the name, a regular file in or below what
 * is allowed. There is a directory of images with files, links that lead out of it, a FIFO and a directory, and
 * beside it what must not be reached.
 */
#include <fcntl.h>
#include <limits.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "fuzz.h"
#include "host/job/policy/policy.h"

static char root[PATH_MAX];
static struct policy allowing;

static void file_make(const char *name)
{
    char path[PATH_MAX + 64];
    snprintf(path, sizeof(path), "%s/%s", root, name);
    int fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
    FUZZ_ASSERT(fd >= 0);
    close(fd);
}

static void directory_make(const char *name)
{
    char path[PATH_MAX + 64];
    snprintf(path, sizeof(path), "%s/%s", root, name);
    FUZZ_ASSERT(mkdir(path, 0700) == 0);
}

static void link_make(const char *target, const char *name)
{
    char path[PATH_MAX + 64];
    snprintf(path, sizeof(path), "%s/%s", root, name);
    FUZZ_ASSERT(symlink(target, path) == 0);
}

static void world_remove(void)
{
    static const char *const names[] = {"images/in/b", "images/in/up", "images/in",  "images/a",
                                        "images/.h",   "images/out",   "images/all", "images/f",
                                        "images",      "other/s",      "other",      ""};
    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
        char path[PATH_MAX + 64];
        snprintf(path, sizeof(path), "%s/%s", root, names[i]);
        (void)remove(path);
    }
}

static void world_make(void)
{
    struct error error = {0};
    char path[PATH_MAX + 64];
    const char *temporary = getenv("TMPDIR");
    char made[PATH_MAX];
    snprintf(made, sizeof(made), "%s/instar-fuzz-XXXXXX", temporary != NULL ? temporary : "/tmp");
    FUZZ_ASSERT(mkdtemp(made) != NULL && realpath(made, root) != NULL);
    atexit(world_remove);
    directory_make("images");
    directory_make("images/in");
    directory_make("other");
    file_make("images/a");
    file_make("images/.h");
    file_make("images/in/b");
    file_make("other/s");
    link_make("../other/s", "images/out");
    link_make("/", "images/all");
    link_make("..", "images/in/up");
    snprintf(path, sizeof(path), "%s/images/f", root);
    FUZZ_ASSERT(mkfifo(path, 0600) == 0);
    snprintf(path, sizeof(path), "%s/images", root);
    FUZZ_ASSERT(policy_allow(&allowing, path, &error));
}

/* Below the directory of images, and nothing but a regular file. */
static void file_check(const struct policy_file *file)
{
    char link[64];
    char path[PATH_MAX];
    struct stat status;
    snprintf(link, sizeof(link), "/proc/self/fd/%d", file->fd);
    ssize_t len = readlink(link, path, sizeof(path) - 1);
    FUZZ_ASSERT(len > 0);
    path[len] = '\0';
    size_t root_len = strlen(root);
    FUZZ_ASSERT(strncmp(path, root, root_len) == 0 && strncmp(path + root_len, "/images/", 8) == 0);
    FUZZ_ASSERT(fstat(file->fd, &status) == 0 && S_ISREG(status.st_mode));
}

void fuzz_one(const uint8_t *data, size_t len)
{
    static struct policy none;
    struct fuzz_input input = {data, len};
    struct error error = {0};
    static struct policy beside = {.allows_beside = true};
    struct policy_origin origin = {.owner = geteuid()};
    struct policy_file file;
    char image[PATH_MAX + 64];
    if (root[0] == '\0') {
        world_make();
    }
    uint64_t choices = fuzz_take(&input, 1);
    bool is_absolute = (choices & 4) != 0;
    snprintf(image, sizeof(image), "%s/images/%s", root, (choices & 1) != 0 ? "in/image" : "image");
    FUZZ_ASSERT(policy_directory_open(image, &origin.directory, &error));
    /* An absolute name begins with where we are: nobody guesses that. */
    char *name = malloc(sizeof(root) + input.len);
    FUZZ_ASSERT(name != NULL);
    size_t name_len = is_absolute ? (size_t)snprintf(name, sizeof(root), "%s/", root) : 0;
    if (input.len > 0) {
        memcpy(name + name_len, input.data, input.len);
    }
    name_len += input.len;
    const struct policy *policy = (choices & 16) != 0 ? &beside : (choices & 8) != 0 ? &none : &allowing;
    if (policy_open(policy, &origin, (struct span){(const uint8_t *)name, name_len},
                    (choices & 2) != 0 ? POLICY_DATA : POLICY_BACKING, &file, NULL, &error)) {
        FUZZ_ASSERT(policy != &none);
        file_check(&file);
        close(file.fd);
    } else {
        FUZZ_ASSERT(error.kind == ERROR_REFUSED || error.kind == ERROR_IO);
    }
    free(name);
    policy_directory_release(&origin.directory);
}
