/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a process in the jail cannot do although no system call is forbidden yet: each test looks from a child that has
 * entered the jail but not closed it, so that the layers below the list are seen. The list has tests of its own, in
 * tests/commands/jail.py.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <linux/capability.h>
#include <linux/landlock.h>
#include <poll.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "host/jail/jail.h"
#include "host/jail/jail_landlock.h"
#include "host/jail/jail_limits.h"
#include "host/jail/jail_namespaces.h"
#include "host/jail/jail_privileges.h"
#include "host/jail/jail_sanitizer.h"

#define GROWTH_LEN (16ull * 1024 * 1024)
#define LATE_FILE_COUNT 2u
#define NOBODY 65534
/* Versions of Landlock (jail_landlock.c). */
#define LANDLOCK_WITH_TCP 4
#define LANDLOCK_WITH_SCOPES 6

/* A check in a child: prints the line that fails, and fails. */
#define CHECK(condition)                                               \
    do {                                                               \
        if (!(condition)) {                                            \
            print_error("%d: %s (%d)\n", __LINE__, #condition, errno); \
            return false;                                              \
        }                                                              \
    } while (0)

static long landlock_version(void)
{
    return syscall(SYS_landlock_create_ruleset, NULL, 0, LANDLOCK_CREATE_RULESET_VERSION);
}

static bool jail_enter_only(struct jail *jail, uint32_t parts, unsigned int late_file_count)
{
    struct jail_config config = {.parts = parts, .late_file_count = late_file_count, .growth_len = GROWTH_LEN};
    struct error error = {0};
    if (jail_enter(jail, &config, &error)) {
        return true;
    }
    print_error("%s\n", error.detail);
    return false;
}

static bool jail_limits_only(struct jail *jail)
{
    struct error error = {0};
    if (jail_limits_close(jail, &error)) {
        return true;
    }
    print_error("%s\n", error.detail);
    return false;
}

static void expect_in_child(bool (*look)(void))
{
    pid_t pid = fork();
    if (pid == 0) {
        _exit(look() ? 0 : 1);
    }
    int status;
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_true(WIFEXITED(status));
    assert_int_equal(WEXITSTATUS(status), 0);
}

static bool privileges_look(void)
{
    struct jail jail;
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    CHECK(jail_enter_only(&jail, JAIL_ENGINE_KVM, 0));
    CHECK(prctl(PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0) == 1);
    CHECK(prctl(PR_GET_DUMPABLE, 0, 0, 0, 0) == 0);
    int death_signal = 0;
    CHECK(prctl(PR_GET_PDEATHSIG, &death_signal) == 0 && death_signal == SIGKILL);
    struct __user_cap_header_struct header = {.version = _LINUX_CAPABILITY_VERSION_3};
    struct __user_cap_data_struct sets[_LINUX_CAPABILITY_U32S_3];
    CHECK(syscall(SYS_capget, &header, sets) == 0);
    for (unsigned int i = 0; i < _LINUX_CAPABILITY_U32S_3; i++) {
        CHECK(sets[i].effective == 0 && sets[i].permitted == 0 && sets[i].inheritable == 0);
    }
    CHECK(setgroups(0, NULL) < 0 && errno == EPERM);
    return true;
}

static void privileges_are_gone(void **state)
{
    (void)state;
    expect_in_child(privileges_look);
}

static bool bounding_set_look(void)
{
    struct jail jail;
    CHECK(jail_enter_only(&jail, JAIL_ENGINE_KVM, 0));
    for (unsigned long capability = 0; prctl(PR_CAPBSET_READ, capability, 0, 0, 0) >= 0; capability++) {
        CHECK(prctl(PR_CAPBSET_READ, capability, 0, 0, 0) == 0);
    }
    return true;
}

static void bounding_set_of_root_is_empty(void **state)
{
    (void)state;
    if (geteuid() != 0) {
        skip();
    }
    expect_in_child(bounding_set_look);
}

static bool files_look(void)
{
    struct jail jail;
    int opened = open("/etc/passwd", O_RDONLY);
    int directory = open("/tmp", O_RDONLY | O_DIRECTORY);
    CHECK(opened >= 0 && directory >= 0);
    CHECK(jail_enter_only(&jail, JAIL_ENGINE_KVM, 0));
    char byte;
    CHECK(read(opened, &byte, 1) == 1);
    /* By Landlock, or as nothing is left of the file system. */
    CHECK(open("/etc/passwd", O_RDONLY) < 0 && (errno == EACCES || errno == ENOENT));
    CHECK(open("/", O_RDONLY | O_DIRECTORY) < 0 && errno == EACCES);
    CHECK(openat(directory, "instar-jail", O_WRONLY | O_CREAT, 0600) < 0 && errno == EACCES);
    CHECK(openat(directory, ".", O_RDWR | O_TMPFILE, 0600) < 0 && errno == EACCES);
    CHECK(mkdirat(directory, "instar-jail", 0700) < 0 && errno == EACCES);
    CHECK(open("/proc/self/mem", O_RDWR) < 0 && (errno == EACCES || errno == ENOENT));
    CHECK(open("/dev/kvm", O_RDWR) < 0 && (errno == EACCES || errno == ENOENT));
    return true;
}

static void files_cannot_be_opened(void **state)
{
    (void)state;
    if (landlock_version() < 1 || JAIL_HAS_SANITIZER) {
        skip();
    }
    expect_in_child(files_look);
}

/* Without Landlock: the second wall alone. */
static bool namespaces_look(void)
{
    bool has_namespaces;
    struct error error = {0};
    CHECK(jail_namespaces_enter(0, &has_namespaces, &error));
    if (!has_namespaces) {
        return true; /* the system gives none */
    }
    CHECK(open("/etc/passwd", O_RDONLY) < 0 && errno == ENOENT);
    CHECK(open("/proc/self/status", O_RDONLY) < 0 && errno == ENOENT);
    CHECK(chdir("/..") == 0 && chdir("..") == 0 && open("etc/passwd", O_RDONLY) < 0 && errno == ENOENT);
    CHECK(open("/new", O_WRONLY | O_CREAT, 0600) < 0 && errno == EROFS);
    struct sockaddr_in address = {
        .sin_family = AF_INET, .sin_port = htons(9), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    int socket_fd = socket(AF_INET, SOCK_DGRAM, 0);
    CHECK(socket_fd < 0 || connect(socket_fd, (const struct sockaddr *)&address, sizeof(address)) < 0);
    return true;
}

static void namespaces_lead_nowhere(void **state)
{
    (void)state;
    if (JAIL_HAS_SANITIZER) {
        skip();
    }
    expect_in_child(namespaces_look);
}

/* The parent's own walls: what a rule names, and nothing else. */
static bool confined_look(void)
{
    int directory = open("/tmp", O_PATH | O_DIRECTORY);
    int file = open("/etc/passwd", O_PATH);
    struct jail_landlock_rule rules[] = {{directory, JAIL_LANDLOCK_CHANGE_BELOW}, {file, JAIL_LANDLOCK_READ_FILE}};
    bool has_landlock;
    struct error error = {0};
    CHECK(jail_privileges_keep_files(&error));
    CHECK(jail_landlock_confine(rules, 2, &has_landlock, &error) && has_landlock);
    CHECK(open("/etc/passwd", O_RDONLY) >= 0);
    CHECK(open("/etc/passwd", O_RDWR) < 0 && errno == EACCES);
    CHECK(open("/etc/group", O_RDONLY) < 0 && errno == EACCES);
    CHECK(open("/tmp", O_RDWR | O_TMPFILE, 0600) >= 0);
    CHECK(open("/etc", O_RDWR | O_TMPFILE, 0600) < 0);
    char name[] = "/tmp/instar-confined-XXXXXX";
    CHECK(mkstemp(name) >= 0 && unlink(name) == 0);
    CHECK(mkdir("/tmp/instar-confined", 0700) < 0 && errno == EACCES);
    CHECK(kill(getppid(), 0) == 0);
    return true;
}

static void the_parent_keeps_what_it_needs(void **state)
{
    (void)state;
    if (landlock_version() < 1 || JAIL_HAS_SANITIZER) {
        skip();
    }
    expect_in_child(confined_look);
}

static bool network_look(void)
{
    struct jail jail;
    CHECK(jail_enter_only(&jail, JAIL_ENGINE_KVM, 0));
    struct sockaddr_in address = {
        .sin_family = AF_INET, .sin_port = htons(9), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    int fd = socket(AF_INET, SOCK_STREAM, 0);
    CHECK(fd >= 0);
    CHECK(connect(fd, (struct sockaddr *)&address, sizeof(address)) < 0 && errno == EACCES);
    CHECK(bind(fd, (struct sockaddr *)&address, sizeof(address)) < 0 && errno == EACCES);
    return true;
}

static void network_cannot_be_reached(void **state)
{
    (void)state;
    if (landlock_version() < LANDLOCK_WITH_TCP) {
        skip();
    }
    expect_in_child(network_look);
}

static bool processes_look(void)
{
    struct jail jail;
    CHECK(jail_enter_only(&jail, JAIL_ENGINE_KVM, 0));
    CHECK(kill(getppid(), 0) < 0 && errno == EPERM);
    CHECK(kill(getpid(), 0) == 0);
    return true;
}

static void other_processes_get_no_signals(void **state)
{
    (void)state;
    if (landlock_version() < LANDLOCK_WITH_SCOPES) {
        skip();
    }
    expect_in_child(processes_look);
}

static bool limit_is(__rlimit_resource_t resource, uint64_t value)
{
    struct rlimit limit;
    return getrlimit(resource, &limit) == 0 && limit.rlim_cur == value && limit.rlim_max == value;
}

static bool descriptors_look(void)
{
    struct jail jail;
    int ends[2];
    CHECK(pipe(ends) == 0);
    CHECK(dup2(ends[0], 40) == 40); /* a number far beyond the others */
    CHECK(jail_enter_only(&jail, JAIL_ENGINE_KVM, 0));
    CHECK(jail_limits_only(&jail));
    CHECK(dup(0) < 0 && errno == EMFILE);
    CHECK(fcntl(0, F_DUPFD, 50) < 0 && errno == EINVAL);
    struct pollfd both[] = {{.fd = 40, .events = POLLIN}, {.fd = ends[1], .events = POLLOUT}};
    CHECK(poll(both, 2, 0) == 1);
    CHECK(write(ends[1], "x", 1) == 1 && poll(both, 2, 0) == 2);
    return true;
}

static void no_descriptor_can_be_made(void **state)
{
    (void)state;
    if (JAIL_HAS_SANITIZER) {
        skip();
    }
    expect_in_child(descriptors_look);
}

static bool late_files_look(void)
{
    struct jail jail;
    CHECK(dup2(0, 40) == 40);
    CHECK(jail_enter_only(&jail, JAIL_ENGINE_KVM | JAIL_LATE_FILES, LATE_FILE_COUNT));
    CHECK(jail_limits_only(&jail));
    for (unsigned int i = 0; i < LATE_FILE_COUNT; i++) {
        CHECK(dup(0) >= 0);
    }
    CHECK(dup(0) < 0 && errno == EMFILE);
    return true;
}

static void as_many_descriptors_come_late_as_announced(void **state)
{
    (void)state;
    if (JAIL_HAS_SANITIZER) {
        skip();
    }
    expect_in_child(late_files_look);
}

static void *map(uint64_t len)
{
    return mmap(NULL, len, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
}

static bool address_space_look(void)
{
    struct jail jail;
    CHECK(jail_enter_only(&jail, JAIL_ENGINE_KVM, 0));
    CHECK(map(4 * GROWTH_LEN) != MAP_FAILED);
    CHECK(jail_limits_only(&jail));
    CHECK(map(GROWTH_LEN + 1) == MAP_FAILED && errno == ENOMEM);
    CHECK(map(GROWTH_LEN / 2) != MAP_FAILED);
    CHECK(map(GROWTH_LEN / 2 + 1) == MAP_FAILED && errno == ENOMEM);
    return true;
}

static void address_space_grows_by_what_was_announced(void **state)
{
    (void)state;
    if (JAIL_HAS_SANITIZER) {
        skip();
    }
    expect_in_child(address_space_look);
}

static bool limits_look(void)
{
    struct jail jail;
    CHECK(jail_enter_only(&jail, JAIL_ENGINE_KVM, 0));
    CHECK(limit_is(RLIMIT_CORE, 0));
    CHECK(limit_is(RLIMIT_MEMLOCK, 0));
    CHECK(jail_limits_only(&jail));
    CHECK(JAIL_HAS_SANITIZER || limit_is(RLIMIT_NPROC, 0));
    struct rlimit raised = {1, 1};
    CHECK(setrlimit(RLIMIT_CORE, &raised) < 0 && errno == EPERM);
    return true;
}

static void limits_cannot_be_raised(void **state)
{
    (void)state;
    expect_in_child(limits_look);
}

/* RLIMIT_NPROC counts the kernel's workers for io_uring. Only users other than root feel it. */
static bool workers_look(void)
{
    struct jail jail;
    struct rlimit limit;
    CHECK(jail_enter_only(&jail, JAIL_ENGINE_KVM | JAIL_BACKEND_IO_URING, 0));
    CHECK(jail_limits_only(&jail));
    CHECK(getrlimit(RLIMIT_NPROC, &limit) == 0 && limit.rlim_cur > 0);
    return true;
}

static void io_uring_keeps_its_workers(void **state)
{
    (void)state;
    expect_in_child(workers_look);
}

static bool ordinary_user_look(void)
{
    struct jail jail;
    struct error error = {0};
    CHECK(setgid(NOBODY) == 0 && setuid(NOBODY) == 0);
    CHECK(jail_enter_only(&jail, JAIL_ENGINE_KVM, 0));
    CHECK(jail_limits_only(&jail));
    CHECK(JAIL_HAS_SANITIZER || (fork() < 0 && errno == EAGAIN));
    CHECK(jail_close(&jail, &error));
    return getpid() > 0;
}

/* Root may; that of a namespace knows nobody else. */
static bool may_become_nobody(void)
{
    int status = 1;
    pid_t pid = fork();
    if (pid == 0) {
        _exit(setgid(NOBODY) == 0 && setuid(NOBODY) == 0 ? 0 : 1);
    }
    return pid > 0 && waitpid(pid, &status, 0) == pid && status == 0;
}

static void ordinary_users_have_the_same_jail(void **state)
{
    (void)state;
    if (!may_become_nobody()) {
        skip();
    }
    expect_in_child(ordinary_user_look);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(privileges_are_gone),
        cmocka_unit_test(bounding_set_of_root_is_empty),
        cmocka_unit_test(files_cannot_be_opened),
        cmocka_unit_test(namespaces_lead_nowhere),
        cmocka_unit_test(the_parent_keeps_what_it_needs),
        cmocka_unit_test(network_cannot_be_reached),
        cmocka_unit_test(other_processes_get_no_signals),
        cmocka_unit_test(no_descriptor_can_be_made),
        cmocka_unit_test(as_many_descriptors_come_late_as_announced),
        cmocka_unit_test(address_space_grows_by_what_was_announced),
        cmocka_unit_test(limits_cannot_be_raised),
        cmocka_unit_test(io_uring_keeps_its_workers),
        cmocka_unit_test(ordinary_users_have_the_same_jail),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
