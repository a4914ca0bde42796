/* SPDX-License-Identifier: Apache-2.0 */
/* Descriptors that the caller has left open for us: locks, sockets, pipes, directories of a service. */
#ifndef INSTAR_HOST_CLI_INHERITED_H
#define INSTAR_HOST_CLI_INHERITED_H

/*
 * Closes all but the standard streams and those that the words of the command line name, as /dev/fd/N, /proc/self/fd/N
 * and the like, within names in JSON as well: who decodes what the machine's process says has nothing that was not
 * meant for it. Those that hold a lock stay open, too, as the caller's lock lasts as long as the job it is for: a
 * script has taken it and then executed us, or may end before us. A machine's process has none of them. Ends the
 * program, with a line, when that cannot be done. Before anything is opened.
 */
void inherited_close(const char *program, int argc, char *const argv[]);

#endif
