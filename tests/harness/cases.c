/* Loader of *.http files. Line-oriented and strict: a case that says nothing about its outcome, a
 * word that nobody knows or a wrong escape is an error with file and line, since a case that is
 * skipped in silence tests nothing. */
#include "tests/harness/cases.h"

#include <ctype.h>
#include <errno.h>
#include <glob.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "base/buf.h"

#define LINE_MAX_BYTES 65536
#define PLACES_MAX 4

/* Where "\\@" stands in the octets of a case. */
struct places {
    size_t at[PLACES_MAX];
    size_t n;
};

struct loader {
    const char *path;
    unsigned line;
    struct cases_list *list;
    struct err *err;
    bool is_in_octets;
    bool has_fate;
    struct buf octets; /* of the case that is being read */
    struct places places;
    struct buf each; /* octets that take these places in turn; none: the case is one */
};

static int complain(struct loader *l, const char *what, const char *text)
{
    return err_set(l->err, EINVAL, "%s:%u: %s: %.80s", l->path, l->line, what, text);
}

/* ---- Escapes ------------------------------------------------------------------------------- */

static int unescape(const char *text, size_t len, struct buf *out, struct places *places);

/* "\(N*text)": *at stands behind the parenthesis. */
static int repeat(const char *text, size_t len, size_t *at, struct buf *out)
{
    char *star;
    unsigned long count = strtoul(text + *at, &star, 10);
    size_t start = (size_t)(star - text) + 1;
    const char *end = start < len && *star == '*' ? memchr(star, ')', len - start + 1) : NULL;
    if (!end || count == 0 || count > 20000000)
        return -EINVAL;
    struct buf once = {0};
    int rc = unescape(text + start, (size_t)(end - text) - start, &once, NULL);
    for (unsigned long i = 0; i < count && rc == 0; i++)
        rc = buf_append(out, once.data, once.len);
    buf_fini(&once);
    *at = (size_t)(end - text) + 1;
    return rc;
}

/* places  takes note of each "\\@"; NULL: there may be none */
static int unescape(const char *text, size_t len, struct buf *out, struct places *places)
{
    static const char letters[] = "rnt0\\", octets[] = "\r\n\t\0\\";
    int rc = 0;
    for (size_t at = 0; at < len && rc == 0;) {
        if (text[at] != '\\') {
            rc = buf_append(out, text + at++, 1);
            continue;
        }
        if (++at == len)
            return -EINVAL;
        char c = text[at++];
        const char *letter = memchr(letters, c, sizeof letters - 1);
        if (letter) {
            rc = buf_append(out, octets + (letter - letters), 1);
        } else if (c == '@' && places && places->n < PLACES_MAX) {
            places->at[places->n++] = out->len;
            rc = buf_append(out, "@", 1);
        } else if (c == '(') {
            rc = repeat(text, len, &at, out);
        } else if (c == 'x' && at + 2 <= len && isxdigit((unsigned char)text[at]) &&
                   isxdigit((unsigned char)text[at + 1])) {
            char hex[3] = {text[at], text[at + 1], '\0'};
            char octet = (char)strtoul(hex, NULL, 16);
            rc = buf_append(out, &octet, 1);
            at += 2;
        } else {
            return -EINVAL;
        }
    }
    return rc;
}

/* ---- Cases --------------------------------------------------------------------------------- */

static struct cases_case *current(struct loader *l)
{
    return l->list->n > 0 ? &l->list->items[l->list->n - 1] : NULL;
}

static int add(struct loader *l, const char *name)
{
    struct cases_case *items = realloc(l->list->items, (l->list->n + 1) * sizeof l->list->items[0]);
    if (!items)
        return -ENOMEM;
    l->list->items = items;
    struct cases_case *c = &items[l->list->n++];
    memset(c, 0, sizeof *c);
    (void)snprintf(c->name, sizeof c->name, "%s", name);
    return 0;
}

static char *copy_of(const char *octets, size_t len)
{
    char *copy = malloc(len + 1);
    if (copy && len > 0)
        memcpy(copy, octets, len);
    return copy;
}

/* Makes of the last case as many as there are octets for its places. */
static int multiply(struct loader *l)
{
    size_t first = l->list->n - 1;
    for (size_t i = 0; i < l->each.len; i++) {
        int rc = i > 0 ? add(l, "") : 0;
        if (rc < 0)
            return rc;
        const struct cases_case *model = &l->list->items[first];
        struct cases_case *c = &l->list->items[first + i];
        if (i > 0) {
            *c = *model;
            c->octets = copy_of(model->octets, model->len);
            c->body = model->body ? copy_of(model->body, model->body_len) : NULL;
            if (!c->octets || (model->body && !c->body))
                return -ENOMEM;
        }
        size_t stem = i > 0 ? strlen(model->name) - 5 : strlen(model->name);
        (void)snprintf(c->name, sizeof c->name, "%.*s_0x%02x", (int)(stem > 80 ? 80 : stem),
                       l->list->items[first].name, (unsigned char)l->each.data[i]);
        for (size_t k = 0; k < l->places.n; k++)
            c->octets[l->places.at[k]] = l->each.data[i];
    }
    return 0;
}

/* Ends the case that was being read. */
static int finish(struct loader *l)
{
    struct cases_case *c = current(l);
    if (!c || c->octets)
        return 0;
    if (!l->is_in_octets || l->octets.len == 0 || !l->has_fate)
        return complain(l, "the case before this line lacks expect:, then: or octets", c->name);
    if ((l->each.len > 0) != (l->places.n > 0))
        return complain(l, "the case before this line has each: without \\@, or \\@ without",
                        c->name);
    c->octets = l->octets.data;
    c->len = l->octets.len;
    l->octets = (struct buf){0};
    return multiply(l);
}

static int begin(struct loader *l, const char *name)
{
    int rc = finish(l);
    if (rc == 0 && cases_find(l->list, name))
        rc = complain(l, "a second case of this name", name);
    if (rc == 0)
        rc = add(l, name);
    if (rc < 0)
        return rc;
    l->is_in_octets = false;
    l->has_fate = false;
    l->places.n = 0;
    l->each.len = 0;
    return name[0] ? 0 : complain(l, "a case without name", name);
}

static int read_statuses(struct loader *l, struct cases_case *c, const char *text)
{
    const char *at = text;
    while (*(at += strspn(at, " ")) != '\0') {
        if (c->n_answers == CASES_ANSWERS_MAX)
            return complain(l, "too many answers", text);
        struct cases_answer *answer = &c->answers[c->n_answers++];
        for (int i = 0; i < CASES_CHOICES_MAX; i++) {
            char *end;
            answer->statuses[i] = (int)strtol(at, &end, 10);
            if (end == at || answer->statuses[i] < 100 || answer->statuses[i] > 599)
                return complain(l, "not a status", at);
            at = end;
            if (*at != '|')
                break;
            at++;
        }
        answer->is_optional = *at == '?';
        at += answer->is_optional;
        if (*at != ' ' && *at != '\0')
            return complain(l, "not a status", at);
    }
    return 0;
}

static int read_word(struct loader *l, struct cases_case *c, const char *line)
{
    if (line[0] == '#' || line[0] == '\0')
        return 0;
    if (strncmp(line, "expect:", 7) == 0)
        return read_statuses(l, c, line + 7);
    if (strcmp(line, "then: keep") == 0 || strcmp(line, "then: close") == 0) {
        c->closes = line[6] == 'c';
        l->has_fate = true;
        return 0;
    }
    if (strncmp(line, "each: ", 6) == 0)
        return unescape(line + 6, strlen(line + 6), &l->each, NULL) < 0
                   ? complain(l, "bad escape", line)
                   : 0;
    if (strncmp(line, "body:", 5) == 0) {
        struct buf body = {0};
        const char *text = line + 5 + (line[5] == ' ');
        int rc = unescape(text, strlen(text), &body, NULL);
        if (rc == 0)
            rc = buf_append(&body, "", 1);
        c->body = body.data;
        c->body_len = rc == 0 ? body.len - 1 : 0;
        return rc < 0 ? complain(l, "bad escape", line) : 0;
    }
    return complain(l, "neither expect:, then:, body:, each:, # nor ---", line);
}

static int read_line(struct loader *l, const char *line)
{
    struct cases_case *c = current(l);
    if (strncmp(line, "=== ", 4) == 0)
        return begin(l, line + 4);
    if (!c || c->octets)
        return line[0] == '\0' || line[0] == '#' ? 0 : complain(l, "outside of a case", line);
    if (!l->is_in_octets && strcmp(line, "---") == 0) {
        l->is_in_octets = true;
        return c->n_answers > 0 ? 0 : complain(l, "no expect: in", c->name);
    }
    if (!l->is_in_octets)
        return read_word(l, c, line);
    return unescape(line, strlen(line), &l->octets, &l->places) < 0
               ? complain(l, "bad escape", line)
               : 0;
}

static int load_file(struct loader *l)
{
    FILE *file = fopen(l->path, "re");
    char *line = malloc(LINE_MAX_BYTES);
    int rc = 0;
    l->line = 0;
    if (!file || !line)
        rc = err_set(l->err, errno, "%s: %s", l->path, strerror(errno));
    while (rc == 0 && fgets(line, LINE_MAX_BYTES, file)) {
        l->line++;
        line[strcspn(line, "\n")] = '\0';
        rc = read_line(l, line);
    }
    if (rc == 0)
        rc = finish(l);
    if (file)
        (void)fclose(file);
    free(line);
    return rc;
}

int cases_load(const char *folder, struct cases_list *out_list, struct err *err)
{
    char pattern[4096];
    glob_t found = {0};
    struct cases_list list = {0};
    struct loader l = {.list = &list, .err = err};
    (void)snprintf(pattern, sizeof pattern, "%s/*.http", folder);
    int rc = glob(pattern, 0, NULL, &found) == 0
                 ? 0
                 : err_set(err, ENOENT, "%s: no *.http files", folder);
    for (size_t i = 0; rc == 0 && i < found.gl_pathc; i++) {
        l.path = found.gl_pathv[i];
        rc = load_file(&l);
    }
    globfree(&found);
    buf_fini(&l.octets);
    buf_fini(&l.each);
    if (rc < 0)
        cases_free(&list);
    else
        *out_list = list;
    return rc;
}

int cases_load_all(struct cases_list *out_list, struct err *err)
{
    struct cases_list valid, invalid;
    int rc = cases_load(REMUDA_SOURCE_DIR "/tests/cases/valid", &valid, err);
    if (rc < 0)
        return rc;
    rc = cases_load(REMUDA_SOURCE_DIR "/tests/cases/invalid", &invalid, err);
    if (rc < 0) {
        cases_free(&valid);
        return rc;
    }
    size_t n = valid.n + invalid.n;
    struct cases_case *items = realloc(valid.items, n * sizeof *items);
    if (!items) {
        cases_free(&valid);
        cases_free(&invalid);
        return -ENOMEM;
    }
    memcpy(items + valid.n, invalid.items, invalid.n * sizeof *items);
    free(invalid.items);
    *out_list = (struct cases_list){.items = items, .n = n};
    return 0;
}

void cases_free(struct cases_list *list)
{
    for (size_t i = 0; i < list->n; i++) {
        free(list->items[i].octets);
        free(list->items[i].body);
    }
    free(list->items);
    *list = (struct cases_list){0};
}

const struct cases_case *cases_find(const struct cases_list *list, const char *name)
{
    for (size_t i = 0; i < list->n; i++)
        if (strcmp(list->items[i].name, name) == 0)
            return &list->items[i];
    return NULL;
}

bool cases_fits(const struct cases_case *c, const int *statuses, size_t n_statuses)
{
    size_t at = 0;
    for (size_t i = 0; i < c->n_answers; i++) {
        bool is_it = false;
        for (int k = 0; k < CASES_CHOICES_MAX && at < n_statuses; k++)
            is_it = is_it || c->answers[i].statuses[k] == statuses[at];
        if (is_it)
            at++;
        else if (!c->answers[i].is_optional)
            return false;
    }
    return at == n_statuses;
}

/* ---- Answers ------------------------------------------------------------------------------- */

/* What differs from answer to answer: what stands in front of it, and behind it. */
static const struct varying {
    const char *before;
    char end;
} varying[] = {
    {"\r\nDate: ", '\r'},
    {"\r\nX-Request-ID: ", '\r'},
    {"\r\ntraceparent: ", '\r'},
    {"\"trace_id\":\"", '"'}, /* of the demo's error page */
};

static void mask_one(struct buf *answers, const struct varying *v)
{
    size_t len = strlen(v->before);
    char *at = answers->data;
    char *end = at + answers->len;
    while ((at = memmem(at, (size_t)(end - at), v->before, len)))
        for (at += len; at < end && *at != v->end; at++)
            *at = '-';
}

void cases_mask(struct buf *answers)
{
    static const char interim[] = "HTTP/1.1 100 Continue\r\n\r\n";
    char *at;
    while (answers->len > 0 &&
           (at = memmem(answers->data, answers->len, interim, sizeof interim - 1))) {
        size_t behind = answers->len - (size_t)(at - answers->data) - (sizeof interim - 1);
        memmove(at, at + sizeof interim - 1, behind);
        answers->len -= sizeof interim - 1;
    }
    for (size_t i = 0; answers->len > 0 && i < sizeof varying / sizeof varying[0]; i++)
        mask_one(answers, &varying[i]);
}

/* How many fields of this name. out_value: of the first one, its octets up to the line end. */
static unsigned count(const char *head, const char *name, const char **out_value)
{
    unsigned n = 0;
    size_t len = strlen(name);
    for (const char *line = strchr(head, '\n'); line && line[1]; line = strchr(line + 1, '\n')) {
        if (strncasecmp(line + 1, name, len) != 0 || line[1 + len] != ':')
            continue;
        if (n++ == 0)
            *out_value = line + 2 + len + strspn(line + 2 + len, " ");
    }
    return n;
}

/* IMF-fixdate, RFC 9110 §5.6.7 */
static bool is_date(const char *text)
{
    static const char form[] = "Aaa, 00 Aaa 0000 00:00:00 GMT\r";
    for (size_t i = 0; i < sizeof form - 1; i++) {
        unsigned char c = (unsigned char)text[i];
        bool fits = i >= 26 || !isalnum((unsigned char)form[i]) ? c == (unsigned char)form[i]
                    : form[i] == 'A'                            ? isupper(c)
                    : form[i] == 'a'                            ? islower(c)
                                                                : isdigit(c);
        if (!fits)
            return false;
    }
    return true;
}

const char *cases_complaint(const char *head)
{
    static const char *const singular[] = {"Date",       "Content-Length", "Transfer-Encoding",
                                           "Connection", "Content-Type",   "Server"};
    const char *value = NULL;
    int status = atoi(head + strlen("HTTP/1.1 "));
    bool has_length = count(head, "Content-Length", &value) > 0;
    bool is_chunked = count(head, "Transfer-Encoding", &value) > 0;
    for (size_t i = 0; i < sizeof singular / sizeof singular[0]; i++)
        if (count(head, singular[i], &value) > 1)
            return "a field that must be there once is there twice";
    if (has_length && is_chunked)
        return "Content-Length beside Transfer-Encoding (RFC 9112 6.2)";
    if ((status < 200 || status == 204) && (has_length || is_chunked))
        return "framing of an answer that can have no body (RFC 9110 8.6, RFC 9112 6.1)";
    if (status >= 200 && (count(head, "Date", &value) == 0 || !is_date(value)))
        return "no Date, or not in the preferred form (RFC 9110 6.6.1, 5.6.7)";
    if (status == 205 && (!has_length || atoi(value) != 0))
        return "205 with content (RFC 9110 15.3.6)";
    if (status >= 400 && count(head, "Content-Type", &value) == 0 && has_length)
        return "content without Content-Type (RFC 9110 8.3)";
    return NULL;
}
