/* Prints the nanoseconds that a process has been on a CPU, user and kernel, all its threads.
 *
 * The process's CPU-time clock (clock_getcpuclockid(3)) is exact and keeps the time of threads that
 * have ended. /proc/PID/stat has the same sum in ticks of 10 ms, and the schedstat files under
 * /proc/PID/task forget a thread when it ends: a server with a thread for each connection looked
 * free. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

int main(int argc, char **argv)
{
    struct timespec used;
    clockid_t clock;
    int error;

    if (argc != 2) {
        fprintf(stderr, "usage: %s PID\n", argv[0]);
        return 2;
    }
    error = clock_getcpuclockid((pid_t)atoi(argv[1]), &clock);
    if (error) {
        fprintf(stderr, "%s: %s: %s\n", argv[0], argv[1], strerror(error));
        return 1;
    }
    if (clock_gettime(clock, &used) < 0) {
        perror(argv[1]);
        return 1;
    }
    printf("%lld%09ld\n", (long long)used.tv_sec, used.tv_nsec);
    return 0;
}
