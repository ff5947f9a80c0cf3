// Command conveyor-driver stands in for a driver of Conveyor CI, and for a client of it: on the wire it makes the calls that
// Conveyor's Go SDK makes, in the SDK's order and with the SDK's settings, so that the host is tested against what its
// users run. It owns no truth of its own: what Conveyor does wrong (the acknowledgement before the work, a consumer without
// a durable name, an answer that names no step) is here on purpose.
//
//	conveyor-driver -nats URL -name NAME -kind KIND[,KIND…] [-api URL] [-new] [-mode MODE] [-logs N]
//	conveyor-driver submit -api URL -kind KIND -name NAME [-pipeline PIPELINE] [-spec JSON] [-schema JSON] [-definition HOW]
//
// Each thing that happens is one line of JSON on stdout, told apart by its "at".
package main

import (
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"os"
	"strings"
)

func main() {
	run, arguments := drive, os.Args[1:]
	if len(arguments) > 0 && arguments[0] == "submit" {
		run, arguments = submit, arguments[1:]
	}
	err := run(arguments)
	switch {
	case err == nil:
	case errors.Is(err, flag.ErrHelp):
	case errors.As(err, new(usageError)):
		fmt.Fprintln(os.Stderr, "conveyor-driver:", err)
		os.Exit(2)
	default:
		tell("error", fields{"error": err.Error()})
		os.Exit(1)
	}
}

func drive(arguments []string) error {
	var d driver
	var kinds, mode string
	flags := flag.NewFlagSet("conveyor-driver", flag.ContinueOnError)
	flags.StringVar(&d.url, "nats", "nats://127.0.0.1:4222", "the NATS server")
	flags.StringVar(&d.name, "name", "", "the driver's name")
	flags.StringVar(&kinds, "kind", "", "the kinds it takes, with commas between them")
	flags.StringVar(&d.api.base, "api", "", "the HTTP API that -new asks before each pipeline step")
	flags.BoolVar(&d.new, "new", false, "behave as the SDK of September 2026: durable, asks the API, sends the operation back")
	flags.StringVar(&mode, "mode", "ok", modesHelp)
	flags.IntVar(&d.logs, "logs", 1, "log lines that each message is worth")
	if err := parse(flags, arguments); err != nil {
		return err
	}
	if d.name == "" || kinds == "" {
		return usageError("a driver needs -name and -kind")
	}
	if d.new && d.api.base == "" {
		return usageError("-new needs -api")
	}
	d.kinds = strings.Split(kinds, ",")
	var err error
	if d.mode, err = parseMode(mode); err != nil {
		return err
	}
	return d.run()
}

// A usageError is a mistake in how this program was called.
type usageError string

func (e usageError) Error() string { return string(e) }

func parse(flags *flag.FlagSet, arguments []string) error {
	if err := flags.Parse(arguments); err != nil {
		if errors.Is(err, flag.ErrHelp) {
			return err
		}
		return usageError(err.Error())
	}
	if flags.NArg() > 0 {
		return usageError(fmt.Sprintf("%q is no flag of %s", flags.Arg(0), flags.Name()))
	}
	return nil
}

type fields map[string]any

// tell prints one line, whole: callers of several goroutines share stdout, and a write of a line is one call.
func tell(at string, more fields) {
	line := fields{"at": at}
	for key, value := range more {
		line[key] = value
	}
	text, err := json.Marshal(line)
	if err != nil {
		text = fmt.Appendf(nil, `{"at":"error","error":%q}`, "cannot tell "+at+": "+err.Error())
	}
	if _, err := os.Stdout.Write(append(text, '\n')); err != nil {
		os.Exit(1) // nobody follows any more
	}
}
