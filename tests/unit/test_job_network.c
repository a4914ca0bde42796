/* SPDX-License-Identifier: Apache-2.0 */
/* A network namespace that several machines' processes are in, one after the other. */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "host/jail/jail_namespaces.h"
#include "host/jail/jail_sanitizer.h"
#include "host/job/child/child_network.h"

#define NOBODY 65534

static ino_t network_of(int directory_fd)
{
    struct stat status;
    return fstatat(directory_fd, "net", &status, 0) == 0 ? status.st_ino : 0;
}

/* In a process as a child is: whether it gets into the namespace, leads nowhere, and keeps nothing of it. */
static bool network_look(int network_fd, ino_t network)
{
    int directory_fd = open("/proc/self/ns", O_RDONLY | O_DIRECTORY); /* later there is no /proc */
    bool has_namespaces;
    struct error error = {0};
    if (!jail_namespaces_enter(network_fd, &has_namespaces, &error)) {
        return false;
    }
    bool is_closed = fcntl(network_fd, F_GETFD) < 0 && errno == EBADF;
    struct sockaddr_in address = {
        .sin_family = AF_INET, .sin_port = htons(9), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    int socket_fd = socket(AF_INET, SOCK_DGRAM, 0);
    bool leads_nowhere = socket_fd < 0 || connect(socket_fd, (const struct sockaddr *)&address, sizeof(address)) < 0;
    return leads_nowhere && is_closed && network_of(directory_fd) == network;
}

/* Two processes, one after the other, in one that is not ours. Where the system gives none there is nothing to see. */
static bool network_share(void)
{
    struct stat network;
    struct stat ours;
    int network_fd = child_network_make();
    if (network_fd < 0) {
        return true;
    }
    bool success =
        fstat(network_fd, &network) == 0 && stat("/proc/self/ns/net", &ours) == 0 && network.st_ino != ours.st_ino;
    for (int i = 0; success && i < 2; i++) {
        pid_t pid = fork();
        if (pid == 0) {
            _exit(network_look(network_fd, network.st_ino) ? EXIT_SUCCESS : EXIT_FAILURE);
        }
        int status;
        success = pid > 0 && waitpid(pid, &status, 0) == pid && status == EXIT_SUCCESS;
    }
    close(network_fd);
    return success;
}

static void expect_in_process(bool (*look)(void), uid_t user)
{
    if (JAIL_HAS_SANITIZER) {
        skip();
    }
    pid_t pid = fork();
    assert_true(pid >= 0);
    if (pid == 0) {
        bool is_user = user == geteuid() || (setgroups(0, NULL) == 0 && setresgid(user, user, user) == 0 &&
                                             setresuid(user, user, user) == 0 && prctl(PR_SET_DUMPABLE, 1) == 0);
        _exit(is_user && look() ? EXIT_SUCCESS : EXIT_FAILURE);
    }
    int status;
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_int_equal(status, EXIT_SUCCESS);
}

static void children_are_in_it(void **state)
{
    (void)state;
    expect_in_process(network_share, geteuid());
}

static void children_of_a_user_are(void **state)
{
    (void)state;
    if (geteuid() != 0) {
        skip();
    }
    expect_in_process(network_share, NOBODY);
}

/* A descriptor that is of no namespace: the process gets a network of its own. */
static bool other_look(void)
{
    struct stat before;
    int directory_fd = open("/proc/self/ns", O_RDONLY | O_DIRECTORY);
    bool has_namespaces;
    struct error error = {0};
    int fd = open("/dev/null", O_RDONLY);
    return stat("/proc/self/ns/net", &before) == 0 && jail_namespaces_enter(fd, &has_namespaces, &error) &&
           (!has_namespaces || network_of(directory_fd) != before.st_ino);
}

static void without_it_each_has_its_own(void **state)
{
    (void)state;
    expect_in_process(other_look, geteuid());
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(children_are_in_it),
        cmocka_unit_test(children_of_a_user_are),
        cmocka_unit_test(without_it_each_has_its_own),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
