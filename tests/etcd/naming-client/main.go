// What programs on etcd's own Go library do with registered proxies, for tests that judge it: each command does one
// thing, and prints what came of it as one line of JSON.
package main

import (
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"slices"
	"strings"
	"time"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	clientv3 "go.etcd.io/etcd/client/v3"
	"go.etcd.io/etcd/client/v3/naming/endpoints"
	"go.etcd.io/etcd/client/v3/naming/resolver"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/peer"
)

const usage = "usage: naming-client -endpoints=… -prefix=… sync | list | add <address> <name> | dial <calls>"

func fail(err error) {
	fmt.Fprintln(os.Stderr, "naming-client:", err)
	os.Exit(1)
}

func print(value any) {
	text, err := json.Marshal(value)
	if err != nil {
		fail(err)
	}
	fmt.Println(string(text))
}

// The endpoints that a client has once it has synchronized them.
func synchronized(ctx context.Context, client *clientv3.Client) []string {
	if err := client.Sync(ctx); err != nil {
		fail(err)
	}
	return client.Endpoints()
}

// Registers an address as etcd's own proxy does.
func add(ctx context.Context, manager endpoints.Manager, key, address, name string) {
	metadata, err := json.Marshal(struct {
		Name string `json:"name"`
	}{name})
	if err != nil {
		fail(err)
	}
	endpoint := endpoints.Endpoint{Addr: address, Metadata: string(metadata)}
	if err := manager.AddEndpoint(ctx, key, endpoint); err != nil {
		fail(err)
	}
}

// Calls whatever the naming resolver finds, in turn, and tells who has answered.
func called(ctx context.Context, client *clientv3.Client, prefix string, calls int) []string {
	builder, err := resolver.NewBuilder(client)
	if err != nil {
		fail(err)
	}
	connection, err := grpc.NewClient("etcd:///"+prefix,
		grpc.WithResolvers(builder),
		grpc.WithTransportCredentials(insecure.NewCredentials()),
		grpc.WithDefaultServiceConfig(`{"loadBalancingConfig":[{"round_robin":{}}]}`))
	if err != nil {
		fail(err)
	}
	defer connection.Close()
	var answered []string
	for range calls {
		var who peer.Peer
		request := &pb.RangeRequest{Key: []byte("called")}
		if _, err := pb.NewKVClient(connection).Range(ctx, request, grpc.Peer(&who), grpc.WaitForReady(true)); err != nil {
			fail(err)
		}
		if address := who.Addr.String(); !slices.Contains(answered, address) {
			answered = append(answered, address)
		}
	}
	slices.Sort(answered)
	return answered
}

func main() {
	addresses := flag.String("endpoints", "", "host:port, comma-separated")
	prefix := flag.String("prefix", "", "under which proxies register")
	flag.Parse()
	client, err := clientv3.New(clientv3.Config{
		Endpoints:   strings.Split(*addresses, ","),
		DialTimeout: 5 * time.Second,
	})
	if err != nil {
		fail(err)
	}
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	manager, err := endpoints.NewManager(client, *prefix)
	if err != nil {
		fail(err)
	}
	words := flag.Args()
	switch {
	case len(words) == 1 && words[0] == "sync":
		print(synchronized(ctx, client))
	case len(words) == 1 && words[0] == "list":
		listed, err := manager.List(ctx)
		if err != nil {
			fail(err)
		}
		print(listed)
	case len(words) == 3 && words[0] == "add":
		key := *prefix + "/" + words[1]
		add(ctx, manager, key, words[1], words[2])
		print(key)
	case len(words) == 2 && words[0] == "dial":
		var calls int
		if _, err := fmt.Sscan(words[1], &calls); err != nil {
			fail(err)
		}
		print(called(ctx, client, *prefix, calls))
	default:
		fail(fmt.Errorf("%s", usage))
	}
}
