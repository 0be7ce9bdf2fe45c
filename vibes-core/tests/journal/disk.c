/* A disk that keeps a diary: what a process does to the files below DISK_DIR is written to DISK_LOG, in order, whole.
   Loaded by LD_PRELOAD; tests/journal/power.rs reads the diary and lets the power fail anywhere in it. With DISK_SHORT
   every second write takes half of what it is given, and every third is interrupted first. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

static const char *dir;
static int diary = -1;
static int shorten;
static atomic_uint calls;

__attribute__((constructor)) static void begin(void) {
    dir = getenv("DISK_DIR");
    shorten = getenv("DISK_SHORT") != NULL;
    const char *path = getenv("DISK_LOG");
    if (path) diary = syscall(SYS_openat, AT_FDCWD, path, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC, 0600);
}

static int ours(const char *path) { return dir && strncmp(path, dir, strlen(dir)) == 0; }

static int name_of(int fd, char *path) {
    char link[64];
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    ssize_t length = readlink(link, path, PATH_MAX - 1);
    if (length < 0) return 0;
    path[length] = 0;
    return ours(path);
}

/* One entry in one call: O_APPEND keeps entries of several threads and processes apart. */
static void note(const char *op, const char *path, long long at, const void *data, size_t size) {
    char head[PATH_MAX + 64];
    int length = snprintf(head, sizeof head, "%s %lld %zu %s\n", op, at, size, path);
    struct iovec parts[] = {{head, length}, {(void *)data, size}, {"\n", 1}};
    if (diary >= 0) syscall(SYS_writev, diary, parts, 3);
}

/* How much of a write is taken; 0 when it is interrupted. */
static size_t taken(size_t size) {
    unsigned call = shorten ? atomic_fetch_add(&calls, 1) : 0;
    if (shorten && call % 3 == 2) return 0;
    return shorten && call % 2 == 1 && size > 1 ? size / 2 : size;
}

static ssize_t put(int fd, const void *data, size_t size, long long at) {
    char path[PATH_MAX];
    if (!name_of(fd, path))
        return at < 0 ? syscall(SYS_write, fd, data, size) : syscall(SYS_pwrite64, fd, data, size, at);
    size_t some = taken(size);
    if (some == 0 && size > 0) { errno = EINTR; return -1; }
    long long place = at < 0 ? syscall(SYS_lseek, fd, 0, SEEK_CUR) : at;
    ssize_t done = at < 0 ? syscall(SYS_write, fd, data, some) : syscall(SYS_pwrite64, fd, data, some, at);
    if (done > 0) note("W", path, place, data, done);
    return done;
}

ssize_t write(int fd, const void *data, size_t size) { return put(fd, data, size, -1); }
ssize_t pwrite(int fd, const void *data, size_t size, off_t at) { return put(fd, data, size, at); }
ssize_t pwrite64(int fd, const void *data, size_t size, off64_t at) { return put(fd, data, size, at); }

static int sized(int fd, long long size) {
    char path[PATH_MAX];
    int done = syscall(SYS_ftruncate, fd, size);
    if (done == 0 && name_of(fd, path)) note("T", path, size, "", 0);
    return done;
}
int ftruncate(int fd, off_t size) { return sized(fd, size); }
int ftruncate64(int fd, off64_t size) { return sized(fd, size); }

static int synced(int fd, long call) {
    char path[PATH_MAX];
    int done = syscall(call, fd);
    if (done == 0 && name_of(fd, path)) note("S", path, 0, "", 0);
    return done;
}
int fsync(int fd) { return synced(fd, SYS_fsync); }
int fdatasync(int fd) { return synced(fd, SYS_fdatasync); }

int unlink(const char *path) {
    int done = syscall(SYS_unlink, path);
    if (done == 0 && ours(path)) note("U", path, 0, "", 0);
    return done;
}
int rename(const char *from, const char *to) {
    int done = syscall(SYS_rename, from, to);
    if (done == 0 && ours(to)) note("R", to, 0, from, strlen(from));
    return done;
}
