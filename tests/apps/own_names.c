/* An application with functions of its own that have the names of the server's: it must keep
 * them. */
#include <remuda.h>

void log_event(void);
const char *signals_name(int number);
int buf_append(void *b, const void *data, unsigned long len);

static int calls;

void log_event(void)
{
    calls += 1;
}

const char *signals_name(int number)
{
    calls += number;
    return "mine";
}

int buf_append(void *b, const void *data, unsigned long len)
{
    (void)b, (void)data;
    calls += (int)len;
    return 0;
}

static void answer(rmd_request *req, rmd_response *res)
{
    (void)req;
    calls = 0;
    log_event();
    const char *mine = signals_name(10);
    (void)buf_append(res, mine, 100);
    rmd_text(res, 200, "%s %d\n", mine, calls);
}

static const rmd_route routes[] = {
    {"GET", "/", answer, .lane = RMD_INLINE},
    {0},
};

RMD_APP(.name = "own_names", .routes = routes);
