package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
)

const answerBytesMax = 16 << 20

var errNotFound = errors.New("not found")

// api is the HTTP side of Conveyor's client.
type api struct {
	base string
}

func (a api) resource(kind, name string) (resource, error) {
	var found resource
	status, _, err := a.call(http.MethodGet, "/resources/"+kind+"/"+name, nil, &found)
	if status == http.StatusNotFound {
		return found, errNotFound
	}
	return found, err
}

// call sends body as JSON and decodes an answer below 400 into answer. The text of every answer comes back too.
func (a api) call(method, path string, body, answer any) (status int, text []byte, err error) {
	var sent io.Reader
	if body != nil {
		encoded, err := json.Marshal(body)
		if err != nil {
			return 0, nil, err
		}
		sent = bytes.NewReader(encoded)
	}
	request, err := http.NewRequest(method, strings.TrimRight(a.base, "/")+path, sent)
	if err != nil {
		return 0, nil, err
	}
	request.Header.Set("Content-Type", "application/json")
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		return 0, nil, err
	}
	defer func() { _ = response.Body.Close() }()
	text, err = io.ReadAll(io.LimitReader(response.Body, answerBytesMax))
	if err != nil {
		return response.StatusCode, text, err
	}
	if response.StatusCode >= http.StatusBadRequest {
		return response.StatusCode, text, fmt.Errorf("%s %s was answered with %d: %s", method, path, response.StatusCode, text)
	}
	if err := json.Unmarshal(text, answer); err != nil {
		return response.StatusCode, text, fmt.Errorf("%s %s was answered with what a Conveyor client cannot read: %w", method, path, err)
	}
	return response.StatusCode, text, nil
}
