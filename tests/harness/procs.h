/* Which processes are there. A test program is a subreaper: everything that a server starts stays
 * below the test, however its parents die, so "below me" finds all that could be left behind. */
#ifndef REMUDA_TESTS_HARNESS_PROCS_H
#define REMUDA_TESTS_HARNESS_PROCS_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

#define PROCS_MAX 256

/* Makes this process the one that orphans below it are handed to. Fails the test if it can't. */
void procs_adopt_orphans(void);

/* Living processes (not zombies) below a process, itself not counted.
 * Returns  how many, at most PROCS_MAX, are in out_pids */
size_t procs_below(pid_t root, pid_t out_pids[PROCS_MAX]);

/* Whether a process lives; a zombie does not. */
bool procs_is_alive(pid_t pid);

/* Children of a process that are dead and not reaped. */
size_t procs_zombies_of(pid_t parent);

/* Threads of a process; 0 when it is gone. */
unsigned procs_thread_count(pid_t pid);

/* State letter of /proc/PID/stat: R S D T Z …; 0 when it is gone. */
char procs_state(pid_t pid);

/* CPU time used so far, user and system, in clock ticks. */
unsigned long procs_cpu_ticks(pid_t pid);

/* Open descriptors of a process. */
size_t procs_fd_count(pid_t pid);

/* The same of a master, without what it opens only to read it: waits until nothing below /proc or
 * /sys is open. Fails the test if that never comes. */
size_t procs_fd_count_at_rest(pid_t pid);

/* Waits until they are so many: what belonged to a process goes a moment behind it. Fails the test
 * if that never comes. */
void procs_wait_fds(pid_t master, size_t n);

/* How many of its descriptors have this text in the path or name behind them (proc(5)):
 * "/memfd:", "/var/spool/". */
size_t procs_fd_count_like(pid_t pid, const char *text);

/* A line of /proc/PID/status in KiB: "RssAnon", memory that only this process has; 0 when it is
 * gone. */
unsigned long procs_memory_kib(pid_t pid, const char *name);

/* Memory of a process in KiB that nobody shares with it (smaps_rollup in proc(5)): unlike RssAnon
 * without what it has from its parent and has not written to; 0 when it is gone. */
unsigned long procs_private_kib(pid_t pid);

/* Waits until a process is gone or a zombie. Returns false when the deadline has passed */
bool procs_wait_gone(pid_t pid, unsigned deadline_ms);

/* Reaps every child that is dead, except `spared` (0: none), whose status someone wants. */
void procs_reap_strays(const pid_t *spared, size_t n_spared);

/* Inodes of the sockets that listen on a TCP port, IPv4 and IPv6.
 * Returns  how many, at most cap */
size_t procs_listener_inodes(unsigned port, unsigned long *out_inodes, size_t cap);

/* Whether one of these sockets still listens. */
bool procs_is_listening(unsigned port, const unsigned long *inodes, size_t n_inodes);

/* Whether a unix socket of that path listens. */
bool procs_is_unix_listening(const char *path);

/* Sockets at a local address, whoever holds them, also those that are on their way from one process
 * to another: a TCP port, or (0) the path of a unix socket. Ends of connections that wait out their
 * time in the kernel (TIME_WAIT) are not counted. */
struct procs_sockets {
    size_t listening, connected;
};
struct procs_sockets procs_sockets_at(unsigned port, const char *path);

/* The name that the process gave itself (/proc/PID/comm), "" when it is gone. Returns out */
const char *procs_name(pid_t pid, char *out, size_t cap);

/* Command line with blanks between the words, for messages. Returns out */
const char *procs_command(pid_t pid, char *out, size_t cap);

#endif
