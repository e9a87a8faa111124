// Blocking writers against Tessera's POSIX storage, tuned for them: the peer of `npm run bench -- log`. Prints one JSON document.
package main

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"sort"
	"sync"
	"sync/atomic"
	"time"

	"github.com/transparency-dev/tessera"
	"github.com/transparency-dev/tessera/storage/posix"
	"golang.org/x/mod/sumdb/note"
)

func must[T any](value T, err error) T {
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	return value
}

func main() {
	dir := flag.String("dir", "", "folder of the log")
	writers := flag.Int("writers", 100, "blocking writers")
	count := flag.Int("count", 10000, "entries")
	size := flag.Int("size", 500, "bytes of an entry")
	batch := flag.Uint("batch", 100, "entries of a batch")
	age := flag.Duration("age", 5*time.Millisecond, "the longest that a batch waits")
	published := flag.Bool("published", false, "wait for the checkpoint too")
	flag.Parse()

	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	secret, _, err := note.GenerateKey(rand.Reader, "log.example.com")
	signer := must(note.NewSigner(must(secret, err)))
	driver := must(posix.New(ctx, posix.Config{Path: *dir}))
	// 100 ms is the shortest that this storage takes.
	appender, shutdown, reader, err := tessera.NewAppender(ctx, driver, tessera.NewAppendOptions().
		WithCheckpointSigner(signer).WithBatching(*batch, *age).WithCheckpointInterval(100*time.Millisecond).WithCheckpointRepublishInterval(time.Minute))
	must(appender, err)
	awaiter := tessera.NewPublicationAwaiter(ctx, reader.ReadCheckpoint, 5*time.Millisecond)

	times := make([]float64, *count)
	var next atomic.Int64
	var all sync.WaitGroup
	start := time.Now()
	for range *writers {
		all.Go(func() {
			for {
				at := int(next.Add(1)) - 1
				if at >= *count {
					return
				}
				body := make([]byte, *size)
				_, _ = rand.Read(body)
				begun := time.Now()
				future := appender.Add(ctx, tessera.NewEntry(body))
				if *published {
					_, _, err := awaiter.Await(ctx, future)
					must(0, err)
				} else {
					must(future())
				}
				times[at] = float64(time.Since(begun).Microseconds()) / 1000
			}
		})
	}
	all.Wait()
	took := time.Since(start).Seconds()
	sort.Float64s(times)
	_ = json.NewEncoder(os.Stdout).Encode(map[string]float64{"perSecond": float64(*count) / took, "p50": times[len(times)/2], "p99": times[len(times)*99/100]})
	_ = shutdown(ctx)
}
