/* What every load reads: the time, and the CPU time of the server under it. */
#pragma once
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/types.h>
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

/* CPU time of all threads of a process, those that have ended included; of one that runs, up to the scheduler's last
 * tick. */
static uint64_t cpu_of(long pid) {
    clockid_t clock;
    if (clock_getcpuclockid((pid_t)pid, &clock)) fail("clock_getcpuclockid");
    return read_clock(clock);
}
