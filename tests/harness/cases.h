/* The cases of tests/cases: octets of requests with the expected outcome beside them. The format is
 * described in tests/cases/README.md. Knows no sockets: what is done with a case is the
 * caller's. */
#ifndef REMUDA_TESTS_HARNESS_CASES_H
#define REMUDA_TESTS_HARNESS_CASES_H

#include <stdbool.h>
#include <stddef.h>

#include "base/buf.h"
#include "base/err.h"

#define CASES_ANSWERS_MAX 64
#define CASES_CHOICES_MAX 3

/* One expected answer. */
struct cases_answer {
    int statuses[CASES_CHOICES_MAX]; /* any of them; unused ones are 0 */
    bool is_optional;                /* may be left out */
};

struct cases_case {
    char name[96];
    char *octets; /* what the client sends; heap, belongs to the list */
    size_t len;
    struct cases_answer answers[CASES_ANSWERS_MAX];
    size_t n_answers;
    bool closes; /* the server closes the connection behind the last answer */
    char *body;  /* of all answers, joined; NULL: not compared */
    size_t body_len;
};

struct cases_list {
    struct cases_case *items;
    size_t n;
};

/* Reads every *.http file of a folder, in order of their names.
 * Returns  0; -errno, *err says file, line and what is wrong */
int cases_load(const char *folder, struct cases_list *out_list, struct err *err)
    __attribute__((warn_unused_result));

/* Reads valid/ and invalid/ of tests/cases into one list. Returns as cases_load() */
int cases_load_all(struct cases_list *out_list, struct err *err)
    __attribute__((warn_unused_result));

/* Frees what cases_load() made; the list is empty afterwards. */
void cases_free(struct cases_list *list);

/* Compares what came with what is expected.
 * statuses  of the answers that came, in order; interim ones (1xx) included
 * Returns   true when they fit */
bool cases_fits(const struct cases_case *c, const int *statuses, size_t n_statuses);

/* Makes octets of answers comparable: drops interim answers, which depend on whether a body was there
 * already (RFC 9110 §10.1.1), and masks what differs from answer to answer: Date, trace ids. */
void cases_mask(struct buf *answers);

/* What an answer's head has that RFC 9110 and 9112 forbid, or lacks that they demand: static text;
 * NULL: nothing.
 * head  status line and fields, NUL-terminated, with or without the empty line */
const char *cases_complaint(const char *head);

/* Finds one case by name; NULL when there is none. */
const struct cases_case *cases_find(const struct cases_list *list, const char *name);

#endif
