/* What there is to send, and what becomes of it when it was sent: first what an earlier turn could
 * not get rid of, else the answers gathered in this one; then a body that lies elsewhere, in memory
 * or in a file, part by part. */
#include "http/conn.h"
#include "http/conn_answer.h"

/* The part of a file's body that is under way, and how much of it is done. */
static const struct response_part *part_under_way(const struct rmd_response *res,
                                                  uint64_t *out_done)
{
    const struct response_part *part = res->parts;
    uint64_t done = res->body_sent;
    for (; done >= part->len; part++)
        done -= part->len;
    *out_done = done;
    return part;
}

static bool is_sending_file(const struct conn *c)
{
    return c->state == CONN_SENDING && c->ex->res.kind == RESPONSE_FILE;
}

bool conn_output_has_file(const struct conn *c)
{
    uint64_t done;
    return is_sending_file(c) && !part_under_way(&c->ex->res, &done)->data;
}

/* Memory that is next of a body under way. Returns false when a file is */
static bool peek_memory(const struct conn *c, struct iovec *out_part)
{
    const struct rmd_response *res = &c->ex->res;
    const char *data = res->body;
    uint64_t len = res->body_len;
    uint64_t done = res->body_sent;
    if (res->kind == RESPONSE_FILE) {
        const struct response_part *part = part_under_way(res, &done);
        if (!part->data)
            return false;
        data = part->data;
        len = part->len;
    }
    *out_part = (struct iovec){(void *)(uintptr_t)(data + done), (size_t)(len - done)};
    return true;
}

int conn_output(struct conn *c, struct iovec *iov)
{
    struct conn_env *env = c->env;
    int n = 0;
    if (c->out.len > 0)
        iov[n++] = (struct iovec){c->out.data + c->out_sent, c->out.len - c->out_sent};
    else if (env->out.len > env->out_sent)
        iov[n++] = (struct iovec){env->out.data + env->out_sent, env->out.len - env->out_sent};
    if (c->state == CONN_SENDING && peek_memory(c, &iov[n]))
        n++;
    return n;
}

bool conn_output_file(const struct conn *c, struct conn_file *out_file)
{
    if (c->out.len > 0 || c->env->out.len > c->env->out_sent || !conn_output_has_file(c))
        return false;
    uint64_t done;
    const struct response_part *part = part_under_way(&c->ex->res, &done);
    *out_file = (struct conn_file){.fd = c->ex->res.fd,
                                   .offset = (off_t)(part->offset + done),
                                   .len = (size_t)(part->len - done)};
    return true;
}

void conn_output_sent(struct conn *c, size_t n)
{
    struct conn_env *env = c->env;
    if (c->out.len > 0) {
        size_t left = c->out.len - c->out_sent;
        size_t from_out = n < left ? n : left;
        c->out_sent += from_out;
        n -= from_out;
        if (c->out_sent == c->out.len) {
            buf_fini(&c->out);
            c->out_sent = 0;
        }
    } else {
        size_t from_env = env->out.len - env->out_sent;
        if (from_env > n)
            from_env = n;
        env->out_sent += from_env;
        n -= from_env;
        if (env->out_sent == env->out.len)
            env->out_sent = env->out.len = 0;
    }
    if (c->state == CONN_SENDING) {
        c->ex->res.body_sent += n;
        if (c->ex->res.body_sent == c->ex->res.body_len)
            conn_answer_finish(c);
    }
}
