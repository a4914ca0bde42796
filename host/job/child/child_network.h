/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A network namespace that children of several jobs are in, one after the other. Making one for each job and taking it
 * down again, which the kernel does later and on nobody's account, is a fifth of what `info` of a small image costs.
 *
 * It has no interface that is up, and nothing can be left in it by who may neither make a socket nor change it.
 */
#ifndef INSTAR_HOST_JOB_CHILD_CHILD_NETWORK_H
#define INSTAR_HOST_JOB_CHILD_CHILD_NETWORK_H

/* A descriptor of a new one, the caller's; -1 where the system gives none, or has no /proc. */
int child_network_make(void);

/*
 * Children that this process makes from now on are in it, as far as the system lets them, and have no descriptor of it.
 * It stays the caller's, who sees to it that those of one job at a time are in it. -1: each gets one of its own.
 */
void child_network_give(int network_fd);

/* What was given; -1: nothing. */
int child_network_given(void);

#endif
