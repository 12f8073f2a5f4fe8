/* Pictures made small: POST a JPEG or PNG, get a JPEG that fits into a box.
 *
 * Decoding a stranger's picture is what the compute lane is for: it burns CPU, takes memory by what
 * the picture says of itself, and is done by libraries that have had their holes. Here it happens
 * in a process that may allocate so much and no more, has so many seconds, and whose end is one
 * client's 500 or 503 and nobody else's.
 *
 * libgd and not libvips: it decodes a whole picture into 4 bytes a pixel, so that the memory that
 * it will need is known from the first bytes of the file and refused in time; it starts no threads,
 * keeps no caches, and returns NULL where malloc(3) does. libvips needs less memory for large
 * pictures, but brings GLib, which ends the process when memory is refused, and a pool of threads.
 * Formats are JPEG and PNG, since in both the size that the library will believe is easily read
 * before it is called; a GIF may say another one for each of its frames. */
#define _GNU_SOURCE /* strcasestr */

#include <remuda.h>

#include <errno.h>
#include <limits.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <gd.h>

#define SIDE_MAX 2000 /* pixels, of a thumbnail */

enum format { FORMAT_NONE, FORMAT_JPEG, FORMAT_PNG };

static long long max_pixels; /* of a picture that comes in; app_config */
static int quality;          /* of the JPEGs that go out, 1 … 100; app_config */

/* The first complaint of libgd about the picture in hand. Of this thread: without compute workers
 * (--single) handlers run on several. */
static _Thread_local char complaint[160];

static void keep_complaint(int priority, const char *format, va_list args)
{
    (void)priority;
    if (complaint[0] != '\0')
        return;
    (void)vsnprintf(complaint, sizeof complaint, format, args);
    complaint[strcspn(complaint, "\r\n")] = '\0';
}

/* ---- what a picture says of itself, before anybody decodes it ------------------------------ */

static unsigned at(rmd_slice data, size_t i)
{
    return (unsigned char)data.data[i];
}

static long long number_at(rmd_slice data, size_t i, int bytes)
{
    long long value = 0;
    for (int k = 0; k < bytes; k++)
        value = value * 256 + at(data, i + (size_t)k);
    return value;
}

static enum format format_of(rmd_slice data)
{
    if (data.len >= 3 && memcmp(data.data, "\xff\xd8\xff", 3) == 0)
        return FORMAT_JPEG;
    if (data.len >= 8 && memcmp(data.data, "\x89PNG\r\n\x1a\n", 8) == 0)
        return FORMAT_PNG;
    return FORMAT_NONE;
}

/* The header chunk comes first (PNG §5.6): length, "IHDR", width, height. */
static bool read_png_size(rmd_slice data, long long *out_width, long long *out_height)
{
    if (data.len < 24 || memcmp(data.data + 12, "IHDR", 4) != 0)
        return false;
    *out_width = number_at(data, 16, 4);
    *out_height = number_at(data, 20, 4);
    return true;
}

/* Steps over the segments to the start of frame (ITU T.81 §B.2.2): FF, marker, length, precision,
 * height, width. */
static bool read_jpeg_size(rmd_slice data, long long *out_width, long long *out_height)
{
    size_t i = 2;
    while (data.len - i > 9) {
        if (at(data, i) != 0xff)
            return false;
        unsigned marker = at(data, i + 1);
        if (marker == 0xff) { /* a fill byte */
            i++;
            continue;
        }
        if (marker >= 0xc0 && marker <= 0xcf && marker != 0xc4 && marker != 0xc8 &&
            marker != 0xcc) {
            *out_height = number_at(data, i + 5, 2);
            *out_width = number_at(data, i + 7, 2);
            return true;
        }
        size_t step = 2 + (size_t)number_at(data, i + 2, 2);
        if (marker == 0xd9 || marker == 0xda || step < 4 || step > data.len - i)
            return false;
        i += step;
    }
    return false;
}

/* ---- the work ------------------------------------------------------------------------------ */

static gdImagePtr decode(enum format format, rmd_slice data)
{
    void *octets = (void *)(uintptr_t)data.data; /* libgd only reads them */
    complaint[0] = '\0';
    errno = 0;
    if (format == FORMAT_PNG)
        return gdImageCreateFromPngPtr((int)data.len, octets);
    gdImagePtr picture = gdImageCreateFromJpegPtrEx((int)data.len, octets, 0);
    /* libjpeg fills up with grey what is missing, and says so. Other complaints, such as about
     * octets too many, are common in pictures that are all right. */
    if (picture && strcasestr(complaint, "premature end")) {
        gdImageDestroy(picture);
        return NULL;
    }
    return picture;
}

/* Into a box, in its own proportions, never larger than it was; on white where one can look
 * through it, since JPEG can't say that. */
static gdImagePtr shrink(gdImagePtr from, int box_width, int box_height)
{
    int width = gdImageSX(from);
    int height = gdImageSY(from);
    double scale = 1;
    if (width * scale > box_width)
        scale = (double)box_width / width;
    if (height * scale > box_height)
        scale = (double)box_height / height;
    int to_width = (int)(width * scale + 0.5);
    int to_height = (int)(height * scale + 0.5);
    gdImagePtr to =
        gdImageCreateTrueColor(to_width > 0 ? to_width : 1, to_height > 0 ? to_height : 1);
    if (!to)
        return NULL;
    gdImageFilledRectangle(to, 0, 0, gdImageSX(to) - 1, gdImageSY(to) - 1,
                           gdTrueColor(255, 255, 255));
    gdImageCopyResampled(to, from, 0, 0, 0, 0, gdImageSX(to), gdImageSY(to), width, height);
    return to;
}

/* ---- the handler --------------------------------------------------------------------------- */

/* Reads a side of the box from the query; 200 when absent. A bad one is answered. */
static bool take_side(rmd_request *req, rmd_response *res, const char *name, long long *out_side)
{
    *out_side = 200;
    int rc = rmd_query_int(req, name, 1, SIDE_MAX, out_side);
    if (rc == 0 || rc == -ENOENT)
        return true;
    rmd_text(res, 400, "%s must be a whole number of pixels from 1 to %d\n", name, SIDE_MAX);
    return false;
}

/* The body itself, or the file "image" of a form. No octets: it is answered. */
static rmd_slice take_octets(rmd_request *req, rmd_response *res)
{
    rmd_slice octets = rmd_body(req);
    if (rmd_part_count(req) >= 0) {
        const rmd_part *part = rmd_part_find(req, "image");
        octets = part ? part->data : (rmd_slice){NULL, 0};
    }
    if (octets.len > INT_MAX) { /* where the setting `routes` has lifted the limit */
        rmd_text(res, 413, "libgd takes no more than 2 GiB\n");
        return (rmd_slice){NULL, 0};
    }
    if (octets.len == 0)
        rmd_text(res, 400, "send a JPEG or PNG: as the body, or as the file \"image\" of a form\n");
    return octets;
}

/* Finds out what the picture is and whether it is small enough to be decoded. If not, that is
 * answered. */
static enum format take_format(rmd_response *res, rmd_slice octets)
{
    long long width = 0;
    long long height = 0;
    enum format format = format_of(octets);
    if (format == FORMAT_NONE) {
        (void)rmd_set_header(res, "Accept", "image/jpeg, image/png"); /* RFC 9110 §15.5.16 */
        rmd_text(res, 415, "this is neither a JPEG nor a PNG\n");
        return FORMAT_NONE;
    }
    bool is_read = format == FORMAT_PNG ? read_png_size(octets, &width, &height)
                                        : read_jpeg_size(octets, &width, &height);
    if (!is_read || width == 0 || height == 0) {
        rmd_text(res, 422, "the picture is damaged: it does not say how large it is\n");
        return FORMAT_NONE;
    }
    if (width > max_pixels / height) {
        rmd_text(res, 413, "the picture has %lld x %lld pixels; at most %lld are allowed\n", width,
                 height, max_pixels);
        return FORMAT_NONE;
    }
    return format;
}

/* Why libgd gave nothing: the picture, or the memory that the worker may have. */
static void explain(rmd_response *res)
{
    if (errno == ENOMEM)
        rmd_text(res, 503, "the picture takes more memory than there is for it\n");
    else
        rmd_text(res, 422, "the picture is damaged: %s\n",
                 complaint[0] != '\0' ? complaint : "no reason is known");
}

static void thumbnail(rmd_request *req, rmd_response *res)
{
    long long width;
    long long height;
    if (!take_side(req, res, "w", &width) || !take_side(req, res, "h", &height))
        return;
    rmd_slice octets = take_octets(req, res);
    if (octets.len == 0)
        return;
    enum format format = take_format(res, octets);
    if (format == FORMAT_NONE)
        return;
    gdImagePtr picture = decode(format, octets);
    if (!picture) {
        explain(res);
        return;
    }
    if (rmd_cancelled(req)) { /* the client has left: the rest would be for nobody */
        gdImageDestroy(picture);
        rmd_error(res, 503);
        return;
    }
    gdImagePtr small = shrink(picture, (int)width, (int)height);
    gdImageDestroy(picture);
    int len = 0;
    void *jpeg = small ? gdImageJpegPtr(small, &len, quality) : NULL;
    if (small)
        gdImageDestroy(small);
    if (jpeg)
        rmd_send_ref(res, 200, "image/jpeg", jpeg, (size_t)len, gdFree, jpeg);
    else
        explain(res);
}

/* ---- what the server calls ----------------------------------------------------------------- */

static int start(void)
{
    max_pixels = rmd_config_int("max_pixels", 20000000);
    quality = (int)rmd_config_int("quality", 80);
    if (max_pixels < 1 || max_pixels > INT_MAX || quality < 1 || quality > 100) {
        rmd_log(RMD_LOG_ERROR, "app_config: max_pixels must be from 1 to %d, quality from 1 to 100",
                INT_MAX);
        return -1;
    }
    gdSetErrorMethod(keep_complaint); /* else libgd writes to standard error */
    return 0;
}

static const rmd_route routes[] = {
    {"POST", "/thumbnail", thumbnail, .lane = RMD_COMPUTE, .body_limit = 16 << 20},
    {0},
};

RMD_APP(.name = "thumbnail", .routes = routes, .init = start);
