/* examples/thumbnail, served with its own YAML: pictures come back small, and what is no picture,
 * is damaged or too large is told apart. */
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/buf.h"
#include "tests/harness/client.h"
#include "tests/harness/post.h"
#include "tests/harness/server.h"

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define HAS_MEMORY_LIMIT false
#else
#define HAS_MEMORY_LIMIT true
#endif

static struct reply r;

/* Serves it, with a further setting. Skips the test where it was not built. */
static struct server *start(const char *more)
{
    if (EXAMPLE_MISSING[0] != '\0') {
        print_message("skipped: examples/thumbnail was not built without " EXAMPLE_MISSING "\n");
        skip();
    }
    return server_start_app(EXAMPLE_SO, "-c", EXAMPLE_YAML, "--set", "compute.timeout=10m", "--set",
                            more, NULL);
}

static void post(struct server *s, const char *target, const char *fields, const struct buf *body)
{
    struct client *c = client_to(s);
    CHECK(post_send(c, target, fields, body->data, body->len));
    client_read(c, &r, false);
    client_close(c);
}

/* ---- pictures ------------------------------------------------------------------------------ */

static void put_number(struct buf *out, uint32_t value)
{
    const unsigned char octets[4] = {(unsigned char)(value >> 24), (unsigned char)(value >> 16),
                                     (unsigned char)(value >> 8), (unsigned char)value};
    CHECK_EQ(buf_append(out, octets, sizeof octets), 0);
}

/* CRC-32 as PNG has it (its annex D). */
static uint32_t crc_of(const char *data, size_t len)
{
    uint32_t crc = 0xffffffff;
    for (size_t i = 0; i < len; i++) {
        crc ^= (unsigned char)data[i];
        for (int bit = 0; bit < 8; bit++)
            crc = (crc >> 1) ^ ((crc & 1) != 0 ? 0xedb88320 : 0);
    }
    return ~crc;
}

static void put_chunk(struct buf *out, const char *type, const void *data, size_t len)
{
    put_number(out, (uint32_t)len);
    size_t from = out->len;
    CHECK_EQ(buf_append(out, type, 4), 0);
    CHECK_EQ(buf_append(out, data, len), 0);
    put_number(out, crc_of(out->data + from, out->len - from));
}

/* zlib's format without compression (RFC 1950, 1951 §3.2.4): blocks of at most 65,535 octets. */
static void put_stored(struct buf *out, const struct buf *raw)
{
    uint32_t a = 1;
    uint32_t b = 0;
    CHECK_EQ(buf_append(out, "\x78\x01", 2), 0);
    for (size_t from = 0; from < raw->len;) {
        size_t len = raw->len - from < 65535 ? raw->len - from : 65535;
        const unsigned char head[5] = {from + len == raw->len, (unsigned char)len,
                                       (unsigned char)(len >> 8), (unsigned char)~len,
                                       (unsigned char)(~len >> 8)};
        CHECK_EQ(buf_append(out, head, sizeof head), 0);
        CHECK_EQ(buf_append(out, raw->data + from, len), 0);
        from += len;
    }
    for (size_t i = 0; i < raw->len; i++) {
        a = (a + (unsigned char)raw->data[i]) % 65521;
        b = (b + a) % 65521;
    }
    put_number(out, b << 16 | a);
}

/* A PNG in eight-bit grey, of which only so many lines are there; 0: it ends behind its header. */
static struct buf make_png(uint32_t width, uint32_t height, uint32_t lines)
{
    struct buf out = {0};
    struct buf header = {0};
    put_number(&header, width);
    put_number(&header, height);
    CHECK_EQ(buf_append(&header, "\x08\x00\x00\x00\x00", 5), 0);
    CHECK_EQ(buf_append(&out, "\x89PNG\r\n\x1a\n", 8), 0);
    put_chunk(&out, "IHDR", header.data, header.len);
    if (lines > 0) {
        struct buf raw = {0};
        struct buf stored = {0};
        for (uint32_t y = 0; y < lines; y++)
            for (uint32_t x = 0; x <= width; x++) { /* the first octet of a line: no filter */
                char octet = (char)(x == 0 ? 0 : x + y);
                CHECK_EQ(buf_append(&raw, &octet, 1), 0);
            }
        put_stored(&stored, &raw);
        put_chunk(&out, "IDAT", stored.data, stored.len);
        put_chunk(&out, "IEND", "", 0);
        buf_fini(&raw);
        buf_fini(&stored);
    }
    buf_fini(&header);
    return out;
}

/* The answer is a whole JPEG of this size, whose start of frame is a baseline one. */
static void check_jpeg(int width, int height)
{
    const unsigned char *p = (const unsigned char *)r.body.data;
    CHECK_EQ(r.status, 200);
    CHECK_TEXT(reply_field(&r, "Content-Type"), "image/jpeg");
    CHECK(r.body.len > 100);
    CHECK_BYTES(p, 2, "\xff\xd8", 2);
    CHECK_BYTES(p + r.body.len - 2, 2, "\xff\xd9", 2);
    size_t i = 2;
    while (i + 9 < r.body.len && p[i + 1] != 0xc0)
        i += 2 + (size_t)(p[i + 2] << 8 | p[i + 3]);
    CHECK(i + 9 < r.body.len);
    CHECK_EQ(p[i + 7] << 8 | p[i + 8], width);
    CHECK_EQ(p[i + 5] << 8 | p[i + 6], height);
}

static void check_refused(int status, const char *part)
{
    CHECK_EQ(r.status, status);
    CHECK_TEXT(reply_field(&r, "Content-Type"), "text/plain; charset=utf-8");
    CHECK_HAS(r.body.data, part);
}

/* ---- tests --------------------------------------------------------------------------------- */

static void pictures_come_back_small(void **state)
{
    (void)state;
    static const struct {
        const char *target;
        int width, height;
    } rows[] = {
        {"/thumbnail", 200, 133},     {"/thumbnail?w=30&h=2000", 30, 20},
        {"/thumbnail?h=40", 60, 40},  {"/thumbnail?w=2000&h=2000", 300, 200}, /* not larger */
        {"/thumbnail?w=1&h=1", 1, 1},
    };
    struct server *s = start("loglevel=info");
    struct buf png = make_png(300, 200, 200);
    struct buf form = {0};
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        check_context("%s", rows[i].target);
        post(s, rows[i].target, "", &png);
        check_jpeg(rows[i].width, rows[i].height);
        struct buf jpeg = {0}; /* and once more, from what came out */
        CHECK_EQ(buf_append(&jpeg, r.body.data, r.body.len), 0);
        post(s, "/thumbnail?w=15", "Content-Type: image/jpeg\r\n", &jpeg);
        check_jpeg(rows[i].width < 15 ? rows[i].width : 15,
                   rows[i].height < 10 ? rows[i].height : 10);
        buf_fini(&jpeg);
    }
    check_context("form");
    CHECK_EQ(buf_printf(&form, "--x\r\nContent-Disposition: form-data; name=\"image\"; "
                               "filename=\"a.png\"\r\n\r\n"),
             0);
    CHECK_EQ(buf_append(&form, png.data, png.len), 0);
    CHECK_EQ(buf_append(&form, "\r\n--x--\r\n", 9), 0);
    post(s, "/thumbnail", "Content-Type: multipart/form-data; boundary=x\r\n", &form);
    check_jpeg(200, 133);
    buf_fini(&png);
    buf_fini(&form);
}

static void what_is_no_picture_is_told_apart(void **state)
{
    (void)state;
    struct server *s = start("app_config.max_pixels=1000000");
    struct buf text = {0};
    CHECK_EQ(buf_printf(&text, "GIF89a, or so they say, for some octets more"), 0);
    post(s, "/thumbnail", "", &text);
    check_refused(415, "neither a JPEG nor a PNG");
    CHECK_TEXT(reply_field(&r, "Accept"), "image/jpeg, image/png");
    post(s, "/thumbnail", "", &(struct buf){0});
    check_refused(400, "send a JPEG or PNG");
    post(s, "/thumbnail?w=2001", "", &text);
    check_refused(400, "w must be a whole number of pixels from 1 to 2000");
    post(s, "/thumbnail?h=much", "", &text);
    check_refused(400, "h must be");

    struct buf png = make_png(300, 200, 200);
    post(s, "/thumbnail", "", &png);
    check_jpeg(200, 133);
    for (size_t len = r.body.len - 2; len > 3; len = len * 3 / 4) { /* a JPEG that is cut short */
        struct buf jpeg = {0};
        check_context("JPEG of %zu octets", len);
        CHECK_EQ(buf_append(&jpeg, r.body.data, len), 0);
        post(s, "/thumbnail", "", &jpeg);
        check_refused(422, "damaged");
        buf_fini(&jpeg);
        post(s, "/thumbnail", "", &png);
    }
    for (size_t len = png.len / 2; len > 8; len = len * 3 / 4) {
        check_context("PNG of %zu octets", len);
        png.len = len;
        post(s, "/thumbnail", "", &png);
        check_refused(422, "damaged");
    }
    buf_fini(&png);
    buf_fini(&text);
}

/* Neither costs a worker: the first is not decoded, the second is a malloc() that fails. */
static void too_large_pictures_are_refused(void **state)
{
    (void)state;
    struct server *s = start("app_config.max_pixels=1000000");
    struct buf png = make_png(2000, 501, 1);
    post(s, "/thumbnail", "", &png);
    check_refused(413, "2000 x 501 pixels; at most 1000000 are allowed");
    buf_fini(&png);
    png = make_png(0xffffffff, 0xffffffff, 0);
    post(s, "/thumbnail", "", &png);
    check_refused(413, "pixels");
    buf_fini(&png);
    if (!HAS_MEMORY_LIMIT)
        return;
    s = start("app_config.max_pixels=2000000000");
    png = make_png(30000, 30000, 1);
    post(s, "/thumbnail", "", &png);
    check_refused(503, "more memory");
    buf_fini(&png);
    png = make_png(300, 200, 200);
    post(s, "/thumbnail", "", &png);
    check_jpeg(200, 133);
    buf_fini(&png);
}

SERVER_MAIN(SERVER_TEST(pictures_come_back_small), SERVER_TEST(what_is_no_picture_is_told_apart),
            SERVER_TEST(too_large_pictures_are_refused))
