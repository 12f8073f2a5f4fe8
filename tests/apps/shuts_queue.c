/* A handler that shuts what it shares with others: the queue of its pool. Tests move it on by files
 * in the working folder. */
#define _GNU_SOURCE

#include <remuda.h>

#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

static void wait_for(const char *file)
{
    while (access(file, F_OK) != 0)
        (void)nanosleep(&(struct timespec){.tv_nsec = 2000000}, NULL);
}

/* What this process shares with others of its kind in an epoll is its queue: EPOLLEXCLUSIVE. */
static int find_queue(const char *epoll)
{
    char path[280];
    char line[160];
    int found = -1;
    (void)snprintf(path, sizeof path, "/proc/self/fdinfo/%s", epoll);
    FILE *file = fopen(path, "re");
    while (file && fgets(line, sizeof line, file)) {
        int fd;
        unsigned events;
        if (sscanf(line, "tfd: %d events: %x", &fd, &events) == 2 && (events & 1U << 28))
            found = fd;
    }
    if (file)
        (void)fclose(file);
    return found;
}

static int shut_queue(void)
{
    int rc = -1;
    DIR *folder = opendir("/proc/self/fdinfo");
    for (struct dirent *entry; folder && (entry = readdir(folder)) != NULL;) {
        int fd = find_queue(entry->d_name);
        if (fd >= 0)
            rc = shutdown(fd, SHUT_RDWR);
    }
    if (folder)
        (void)closedir(folder);
    return rc;
}

static void hold(rmd_request *req, rmd_response *res)
{
    (void)req;
    wait_for("release");
    rmd_text(res, 200, "held\n");
}

static void shut(rmd_request *req, rmd_response *res)
{
    wait_for("shut");
    int rc = shut_queue();
    if (rmd_query(req, "exit"))
        exit(0);
    rmd_text(res, rc == 0 ? 200 : 500, "shut\n");
}

static void quick(rmd_request *req, rmd_response *res)
{
    (void)req;
    rmd_text(res, 200, "quick\n");
}

static const rmd_route routes[] = {
    {"GET", "/hold", hold, .lane = RMD_COMPUTE},
    {"GET", "/shut", shut, .lane = RMD_COMPUTE},
    {"GET", "/quick", quick, .lane = RMD_COMPUTE},
    {0},
};

RMD_APP(.name = "shuts_queue", .routes = routes);
