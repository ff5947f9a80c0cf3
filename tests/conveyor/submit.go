package main

import (
	"encoding/json"
	"flag"
	"fmt"
	"net/http"
)

// submit makes a definition and a resource as Conveyor's client makes them: empty `id`, and `metadata: null`.
func submit(arguments []string) error {
	var a api
	var how, kind, schema, spec string
	var sent resource
	flags := flag.NewFlagSet("conveyor-driver submit", flag.ContinueOnError)
	flags.StringVar(&a.base, "api", "http://127.0.0.1:8080", "the HTTP API")
	flags.StringVar(&kind, "kind", "", "the resource's kind")
	flags.StringVar(&sent.Name, "name", "", "the resource's name")
	flags.StringVar(&sent.Pipeline, "pipeline", "", "the pipeline, or none")
	flags.StringVar(&spec, "spec", "{}", "the resource's spec")
	flags.StringVar(&schema, "schema", `{"type":"object"}`, "the schema of the kind's definition")
	flags.StringVar(&how, "definition", "apply", "apply (create or update), create, or none")
	if err := parse(flags, arguments); err != nil {
		return err
	}
	if kind == "" || sent.Name == "" {
		return usageError("submit needs -kind and -name")
	}
	defined := definition{Name: kind}
	if err := json.Unmarshal([]byte(schema), &defined.Schema); err != nil {
		return usageError(fmt.Sprintf("-schema is no JSON: %v", err))
	}
	sent.Resource = kind
	if err := json.Unmarshal([]byte(spec), &sent.Spec); err != nil {
		return usageError(fmt.Sprintf("-spec is no JSON: %v", err))
	}

	var path string
	switch how {
	case "apply":
		path = "/resource-definitions/apply"
	case "create":
		path = "/resource-definitions/"
	case "none":
	default:
		return usageError(fmt.Sprintf("-definition is apply, create or none, not %q", how))
	}
	if path != "" {
		if err := a.post("definition", path, defined, new(definition)); err != nil {
			return err
		}
	}
	return a.post("resource", "/resources/", sent, new(created))
}

func (a api) post(at, path string, body, answer any) error {
	status, text, err := a.call(http.MethodPost, path, body, answer)
	told := fields{"status": status, "answer": string(text)}
	if json.Valid(text) {
		told["answer"] = json.RawMessage(text)
	}
	tell(at, told)
	return err
}
