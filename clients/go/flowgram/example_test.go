package flowgram_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log"
	"os"

	"github.com/flowgram/flowgram-server/clients/go/flowgram"
)

func Example() {
	client, err := flowgram.Dial("127.0.0.1:50051")
	if err != nil {
		log.Fatal(err)
	}
	defer client.Close()
	schema, err := os.ReadFile("workflow.json")
	if err != nil {
		log.Fatal(err)
	}
	result, err := client.RunAndWait(context.Background(), flowgram.RunRequest{
		Schema: schema,
		Inputs: json.RawMessage(`{"question": "Why?"}`),
	})
	if err != nil {
		log.Fatal(err)
	}
	var outputs struct{ Answer string }
	if err := result.Decode(&outputs); err != nil {
		log.Fatal(err)
	}
	fmt.Println(outputs.Answer)
}

func ExampleClient_Watch() {
	client, err := flowgram.Dial("127.0.0.1:50051")
	if err != nil {
		log.Fatal(err)
	}
	defer client.Close()
	var last int64 // kept from an earlier watch, say
	for event, err := range client.Watch(context.Background(), "a-task-id", flowgram.WithAfterSequence(last)) {
		if err != nil {
			log.Fatal(err)
		}
		last = max(last, event.GetSequence())
		switch {
		case event.GetNodeStatusChanged() != nil:
			node := event.GetNodeStatusChanged()
			fmt.Println(node.GetNodeId(), node.GetStatus().GetStatus())
		case event.GetTaskStatusChanged().GetStatus().GetTerminated():
			fmt.Println(event.GetTaskStatusChanged().GetOutputs())
		}
	}
}

func ExampleError() {
	client, err := flowgram.Dial("127.0.0.1:50051")
	if err != nil {
		log.Fatal(err)
	}
	defer client.Close()
	_, err = client.Run(context.Background(), flowgram.RunRequest{Schema: json.RawMessage("{}")})
	var failure *flowgram.Error
	switch {
	case err == nil:
	case errors.Is(err, flowgram.ErrInvalidWorkflow) && errors.As(err, &failure):
		for _, violation := range failure.Violations {
			fmt.Println(violation.Field, violation.Description)
		}
	case errors.Is(err, flowgram.ErrResourceExhausted) && errors.As(err, &failure):
		fmt.Println("try again after", failure.RetryAfter)
	case errors.As(err, &failure):
		fmt.Println(failure.Code, failure.Reason)
	}
}
