/* SPDX-License-Identifier: Apache-2.0 */
/*
 * For LD_PRELOAD, beside what a library is for: it follows into the machine's process, which is executed with an empty
 * environment, with the variables that its tests have set.
 */
#include <stddef.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#define VARIABLE_MAX 16

static int is_ours(const char *variable)
{
    static const char loader[] = "LD_PRELOAD=";
    static const char test[] = "INSTAR_TEST_";
    return strncmp(variable, loader, strlen(loader)) == 0 || strncmp(variable, test, strlen(test)) == 0;
}

/* Called after vfork: it uses nothing but its stack. */
__attribute__((visibility("default"))) int execve(const char *path, char *const arguments[], char *const environment[])
{
    char *followers[VARIABLE_MAX + 4] = {NULL};
    size_t count = 0;
    if (strcmp(arguments[0], "instar-machine") != 0) {
        return (int)syscall(SYS_execve, path, arguments, environment);
    }
    for (char *const *variable = environment; *variable != NULL && count < 3; variable++) {
        followers[count++] = *variable;
    }
    for (char **variable = environ; *variable != NULL && count < VARIABLE_MAX; variable++) {
        if (is_ours(*variable)) {
            followers[count++] = *variable;
        }
    }
    return (int)syscall(SYS_execve, path, arguments, followers);
}
