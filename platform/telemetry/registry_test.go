package telemetry

import (
	"testing"

	"github.com/stretchr/testify/require"

	"audittrail/platform/telemetry/buildinfo"
)

func TestRegistryHasRuntimeProcessAndBuild(t *testing.T) {
	families, err := NewRegistry(buildinfo.Info{Version: "v1", Revision: "abc"}).Gather()
	require.NoError(t, err)
	names := map[string]bool{}
	for _, f := range families {
		names[f.GetName()] = true
		if f.GetName() == "audittrail_build_info" {
			require.InDelta(t, 1, f.GetMetric()[0].GetGauge().GetValue(), 0)
		}
	}
	for _, want := range []string{"audittrail_build_info", "go_goroutines", "process_resident_memory_bytes"} {
		require.True(t, names[want], want)
	}
}

func TestRegistriesAreIndependent(t *testing.T) {
	require.NotPanics(t, func() { NewRegistry(buildinfo.Read()); NewRegistry(buildinfo.Read()) })
}
