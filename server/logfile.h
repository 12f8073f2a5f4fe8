/* The files that logs go to. */
#ifndef REMUDA_SERVER_LOGFILE_H
#define REMUDA_SERVER_LOGFILE_H

struct err;

/* Opens a log for appending.
 * path      "-": the standard descriptor given; NULL: none
 * standard  STDOUT_FILENO or STDERR_FILENO
 * out_fd    -1 for none; to be given to logfile_close()
 * Returns   0; -errno, *err */
int logfile_open(const char *path, int standard, int *out_fd, struct err *err)
    __attribute__((warn_unused_result));

/* Opens a log anew, under the number that it has: whoever writes to that number writes to the new
 * file, from one write to the next.
 * fd       of logfile_open() with this path; a standard descriptor is left alone
 * Returns  1 done; 0 there is nothing to reopen; -errno, *err: fd is what it was */
int logfile_reopen(const char *path, int fd, struct err *err) __attribute__((warn_unused_result));

/* Closes what logfile_open() opened; standard descriptors stay open. */
void logfile_close(int *fd);

#endif
