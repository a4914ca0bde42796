/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a guest that was taken over asks for files: OpenMessages, as the parent takes them, who opens files answers, and
 * the parent takes the answers. The two have a record each, which must say the same.
 *
 * An input is a byte of choices, then a message after the other: a byte of device and use, one of the name's length,
 * the name.
 */
#include <fcntl.h>
#include <ftw.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "fuzz.h"
#include "host/job/grant.h"
#include "host/job/parent/job_images.h"
#include "host/job/parent/openings.h"

#define LATE_COUNT 6u

static char root[PATH_MAX];

static int entry_remove(const char *path, const struct stat *status UNUSED, int type UNUSED, struct FTW *where UNUSED)
{
    return remove(path);
}

static void world_remove(void)
{
    nftw(root, entry_remove, 16, FTW_DEPTH | FTW_PHYS);
}

static void file_make(const char *name)
{
    int fd = open(name, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    FUZZ_ASSERT(fd >= 0 && write(fd, name, strlen(name)) == (ssize_t)strlen(name));
    close(fd);
}

/* A directory of images, in which names start, one in it, and one with what nobody may have. */
static void world_make(void)
{
    static const char *const files[] = {"images/i.vmdk", "images/i-f.vmdk", "images/o", "images/d",        "images/a",
                                        "images/in/b",   "images/.h",       "other/s",  "images/in/i.vmdk"};
    const char *temporary = getenv("TMPDIR");
    char made[PATH_MAX];
    snprintf(made, sizeof(made), "%s/instar-fuzz-XXXXXX", temporary != NULL ? temporary : "/tmp");
    FUZZ_ASSERT(mkdtemp(made) != NULL && realpath(made, root) != NULL && chdir(root) == 0);
    atexit(world_remove);
    FUZZ_ASSERT(mkdir("images", 0700) == 0 && mkdir("images/in", 0700) == 0 && mkdir("other", 0700) == 0);
    for (size_t i = 0; i < ARRAY_COUNT(files); i++) {
        file_make(files[i]);
    }
    FUZZ_ASSERT(symlink("../other/s", "images/l") == 0 && symlink("a", "images/k") == 0);
}

/* The parent's, or that of who opens files. */
struct side {
    struct openings openings;
    struct job_result result;
};

static struct side sides[2];

/* As job_run has it when the guest begins to ask. */
static void side_begin(struct side *side, const struct job *job, const struct job_images *images)
{
    struct error error = {0};
    static char paths[3][24] = {"images/i.vmdk", "images/o", "images/d"};
    memset(&side->result, 0, sizeof(side->result));
    FUZZ_ASSERT(openings_begin(&side->openings, job, images, &side->result, &error));
    unsigned int count = job->input_count + (images->has_output ? 1 : 0) + images->further_count;
    for (unsigned int i = 0; i < count; i++) {
        side->result.devices[i] = (struct job_device){.path = strdup(paths[i]), .referrer = i};
        FUZZ_ASSERT(side->result.devices[i].path != NULL);
    }
    side->result.device_count = count;
}

static void side_end(struct side *side)
{
    openings_release(&side->openings);
    for (unsigned int i = 0; i < side->result.device_count; i++) {
        free(side->result.devices[i].path);
    }
}

/* What comes to the guest's side is a file beside the image, open for reading, and none that the job writes to. */
static void grant_check(int socket_fd, const struct job_images *images)
{
    struct grant grant;
    struct error error = {0};
    struct stat status;
    char link[64];
    char path[PATH_MAX];
    int fd = -1;
    FUZZ_ASSERT(grant_receive(socket_fd, &grant, &fd, &error));
    if (fd < 0) {
        FUZZ_ASSERT(!grant.is_granted || grant.has_device);
        return;
    }
    snprintf(link, sizeof(link), "/proc/self/fd/%d", fd);
    ssize_t len = readlink(link, path, sizeof(path) - 1);
    FUZZ_ASSERT(grant.is_granted && len > 0 && fstat(fd, &status) == 0 && S_ISREG(status.st_mode));
    path[len] = '\0';
    size_t root_len = strlen(root);
    FUZZ_ASSERT(strncmp(path, root, root_len) == 0 && strncmp(path + root_len, "/images/", 8) == 0);
    FUZZ_ASSERT(strstr(path + root_len, "/.") == NULL && (fcntl(fd, F_GETFL) & O_ACCMODE) == O_RDONLY);
    struct file_identity identity = file_identity(&status);
    FUZZ_ASSERT(!images->has_output || !file_identity_equal(&identity, &images->output.old_identity));
    for (unsigned int i = 0; i < images->further_count; i++) {
        FUZZ_ASSERT(!file_identity_equal(&identity, &images->further_outputs[i].old_identity));
    }
    close(fd);
}

/* False when the job would end. */
static bool message_do(const instar_OpenMessage *message, const int sockets[2], const struct job_images *images)
{
    struct openings *parent = &sides[0].openings;
    struct opening_answer answer;
    struct error error = {0};
    int fd;
    if (!openings_ask(parent, message, &error)) {
        FUZZ_ASSERT(error_is_set(&error));
        return false;
    }
    openings_find(&sides[1].openings, &parent->question, &answer, &fd);
    FUZZ_ASSERT((answer.outcome == OPENING_FOUND) == (fd >= 0));
    if (!openings_answer(parent, &answer, fd, sockets[0], &error)) {
        return false;
    }
    grant_check(sockets[1], images);
    FUZZ_ASSERT(sides[0].result.device_count == sides[1].result.device_count);
    return true;
}

static void messages_do(struct fuzz_input *input, const struct job_images *images)
{
    static instar_OpenMessage message; /* large */
    int sockets[2];
    bool goes_on = true;
    FUZZ_ASSERT(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, sockets) == 0);
    while (goes_on && input->len > 0) { /* ends with the input: each round takes some of it */
        uint64_t what = fuzz_take(input, 1);
        size_t len = (size_t)fuzz_take(input, 1);
        len = len < input->len ? len : input->len;
        message = (instar_OpenMessage){.device = (uint32_t)(what & 15), .use = (instar_OpenUse)(what >> 4)};
        message.name.size = (pb_size_t)len;
        if (len > 0) {
            memcpy(message.name.bytes, input->data, len);
        }
        input->data += len;
        input->len -= len;
        goes_on = message_do(&message, sockets, images);
    }
    close(sockets[0]);
    close(sockets[1]);
}

void fuzz_one(const uint8_t *data, size_t len)
{
    struct fuzz_input input = {data, len};
    struct error error = {0};
    static struct policy policy;
    static struct job_images images;
    if (root[0] == '\0') {
        world_make();
    }
    uint64_t choices = fuzz_take(&input, 1);
    policy = (struct policy){.allows_beside = (choices & 1) != 0, .no_backing = (choices & 2) != 0};
    struct job job = {
        .inputs = {{.path = "images/i.vmdk", .sector_len = JOB_SECTOR_LEN_MIN}},
        .input_count = 1,
        .policy = &policy,
        .late_device_count = (choices & 4) != 0 ? LATE_COUNT : 0,
        .joins_files = (choices & 8) != 0,
    };
    struct job_output further = {.image = {.path = "images/d", .sector_len = JOB_SECTOR_LEN_MIN}};
    if ((choices & 16) != 0) {
        job.output_kind = JOB_OUTPUT_IN_PLACE;
        job.resizes_output = true;
        job.output_len = JOB_OUTPUT_AS_GUEST_SAYS;
        job.output.path = "images/o";
        further.role = (choices & 64) != 0 ? JOB_OUTPUT_BACKING : JOB_OUTPUT_DATA;
        job.further_outputs = (struct job_outputs){.list = &further, .count = (choices & 32) != 0 ? 1 : 0};
    }
    memset(&images, 0, sizeof(images));
    FUZZ_ASSERT((choices & 128) == 0 || policy_allow_file(&policy, "images/in/b", "a backing file", &error));
    FUZZ_ASSERT(job_images_open_inputs(&images, &job, &error) && job_images_open_output(&images, &job, &error));
    side_begin(&sides[0], &job, &images);
    side_begin(&sides[1], &job, &images);
    messages_do(&input, &images);
    side_end(&sides[0]);
    side_end(&sides[1]);
    FUZZ_ASSERT(job_images_commit(&images, &job, &error)); /* changed in place: closed */
    job_images_close_inputs(&images);
    policy_release(&policy);
}
