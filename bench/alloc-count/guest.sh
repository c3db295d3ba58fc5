#!/bin/busybox sh
# SPDX-License-Identifier: GPL-2.0-only
# shellcheck shell=dash
# The init of the guest of bench/alloc: load the module, which logs and stays out; isolate a memory block; end.

busybox mkdir -p /proc /sys
busybox mount -t proc proc /proc
busybox mount -t sysfs sysfs /sys
busybox mount -t tracefs tracefs /sys/kernel/tracing
tracing=/sys/kernel/tracing
for module in /lib/modules/*/alloc_count.ko; do
	busybox insmod "$module"
done
busybox dmesg | busybox sed -n 's/.*\(alloc_count: \)/\1/p'

# The last nodes have no CPUs and are hardly used; a block of the very last can be busy all the same. The movable zone
# of a node comes and goes with one of its memory blocks.
offline_one() {
	_node=$(busybox sed 's/.*[-,]//' /sys/devices/system/node/online)
	while [ "$_node" -gt 0 ]; do
		for block in /sys/devices/system/node/node"$_node"/memory[0-9]*; do
			echo offline >"$block/state" && return
		done
		_node=$((_node - 1))
	done 2>/dev/null
	return 1
}

if offline_one && echo online_movable >"$block/state"; then
	for function in start_isolate_page_range build_all_zonelists zonelist_set_alloc; do
		echo $function >>$tracing/set_ftrace_filter
	done 2>/dev/null
	echo function_graph >$tracing/current_tracer
	for _ in 1 2 3 4 5 6; do
		echo offline >"$block/state" && echo online_movable >"$block/state"
	done
	# Lines such as "0)   1.234 us  |  function();", and a mark in front of long durations.
	busybox awk '/ us / { sub(/^[^)]*\)[^0-9]*/, ""); us = $1; sub(/\(.*/, "", $4)
			if (!($4 in least) || us < least[$4]) least[$4] = us }
		END { printf "alloc_count: isolate %d\n", least["start_isolate_page_range"] * 1000 + 0.5
		      printf "alloc_count: zonelists %d\n",
			     (least["build_all_zonelists"] + least["zonelist_set_alloc"]) * 1000 + 0.5 }' $tracing/trace
fi
busybox poweroff -f
