package main

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strconv"

	"github.com/jackc/pgx/v5"
)

// ticksPerSecond is the unit of /proc's times: USER_HZ, 100 on every Linux that Go runs on.
const ticksPerSecond = 100

// serverCPU is what all of a server's processes have used so far, in seconds, those that have ended
// too; 0 where that can't be read, as on systems without /proc.
func serverCPU(ctx context.Context, conn *pgx.Conn) float64 {
	postmaster := parent(int(conn.PgConn().PID()))
	if postmaster == 0 || ctx.Err() != nil {
		return 0
	}
	const own, ended = 11, 13 // fields: user, system; those of children that have ended
	sum := ticks(postmaster, own) + ticks(postmaster, ended)
	stats, _ := filepath.Glob("/proc/[0-9]*/stat")
	for _, path := range stats {
		pid, _ := strconv.Atoi(filepath.Base(filepath.Dir(path)))
		if parent(pid) == postmaster {
			sum += ticks(pid, own)
		}
	}
	return sum / ticksPerSecond
}

// fields of /proc/PID/stat, counted from behind the program's name, which may hold spaces.
func fields(pid int) [][]byte {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return nil
	}
	return bytes.Fields(text[bytes.LastIndexByte(text, ')')+1:])
}

func parent(pid int) int {
	f := fields(pid)
	if len(f) < 2 {
		return 0
	}
	ppid, _ := strconv.Atoi(string(f[1]))
	return ppid
}

// ticks is the sum of two neighbouring fields.
func ticks(pid, first int) float64 {
	f := fields(pid)
	if len(f) <= first+1 {
		return 0
	}
	a, _ := strconv.ParseFloat(string(f[first]), 64)
	b, _ := strconv.ParseFloat(string(f[first+1]), 64)
	return a + b
}
