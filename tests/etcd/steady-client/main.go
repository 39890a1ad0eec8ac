// A client as etcd's own users write them, on etcd's own library: it puts, reads, watches and keeps a lease without a
// pause until SIGTERM, and then tells all that it has seen, for tests that judge it.
//
// Its library decides what is repeated; the program itself repeats nothing. So a put or a read that fails here fails in
// every program on that library.
package main

import (
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"strings"
	"sync"
	"syscall"
	"time"

	"go.etcd.io/etcd/api/v3/mvccpb"
	clientv3 "go.etcd.io/etcd/client/v3"
	"google.golang.org/grpc/status"
)

type write struct {
	Key      string `json:"key"`
	Revision int64  `json:"revision"`
}

type failure struct {
	What    string `json:"what"`
	Code    string `json:"code"`
	Message string `json:"message"`
}

type report struct {
	Acknowledged []write   `json:"acknowledged"`
	FailedPuts   []failure `json:"failedPuts"`
	Reads        int       `json:"reads"`
	FailedReads  []failure `json:"failedReads"`
	Events       []write   `json:"events"`
	WatchError   string    `json:"watchError"`
	Heartbeats   int       `json:"heartbeats"`
	LeaseLost    bool      `json:"leaseLost"`
}

var (
	mutex sync.Mutex
	seen  = report{Acknowledged: []write{}, FailedPuts: []failure{}, FailedReads: []failure{}, Events: []write{}}
)

func note(change func()) {
	mutex.Lock()
	defer mutex.Unlock()
	change()
}

func failed(what string, err error) failure {
	return failure{What: what, Code: status.Code(err).String(), Message: err.Error()}
}

func fail(err error) {
	fmt.Fprintln(os.Stderr, "steady-client:", err)
	os.Exit(1)
}

func put(ctx context.Context, client *clientv3.Client, prefix string, writer int) {
	for count := 0; ctx.Err() == nil; count++ {
		key := fmt.Sprintf("%s%d/%06d", prefix, writer, count)
		callCtx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
		answer, err := client.Put(callCtx, key, key)
		cancel()
		note(func() {
			if err != nil {
				seen.FailedPuts = append(seen.FailedPuts, failed(key, err))
			} else {
				seen.Acknowledged = append(seen.Acknowledged, write{key, answer.Header.Revision})
			}
		})
		time.Sleep(2 * time.Millisecond)
	}
}

func read(ctx context.Context, client *clientv3.Client, key string) {
	for ctx.Err() == nil {
		callCtx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
		_, err := client.Get(callCtx, key)
		cancel()
		note(func() {
			seen.Reads++
			if err != nil {
				seen.FailedReads = append(seen.FailedReads, failed(key, err))
			}
		})
		time.Sleep(2 * time.Millisecond)
	}
}

func watch(answers clientv3.WatchChan) {
	for answer := range answers {
		note(func() {
			if err := answer.Err(); err != nil {
				seen.WatchError = err.Error()
			}
			for _, event := range answer.Events {
				if event.Type == mvccpb.PUT {
					seen.Events = append(seen.Events, write{string(event.Kv.Key), event.Kv.ModRevision})
				}
			}
		})
	}
}

func keepAlive(answers <-chan *clientv3.LeaseKeepAliveResponse) {
	for range answers {
		note(func() { seen.Heartbeats++ })
	}
	note(func() { seen.LeaseLost = true })
}

// The watch has told of the last put that was acknowledged.
func watchIsThrough() bool {
	mutex.Lock()
	defer mutex.Unlock()
	last := int64(0)
	for _, each := range seen.Acknowledged {
		last = max(last, each.Revision)
	}
	return len(seen.Events) > 0 && seen.Events[len(seen.Events)-1].Revision >= last
}

func main() {
	endpoints := flag.String("endpoints", "", "host:port, comma-separated")
	prefix := flag.String("prefix", "steady/", "of the keys that are put")
	leaseKey := flag.String("lease-key", "leased", "a key that lives as long as the lease")
	ttl := flag.Int64("ttl", 10, "of the lease, in seconds")
	flag.Parse()

	client, err := clientv3.New(clientv3.Config{
		Endpoints:   strings.Split(*endpoints, ","),
		DialTimeout: 5 * time.Second,
	})
	if err != nil {
		fail(err)
	}
	background := context.Background()
	lease, err := client.Grant(background, *ttl)
	if err != nil {
		fail(err)
	}
	if _, err = client.Put(background, *leaseKey, "", clientv3.WithLease(lease.ID)); err != nil {
		fail(err)
	}
	heartbeats, err := client.KeepAlive(background, lease.ID)
	if err != nil {
		fail(err)
	}
	go keepAlive(heartbeats)
	answers := client.Watch(background, *prefix, clientv3.WithPrefix(), clientv3.WithCreatedNotify())
	if first := <-answers; !first.Created {
		fail(fmt.Errorf("the watch was not created: %v", first.Err()))
	}
	go watch(answers)

	working, stop := context.WithCancel(background)
	var workers sync.WaitGroup
	for index := range 4 {
		workers.Go(func() { put(working, client, *prefix, index) })
		workers.Go(func() { read(working, client, *leaseKey) })
	}
	go func() {
		for range time.Tick(100 * time.Millisecond) {
			note(func() {
				fmt.Printf("{\"puts\":%d,\"reads\":%d,\"events\":%d,\"heartbeats\":%d}\n",
					len(seen.Acknowledged), seen.Reads, len(seen.Events), seen.Heartbeats)
			})
		}
	}()
	told := make(chan os.Signal, 1)
	signal.Notify(told, syscall.SIGTERM)
	<-told
	stop()
	workers.Wait()
	for deadline := time.Now().Add(30 * time.Second); !watchIsThrough() && time.Now().Before(deadline); {
		time.Sleep(10 * time.Millisecond)
	}
	note(func() {
		text, err := json.Marshal(map[string]report{"report": seen})
		if err != nil {
			fail(err)
		}
		fmt.Println(string(text))
		os.Exit(0)
	})
}
