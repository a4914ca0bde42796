/* SPDX-License-Identifier: Apache-2.0 */
/* The process engine: requests and answers, doorbells, interruptions, the end. */
#include <dirent.h>
#include <poll.h>
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/pidfd.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "test_engine_process_support.h"

PIECE(request)
PIECE(ring)
PIECE(spin)
PIECE(undefined)

static struct mailbox *wish(struct guest *guest)
{
    return (struct mailbox *)(guest->memory.data + LAYOUT_PAGE_LEN);
}

static struct mailbox *result(struct guest *guest)
{
    return (struct mailbox *)(guest->memory.data + 2 * LAYOUT_PAGE_LEN);
}

static void brings_requests_and_answers(void **state UNUSED)
{
    struct guest guest;
    guest_start(&guest, piece_request());
    *wish(&guest) =
        (struct mailbox){.kind = MAILBOX_PORT, .is_write = 1, .width = 1, .count = MAILBOX_DATA_LEN, .address = 0x3f8};
    for (unsigned int i = 0; i < MAILBOX_DATA_LEN; i++) {
        wish(&guest)->data[i] = (uint8_t)(i * 3);
    }
    assert_true(guest_run(&guest));
    assert_int_equal(guest.exit.kind, VCPU_EXIT_PORT);
    assert_true(guest.exit.access.is_write);
    assert_int_equal(guest.exit.access.address, 0x3f8);
    assert_int_equal(guest.exit.access.count, MAILBOX_DATA_LEN);
    assert_memory_equal(guest.exit.access.data, wish(&guest)->data, MAILBOX_DATA_LEN);
    /* Ours, whatever the guest does to the mailbox. */
    uint8_t *shared = guest_memory_low(&guest.memory, LAYOUT_MAILBOX_GPA(0), LAYOUT_PAGE_LEN);
    memset(shared + MAILBOX_HEAD_LEN, 0, MAILBOX_DATA_LEN);
    assert_int_equal(guest.exit.access.data[1], 3);

    *wish(&guest) =
        (struct mailbox){.kind = MAILBOX_REGISTER, .width = 4, .count = 1, .address = LAYOUT_REGISTERS_GPA + 0x70};
    assert_true(guest_run(&guest));
    assert_int_equal(guest.exit.kind, VCPU_EXIT_REGISTER);
    assert_false(guest.exit.access.is_write);
    memcpy(guest.exit.access.data, "abcd", 4);
    assert_true(guest_run(&guest));
    assert_memory_equal(result(&guest)->data, "abcd", 4);
    guest_end(&guest);
}

static void ends_a_guest_with_a_broken_request(void **state UNUSED)
{
    struct guest guest;
    guest_start(&guest, piece_request());
    *wish(&guest) = (struct mailbox){.kind = 9, .width = 1, .count = 1};
    guest_expect_error(&guest, ERROR_GUEST, "request of unknown kind 9");
    guest_end(&guest);
}

static void rings_doorbells_without_an_exit(void **state UNUSED)
{
    struct guest guest;
    struct span piece = piece_request();
    uint64_t gpa = LAYOUT_REGISTERS_GPA + 0x50;
    guest_make(&guest, &piece, 1);
    int bells[2] = {eventfd(0, EFD_NONBLOCK), eventfd(0, EFD_NONBLOCK)};
    assert_true(operations->add_doorbell(guest.engine, gpa, 0, bells[0], &guest.error));
    assert_true(operations->add_doorbell(guest.engine, gpa, 1, bells[1], &guest.error));
    assert_true(operations->start(guest.engine, &guest.error));
    *wish(&guest) =
        (struct mailbox){.kind = MAILBOX_REGISTER, .is_write = 1, .width = 4, .count = 1, .address = gpa, .data = {1}};
    /* Rings for ever: only an interruption ends the run. */
    struct process *process = (struct process *)guest.engine;
    pid_t child = fork();
    if (child == 0) {
        struct pollfd bell = {.fd = bells[1], .events = POLLIN};
        poll(&bell, 1, 10000);
        eventfd_write(process->vcpus[0].event_fd, 1); /* must not be taken for a request */
        pidfd_send_signal(process->pidfd, SIGKILL, NULL, 0);
        _exit(0);
    }
    guest_expect_error(&guest, ERROR_HOST, "the guest's process was killed by signal 9 (Killed)");
    eventfd_t count = 0;
    assert_int_equal(eventfd_read(bells[1], &count), 0);
    assert_true(count > 0);
    assert_int_not_equal(eventfd_read(bells[0], &count), 0);
    waitpid(child, NULL, 0);
    close(bells[0]);
    close(bells[1]);
    guest_end(&guest);
}

/* Neither a full eventfd nor one that is signalled for nothing confuses the engine. */
static void survives_a_guest_that_rings_for_nothing(void **state UNUSED)
{
    uint8_t code[256];
    struct span ring = piece_ring();
    struct span request = piece_request();
    memcpy(code, ring.data, ring.len);
    memcpy(code + ring.len, request.data, request.len);
    struct guest guest;
    guest_start(&guest, (struct span){code, ring.len + request.len});
    *wish(&guest) = (struct mailbox){.kind = MAILBOX_PORT, .is_write = 1, .width = 4, .count = 1, .address = 0x518};
    assert_true(guest_run(&guest));
    assert_int_equal(guest.exit.kind, VCPU_EXIT_PORT);
    assert_int_equal(guest.exit.access.address, 0x518);
    guest_end(&guest);
}

static void *interrupt(void *argument)
{
    struct guest *guest = argument;
    operations->vcpu_interrupt(guest->engine, 0);
    return NULL;
}

static void interrupts_a_guest_that_never_stops(void **state UNUSED)
{
    struct guest guest;
    pthread_t thread;
    guest_start(&guest, piece_spin());
    assert_int_equal(pthread_create(&thread, NULL, interrupt, &guest), 0);
    assert_true(guest_run(&guest));
    assert_int_equal(guest.exit.kind, VCPU_EXIT_INTERRUPTED);
    pthread_join(thread, NULL);
    struct pollfd end = {.fd = ((struct process *)guest.engine)->pidfd, .events = POLLIN};
    assert_int_equal(poll(&end, 1, 10000), 1);
    assert_true(guest_run(&guest));
    assert_int_equal(guest.exit.kind, VCPU_EXIT_INTERRUPTED);
    guest_end(&guest);
}

static void executes_nothing_when_interrupted_first(void **state UNUSED)
{
    struct guest guest;
    guest_start(&guest, piece_undefined());
    operations->vcpu_interrupt(guest.engine, 0);
    assert_true(guest_run(&guest));
    assert_int_equal(guest.exit.kind, VCPU_EXIT_INTERRUPTED);
    guest_end(&guest);
}

static void *run_second(void *argument)
{
    struct guest *guest = argument;
    static struct vcpu_exit exit;
    static struct error error;
    return operations->vcpu_run(guest->engine, 1, &exit, &error) ? &exit : NULL;
}

/* One process, so any thread may be the one to find out; all say the same. */
static void says_which_vcpu_has_faulted(void **state UNUSED)
{
    struct guest guest;
    const struct span pieces[] = {piece_spin(), piece_undefined()};
    pthread_t thread;
    guest_make(&guest, pieces, 2);
    assert_true(operations->start(guest.engine, &guest.error));
    assert_int_equal(pthread_create(&thread, NULL, run_second, &guest), 0);
    assert_true(guest_run(&guest));
    void *second;
    pthread_join(thread, &second);
    assert_non_null(second);
    const struct vcpu_exit *exits[] = {&guest.exit, second};
    for (unsigned int i = 0; i < 2; i++) {
        assert_int_equal(exits[i]->kind, VCPU_EXIT_FAULT);
        assert_int_equal(exits[i]->faulted_vcpu, 1);
        assert_int_equal(exits[i]->instruction_gpa, LAYOUT_PROGRAM_GPA + LAYOUT_PAGE_LEN);
    }
    guest_end(&guest);
}

static void starts_as_many_vcpus_as_there_can_be(void **state UNUSED)
{
    struct guest guest;
    struct span pieces[LAYOUT_VCPU_MAX];
    for (unsigned int i = 0; i < LAYOUT_VCPU_MAX; i++) {
        pieces[i] = piece_request();
    }
    guest_make(&guest, pieces, LAYOUT_VCPU_MAX);
    assert_true(operations->start(guest.engine, &guest.error));
    *wish(&guest) = (struct mailbox){.kind = MAILBOX_PORT, .is_write = 1, .width = 4, .count = 1, .address = 0x510};
    for (unsigned int i = 0; i < LAYOUT_VCPU_MAX; i++) {
        assert_true(operations->vcpu_run(guest.engine, i, &guest.exit, &guest.error));
        assert_int_equal(guest.exit.kind, VCPU_EXIT_PORT);
        assert_int_equal(guest.exit.access.vcpu, i);
    }
    guest_end(&guest);
}

#define LANDLOCK_SCOPE_OF_SIGNALS 2ull

/* In a process of its own, as there is no way out: 0 when a guest made inside of Landlock can be ended from there. */
static int end_within_landlock(void)
{
    /* As of version 6 (Documentation/userspace-api/landlock.rst): rights to files, to the network, scopes. */
    const uint64_t rules[3] = {0, 0, LANDLOCK_SCOPE_OF_SIGNALS};
    int rules_fd = (int)syscall(SYS_landlock_create_ruleset, rules, sizeof(rules), 0);
    if (rules_fd < 0) {
        return 0; /* a kernel without it */
    }
    struct span piece = piece_spin();
    struct guest guest;
    guest_make(&guest, &piece, 1);
    prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
    if (syscall(SYS_landlock_restrict_self, rules_fd, 0) != 0 || !operations->start(guest.engine, &guest.error)) {
        return 1;
    }
    operations->vcpu_interrupt(guest.engine, 0);
    struct pollfd end = {.fd = ((struct process *)guest.engine)->pidfd, .events = POLLIN};
    return poll(&end, 1, 10000) == 1 ? 0 : 2;
}

/* The order that engine.h asks for. The other way round, the guest would outlive the machine. */
static void ends_a_guest_that_was_made_inside_of_landlock(void **state UNUSED)
{
    pid_t child = fork();
    if (child == 0) {
        _exit(end_within_landlock());
    }
    int status;
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_int_equal(status, 0);
}

static unsigned int descriptor_count(void)
{
    unsigned int count = 0;
    DIR *directory = opendir("/proc/self/fd");
    assert_non_null(directory);
    while (readdir(directory) != NULL) {
        count++;
    }
    closedir(directory);
    return count;
}

static void leaves_nothing_behind(void **state UNUSED)
{
    unsigned int before = descriptor_count();
    struct guest guest;
    guest_start(&guest, piece_spin());
    guest_end(&guest);
    struct span piece = piece_spin();
    guest_make(&guest, &piece, 1); /* never started */
    guest_end(&guest);
    assert_int_equal(descriptor_count(), before);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(brings_requests_and_answers),
        cmocka_unit_test(ends_a_guest_with_a_broken_request),
        cmocka_unit_test(rings_doorbells_without_an_exit),
        cmocka_unit_test(survives_a_guest_that_rings_for_nothing),
        cmocka_unit_test(interrupts_a_guest_that_never_stops),
        cmocka_unit_test(executes_nothing_when_interrupted_first),
        cmocka_unit_test(says_which_vcpu_has_faulted),
        cmocka_unit_test(starts_as_many_vcpus_as_there_can_be),
        cmocka_unit_test(ends_a_guest_that_was_made_inside_of_landlock),
        cmocka_unit_test(leaves_nothing_behind),
    };
    return cmocka_run_group_tests(tests, engine_probe, NULL);
}
