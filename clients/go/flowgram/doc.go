// Package flowgram is the client of the FlowGram runtime: it runs workflows, and watches them as they run.
//
//	client, err := flowgram.Dial("127.0.0.1:50051")
//	taskID, err := client.Run(ctx, flowgram.RunRequest{Schema: schema, Inputs: inputs})
//	for event, err := range client.Watch(ctx, taskID) {
//		…
//	}
//
// Schemas, inputs and outputs are JSON documents, and stay the text that they are: [encoding/json.RawMessage] where
// they go in and in a [Result], strings in the messages of the contract, which everything else consists of. [Decode]
// reads them without losing digits.
//
// A call that finds the server unavailable is made again, with growing pauses: all of them are safe to repeat, since
// [Client.Run] carries a request id. [Client.Watch] goes on after the last event that it gave. A context bounds a call
// with all its repetitions, and its end ends the call at once.
//
// Every error of a call is an [*Error], which carries the status, the reason, and what is wrong with the request; use
// [errors.Is] with the Err… values of this package to branch on it.
package flowgram
