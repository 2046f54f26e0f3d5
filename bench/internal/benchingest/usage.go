package benchingest

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/jackc/pgx/v5"
)

// ticksPerSecond is the unit of /proc's times: USER_HZ, 100 on every Linux that Go runs on.
const ticksPerSecond = 100

// Fields of /proc/PID/stat, counted from behind the program's name, which may hold spaces and
// parentheses. The times come in pairs, user and system.
const (
	fieldParent   = 1
	fieldOwn      = 11
	fieldChildren = 13 // those that have ended and been waited for
)

// CPUTime is what a process has used in seconds, user and system together; 0 where that can't be
// read, as on systems without /proc.
func CPUTime(pid int) float64 { return stat(pid).seconds(fieldOwn) }

// FamilyTime is what a process and its children have used in seconds, those children that have ended
// too. 0 where that can't be read.
func FamilyTime(pid int) float64 {
	if pid == 0 {
		return 0
	}
	for {
		own := stat(pid)
		sum := own.seconds(fieldOwn) + own.seconds(fieldChildren)
		others, _ := filepath.Glob("/proc/[0-9]*/stat") // the pattern is good
		for _, path := range others {
			other, _ := strconv.Atoi(filepath.Base(filepath.Dir(path)))
			if s := stat(other); s.number(fieldParent) == float64(pid) {
				sum += s.seconds(fieldOwn)
			}
		}
		// A child that was waited for meanwhile may be in neither sum, or in both.
		if stat(pid).seconds(fieldChildren) == own.seconds(fieldChildren) {
			return sum
		}
	}
}

// Postmaster is the parent of all of a server's processes; 0 where that can't be told.
func Postmaster(conn *pgx.Conn) int { return int(stat(int(conn.PgConn().PID())).number(fieldParent)) }

type statFields [][]byte

// stat is empty where the process is gone or there is no /proc.
func stat(pid int) statFields {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return nil
	}
	return bytes.Fields(text[bytes.LastIndexByte(text, ')')+1:])
}

func (s statFields) number(field int) float64 {
	if len(s) <= field {
		return 0
	}
	n, _ := strconv.ParseFloat(string(s[field]), 64)
	return n
}

// seconds is the sum of a pair of times.
func (s statFields) seconds(first int) float64 {
	return (s.number(first) + s.number(first+1)) / ticksPerSecond
}

// PeakMemory is the most resident memory that a process has had, in bytes; 0 where that can't be read.
func PeakMemory(pid int) int64 {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		return 0
	}
	for line := range strings.Lines(string(text)) {
		if value, found := strings.CutPrefix(line, "VmHWM:"); found {
			kilobytes, _ := strconv.ParseInt(strings.TrimSuffix(strings.TrimSpace(value), " kB"), 10, 64)
			return kilobytes << 10
		}
	}
	return 0
}

// LoadAverage is the machine's load of the last minute; "" where that can't be read.
func LoadAverage() string {
	text, _ := os.ReadFile("/proc/loadavg") // on Linux only
	average, _, _ := strings.Cut(string(text), " ")
	return average
}
