/* Faults at the k-th call that changes a file below a folder; loaded with LD_PRELOAD.

   A process arms itself with chaos_arm(); the processes it forks are left alone. Before the k-th
   such call: the process is killed, gets a signal, or the call fails. chaos_count() tells how many
   there were. */

#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <unistd.h>

enum { COUNT, KILL, TORN, EIO_ONCE, FULL, TERM, INT };

static char folder[4096];
static long target, count;
static int action = -1;
static pid_t armed;

void chaos_arm(const char *path, long k, int what) {
    strncpy(folder, path, sizeof folder - 1);
    target = k;
    count = 0;
    action = what;
    armed = getpid();
}

long chaos_count(void) { return count; }

static int below(const char *path) {
    char whole[8192];
    if (path[0] != '/') {
        if (!getcwd(whole, 4096)) return 0;
        strcat(whole, "/");
        strncat(whole, path, 4000);
        path = whole;
    }
    return strncmp(path, folder, strlen(folder)) == 0;
}

static int below_fd(int fd) {
    char link[64], path[4096];
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    ssize_t n = readlink(link, path, sizeof path - 1);
    if (n <= 0) return 0;
    path[n] = 0;
    return path[0] == '/' && below(path); /* else it is a pipe or a socket */
}

static int at(int directory, const char *path) {
    if (path[0] == '/' || directory == AT_FDCWD) return below(path);
    return below_fd(directory);
}

/* Counts a call; 1 if it is to be torn, -1 if it is to fail (errno is set). */
static int fault(int needs_space) {
    if (armed != getpid()) return 0;
    long k = __sync_add_and_fetch(&count, 1);
    if (action == FULL && k >= target) {
        errno = ENOSPC;
        return needs_space ? -1 : 0;
    }
    if (k != target) return 0;
    switch (action) {
        case KILL: kill(getpid(), SIGKILL); break;
        case TORN: return 1;
        case EIO_ONCE: errno = EIO; return -1;
        case TERM: kill(getpid(), SIGTERM); break;
        case INT: kill(getpid(), SIGINT); break;
    }
    return 0;
}

#define REAL(name) \
    static __typeof__(&name) real; \
    if (!real) real = (__typeof__(&name))dlsym(RTLD_NEXT, #name)

#define FAULT(inside, needs_space) \
    if (action >= 0 && (inside)) { \
        int answer = fault(needs_space); \
        if (answer < 0) return -1; \
        if (answer > 0) kill(getpid(), SIGKILL); \
    }

static int writes(int flags) { return flags & (O_CREAT | O_TRUNC); }

#define OPEN(name) \
    int name(const char *path, int flags, ...) { \
        REAL(name); \
        va_list rest; va_start(rest, flags); mode_t mode = va_arg(rest, mode_t); va_end(rest); \
        if (writes(flags)) FAULT(below(path), 1) \
        return real(path, flags, mode); \
    }
OPEN(open)
OPEN(open64)

#define OPENAT(name) \
    int name(int directory, const char *path, int flags, ...) { \
        REAL(name); \
        va_list rest; va_start(rest, flags); mode_t mode = va_arg(rest, mode_t); va_end(rest); \
        if (writes(flags)) FAULT(at(directory, path), 1) \
        return real(directory, path, flags, mode); \
    }
OPENAT(openat)
OPENAT(openat64)

#define FOPEN(name) \
    FILE *name(const char *path, const char *mode) { \
        REAL(name); \
        if (action >= 0 && mode[0] != 'r' && below(path)) { \
            int answer = fault(1); \
            if (answer < 0) return NULL; \
            if (answer > 0) kill(getpid(), SIGKILL); \
        } \
        return real(path, mode); \
    }
FOPEN(fopen)
FOPEN(fopen64)

ssize_t write(int fd, const void *data, size_t size) {
    REAL(write);
    if (action >= 0 && fd > 2 && armed == getpid() && below_fd(fd)) {
        int answer = fault(1);
        if (answer < 0) return -1;
        if (answer > 0) {
            real(fd, data, size / 2);
            kill(getpid(), SIGKILL);
        }
    }
    return real(fd, data, size);
}

int rename(const char *from, const char *to) {
    REAL(rename);
    FAULT(below(to), 0)
    return real(from, to);
}

int renameat(int d, const char *from, int e, const char *to) {
    REAL(renameat);
    FAULT(at(e, to), 0)
    return real(d, from, e, to);
}

int unlink(const char *path) {
    REAL(unlink);
    FAULT(below(path), 0)
    return real(path);
}

int unlinkat(int directory, const char *path, int flags) {
    REAL(unlinkat);
    FAULT(at(directory, path), 0)
    return real(directory, path, flags);
}

int rmdir(const char *path) {
    REAL(rmdir);
    FAULT(below(path), 0)
    return real(path);
}

int mkdir(const char *path, mode_t mode) {
    REAL(mkdir);
    FAULT(below(path), 1)
    return real(path, mode);
}

int symlink(const char *target_path, const char *path) {
    REAL(symlink);
    FAULT(below(path), 1)
    return real(target_path, path);
}

int fsync(int fd) {
    REAL(fsync);
    FAULT(below_fd(fd), 1)
    return real(fd);
}

int ftruncate64(int fd, off64_t length) {
    REAL(ftruncate64);
    FAULT(below_fd(fd), 1)
    return real(fd, length);
}

int chmod(const char *path, mode_t mode) {
    REAL(chmod);
    FAULT(below(path), 0)
    return real(path, mode);
}
