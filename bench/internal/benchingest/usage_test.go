package benchingest

import (
	"os"
	"os/exec"
	"runtime"
	"testing"
	"time"
)

func TestFamilyTimeHasChildrenThatRunAndThatHaveEnded(t *testing.T) {
	if runtime.GOOS != "linux" {
		t.Skip("there is no /proc")
	}
	self := os.Getpid()
	ofChildren := func() float64 { return FamilyTime(self) - CPUTime(self) }
	before := ofChildren()
	child := exec.CommandContext(t.Context(), "sh", "-c", "while :; do :; done")
	if err := child.Start(); err != nil {
		t.Fatal(err)
	}
	late := time.Now().Add(time.Minute)
	for ofChildren() < before+0.1 {
		if time.Now().After(late) {
			t.Fatal("a child that does nothing but work is not seen to")
		}
	}
	alone := CPUTime(child.Process.Pid)
	if err := child.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = child.Wait()                                                      // it was killed
	if after := ofChildren(); alone < 0.05 || after < before+alone-0.05 { // some ticks pass between two readings
		t.Errorf("the child used %.2f s; before it %.2f, after it %.2f", alone, before, after)
	}
}

func TestWhatCannotBeReadIsZero(t *testing.T) {
	const nobody = 0
	if CPUTime(nobody) != 0 || FamilyTime(nobody) != 0 || PeakMemory(nobody) != 0 {
		t.Error("a process that is none has used something")
	}
}
