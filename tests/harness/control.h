/* The control socket as a test speaks it: lines of text, without the commands. */
#ifndef REMUDA_TESTS_HARNESS_CONTROL_H
#define REMUDA_TESTS_HARNESS_CONTROL_H

#include <stddef.h>
#include <stdint.h>

#include "base/str.h"
#include "tests/harness/server.h"

/* Path of a server's control socket; static text, valid for four further calls. */
const char *control_socket(const struct server *s);

/* Connects. Returns the socket; -errno */
int control_connect(const char *path);

/* Sends text as it is. Fails the test when it is not taken. */
void control_send(int fd, const char *text);

/* Reads one line, without its newline, octet by octet. Fails the test at the deadline.
 * Returns  its length; -1: the server closed the connection before it was whole */
int control_read_line(int fd, char *out, size_t cap);

/* One request on a connection of its own: the answer, valid JSON, to be freed. */
char *control_ask(const struct server *s, const char *request);

/* The value of a member of an answer by its path, "workers.0.state": text without its quotes.
 * Fails the test when there is none. Static text, valid until the next call */
const char *control_member(const char *answer, const char *path);
uint64_t control_number(const char *answer, const char *path);

/* Asks for the status until a member has this value. Fails the test at the deadline. */
void control_wait_member(const struct server *s, const char *path, const char *value);

#endif
