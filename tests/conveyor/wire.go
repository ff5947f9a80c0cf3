package main

import (
	"encoding/json"
	"fmt"
	"sort"
	"strings"
)

// What crosses the wire, with the names, the order and the `omitempty` of Conveyor's own types: a key that is not here does
// not come back to the host.

type message struct {
	Event   string `json:"event"`
	Payload string `json:"payload"` // a resource's JSON, as text
	ID      string `json:"id"`
	RunID   string `json:"run_id"`
}

type resource struct {
	ID       string   `json:"id"`
	Name     string   `json:"name"`
	Pipeline string   `json:"pipeline,omitempty"`
	Resource string   `json:"resource"`
	Metadata metadata `json:"metadata"`
	Spec     any      `json:"spec"`
}

type metadata map[string]any

type definition struct {
	ID          string `json:"id"`
	Name        string `json:"name"`
	Description string `json:"description"`
	Version     string `json:"version"`
	Schema      any    `json:"schema"`
}

type created struct {
	Name  string `json:"name"`
	RunID string `json:"runid"`
}

type result struct {
	Success bool   `json:"success"`
	Message string `json:"message"`
	Data    any    `json:"data"`
	Driver  string `json:"driver"`
}

type resultEvent struct {
	Event        string   `json:"event"`
	RunID        string   `json:"run_id"`
	Resource     resource `json:"resource"`
	DriverResult result   `json:"driverresult"`
}

type logLine struct {
	RunID     string `json:"runid"`
	Driver    string `json:"driver"`
	Pipeline  string `json:"pipeline"`
	Timestamp string `json:"timestamp"` // Unix seconds
	Message   string `json:"message"`
}

// checkOld refuses what the SDK before September 2026 cannot decode: there every value of the metadata is a string,
// and one that is not costs the whole answer.
func (m metadata) checkOld() error {
	for key, value := range m {
		if _, ok := value.(string); !ok && value != nil {
			return fmt.Errorf("metadata %q is no string", key)
		}
	}
	return nil
}

// driverResults is what earlier drivers of the run answered: JSON as text in the old SDK's days, an object since.
func (m metadata) driverResults() (map[string]any, []string) {
	seen := map[string]any{}
	names := []string{}
	for key, value := range m {
		name, ok := strings.CutPrefix(key, "driverresults.")
		if !ok {
			continue
		}
		if text, ok := value.(string); ok {
			var decoded any
			if json.Unmarshal([]byte(text), &decoded) == nil {
				value = decoded
			}
		}
		seen[name] = value
		names = append(names, name)
	}
	sort.Strings(names)
	return seen, names
}
