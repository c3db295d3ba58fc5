# SPDX-License-Identifier: GPL-2.0-only
# The front door of this project; never copied into a kernel. `make help` lists the targets.

KERNEL ?= patched
VMTEST := tools/testing/selftests/memory-hotplug/vm/vmtest.py
export KSRC NEED_GIB JOBS GUESTS SCENARIOS

.PHONY: help setup tree refresh kernel kernels demo shell check check-all lint series bench cross clean
.NOTPARALLEL:
.SILENT:

help: ## this list
	sed -nE 's/^([a-z-]+):.*## (.*)/\1	\2/p' Makefile | while IFS='	' read -r target text; do \
		printf '%-10s %s\n' "$$target" "$$text"; done

setup: ## install the Debian packages that are missing
	bin/setup

tree: setup ## make build/linux from the base and patches/series (KSRC=/path: another 7.3 tree or tarball)
	bin/compose

refresh: setup ## write the commits of build/linux back to patches/ and the new files
	bin/refresh

# Edits in progress in build/linux are built as they are.
kernel: setup ## build build/KERNEL/bzImage (KERNEL=base, patched, patched-lockdep or patched-debug; default patched)
	bin/compose -k
	bin/kernel $(KERNEL)

kernels: setup
	bin/compose -k
	bin/kernel base patched

demo: kernels ## boot the patched kernel and eject DIMMs before your eyes, then the base kernel
	bin/demo-run

shell: kernel ## an interactive guest of KERNEL (SCENARIO=name: its machine)
	$(VMTEST) shell --kernel build/$(KERNEL)/bzImage --selftests build/linux/tools/testing/selftests $(SCENARIO)

check: setup ## all tests that fit into an hour
	bin/stages tools tree lint kernels demo guest

check-all: setup ## check, and: debug kernels, long scenarios, mutants, every commit on its own, other architectures
	bin/setup cross
	bin/stages tools tree lint kernels demo guest debug long mutants commits cross

lint: tree ## checkpatch, shellcheck, the rules of the series
	bin/lint

series: tree ## write the mails to out/<part>/, for git am and git send-email
	bin/emit

bench: kernels ## base and patched side by side: cost of an eject, of pages, faults and forks, of nodes
	bench/run
	bench/alloc
	bench/faults
	bench/node
	bench/nodes

cross: tree ## build mm/ of arm64, ppc64le, riscv, s390 and i386, and of x86-64 with options off
	bin/setup cross
	bin/cross

clean: ## remove build/ and out/, except what was fetched (kernel source, QEMU)
	bin/clean
