package main

import (
	"bytes"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"time"
)

// slowness is how long an answer of /slow takes: long enough for a watch to be open before it.
const slowness = 300 * time.Millisecond

const (
	completion = `{"id":"c","object":"chat.completion","created":1,"model":"m","choices":[{"index":0,"finish_reason":"stop",` +
		`"message":{"role":"assistant","content":"%s"}}],"usage":{"prompt_tokens":1,"completion_tokens":8,"total_tokens":9}}`
	chunk = `data: {"id":"c","object":"chat.completion.chunk","created":1,"model":"m","choices":[{"index":0,"delta":{"content":"%s"},` +
		`"finish_reason":null}]}` + "\n\n"
	lastChunk = `data: {"id":"c","object":"chat.completion.chunk","created":1,"model":"m","choices":[{"index":0,"delta":{},` +
		`"finish_reason":"stop"}]}` + "\n\ndata: [DONE]\n\n"
)

var words = []string{"This ", "is ", "what ", "a ", "model ", "would ", "say ", "now."}

// serveUpstream answers on a port of the loopback: GET / and GET /slow with a small JSON object, POST /v1/chat/completions as a
// language model, in a stream where that is asked for.
func serveUpstream() (string, error) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return "", err
	}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /", answerJSON)
	mux.HandleFunc("GET /slow", func(writer http.ResponseWriter, request *http.Request) {
		time.Sleep(slowness)
		answerJSON(writer, request)
	})
	mux.HandleFunc("POST /v1/chat/completions", complete)
	go func() { log.Fatal(http.Serve(listener, mux)) }()
	return "http://" + listener.Addr().String(), nil
}

func answerJSON(writer http.ResponseWriter, _ *http.Request) {
	writer.Header().Set("Content-Type", "application/json")
	_, _ = io.WriteString(writer, `{"id": 7, "name": "a small answer", "tags": ["a", "b"]}`)
}

func complete(writer http.ResponseWriter, request *http.Request) {
	body, err := io.ReadAll(request.Body)
	if err != nil {
		return
	}
	if !bytes.Contains(bytes.ReplaceAll(body, []byte(" "), nil), []byte(`"stream":true`)) {
		writer.Header().Set("Content-Type", "application/json")
		var text string
		for _, word := range words {
			text += word
		}
		_, _ = fmt.Fprintf(writer, completion, text)
		return
	}
	writer.Header().Set("Content-Type", "text/event-stream")
	for _, word := range words {
		_, _ = fmt.Fprintf(writer, chunk, word)
	}
	_, _ = io.WriteString(writer, lastChunk)
}
