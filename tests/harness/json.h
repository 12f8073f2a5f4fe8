/* A strict reader of JSON (RFC 8259), for lines of the log and bodies of answers: no lenience, no
 * duplicate names, valid UTF-8. */
#ifndef REMUDA_TESTS_HARNESS_JSON_H
#define REMUDA_TESTS_HARNESS_JSON_H

#include <stdbool.h>
#include <stddef.h>

/* Whether the whole text is one JSON value with nothing but blanks around it.
 * Returns  NULL when it is; else what is wrong with it: static text */
const char *json_check(const char *text, size_t len);

/* Finds a member of the outermost object of valid JSON.
 * out      its value as written; of a string without its quotes, escapes kept
 * Returns  false when there is no such member */
bool json_member(const char *text, const char *name, char *out, size_t cap);

/* The same as a number; fails the test when it is none. */
long json_number(const char *text, const char *name);

/* Fails the test unless it is valid. */
void json_must(const char *text, size_t len);

#endif
