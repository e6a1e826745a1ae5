/* What every load reads: the time, and the CPU time of the server under it. */
#pragma once
#include <dirent.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

static void fail(const char *what) {
    perror(what);
    exit(1);
}

static uint64_t read_clock(clockid_t clock) {
    struct timespec time;
    clock_gettime(clock, &time);
    return (uint64_t)time.tv_sec * 1000000000u + (uint64_t)time.tv_nsec;
}

/* CPU time of all threads of a process, exact to the scheduler's tick. */
static uint64_t cpu_of(long pid) {
    char path[300];
    uint64_t total = 0;
    snprintf(path, sizeof path, "/proc/%ld/task", pid);
    DIR *tasks = opendir(path);
    if (!tasks) fail(path);
    for (struct dirent *task; (task = readdir(tasks));) {
        if (task->d_name[0] == '.') continue;
        snprintf(path, sizeof path, "/proc/%ld/task/%s/schedstat", pid, task->d_name);
        FILE *file = fopen(path, "r");
        unsigned long long spent;
        if (!file) continue; /* the thread has ended */
        if (fscanf(file, "%llu", &spent) == 1) total += spent;
        fclose(file);
    }
    closedir(tasks);
    return total;
}
