package main

import (
	"context"
	"errors"
	"fmt"
	"log"
	"time"

	"go.temporal.io/api/serviceerror"
	"go.temporal.io/api/workflowservice/v1"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/durationpb"
)

const (
	retention    = 7 * 24 * time.Hour
	startTimeout = 60 * time.Second
	retryDelay   = 200 * time.Millisecond
)

// registerNamespaces makes the namespaces that are missing, through the front: PostgreSQL has no shortcut for it.
func registerNamespaces(o options) {
	connection, err := grpc.NewClient(fmt.Sprintf("%s:%d", o.ip, o.port), grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		log.Fatal(err)
	}
	defer func() { _ = connection.Close() }()
	client := workflowservice.NewWorkflowServiceClient(connection)
	ctx, cancel := context.WithTimeout(context.Background(), startTimeout)
	defer cancel()
	for _, name := range o.namespaces {
		for {
			_, err := client.RegisterNamespace(ctx, &workflowservice.RegisterNamespaceRequest{
				Namespace: name, WorkflowExecutionRetentionPeriod: durationpb.New(retention),
			})
			var exists *serviceerror.NamespaceAlreadyExists
			if err == nil || errors.As(serviceerror.FromStatus(status.Convert(err)), &exists) {
				break
			}
			if ctx.Err() != nil {
				log.Fatalf("namespace %s: %v", name, err)
			}
			time.Sleep(retryDelay) // the services are still finding each other
		}
	}
}
