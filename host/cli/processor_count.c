/* SPDX-License-Identifier: Apache-2.0 */
#include "host/cli/processor_count.h"

#include <limits.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>

#include "base/attributes.h"
#include "base/checked.h"

/* A virtual processor is a thread of the machine's process and, by the process engine, one of the guest's. */
#define TASKS_PER_PROCESSOR 2u
/* What a job has besides: parent, opener, what relays, devices, who copies; and who started it, a batch for one. */
#define TASKS_BESIDE 9u

/* The process's group of version 2, below /sys/fs/cgroup: "/" in a namespace of its own. "" when there is none. */
static void group_find(const char *root, char group[PATH_MAX])
{
    char path[PATH_MAX];
    char line[PATH_MAX];
    group[0] = '\0';
    snprintf(path, sizeof(path), "%s/proc/self/cgroup", root);
    FILE *file = fopen(path, "re");
    if (file == NULL) {
        return;
    }
    while (fgets(line, sizeof(line), file) != NULL) { /* ends: a line for each hierarchy */
        if (strncmp(line, "0::/", 4) == 0) {
            line[strcspn(line, "\n")] = '\0';
            memcpy(group, line + 3, strlen(line + 3) + 1);
        }
    }
    fclose(file);
}

/* The first numbers of a group's file. How many there are: none for "max", which is no limit, and without a file. */
static int numbers_read(const char *root, const char *group, const char *name, unsigned long long numbers[2])
{
    char path[PATH_MAX];
    if (snprintf(path, sizeof(path), "%s/sys/fs/cgroup%s/%s", root, group, name) >= (int)sizeof(path)) {
        return 0;
    }
    FILE *file = fopen(path, "re");
    if (file == NULL) {
        return 0;
    }
    char text[64] = "";
    char *end = text;
    if (fgets(text, sizeof(text), file) == NULL) {
        text[0] = '\0';
    }
    fclose(file);
    for (int count = 0; count < 2; count++) {
        const char *start = end;
        numbers[count] = strtoull(start, &end, 10);
        if (end == start) {
            return count;
        }
    }
    return 2;
}

/* Of what limits time: quota and period, in microseconds. */
static uint64_t quota_limit(uint64_t count, const unsigned long long numbers[2])
{
    uint64_t whole = numbers[1] > 0 ? numbers[0] / numbers[1] + (numbers[0] % numbers[1] != 0) : count;
    return min_u64(count, whole);
}

/* Processors that there is time on, and the tasks that there is room for. */
struct limits {
    uint64_t processors;
    uint64_t tasks;
};

static struct limits limits_find(const char *root)
{
    char group[PATH_MAX];
    unsigned long long numbers[2];
    cpu_set_t set;
    struct rlimit processes;
    CPU_ZERO(&set);
    uint64_t count = sched_getaffinity(0, sizeof(set), &set) == 0 ? (uint64_t)CPU_COUNT(&set) : 1;
    uint64_t tasks = getrlimit(RLIMIT_NPROC, &processes) == 0 ? processes.rlim_cur : RLIM_INFINITY;
    group_find(root, group);
    /* The third one is version 1's, as a container has it. */
    const char *const groups[] = {group, "", "/pids"};
    for (unsigned int i = 0; i < ARRAY_COUNT(groups); i++) {
        if (numbers_read(root, groups[i], "pids.max", numbers) > 0) {
            tasks = min_u64(tasks, numbers[0]);
        }
        if (numbers_read(root, groups[i], "cpu.max", numbers) == 2) {
            count = quota_limit(count, numbers);
        }
    }
    return (struct limits){.processors = count, .tasks = tasks};
}

static uint32_t job_processors(const struct limits *limits, uint64_t max)
{
    uint64_t room = limits->tasks > TASKS_BESIDE ? (limits->tasks - TASKS_BESIDE) / TASKS_PER_PROCESSOR : 0;
    uint64_t count = min_u64(min_u64(limits->processors, room), max);
    return count > 0 ? (uint32_t)count : 1;
}

uint32_t processor_count(uint32_t max, const char *root)
{
    struct limits limits = limits_find(root);
    return job_processors(&limits, max);
}

uint32_t processor_count_jobs(uint32_t max, const char *root)
{
    struct limits limits = limits_find(root);
    uint64_t tasks = TASKS_BESIDE + (uint64_t)TASKS_PER_PROCESSOR * job_processors(&limits, PROCESSORS_OF_JOB_MAX);
    uint64_t count = min_u64(min_u64(limits.processors, limits.tasks / tasks), max);
    return count > 0 ? (uint32_t)count : 1;
}
