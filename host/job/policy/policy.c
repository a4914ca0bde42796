/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A name is joined to its image's directory, and ".." is resolved as text: that finds what is allowed and covers it,
 * and refuses what nothing covers before anything is looked at. What counts then is the kernel, which resolves the rest
 * beneath the allowed directory (host/job/policy/policy_lookup.h).
 *
 * The first handle on a file is O_PATH. What turns out to be a regular file is then opened through its handle, so it is
 * the very one that was looked at (host/job/files/file_handle.h).
 */
#include "host/job/policy/policy.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "host/job/files/file_handle.h"
#include "host/job/files/file_owner.h"
#include "host/job/policy/policy_lookup.h"
#include "host/job/policy/policy_path.h"

/* A name in an error message is cut to this. */
#define SHOWN_NAME_LEN 80
/* How long a directory may be in the advice at the end of a refusal: there it must not be cut. */
#define ADVISED_LEN_MAX 64

struct request {
    const struct policy *policy;
    const struct policy_origin *from;
    enum policy_use use;
    char name_buffer[PATH_MAX];
    const char *name;       /* without "file:" */
    char path[PATH_MAX];    /* absolute; after the image's directory as the image says it */
    char written[PATH_MAX]; /* the same, but an absolute name is all the image's */
};

/* What a name was found to be. */
struct place {
    struct policy_target target;
    bool is_beside; /* allowed because it is beside the image, and for no better reason */
    int handle;
};

static bool refuse(const char *name, struct error *error, const char *reason)
{
    return error_set(error, ERROR_REFUSED, NULL, "refused to open '%.*s'%s: %s", SHOWN_NAME_LEN, name,
                     strlen(name) > SHOWN_NAME_LEN ? " (cut)" : "", reason);
}

/* Bytes to a string of sane length. */
static bool name_check(struct span name, char copy[PATH_MAX], struct error *error)
{
    size_t kept = name.len < PATH_MAX ? name.len : PATH_MAX - 1;
    if (kept > 0) {
        memcpy(copy, name.data, kept);
    }
    copy[kept] = '\0';
    if (strlen(copy) < kept) {
        return refuse(copy, error, "the name contains a zero byte");
    }
    if (kept < name.len) {
        return refuse(copy, error, "the name is too long");
    }
    return true;
}

/*
 * QEMU takes what stands before a colon for a protocol, unless a slash comes first, but in names of parts, which are
 * paths and nothing else. Only files are files; a protocol would have the host connect to something, or parse the rest.
 */
static bool protocol_check(const char **name, enum policy_use use, struct error *error)
{
    static const char file_protocol[] = "file:";
    if (use == POLICY_PART) {
        /* as it stands */
    } else if (strncmp(*name, file_protocol, sizeof(file_protocol) - 1) == 0) {
        *name += sizeof(file_protocol) - 1;
    } else if ((*name)[strcspn(*name, ":/")] == ':') {
        return refuse(*name, error, "names with a protocol are never followed");
    }
    if ((*name)[0] == '\0') {
        return refuse(*name, error, "the name is empty");
    }
    return true;
}

static const char part_suffix[] = ".vmdk";

bool policy_origin_has_parts(const struct policy_origin *origin)
{
    const char *path = origin->path;
    if (path == NULL) {
        return false;
    }
    const char *name = strrchr(path, '/') != NULL ? strrchr(path, '/') + 1 : path;
    size_t len = strlen(name);
    return len > sizeof(part_suffix) - 1 && strcmp(name + len - (sizeof(part_suffix) - 1), part_suffix) == 0;
}

/*
 * Whether a name in the image's directory is one that its parts have: the image's own name without the suffix, a dash,
 * something, and the suffix.
 */
static bool is_name_of_part(const struct policy_origin *origin, const char *name)
{
    const size_t suffix_len = sizeof(part_suffix) - 1;
    if (!policy_origin_has_parts(origin) || name == NULL) {
        return false;
    }
    while (name[0] == '.' && name[1] == '/') { /* the directory itself, for the kernel too */
        name += 1 + strspn(name + 1, "/");
    }
    if (strchr(name, '/') != NULL) {
        return false;
    }
    const char *image = strrchr(origin->path, '/') != NULL ? strrchr(origin->path, '/') + 1 : origin->path;
    size_t name_len = strlen(name);
    size_t stem_len = strlen(image) - suffix_len;
    return name_len > stem_len + 1 + suffix_len && memcmp(name, image, stem_len) == 0 && name[stem_len] == '-' &&
           strcmp(name + name_len - suffix_len, part_suffix) == 0;
}

/* Whether a part is asked for. What the guest says the file is for can only take that away. */
static bool is_part(const struct request *request)
{
    return request->use == POLICY_PART &&
           is_name_of_part(request->from, path_beneath(request->path, request->from->directory.path));
}

/* What follows the directory in the path, by either of its names; NULL: it does not lie beneath it. */
static const char *request_beneath(const struct request *request, const struct policy_directory *directory)
{
    const char *beneath = path_beneath(request->path, directory->path);
    return beneath != NULL || directory->given == NULL ? beneath : path_beneath(request->written, directory->given);
}

static bool request_init(struct request *request, struct span name, struct error *error)
{
    RETURN_IF_FAILED(name_check(name, request->name_buffer, error));
    request->name = request->name_buffer;
    RETURN_IF_FAILED(protocol_check(&request->name, request->use, error));
    bool is_absolute = request->name[0] == '/';
    const struct policy_directory *start = &request->from->directory;
    int len = snprintf(request->written, sizeof(request->written), "%s%s%s", is_absolute ? "" : start->path,
                       is_absolute ? "" : "/", request->name);
    if (len >= (int)sizeof(request->written)) {
        return refuse(request->name, error, "the name is too long");
    }
    /* The image's directory may be called otherwise by a name that goes through links. */
    const char *beneath = is_absolute && start->given != NULL ? path_beneath(request->written, start->given) : NULL;
    len = beneath != NULL ? snprintf(request->path, sizeof(request->path), "%s/%s", start->path, beneath)
                          : snprintf(request->path, sizeof(request->path), "%s", request->written);
    if (len >= (int)sizeof(request->path)) {
        return refuse(request->name, error, "the name is too long");
    }
    return request->policy == NULL || !request->policy->no_backing || is_part(request) ||
           refuse(request->name, error, "no file that an image names is allowed (--no-backing)");
}

/* Whether the directory has that file, by this name or through a link of that name. */
static bool directory_has(const struct policy_directory *directory, const char *name, const struct stat *file)
{
    const struct policy_target target = {.directory = directory, .beneath = name, .leads_anywhere = true};
    int handle = policy_lookup_anywhere(&target, 0);
    struct stat status;
    bool has =
        handle >= 0 && fstat(handle, &status) == 0 && status.st_dev == file->st_dev && status.st_ino == file->st_ino;
    if (handle >= 0) {
        close(handle);
    }
    return has;
}

/*
 * Opens the directory of the file that was found at `target`, and names the file by it. Somebody who renames things
 * just now could have us find another one there: it must have that file.
 */
static bool directory_find(const struct request *request, const struct policy_target *target, struct policy_file *file,
                           struct policy_directory *ret_directory, struct error *error)
{
    char parent[PATH_MAX] = ".";
    const char *slash = strrchr(target->beneath, '/');
    const char *file_name = slash != NULL ? slash + 1 : target->beneath;
    if (slash != NULL) {
        size_t len = (size_t)(slash - target->beneath);
        memcpy(parent, target->beneath, len);
        parent[len] = '\0';
    }
    const struct policy_target place = {.directory = target->directory, .beneath = parent};
    int fd = target->leads_anywhere ? policy_lookup_anywhere(&place, O_DIRECTORY) : policy_lookup(&place, O_DIRECTORY);
    if (!policy_directory_take(fd, ret_directory)) {
        return error_set(error, ERROR_IO, request->path, "cannot open its directory: %s", strerror(errno));
    }
    if (slash != NULL && !directory_has(ret_directory, file_name, &file->status)) {
        policy_directory_release(ret_directory);
        return error_set(error, ERROR_IO, request->path, "cannot open its directory: %s", strerror(ESTALE));
    }
    /* As the image calls it, for what the file names in turn. */
    size_t given_len = (size_t)(strrchr(request->written, '/') - request->written);
    memcpy(parent, request->written, given_len);
    parent[given_len] = '\0';
    ret_directory->given = path_clean(parent);
    bool is_root = strcmp(ret_directory->path, "/") == 0;
    int len = snprintf(file->path, sizeof(file->path), "%s/%s", is_root ? "" : ret_directory->path, file_name);
    if (len >= (int)sizeof(file->path)) {
        policy_directory_release(ret_directory);
        return error_set_cause(error, ERROR_REASON_OPEN, ERROR_IO, request->path, strerror(ENAMETOOLONG));
    }
    return true;
}

/* The option that allows just this file. */
static const char *file_option(const struct request *request)
{
    return request->use == POLICY_DATA ? "--data-file" : "--backing-file";
}

/* A file that is allowed, where it is. */
static bool cannot_open(const struct request *request, const char *where, int error_number, struct error *error)
{
    return error_set(error, ERROR_IO, NULL, "cannot open '%.*s'%s%s: %s", SHOWN_NAME_LEN, request->name,
                     strlen(request->name) > SHOWN_NAME_LEN ? " (cut)" : "", where, strerror(error_number));
}

/* Nothing covers the path. */
static bool refuse_uncovered(const struct request *request, struct error *error)
{
    char parent[PATH_MAX];
    char reason[ERROR_DETAIL_LEN];
    const char *beneath = path_beneath(request->path, request->from->directory.path);
    if (beneath != NULL) {
        /* What is hidden is never allowed for being beside: that says the name, not the file. */
        snprintf(reason, sizeof(reason), "images lead nowhere; allow %sthe file with %s",
                 policy_path_is_hidden(beneath) ? "" : "what is beside them with --backing=beside, or ",
                 file_option(request));
        return refuse(request->name, error, reason);
    }
    path_parent(request->path, parent);
    snprintf(reason, sizeof(reason), "it is outside of what is allowed; allow with --backing-dir %.*s, or with %s",
             ADVISED_LEN_MAX, strlen(parent) <= ADVISED_LEN_MAX ? parent : "DIR", file_option(request));
    return refuse(request->name, error, reason);
}

/* Of what is beside an image, nobody learns whether it is there. */
static bool refuse_beside(const struct request *request, struct error *error)
{
    return error_set(error, ERROR_IO, NULL,
                     "cannot open '%.*s'%s: No such file or directory (or none that --backing=beside allows; %s FILE "
                     "allows others)",
                     SHOWN_NAME_LEN, request->name, strlen(request->name) > SHOWN_NAME_LEN ? " (cut)" : "",
                     file_option(request));
}

/* What the kernel said of the path in every directory that has it. */
static bool refuse_link(const struct request *request, int error_number, struct error *error)
{
    return refuse(request->name, error,
                  error_number == EXDEV ? "a link or mount on the way leads out of the allowed directory"
                                        : "a link on the way goes in circles, or is a magic one of /proc");
}

/* The handle of what is at the target, if it is this file; otherwise -1. */
static int lookup_identical(const struct policy_target *target, const struct file_identity *wanted)
{
    int handle = target->leads_anywhere ? policy_lookup_anywhere(target, 0) : policy_lookup(target, 0);
    struct stat status;
    if (handle >= 0 && fstat(handle, &status) == 0) {
        struct file_identity identity = file_identity(&status);
        if (file_identity_equal(&identity, wanted)) {
            return handle;
        }
    }
    if (handle >= 0) {
        close(handle);
    }
    return -1;
}

/*
 * Whether the path leads to a file that the user named: from there, or from beside the image, where links and mounts
 * may lead anywhere. What is looked up beyond what is allowed is compared with that file, and nothing else comes of it.
 */
static bool leads_to(const struct request *request, const struct policy_named *named, struct policy_target *ret_target,
                     int *ret_handle)
{
    const struct policy_directory *starts[] = {&named->directory, &request->from->directory};
    for (unsigned int i = 0; i < 2; i++) {
        struct policy_target target = {
            .directory = starts[i],
            .beneath = request_beneath(request, starts[i]),
            .leads_anywhere = true,
        };
        if (target.beneath == NULL) {
            continue;
        }
        int handle = lookup_identical(&target, &named->identity);
        if (handle >= 0) {
            *ret_target = target;
            *ret_handle = handle;
            return true;
        }
    }
    return false;
}

/* The same, or the very path that the user wrote. *ret_handle is the caller's. */
static bool is_named(const struct request *request, const struct policy_named *named, struct policy_target *ret_target,
                     int *ret_handle)
{
    if (leads_to(request, named, ret_target, ret_handle)) {
        return true;
    }
    if (strcmp(request->written, named->path) != 0) {
        return false;
    }
    const char *slash = strrchr(named->path, '/');
    *ret_target = (struct policy_target){.directory = &named->directory, .beneath = slash + 1};
    *ret_handle = fcntl(named->handle, F_DUPFD_CLOEXEC, 3);
    return *ret_handle >= 0;
}

static bool find_named(const struct request *request, struct place *ret_place)
{
    for (unsigned int i = 0; i < request->policy->file_count; i++) {
        struct place place = {0};
        if (is_named(request, &request->policy->files[i], &place.target, &place.handle)) {
            *ret_place = place;
            return true;
        }
    }
    return false;
}

/* In the directories that the user named. False without an error: none has it. */
static bool find_in_directories(const struct request *request, struct place *ret_place, struct error *error)
{
    int link_error = 0;
    for (unsigned int i = 0; i < request->policy->directory_count; i++) {
        const struct policy_directory *directory = &request->policy->directories[i];
        struct place place = {.target = {.directory = directory, .beneath = request_beneath(request, directory)}};
        if (place.target.beneath == NULL) {
            continue;
        }
        place.handle = policy_lookup(&place.target, 0);
        if (place.handle >= 0) {
            *ret_place = place;
            return true;
        }
        if (errno != EXDEV && errno != ELOOP) {
            return cannot_open(request, " in what --backing-dir allows", errno, error);
        }
        link_error = errno; /* one whose links lead out leaves it to the others */
    }
    return link_error != 0 && refuse_link(request, link_error, error);
}

/* Whether a name of this use may lead to what is beside the image: the place for rules about other uses. */
static bool leads_beside(const struct request *request)
{
    switch (request->use) {
    case POLICY_BACKING:
    case POLICY_DATA:
        return request->policy->allows_beside;
    case POLICY_PART:
        return request->policy->allows_beside || is_part(request);
    }
    return false;
}

/* Beside the image, or below. */
static bool find_beside(const struct request *request, struct place *ret_place, struct error *error)
{
    const struct policy_directory *directory = &request->from->directory;
    struct place place = {.target = {.directory = directory, .beneath = path_beneath(request->path, directory->path)},
                          .is_beside = true};
    if (!leads_beside(request) || place.target.beneath == NULL) {
        return refuse_uncovered(request, error);
    }
    place.handle = policy_path_is_hidden(place.target.beneath) ? -1 : policy_lookup(&place.target, 0);
    if (place.handle < 0) {
        return refuse_beside(request, error);
    }
    *ret_place = place;
    return true;
}

static bool request_find(const struct request *request, struct place *ret_place, struct error *error)
{
    struct error problem = {0};
    if (find_named(request, ret_place) || find_in_directories(request, ret_place, &problem)) {
        return true;
    }
    if (error_is_set(&problem)) {
        *error = problem;
        return false;
    }
    return find_beside(request, ret_place, error);
}

static bool is_owner_allowed(const struct request *request, uid_t owner)
{
    return owner == 0 || (owner == request->from->owner && file_owner_is_one(owner));
}

/* Whether a file beside the image is the image's business: not reached by a link to something hidden, nor another's. */
static bool is_beside_allowed(const struct request *request, const struct place *place, const struct stat *status)
{
    char path[PATH_MAX];
    if (!S_ISREG(status->st_mode) || status->st_nlink != 1 || !is_owner_allowed(request, status->st_uid) ||
        file_handle_is_kernels(place->handle) || !file_handle_path(place->handle, path)) {
        return false;
    }
    const char *beneath = path_beneath(path, place->target.directory->path);
    if (beneath == NULL || policy_path_is_hidden(beneath)) {
        return false;
    }
    /* What is allowed as a part only is one by its own name, too, and not by that of a link. */
    bool is_all_allowed = request->policy->allows_beside && !request->policy->no_backing;
    return is_all_allowed || is_name_of_part(request->from, beneath);
}

/* From the handle to the open file: only a regular one, and where files have storage. */
static bool place_open(const struct request *request, const struct place *place, struct policy_file *file,
                       struct error *error)
{
    char path[PATH_MAX];
    bool is_known = fstat(place->handle, &file->status) == 0;
    if (!file_handle_path(place->handle, path)) {
        return refuse(request->name, error, "without /proc it cannot be told where it is");
    }
    if (place->is_beside && (!is_known || !is_beside_allowed(request, place, &file->status))) {
        return refuse_beside(request, error);
    }
    if (!is_known || !S_ISREG(file->status.st_mode)) {
        return refuse(request->name, error, "it is not a regular file");
    }
    if (file_handle_is_kernels(place->handle)) {
        return refuse(request->name, error, "it is on a file system of the kernel's own");
    }
    file->fd = file_handle_open(place->handle, O_RDONLY);
    if (file->fd < 0 && place->is_beside) {
        return refuse_beside(request, error);
    }
    return file->fd >= 0 || cannot_open(request, "", errno, error);
}

bool policy_open(const struct policy *policy, const struct policy_origin *origin, struct span name, enum policy_use use,
                 struct policy_file *ret_file, struct policy_directory *ret_directory, struct error *error)
{
    struct request request = {.policy = policy, .from = origin, .use = use};
    struct place place;
    struct policy_directory directory;
    RETURN_IF_FAILED(request_init(&request, name, error));
    RETURN_IF_FAILED(request_find(&request, &place, error));
    bool is_open = place_open(&request, &place, ret_file, error);
    close(place.handle);
    RETURN_IF_FAILED(is_open);
    if (!directory_find(&request, &place.target, ret_file, &directory, error)) {
        close(ret_file->fd);
        return false;
    }
    if (ret_directory != NULL) {
        *ret_directory = directory;
    } else {
        policy_directory_release(&directory);
    }
    return true;
}

bool policy_leads_to(const struct policy_origin *origin, struct span name, const struct policy_named *named,
                     struct error *error)
{
    struct request request = {.from = origin, .use = POLICY_DATA};
    struct policy_target target;
    int handle;
    RETURN_IF_FAILED(request_init(&request, name, error));
    if (named == NULL) {
        return refuse(request.name, error, "what is written is named by the user: allow it with --data-file FILE");
    }
    if (!is_named(&request, named, &target, &handle)) {
        return refuse(request.name, error, "it is not the file that --data-file names");
    }
    close(handle);
    return true;
}

bool policy_leads_to_file(const struct policy_origin *origin, struct span name, const struct file_identity *identity)
{
    struct request request = {.from = origin, .use = POLICY_DATA};
    struct error ignored = {0};
    struct policy_target target = {.directory = &origin->directory, .leads_anywhere = true};
    if (!request_init(&request, name, &ignored)) {
        return false;
    }
    target.beneath = path_beneath(request.path, origin->directory.path);
    int handle = target.beneath != NULL ? lookup_identical(&target, identity) : -1;
    if (handle >= 0) {
        close(handle);
    }
    return handle >= 0;
}
