// A grpc-go client as it is, against a server that refuses its connection: 10 s of calls. The server's metrics count the attempts.
//
//	go mod init reconnect && go get google.golang.org/grpc@v1.85.0 && go build -o client client.go
//	./client 127.0.0.1:50051 wait|retry
package main

import (
	"context"
	"fmt"
	"os"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/health/grpc_health_v1"
)

func main() {
	wait := os.Args[2] == "wait"
	connection, err := grpc.NewClient(os.Args[1], grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		panic(err)
	}
	client := grpc_health_v1.NewHealthClient(connection)
	calls := 0
	for end := time.Now().Add(10 * time.Second); time.Now().Before(end); calls++ {
		call, cancel := context.WithTimeout(context.Background(), min(time.Second, time.Until(end)))
		_, err = client.Check(call, &grpc_health_v1.HealthCheckRequest{}, grpc.WaitForReady(wait))
		cancel()
		if !wait {
			time.Sleep(20 * time.Millisecond)
		}
	}
	fmt.Println(calls, "calls; the last one:", err)
}
