package main

import (
	"context"
	"encoding/json"
	"errors"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

const nakDelay = time.Second

type driver struct {
	url   string
	name  string
	kinds []string
	new   bool
	mode  mode
	logs  int
	api   api

	connection *nats.Conn
	stream     jetstream.JetStream
	taken      int          // messages handed to the mode so far
	last       *resultEvent // what was answered last, for `stale`
}

// run attaches and never returns but with an error; a test ends it with a signal, as a user does.
func (d *driver) run() error {
	var err error
	d.connection, err = nats.Connect(d.url,
		nats.Name("Conveyor Driver Manager - "+d.name),
		nats.MaxReconnects(-1),
		nats.DisconnectErrHandler(func(_ *nats.Conn, err error) { tell("disconnected", fields{"error": text(err)}) }),
		nats.ReconnectHandler(func(*nats.Conn) { tell("reconnected", nil) }),
		nats.ErrorHandler(func(_ *nats.Conn, _ *nats.Subscription, err error) { tell("refused", fields{"error": text(err)}) }),
	)
	if err != nil {
		return err
	}
	if d.stream, err = jetstream.New(d.connection); err != nil {
		return err
	}
	consumer, err := d.stream.CreateOrUpdateConsumer(context.Background(), "messages", d.consumerConfig())
	if err != nil {
		return err
	}
	// The consumer is there, so a message may come as soon as it is asked for: this is told before any of them.
	tell("ready", fields{"consumer": consumer.CachedInfo().Config})
	// Nothing is said of batch, expiry and heartbeat: the SDK takes its library's, which are 500, 30 s and 15 s.
	_, err = consumer.Consume(d.take, jetstream.ConsumeErrHandler(func(_ jetstream.ConsumeContext, err error) {
		tell("consume", fields{"error": text(err), "deaf": errors.Is(err, jetstream.ErrConsumerDeleted)})
	}))
	if err != nil {
		return err
	}
	select {}
}

func (d *driver) consumerConfig() jetstream.ConsumerConfig {
	config := jetstream.ConsumerConfig{
		Name:          d.name,
		AckPolicy:     jetstream.AckExplicitPolicy,
		MaxAckPending: 1,
		DeliverPolicy: jetstream.DeliverAllPolicy,
	}
	if d.new {
		config.Durable = d.name
	}
	for _, kind := range d.kinds {
		config.FilterSubjects = append(config.FilterSubjects, "resources."+kind, "drivers."+d.name+".resources."+kind)
	}
	return config
}

// take is called for one message after another, never for two at once.
func (d *driver) take(from jetstream.Msg) {
	if !d.new {
		d.acknowledge(from)
	}
	var m message
	var r resource
	broken := json.Unmarshal(from.Data(), &m)
	if broken == nil {
		broken = json.Unmarshal([]byte(m.Payload), &r)
	}
	if broken == nil && !d.new {
		broken = r.Metadata.checkOld()
	}
	seen, names := r.Metadata.driverResults()
	told := fields{
		"subject": from.Subject(), "event": m.Event, "id": m.ID, "run": m.RunID, "resource": r.Name, "spec": r.Spec, "seen": seen,
		"metadata": r.Metadata, "headers": from.Headers(),
	}
	if received, err := from.Metadata(); err == nil {
		told["sequence"], told["delivered"] = received.Sequence.Stream, received.NumDelivered
	}
	tell("message", told)

	if d.new {
		if broken == nil && r.Pipeline != "" && !d.mayStart(from, m, r) {
			return
		}
		d.acknowledge(from)
	}
	if broken != nil {
		tell("broken", fields{"run": m.RunID, "error": broken.Error()})
		return
	}
	d.taken++
	d.answer(m, r, names)
}

// mayStart asks for the resource as it is now: one that is gone, or another of that name, is no longer worth the work.
func (d *driver) mayStart(from jetstream.Msg, m message, r resource) bool {
	now, err := d.api.resource(r.Resource, r.Name)
	switch {
	case errors.Is(err, errNotFound):
		tell("skipped", fields{"run": m.RunID, "why": "not found"})
	case err != nil:
		tell("nak", fields{"run": m.RunID, "error": err.Error()})
		if err := from.NakWithDelay(nakDelay); err != nil {
			tell("refused", fields{"error": err.Error()})
		}
		return false
	case now.ID != r.ID:
		tell("skipped", fields{"run": m.RunID, "why": "another id"})
	default:
		return true
	}
	d.acknowledge(from)
	return false
}

func (d *driver) acknowledge(from jetstream.Msg) {
	if err := from.Ack(); err != nil {
		tell("refused", fields{"error": err.Error()})
	}
}

func text(err error) any {
	if err == nil {
		return nil
	}
	return err.Error()
}
