package main

import (
	"fmt"
	"os"
	"strconv"
	"strings"
	"time"
)

const modesHelp = `what becomes of a message:
ok          success, with data {"by": NAME, "seen": [drivers whose results came along]}
fail        success: false
flaky=N     fail for the first N messages, then ok
silent      acknowledged, never answered
slow=TIME   ok after TIME, and nothing else meanwhile
late=TIME   ok after TIME, and the next message at once
twice       ok, published twice
stale       ok, and before it the answer before it once more
bare        ok, the resource's metadata left out
large=BYTES ok, with so many bytes more in the data
garbage     ok, and before it what is no JSON and a result of an unknown run
crash       acknowledged, then the process ends with code 3
`

type mode struct {
	name  string
	time  time.Duration
	count int
}

func parseMode(given string) (mode, error) {
	name, argument, has := strings.Cut(given, "=")
	m := mode{name: name}
	var err error
	switch name {
	case "ok", "fail", "silent", "twice", "stale", "bare", "garbage", "crash":
		if has {
			return m, usageError(fmt.Sprintf("mode %q takes no argument", name))
		}
	case "slow", "late":
		m.time, err = time.ParseDuration(argument)
	case "flaky", "large":
		m.count, err = strconv.Atoi(argument)
	default:
		return m, usageError(fmt.Sprintf("%q is no mode", given))
	}
	if err != nil {
		return m, usageError(fmt.Sprintf("mode %q: %v", given, err))
	}
	return m, nil
}

// answer does a driver's work on one message, or what stands for it, and publishes what comes of it.
func (d *driver) answer(m message, r resource, seen []string) {
	for n := range d.logs {
		d.log(m, fmt.Sprintf("%s: %s %s, line %d", d.name, m.Event, r.Name, n+1))
	}
	data := map[string]any{"by": d.name, "seen": seen}
	answer := resultEvent{Event: "driver.result", RunID: m.RunID, Resource: r}
	if d.new {
		answer.Event = m.Event
	}
	answer.DriverResult = result{Success: true, Message: "done by " + d.name, Data: data, Driver: d.name}

	switch d.mode.name {
	case "fail":
		answer.fail("told to fail")
	case "flaky":
		if d.taken <= d.mode.count {
			answer.fail(fmt.Sprintf("told to fail, %d of %d", d.taken, d.mode.count))
		}
	case "silent":
		return
	case "slow":
		time.Sleep(d.mode.time)
	case "late":
		time.AfterFunc(d.mode.time, func() { d.publish(answer) })
		return
	case "twice":
		d.publish(answer)
	case "stale":
		if d.last != nil {
			d.publish(*d.last)
		}
	case "bare":
		answer.Resource.Metadata = nil
	case "large":
		data["large"] = strings.Repeat("x", d.mode.count)
	case "garbage":
		d.publishText("", []byte("no JSON"))
		unknown := answer
		unknown.RunID = "00000000-0000-7000-8000-000000000000"
		d.publish(unknown)
	case "crash":
		d.crash()
	}
	d.publish(answer)
	d.last = &answer
}

func (e *resultEvent) fail(why string) {
	e.DriverResult.Success, e.DriverResult.Message, e.DriverResult.Data = false, why, nil
}

// crash dies with the acknowledgement on the server, so that no other delivery makes up for it.
func (d *driver) crash() {
	if err := d.connection.Flush(); err != nil {
		tell("refused", fields{"error": err.Error()})
	}
	os.Exit(3)
}
