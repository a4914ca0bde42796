/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The child's main thread: it builds the machine, then only keeps messages flowing until the machine has ended,
 * and reports how. vCPUs and devices have threads of their own.
 */
#include "host/job/child/child.h"

#include <errno.h>
#include <malloc.h>
#include <poll.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

#include "host/jail/jail_sanitizer.h"
#include "host/jail/jail_user.h"
#include "host/job/channel.h"
#include "host/job/child/child_jail.h"
#include "host/job/child/child_machine.h"
#include "host/job/child/child_statistics.h"

/*
 * How long a message may wait in the kernel's ring of coalesced writes, or in our buffer, when nothing else
 * moves it on. Short to the eye, and 20 wake-ups a second cost nothing.
 */
#define RELAY_INTERVAL_NS 50000000
/* Our threads call shallow code; their buffers are elsewhere. The default of 8 MiB counts as address space. */
#define THREAD_STACK_LEN (JAIL_HAS_SANITIZER ? 8u << 20 : 512u << 10)

struct child {
    const struct job *job;
    pthread_mutex_t writer_lock;
    struct channel_writer *writer;
    struct child_machine *machine;
    uint64_t wall_ns;
    const struct child_ties *ties;
    int grant_fd;    /* -1: the guest may not ask for files */
    bool lacks_user; /* that the job wants, and need not have */
    struct jail jail;
};

static uint64_t now_ns(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

/* When the parent is gone the kernel ends us, too: nobody is left to tell about a failed write. */
static void message_relay(void *context, struct span body)
{
    struct child *child = context;
    pthread_mutex_lock(&child->writer_lock);
    channel_writer_append_guest_message(child->writer, body);
    pthread_mutex_unlock(&child->writer_lock);
}

static void debug_line_relay(void *context, const char *line)
{
    struct child *child = context;
    pthread_mutex_lock(&child->writer_lock);
    channel_writer_append_debug_line(child->writer, line);
    pthread_mutex_unlock(&child->writer_lock);
}

static void relay_flush(void *context)
{
    struct child *child = context;
    pthread_mutex_lock(&child->writer_lock);
    channel_writer_flush(child->writer);
    pthread_mutex_unlock(&child->writer_lock);
}

/*
 * What is as large as this has room for many of something, of which a job mostly has few: it gets a mapping of its own,
 * whose pages need no clearing. Larger than what a late device is made of (child_jail.c), of which there may be many.
 */
#define SPARSE_LEN_MIN (64 << 10)

/*
 * Keeps the address space in proportion to what is touched: callers limit it (RLIMIT_AS), and each thread's
 * own heap would reserve 64 MiB.
 */
static void address_space_limit(void)
{
    mallopt(M_ARENA_MAX, 1);
    mallopt(M_MMAP_THRESHOLD, SPARSE_LEN_MIN);
    pthread_attr_t attributes;
    pthread_attr_init(&attributes);
    pthread_attr_setstacksize(&attributes, THREAD_STACK_LEN);
    pthread_setattr_default_np(&attributes);
    pthread_attr_destroy(&attributes);
}

static bool child_init(struct child *child, const struct job *job, const struct child_ties *ties)
{
    *child = (struct child){.job = job, .ties = ties, .grant_fd = ties->grant_fd};
    pthread_mutex_init(&child->writer_lock, NULL);
    child->writer = malloc(sizeof(*child->writer));
    child->machine = calloc(1, sizeof(*child->machine));
    if (child->writer == NULL || child->machine == NULL) {
        return false;
    }
    channel_writer_init(child->writer, ties->event_fd);
    return true;
}

/* Passes a grant of the parent on to the machine. */
static void grant_relay(struct child *child)
{
    struct grant grant;
    int file_fd;
    struct error error = {0};
    if (!grant_receive(child->grant_fd, &grant, &file_fd, &error) ||
        !child_machine_grant(child->machine, &grant, file_fd, &error)) {
        machine_end(&child->machine->machine, &error);
    }
}

/* Until the machine has ended. ppoll passes over a negative descriptor. Not poll: the jail has only one of them. */
static void machine_watch(struct child *child)
{
    struct pollfd ready[] = {
        {.fd = child->machine->machine.end_fd, .events = POLLIN},
        {.fd = child->grant_fd, .events = POLLIN},
        {.fd = child_machine_reader_end_fd(child->machine), .events = POLLIN},
    };
    for (;;) {
        struct timespec interval = {.tv_nsec = RELAY_INTERVAL_NS};
        int count = ppoll(ready, ARRAY_COUNT(ready), &interval, NULL);
        if (count > 0 && ready[0].revents != 0) {
            return;
        }
        if (count > 0 && ready[1].revents != 0) {
            grant_relay(child);
        }
        if (count > 0 && ready[2].revents != 0) {
            child_machine_reader_ended(child->machine);
        }
        child_machine_drain_writes(child->machine);
        relay_flush(child);
    }
}

static void jail_gaps_tell(struct child *child)
{
    child->jail.gaps |= child->lacks_user ? JAIL_GAP_USER : 0;
    for (uint32_t gap = 1; gap != 0; gap <<= 1) {
        if (child->job->want_debug && (child->jail.gaps & gap) != 0) {
            debug_line_relay(child, jail_gap_describe((enum jail_gap)gap));
        }
    }
}

/* For its processor time, which is the job's, and for its end. */
static void guest_process_tell(struct child *child)
{
    const struct engine *engine = child->machine->machine.engine;
    pid_t pid = engine->operations->guest_process(engine);
    if (pid > 0) {
        instar_JobEvent *event = &child->writer->scratch;
        /* Not the whole event, which has room for the longest message: each page that is touched first costs time. */
        event->which_kind = instar_JobEvent_guest_process_tag;
        event->kind.guest_process = (instar_GuestProcess){.pid = pid};
        pthread_mutex_lock(&child->writer_lock);
        channel_writer_append(child->writer, event);
        pthread_mutex_unlock(&child->writer_lock);
    }
}

static bool thread_confine(void *context, enum start_role role)
{
    const struct child *child = context;
    struct error ignored = {0}; /* the same in all threads, and told once */
    return jail_confine(&child->jail, role == START_VCPU ? JAIL_ROLE_VCPU : JAIL_ROLE_DEVICE, &ignored);
}

/* Closes the jail around the threads of the machine and lets them go. When it fails, the machine has ended. */
static bool machine_release_into_jail(struct child *child, struct error *error)
{
    child_machine_confine(child->machine, thread_confine, child);
    RETURN_IF_FAILED(child_machine_start(child->machine, error));
    bool is_jailed = child_machine_wait_threads(child->machine, error) && jail_close(&child->jail, error);
    if (!is_jailed) {
        machine_end(&child->machine->machine, error);
        return false;
    }
    jail_gaps_tell(child);
    guest_process_tell(child);
    child_machine_open_gate(child->machine);
    return true;
}

static bool machine_run(struct child *child, struct error *error)
{
    bool is_running = machine_release_into_jail(child, error);
    /* In the jail a clock is for statistics only. */
    uint64_t start_ns = child->job->want_statistics ? now_ns() : 0;
    if (is_running) {
        machine_watch(child);
    }
    bool ended_well = child_machine_stop(child->machine, error);
    child->wall_ns = child->job->want_statistics ? now_ns() - start_ns : 0;
    return ended_well;
}

static void end_send(struct child *child, bool success, const struct error *error)
{
    instar_JobEvent *event = &child->writer->scratch;
    event->which_kind = instar_JobEvent_end_tag;
    event->kind.end = (instar_JobEnd){.success = success, .error_kind = error->kind};
    memcpy(event->kind.end.error_place, error->place, sizeof(error->place));
    memcpy(event->kind.end.error_detail, error->detail, sizeof(error->detail));
    pthread_mutex_lock(&child->writer_lock);
    channel_writer_append(child->writer, event);
    pthread_mutex_unlock(&child->writer_lock);
}

_Static_assert(sizeof(((struct error *)0)->place) == sizeof(((instar_JobEnd *)0)->error_place),
               "a place crosses the channel whole");
_Static_assert(sizeof(((struct error *)0)->detail) == sizeof(((instar_JobEnd *)0)->error_detail),
               "a detail crosses the channel whole");

/* Before anything is made: what this process makes, the guest's process among it, is that user's, too. */
static bool user_become(struct child *child, struct error *error)
{
    const struct job_user *user = &child->job->user;
    int result = user->is_set ? jail_user_become(user->uid, user->gid) : 0;
    child->lacks_user = result != 0;
    return result == 0 || (user->is_optional && (result == EPERM || result == EINVAL)) ||
           error_set(error, ERROR_HOST, NULL, "the machine's process cannot become user %u: %s", user->uid,
                     strerror(result));
}

/*
 * Runs the machine on images that this takes over. Returns whether it ended well; even then *error may tell of
 * an operation on an image that failed, which is for the case that the guest reports a failure.
 */
static bool job_do(struct child *child, struct error *error)
{
    struct child_machine_handlers handlers = {
        .message = message_relay, .debug_line = debug_line_relay, .flush = relay_flush, .context = child};
    RETURN_IF_FAILED(user_become(child, error));
    RETURN_IF_FAILED(child_machine_init(child->machine, child->job, child->ties, &handlers, error));
    struct jail_config jail_config = child_jail_config(child->job, child->ties);
    bool ended_well = jail_enter(&child->jail, &jail_config, error) && machine_run(child, error);
    if (child->job->want_statistics) {
        child_statistics_fill(&child->writer->scratch, child->machine, child->wall_ns);
        channel_writer_append(child->writer, &child->writer->scratch);
    }
    if (ended_well) {
        child_machine_failure(child->machine, error);
    }
    bool is_kept = child_machine_close_images(child->machine, ended_well && !error_is_set(error), error);
    return ended_well && is_kept;
}

/*
 * Behind the parent, which counts this process and the guest's together: the kernel counts each for itself, and holds
 * also when the parent has stopped. Far behind, as the kernel holds this limit against samples, one a tick, which come
 * to twice the time on a host that is short of processors. The parent knows SIGXCPU for what it is.
 */
static void processor_time_limit(uint32_t seconds)
{
    struct rlimit limit;
    if (seconds > 0 && getrlimit(RLIMIT_CPU, &limit) == 0) {
        limit.rlim_cur = min_u64(limit.rlim_cur, 2ull * seconds + 2); /* who started us may have set a lower one */
        limit.rlim_max = min_u64(limit.rlim_max, 2ull * seconds + 3);
        setrlimit(RLIMIT_CPU, &limit);
    }
}

void child_run(const struct job *job, const struct child_ties *ties)
{
    address_space_limit();
    processor_time_limit(job->limits.cpu_s);
    struct child child;
    if (!child_init(&child, job, ties)) {
        _exit(EXIT_FAILURE);
    }
    struct error error = {0};
    bool success = job_do(&child, &error);
    end_send(&child, success, &error);
    relay_flush(&child);
    close(ties->event_fd);
    /* The parent has what it waits for. The kernel takes memory and virtual machine down with the process. */
    _exit(EXIT_SUCCESS);
}
