package main

import (
	"context"
	"encoding/json"
	"strconv"
	"time"
)

func (d *driver) publish(answer resultEvent) {
	body, err := json.Marshal(answer)
	if err != nil {
		tell("refused", fields{"run": answer.RunID, "error": err.Error()})
		return
	}
	d.publishText(answer.RunID, body)
}

// publishText publishes as the SDK does, without waiting for the stream's word; what that word was is told when it comes.
func (d *driver) publishText(run string, body []byte) {
	told := fields{"run": run, "bytes": len(body)}
	if json.Valid(body) {
		told["body"] = json.RawMessage(body)
	}
	sent, err := d.stream.PublishAsync("pipelines.driver.result", body)
	if err != nil {
		tell("refused", fields{"run": run, "bytes": len(body), "error": err.Error()})
		return
	}
	tell("result", told)
	go func() {
		select {
		case stored := <-sent.Ok():
			tell("stored", fields{"run": run, "stream": stored.Stream, "sequence": stored.Sequence, "duplicate": stored.Duplicate})
		case err := <-sent.Err():
			tell("refused", fields{"run": run, "bytes": len(body), "error": err.Error()})
		}
	}()
}

// log waits for the stream to have the line, then shows it to whoever watches live.
func (d *driver) log(m message, text string) {
	line := logLine{RunID: m.RunID, Driver: d.name, Message: text, Timestamp: strconv.FormatInt(time.Now().Unix(), 10)}
	body, err := json.Marshal(line)
	if err == nil {
		_, err = d.stream.Publish(context.Background(), "logs."+m.RunID, body)
	}
	if err == nil {
		err = d.connection.Publish("live.logs."+m.RunID+"."+d.name, body)
	}
	if err != nil {
		tell("refused", fields{"run": m.RunID, "log": text, "error": err.Error()})
		return
	}
	tell("log", fields{"run": m.RunID, "log": text})
}
