/* Fuzz target: the image of an answer, as a web worker reads it from a process that may have
 * written anything.
 *
 * Input: an octet, whose lowest bit says that a file comes with it, the others how many octets of
 * body; all that follows is the image. Asserted: what is taken has a status, fields that a handler
 * could have set, and a body or parts that add up, none of it in the image itself; written as an
 * image and read again it is the same; cut off or with one octet more it is no image. Descriptors
 * are closed. */
#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "base/arena.h"
#include "base/panic.h"
#include "http/image.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static char beside[128];

static int make_file(bool is_there)
{
    int fd = is_there ? memfd_create("file", MFD_CLOEXEC) : -1;
    RMD_ASSERT(!is_there || fd >= 0);
    return fd;
}

/* A copy of its exact size, which goes when it was read. */
static int read_exact(const char *octets, size_t len, struct str body, bool has_file,
                      struct rmd_response *res, struct arena *arena)
{
    const char *reason = NULL;
    char *copy = malloc(len ? len : 1);
    int fd = make_file(has_file);
    RMD_ASSERT(copy);
    memcpy(copy, octets, len);
    response_begin(res, NULL);
    int rc = image_read_answer(str_make(copy, len), body, fd, res, arena, &reason);
    free(copy);
    RMD_ASSERT(rc == 0 || (rc == -EBADMSG && reason));
    if (rc < 0)
        RMD_ASSERT(res->kind == RESPONSE_NONE && (fd < 0 || fcntl(fd, F_GETFD) < 0));
    return rc;
}

static bool is_clean(struct str value)
{
    for (size_t i = 0; i < value.len; i++)
        if (((unsigned char)value.p[i] < ' ' && value.p[i] != '\t') || value.p[i] == 0x7f)
            return false;
    return true;
}

static void check_parts(const struct rmd_response *res)
{
    uint64_t sum = 0;
    bool is_of_file = false;
    RMD_ASSERT(res->n_parts > 0);
    for (uint32_t i = 0; i < res->n_parts; i++) {
        const struct response_part *part = &res->parts[i];
        sum += part->len;
        is_of_file = is_of_file || !part->data;
        RMD_ASSERT(part->len > 0 && part->offset <= INT64_MAX - part->len);
        if (part->data) /* all of it is there */
            RMD_ASSERT(strnlen(part->data, part->len) <= part->len);
    }
    RMD_ASSERT(sum == res->body_len && is_of_file == (res->fd >= 0));
}

static void check_answer(const struct rmd_response *res, struct str body)
{
    struct buf head = {0};
    RMD_ASSERT(res->status >= 200 && res->status <= 599 && !res->done);
    RMD_ASSERT(is_clean(res->type));
    for (const struct response_field *field = res->fields; field; field = field->next) {
        RMD_ASSERT(str_is_token(field->name) && is_clean(field->value));
        RMD_ASSERT(!str_is_equal_nocase(field->name, STR("content-length")));
        RMD_ASSERT(!str_is_equal_nocase(field->name, STR("transfer-encoding")));
    }
    RMD_ASSERT(response_render_head(res, &(struct response_frame){0}, &head) == 0);
    RMD_ASSERT(memmem(head.data, head.len, "\r\n\r\n", 4) == head.data + head.len - 4);
    buf_fini(&head);
    if (res->kind == RESPONSE_FILE)
        check_parts(res);
    else if (res->kind == RESPONSE_BYTES)
        RMD_ASSERT(body.len == 0 || (res->body == body.p && res->body_len == body.len));
    else
        RMD_ASSERT(res->body_len == 0 && body.len == 0);
}

static void check_same(const struct rmd_response *a, const struct rmd_response *b)
{
    const struct response_field *of_a = a->fields;
    const struct response_field *of_b = b->fields;
    for (; of_a && of_b; of_a = of_a->next, of_b = of_b->next) {
        RMD_ASSERT(str_is_equal(of_a->name, of_b->name));
        RMD_ASSERT(str_is_equal(of_a->value, of_b->value));
    }
    RMD_ASSERT(!of_a && !of_b && a->status == b->status && a->kind == b->kind);
    RMD_ASSERT(str_is_equal(a->type, b->type) && a->body_len == b->body_len);
    RMD_ASSERT(a->n_parts == b->n_parts);
    RMD_ASSERT(a->kind != RESPONSE_BYTES || memcmp(a->body, b->body, a->body_len) == 0);
}

static void check_again(const struct rmd_response *res)
{
    struct rmd_response again;
    struct arena arena;
    size_t len = image_answer_bytes(res, true);
    char *octets = malloc(len + 1);
    bool has_file = res->kind == RESPONSE_FILE && res->fd >= 0;
    RMD_ASSERT(octets);
    arena_init(&arena, 256);
    image_put_answer(res, true, octets);
    octets[len] = ' ';
    RMD_ASSERT(read_exact(octets, len - 1, STR(""), has_file, &again, &arena) < 0);
    RMD_ASSERT(read_exact(octets, len + 1, STR(""), has_file, &again, &arena) < 0);
    RMD_ASSERT(read_exact(octets, len, STR(""), has_file, &again, &arena) == 0);
    check_same(res, &again);
    response_drop_body(&again);
    arena_fini(&arena);
    free(octets);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct rmd_response res;
    struct arena arena;
    if (size == 0)
        return 0;
    struct str body = str_make(beside, data[0] >> 1);
    arena_init(&arena, 256);
    if (read_exact((const char *)data + 1, size - 1, body, data[0] & 1, &res, &arena) == 0) {
        check_answer(&res, body);
        check_again(&res);
        response_drop_body(&res);
    }
    arena_fini(&arena);
    return 0;
}
