// SPDX-License-Identifier: GPL-2.0-only
/*
 * fault_count - instructions per page fault, fork and exec
 *
 * The init of the guest of bench/faults. Under QEMU's -icount shift=0 the time
 * stamp counter advances by one with each instruction. The median of many batches
 * is one without a timer interrupt.
 */

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/reboot.h>
#include <sys/wait.h>
#include <unistd.h>
#include <x86intrin.h>

#define PAGE_BYTES	4096UL
#define HUGE_BYTES	(2UL << 20)
#define TOUCHED_BYTES	(16UL << 20)
#define MAX_BATCHES	401

struct benchmark {
	const char *name;
	void (*run)(void);
	int nr_batches;
	int nr_events;		/* in a batch */
};

static void fail(const char *what)
{
	perror(what);
	fflush(NULL);
	reboot(RB_POWER_OFF);
	exit(1);
}

static char *map(size_t bytes, int advice)
{
	char *area = mmap(NULL, bytes, PROT_READ | PROT_WRITE,
			  MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	if (area == MAP_FAILED)
		fail("mmap");
	if (madvise(area, bytes, advice))
		fail("madvise");
	return area;
}

static void touch(char *area, size_t bytes, size_t step)
{
	size_t at;

	for (at = 0; at < bytes; at += step)
		((volatile char *)area)[at] = 1;
}

static void run_fault(void)
{
	char *area = map(HUGE_BYTES, MADV_NOHUGEPAGE);

	touch(area, HUGE_BYTES, PAGE_BYTES);
	munmap(area, HUGE_BYTES);
}

/* One of them is aligned, whatever mmap() returns. */
static void run_huge_fault(void)
{
	char *area = map(2 * HUGE_BYTES, MADV_HUGEPAGE);

	touch((char *)(((uintptr_t)area + HUGE_BYTES - 1) & -HUGE_BYTES), 1, 1);
	munmap(area, 2 * HUGE_BYTES);
}

static void wait_for(pid_t child)
{
	int status;

	if (child < 0)
		fail("fork");
	if (waitpid(child, &status, 0) != child || status)
		fail("child");
}

static void run_fork(void)
{
	pid_t child = fork();

	if (!child)
		_exit(0);
	wait_for(child);
}

static void run_exec(void)
{
	pid_t child = fork();

	if (!child) {
		execl("/proc/self/exe", "fault_count", "child", NULL);
		_exit(1);
	}
	wait_for(child);
}

static const struct benchmark benchmarks[] = {
	{ "fault", run_fault, 401, HUGE_BYTES / PAGE_BYTES },
	{ "huge-fault", run_huge_fault, 201, 1 },
	{ "fork", run_fork, 101, 1 },
	{ "exec", run_exec, 101, 1 },
};

static int compare(const void *a, const void *b)
{
	uint64_t left = *(const uint64_t *)a, right = *(const uint64_t *)b;

	return left < right ? -1 : left > right;
}

static void measure(const struct benchmark *benchmark)
{
	uint64_t counts[MAX_BATCHES], start;
	int i;

	for (i = 0; i < benchmark->nr_batches; i++) {
		start = __rdtsc();
		benchmark->run();
		counts[i] = __rdtsc() - start;
	}
	qsort(counts, benchmark->nr_batches, sizeof(*counts), compare);
	printf("fault_count: %s %.2f\n", benchmark->name,
	       (double)counts[benchmark->nr_batches / 2] / benchmark->nr_events);
}

int main(int argc, char **argv)
{
	size_t i;

	if (argc > 1 && !strcmp(argv[1], "child"))
		return 0;
	if (mount("proc", "/proc", "proc", 0, NULL))
		fail("mount");
	touch(map(TOUCHED_BYTES, MADV_NOHUGEPAGE), TOUCHED_BYTES, PAGE_BYTES);
	for (i = 0; i < sizeof(benchmarks) / sizeof(*benchmarks); i++)
		measure(&benchmarks[i]);
	fflush(NULL);
	reboot(RB_POWER_OFF);
	return 0;
}
